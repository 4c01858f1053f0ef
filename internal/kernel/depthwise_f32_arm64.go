package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

var depthwiseKernelsF32Arch = []depthwiseKernelF32{
	{"f32_dw_4c_neon", cpu.NEON, 0, 0, 4, depthwiseNEON},
	{"f32_dw3x3s1_4c_neon", cpu.NEON, 3, 1, 4, depthwise3S1NEON},
	{"f32_dw3x3s2_4c_neon", cpu.NEON, 3, 2, 4, depthwise3S2NEON},
	{"f32_dw5x5s1_4c_neon", cpu.NEON, 5, 1, 4, depthwise5S1NEON},
	{"f32_dw5x5s2_4c_neon", cpu.NEON, 5, 2, 4, depthwise5S2NEON},
}

var maxKernelsF32Arch = []depthwiseKernelF32{{"f32_max_4c_neon", cpu.NEON, 0, 0, 4, maximumNEON}}

//go:noescape
func maximumF32NEON(args *depthwiseF32)

//go:noescape
func depthwiseF32NEON(args *depthwiseF32)

//go:noescape
func depthwise3S1F32NEON(args *depthwiseF32)

//go:noescape
func depthwise3S2F32NEON(args *depthwiseF32)

//go:noescape
func depthwise5S1F32NEON(args *depthwiseF32)

//go:noescape
func depthwise5S2F32NEON(args *depthwiseF32)

// run is not inlined: its prologue is where a loop of kernel calls can be
// preempted.
//
//go:noinline
func (d *depthwiseF32) run(k *depthwiseKernelF32) {
	switch k.call {
	case depthwiseNEON:
		depthwiseF32NEON(d)
	case depthwise3S1NEON:
		depthwise3S1F32NEON(d)
	case depthwise3S2NEON:
		depthwise3S2F32NEON(d)
	case depthwise5S1NEON:
		depthwise5S1F32NEON(d)
	case depthwise5S2NEON:
		depthwise5S2F32NEON(d)
	case maximumNEON:
		maximumF32NEON(d)
	case maximumGo:
		goMaximumF32(d)
	default:
		goDepthwiseF32(d, k.lanes)
	}
}
