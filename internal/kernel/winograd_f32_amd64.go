package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

var winogradKernelsF32Arch = []winogradKernelF32{
	{"f32_winograd2x2_8c_avx2", cpu.AVX2, 2, winogradAVX2},
	{"f32_winograd4x4_8c_avx2", cpu.AVX2, 4, winogradAVX2},
	{"f32_winograd2x2_16c_avx512", cpu.AVX512, 2, winogradAVX512},
	{"f32_winograd4x4_16c_avx512", cpu.AVX512, 4, winogradAVX512},
}

//go:noescape
func winogradInput2F32AVX2(args *winogradTileF32)

//go:noescape
func winogradInput4F32AVX2(args *winogradTileF32)

//go:noescape
func winogradOutput2F32AVX2(args *winogradTileF32)

//go:noescape
func winogradOutput4F32AVX2(args *winogradTileF32)

//go:noescape
func winogradWeights2F32AVX2(args *winogradTileF32)

//go:noescape
func winogradWeights4F32AVX2(args *winogradTileF32)

//go:noescape
func winogradGradient4F32AVX2(args *winogradTileF32)

//go:noescape
func winogradTaps4F32AVX2(args *winogradTileF32)

//go:noescape
func winogradInput2F32AVX512(args *winogradTileF32)

//go:noescape
func winogradInput4F32AVX512(args *winogradTileF32)

//go:noescape
func winogradOutput2F32AVX512(args *winogradTileF32)

//go:noescape
func winogradOutput4F32AVX512(args *winogradTileF32)

//go:noescape
func winogradWeights2F32AVX512(args *winogradTileF32)

//go:noescape
func winogradWeights4F32AVX512(args *winogradTileF32)

//go:noescape
func winogradGradient4F32AVX512(args *winogradTileF32)

//go:noescape
func winogradTaps4F32AVX512(args *winogradTileF32)

// run transforms a run of tiles. It is not inlined: its prologue is where a loop of
// kernel calls can be preempted.
//
//go:noinline
func (t *winogradTileF32) run(k *winogradKernelF32, pass winogradPass) {
	switch {
	case k.call == winogradAVX512 && k.m == 2:
		switch pass {
		case transformInput:
			winogradInput2F32AVX512(t)
		case transformOutput:
			winogradOutput2F32AVX512(t)
		case transformWeights:
			winogradWeights2F32AVX512(t)
		default:
			goWinogradF32(t, k.m, pass)
		}
	case k.call == winogradAVX512:
		switch pass {
		case transformInput:
			winogradInput4F32AVX512(t)
		case transformOutput:
			winogradOutput4F32AVX512(t)
		case transformWeights:
			winogradWeights4F32AVX512(t)
		case transformGradient:
			winogradGradient4F32AVX512(t)
		default:
			winogradTaps4F32AVX512(t)
		}
	case k.call == winogradAVX2 && k.m == 2:
		switch pass {
		case transformInput:
			winogradInput2F32AVX2(t)
		case transformOutput:
			winogradOutput2F32AVX2(t)
		case transformWeights:
			winogradWeights2F32AVX2(t)
		default:
			goWinogradF32(t, k.m, pass)
		}
	case k.call == winogradAVX2:
		switch pass {
		case transformInput:
			winogradInput4F32AVX2(t)
		case transformOutput:
			winogradOutput4F32AVX2(t)
		case transformWeights:
			winogradWeights4F32AVX2(t)
		case transformGradient:
			winogradGradient4F32AVX2(t)
		default:
			winogradTaps4F32AVX2(t)
		}
	default:
		goWinogradF32(t, k.m, pass)
	}
}
