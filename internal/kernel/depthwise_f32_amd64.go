package kernel

var depthwiseKernelsF32Arch []depthwiseKernelF32

//go:noinline
func (d *depthwiseF32) run(k *depthwiseKernelF32) { goDepthwiseF32(d, k.lanes) }
