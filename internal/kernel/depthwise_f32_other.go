//go:build !amd64 && !arm64

package kernel

var depthwiseKernelsF32Arch, maxKernelsF32Arch []depthwiseKernelF32

func (d *depthwiseF32) run(k *depthwiseKernelF32) {
	if k.call == maximumGo {
		goMaximumF32(d)
		return
	}
	goDepthwiseF32(d, k.lanes)
}
