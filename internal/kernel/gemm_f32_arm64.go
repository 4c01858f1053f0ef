package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:generate go run -C _gen .

var gemmTilesF32Arch = []gemmTileF32{
	{"f32_gemm_6x16inorder_neon", cpu.NEON, 6, 16, gemmInOrder},
	{"f32_gemm_6x16_neon", cpu.NEON, 6, 16, gemmNEON},
}

//go:noescape
func gemmF32x6x16NEON(args *gemmF32)

//go:noescape
func gemmF32x6x16InOrder(args *gemmF32)

// run is not inlined: its prologue is where a loop of kernel calls can be
// preempted.
//
//go:noinline
func (g *gemmF32) run(t *gemmTileF32) {
	switch t.call {
	case gemmNEON:
		gemmF32x6x16NEON(g)
	case gemmInOrder:
		gemmF32x6x16InOrder(g)
	default:
		goGemmF32(g, t.nr)
	}
}
