package cli

import (
	"math"
	"os"
	"runtime/debug"
)

// quickStart spares the garbage collections of reading and compiling a model: hardly
// anything of that is garbage before the first result. They come back when the memory in
// use is several times the model, and when the caller calls resume. Settings that the
// environment makes for the collector stay as they are.
func quickStart(path string) (resume func()) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	limit := int64(startBytes)
	if info, err := os.Stat(path); err == nil {
		limit += startFactor * min(info.Size(), math.MaxInt64/2/startFactor)
	}
	percent, before := debug.SetGCPercent(-1), debug.SetMemoryLimit(limit)
	return func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	}
}

const (
	startBytes  = 256 << 20
	startFactor = 4
)
