//go:build !amd64

package kernel

func nbitsGroup(*gemmTileF32) int { return 4 }

func (p *NBitsF32) expandArch([]float32, []byte, int) bool { return false }
