//go:build !amd64

package kernel

func (t *gemmTileF32) packArch(_, _ []float32, _, _, _ int, _ bool, _ float32) bool { return false }
