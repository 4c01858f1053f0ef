//go:build !amd64 && !arm64

package kernel

var gemmTilesF32Arch []gemmTileF32

func (g *gemmF32) run(t *gemmTileF32) { goGemmF32(g, t.nr) }
