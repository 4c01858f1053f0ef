package kernel

import (
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// rowsF32 is a run of rows of n values, each normalized by itself. Assembly reads the
// fields by their offsets.
type rowsF32 struct {
	dst, src    unsafe.Pointer
	rows, n     int
	gamma, beta unsafe.Pointer // of layer normalization; beta may be nil
	centre      int            // 0: the mean is not taken off
	scale       float32        // softmax: of the argument; layer normalization: 1/n
	eps         float32
	least       float32 // -∞
}

//go:noescape
func softmaxF32AVX2(args *rowsF32)

//go:noescape
func softmaxF32AVX512(args *rowsF32)

//go:noescape
func softmaxShortF32AVX512(args *rowsF32)

//go:noescape
func layerNormF32AVX2(args *rowsF32)

//go:noescape
func layerNormF32AVX512(args *rowsF32)

type rowsCall uint8

const (
	callSoftmax rowsCall = iota
	callLayerNorm
)

// shortRows reports whether rows of n values lie several to a vector.
func shortRows(n int) bool { return n == 2 || n == 4 || n == 8 || n == 16 }

// each runs all rows of args, so many at a time as one call may take. Rows that are
// longer than that are left to the portable code.
func (a rowsF32) each(l cpu.Level, c rowsCall) bool {
	if !l.Includes(cpu.AVX2) || a.n > callValues {
		return false
	}
	total := a.rows
	for i := 0; i < total; i += a.rows {
		a.rows = min(callValues/a.n, total-i)
		a.call(l, c)
		if i+a.rows < total {
			a.dst, a.src = unsafe.Add(a.dst, 4*a.rows*a.n), unsafe.Add(a.src, 4*a.rows*a.n)
		}
	}
	return true
}

//go:noinline
func (a *rowsF32) call(l cpu.Level, c rowsCall) {
	switch wide := l.Includes(cpu.AVX512); {
	case c == callSoftmax && wide && shortRows(a.n):
		softmaxShortF32AVX512(a)
	case c == callSoftmax && wide:
		softmaxF32AVX512(a)
	case c == callSoftmax:
		softmaxF32AVX2(a)
	case wide:
		layerNormF32AVX512(a)
	default:
		layerNormF32AVX2(a)
	}
}

func softmaxArch(l cpu.Level, dst, src []float32, n int, scale float32) bool {
	return rowsF32{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), rows: len(src) / n, n: n, scale: scale,
		least: float32(math.Inf(-1))}.each(l, callSoftmax)
}

func layerNormArch(l cpu.Level, dst, src, scale, shift []float32, eps float32, centre bool) bool {
	n := len(scale)
	a := rowsF32{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), rows: len(src) / n, n: n,
		gamma: unsafe.Pointer(&scale[0]), beta: unsafe.Pointer(unsafe.SliceData(shift)), scale: 1 / float32(n), eps: eps}
	if centre {
		a.centre = 1
	}
	return a.each(l, callLayerNorm)
}

func init() { later(registerNormalize) }

func registerNormalize() {
	for _, level := range []struct {
		l     cpu.Level
		lanes int
		tag   string
	}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}} {
		entry := func(op string, run func(dst, src, scale []float32)) {
			register(Entry{Name: "f32_" + op + level.tag, Level: level.l, DType: "f32", Op: op, NR: level.lanes, Bytes: true,
				Trial: func() (func(), float64) {
					src, dst, scale := alignedF32(1024), alignedF32(1024), alignedF32(256)
					return func() { run(dst, src, scale) }, 8 * 1024
				}})
		}
		entry("softmax", func(dst, src, _ []float32) { Softmax(level.l, dst, src, 256, 1) })
		entry("layernorm", func(dst, src, scale []float32) { LayerNorm(level.l, dst, src, scale, scale, 1e-5) })
		if level.l == cpu.AVX512 {
			entry("softmax2", func(dst, src, _ []float32) { Softmax(level.l, dst, src, 2, 1) })
		}
	}
}
