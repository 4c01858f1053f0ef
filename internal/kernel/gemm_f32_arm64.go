package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:generate go run -C _gen .

var gemmTilesF32Arch = []gemmTileF32{
	{"f32_gemm_6x16_neon", cpu.NEON, 6, 16, gemmNEON},
}

//go:noescape
func gemmF32x6x16NEON(args *gemmF32)

// run is not inlined: its prologue is where a loop of kernel calls can be
// preempted.
//
//go:noinline
func (g *gemmF32) run(t *gemmTileF32) {
	if t.call == gemmNEON {
		gemmF32x6x16NEON(g)
	} else {
		goGemmF32(g, t.nr)
	}
}
