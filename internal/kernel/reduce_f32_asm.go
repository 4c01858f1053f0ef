//go:build amd64 || arm64

package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// reduceF32 is a run of n values, reduced by lanes to out; only whole vectors
// are taken. Assembly reads the fields by their offsets.
type reduceF32 struct {
	src   unsafe.Pointer
	n     int
	kind  int
	start float32
	out   [16]float32
}

// reduceArch joins to parts what assembly can take of x, and returns how many
// values that is.
func (k reduceKind) reduceArch(l cpu.Level, parts *[16]float32, x []float32) int {
	lanes := 0
	for _, m := range mapLevels {
		if l.Includes(m.level) {
			lanes = m.lanes
		}
	}
	if lanes == 0 {
		return 0
	}
	n := len(x) / lanes * lanes
	for i := 0; i < n; i += callValues {
		args := reduceF32{src: unsafe.Pointer(&x[i]), n: min(callValues, n-i), kind: int(k), start: parts[0]}
		if k != reduceMax {
			args.start = 0
		}
		args.call(lanes)
		if k == reduceSquares {
			reduceSum.join(parts, args.out[:lanes])
		} else {
			k.join(parts, args.out[:lanes])
		}
	}
	return n
}

func init() { later(registerReduce) }

func registerReduce() {
	for k, op := range []string{"sum", "sumsquares", "largest"} {
		for _, m := range mapLevels {
			register(Entry{Name: "f32_" + op + m.tag(), Level: m.level, DType: "f32", Op: op, NR: m.lanes, Bytes: true,
				Trial: func() (func(), float64) {
					src := alignedF32(1024)
					return func() { reduceKind(k).of(m.level, src) }, 4 * 1024
				}})
		}
	}
}
