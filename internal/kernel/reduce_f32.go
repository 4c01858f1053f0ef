package kernel

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// reduceKind names what a run of values is reduced to.
type reduceKind int

const (
	reduceSum reduceKind = iota
	reduceSquares
	reduceMax
)

// sum returns Σx, sumSquares Σx² and maximum the largest value, -∞ of none.
// Sums are taken in interleaved parts, which is faster than one after another
// and more precise.
func sum(l cpu.Level, x []float32) float32        { return reduceSum.of(l, x) }
func sumSquares(l cpu.Level, x []float32) float32 { return reduceSquares.of(l, x) }
func maximum(l cpu.Level, x []float32) float32    { return reduceMax.of(l, x) }

func (k reduceKind) of(l cpu.Level, x []float32) float32 {
	parts := [16]float32{}
	if k == reduceMax {
		for i := range parts {
			parts[i] = float32(math.Inf(-1))
		}
	}
	k.join(&parts, x[k.reduceArch(l, &parts, x):])
	for n := len(parts) / 2; n > 0; n /= 2 {
		for i := range n {
			if k == reduceMax {
				parts[i] = max(parts[i], parts[n+i])
			} else {
				parts[i] += parts[n+i]
			}
		}
	}
	return parts[0]
}

// join is the portable twin: value i goes to part i mod 16.
func (k reduceKind) join(parts *[16]float32, x []float32) {
	for len(x) > 0 {
		n := min(16, len(x))
		for i, v := range x[:n] {
			switch k {
			case reduceSum:
				parts[i] += v
			case reduceSquares:
				parts[i] += v * v
			default:
				parts[i] = max(parts[i], v)
			}
		}
		x = x[n:]
	}
}
