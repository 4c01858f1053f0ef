package kernel

import (
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// copySize is beyond what one core's share of the caches holds. It is copied in pieces, as
// kernels go through memory.
const (
	copySize  = 64 << 20
	copyPiece = 64 << 10
)

func init() { later(registerCopy) }

func registerCopy() {
	register(Entry{Name: "u8_copy_memory_go", Level: cpu.Generic, DType: "u8", Op: "copy", Bytes: true,
		Trial: func() (func(), float64) {
			a, b := make([]byte, copySize), make([]byte, copySize)
			clear(a) // pages that are not there yet would be counted
			clear(b)
			return func() {
				for i := 0; i < copySize; i += copyPiece {
					copy(a[i:i+copyPiece], b[i:i+copyPiece])
				}
			}, 2 * copySize
		}})
}

// Peak is what one core does at best, measured by loops of nothing else. A rate that no
// kernel measures is 0.
type Peak struct {
	F32, Int8 float64 // multiply-accumulates a second
	Copy      float64 // bytes read and written a second when memory is copied
}

// MeasurePeak takes some 50 ms on the calling thread.
func MeasurePeak(level cpu.Level) Peak {
	var p Peak
	for _, e := range Registry() {
		switch {
		case !level.Includes(e.Level):
		case e.Op == "peak" && e.DType == "f32":
			p.F32 = max(p.F32, e.rate(5*time.Millisecond)/2)
		case e.Op == "peak" && e.DType == "u8s8":
			p.Int8 = max(p.Int8, e.rate(5*time.Millisecond)/2)
		case e.Op == "copy":
			p.Copy = max(p.Copy, e.rate(20*time.Millisecond))
		}
	}
	return p
}

// rate returns the work a second of the fastest call of a trial.
func (e *Entry) rate(d time.Duration) float64 {
	run, work := e.Trial()
	least := time.Duration(1<<63 - 1)
	for begin := time.Now(); time.Since(begin) < d; {
		start := time.Now()
		run()
		least = min(least, time.Since(start))
	}
	return work / max(least.Seconds(), 1e-9)
}
