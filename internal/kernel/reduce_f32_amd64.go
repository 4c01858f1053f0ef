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

//go:noescape
func reduceF32AVX2(args *reduceF32)

//go:noescape
func reduceF32AVX512(args *reduceF32)

// reduceArch joins to parts what assembly can take of x, and returns how many
// values that is.
func (k reduceKind) reduceArch(l cpu.Level, parts *[16]float32, x []float32) int {
	lanes := 8
	switch {
	case l.Includes(cpu.AVX512):
		lanes = 16
	case !l.Includes(cpu.AVX2):
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

//go:noinline
func (a *reduceF32) call(lanes int) {
	if lanes == 16 {
		reduceF32AVX512(a)
	} else {
		reduceF32AVX2(a)
	}
}

func init() {
	for k, op := range []string{"sum", "sumsquares", "largest"} {
		for _, level := range []struct {
			l     cpu.Level
			lanes int
			tag   string
		}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}} {
			register(Entry{Name: "f32_" + op + level.tag, Level: level.l, DType: "f32", Op: op, NR: level.lanes, Bytes: true,
				Trial: func() (func(), float64) {
					src := alignedF32(1024)
					return func() { reduceKind(k).of(level.l, src) }, 4 * 1024
				}})
		}
	}
}
