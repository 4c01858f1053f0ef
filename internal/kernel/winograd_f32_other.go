//go:build !amd64

package kernel

var winogradKernelsF32Arch []winogradKernelF32

//go:noinline
func (t *winogradTileF32) run(k *winogradKernelF32, pass winogradPass) { goWinogradF32(t, k.m, pass) }
