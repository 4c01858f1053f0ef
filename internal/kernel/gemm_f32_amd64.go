package kernel

var gemmTilesF32Arch []gemmTileF32

// run is not inlined: its prologue is where a loop of kernel calls can be
// preempted.
//
//go:noinline
func (g *gemmF32) run(t *gemmTileF32) {
	goGemmF32(g, t.nr)
}
