package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

var depthwiseKernelsF32Arch = []depthwiseKernelF32{
	{"f32_dw_8c_avx2", cpu.AVX2, 0, 0, 8, depthwiseAVX2},
	{"f32_dw3x3s1_8c_avx2", cpu.AVX2, 3, 1, 8, depthwise3S1AVX2},
	{"f32_dw3x3s2_8c_avx2", cpu.AVX2, 3, 2, 8, depthwise3S2AVX2},
	{"f32_dw5x5s1_8c_avx2", cpu.AVX2, 5, 1, 8, depthwise5S1AVX2},
	{"f32_dw5x5s2_8c_avx2", cpu.AVX2, 5, 2, 8, depthwise5S2AVX2},
	{"f32_dw_16c_avx512", cpu.AVX512, 0, 0, 16, depthwiseAVX512},
	{"f32_dw3x3s1_16c_avx512", cpu.AVX512, 3, 1, 16, depthwise3S1AVX512},
	{"f32_dw3x3s2_16c_avx512", cpu.AVX512, 3, 2, 16, depthwise3S2AVX512},
	{"f32_dw5x5s1_16c_avx512", cpu.AVX512, 5, 1, 16, depthwise5S1AVX512},
	{"f32_dw5x5s2_16c_avx512", cpu.AVX512, 5, 2, 16, depthwise5S2AVX512},
}

var maxKernelsF32Arch = []depthwiseKernelF32{
	{"f32_max_8c_avx2", cpu.AVX2, 0, 0, 8, maximumAVX2},
	{"f32_max_16c_avx512", cpu.AVX512, 0, 0, 16, maximumAVX512},
}

//go:noescape
func maximumF32AVX2(args *depthwiseF32)

//go:noescape
func maximumF32AVX512(args *depthwiseF32)

//go:noescape
func depthwiseF32AVX2(args *depthwiseF32)

//go:noescape
func depthwise3S1F32AVX2(args *depthwiseF32)

//go:noescape
func depthwise3S2F32AVX2(args *depthwiseF32)

//go:noescape
func depthwise5S1F32AVX2(args *depthwiseF32)

//go:noescape
func depthwise5S2F32AVX2(args *depthwiseF32)

//go:noescape
func depthwiseF32AVX512(args *depthwiseF32)

//go:noescape
func depthwise3S1F32AVX512(args *depthwiseF32)

//go:noescape
func depthwise3S2F32AVX512(args *depthwiseF32)

//go:noescape
func depthwise5S1F32AVX512(args *depthwiseF32)

//go:noescape
func depthwise5S2F32AVX512(args *depthwiseF32)

// run is not inlined: its prologue is where a loop of kernel calls can be
// preempted.
//
//go:noinline
func (d *depthwiseF32) run(k *depthwiseKernelF32) {
	switch k.call {
	case depthwiseAVX2:
		depthwiseF32AVX2(d)
	case depthwise3S1AVX2:
		depthwise3S1F32AVX2(d)
	case depthwise3S2AVX2:
		depthwise3S2F32AVX2(d)
	case depthwise5S1AVX2:
		depthwise5S1F32AVX2(d)
	case depthwise5S2AVX2:
		depthwise5S2F32AVX2(d)
	case depthwiseAVX512:
		depthwiseF32AVX512(d)
	case depthwise3S1AVX512:
		depthwise3S1F32AVX512(d)
	case depthwise3S2AVX512:
		depthwise3S2F32AVX512(d)
	case depthwise5S1AVX512:
		depthwise5S1F32AVX512(d)
	case depthwise5S2AVX512:
		depthwise5S2F32AVX512(d)
	case maximumAVX2:
		maximumF32AVX2(d)
	case maximumAVX512:
		maximumF32AVX512(d)
	case maximumGo:
		goMaximumF32(d)
	default:
		goDepthwiseF32(d, k.lanes)
	}
}
