package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:generate go run -C _gen .

var gemmTilesF32Arch = []gemmTileF32{
	{"f32_gemm_6x16_avx2", cpu.AVX2, 6, 16, gemmAVX2},
	{"f32_gemm_14x32_avx512", cpu.AVX512, 14, 32, gemmAVX512},
}

//go:noescape
func gemmF32x6x16AVX2(args *gemmF32)

//go:noescape
func gemmF32x14x32AVX512(args *gemmF32)

// run is not inlined: its prologue is where a loop of kernel calls can be
// preempted.
//
//go:noinline
func (g *gemmF32) run(t *gemmTileF32) {
	if g.ahead == 0 {
		g.ahead = uintptr(g.b) // in cache already: fetching it costs nothing
	}
	switch t.call {
	case gemmAVX512:
		gemmF32x14x32AVX512(g)
	case gemmAVX2:
		gemmF32x6x16AVX2(g)
	default:
		goGemmF32(g, t.nr)
	}
	g.ahead = 0
}
