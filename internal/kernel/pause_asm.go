//go:build amd64 || arm64

package kernel

// pause waits some tens of nanoseconds and leaves the core to what else runs on it: a
// waiting worker may share one with a worker that computes.
//
//go:noescape
func pause()
