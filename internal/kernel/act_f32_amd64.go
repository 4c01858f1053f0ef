package kernel

import (
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// actF32 is rows of n values through an activation; the steps from row to row are in
// bytes. Assembly reads the fields by their offsets.
type actF32 struct {
	dst, src         unsafe.Pointer
	dstStep, srcStep int
	rows, n          int
	kind             int
	lo, hi           float32
	alpha, beta      float32
}

//go:noescape
func actF32AVX2(args *actF32)

//go:noescape
func actF32AVX512(args *actF32)

// callValues bounds one assembly call, for the sake of the garbage collector.
const callValues = 16 << 10

// applyArch runs an activation in assembly where there is one, and reports that.
func (a Act) applyArch(l cpu.Level, dst, src []float32) bool {
	if !a.inAssembly(l) {
		return false
	}
	for i := 0; i < len(src); i += callValues {
		n := min(callValues, len(src)-i)
		a.rowsArch(l, unsafe.Pointer(&dst[i]), unsafe.Pointer(&src[i]), 1, n, 0, 0)
	}
	return true
}

func (a Act) inAssembly(l cpu.Level) bool {
	switch a.Kind {
	case ActNone, ActPRelu, ActElu, ActSoftplus, ActMish:
		return false
	}
	return l.Includes(cpu.AVX2)
}

// rowsArch is applyArch for rows of n values, steps in bytes.
func (a Act) rowsArch(l cpu.Level, dst, src unsafe.Pointer, rows, n, dstStep, srcStep int) bool {
	if !a.inAssembly(l) {
		return false
	}
	most := max(1, callValues/n)
	for r := 0; r < rows; r += most {
		a.call(l, &actF32{dst: unsafe.Add(dst, r*dstStep), src: unsafe.Add(src, r*srcStep), dstStep: dstStep, srcStep: srcStep,
			rows: min(most, rows-r), n: n, kind: int(a.Kind), lo: a.Lo, hi: a.Hi, alpha: a.Alpha, beta: a.Beta})
	}
	return true
}

//go:noinline
func (a Act) call(l cpu.Level, args *actF32) {
	if l.Includes(cpu.AVX512) {
		actF32AVX512(args)
	} else {
		actF32AVX2(args)
	}
}

func init() {
	for _, level := range []struct {
		l     cpu.Level
		lanes int
		tag   string
	}{{cpu.AVX2, 8, "_8_avx2"}, {cpu.AVX512, 16, "_16_avx512"}} {
		for k := range actKinds {
			a := Act{Kind: k, Lo: 0, Hi: float32(math.Inf(1)), Alpha: 0.2, Beta: 0.5}
			if a.applyArch(level.l, nil, nil) {
				register(Entry{Name: "f32_" + k.String() + level.tag, Level: level.l, DType: "f32", Op: k.String(), NR: level.lanes, Bytes: true,
					Trial: func() (func(), float64) {
						src, dst := alignedF32(1024), alignedF32(1024)
						return func() { a.Apply(level.l, dst, src) }, 8 * 1024
					}})
			}
		}
		for k := range binaryKinds {
			if k.applyArch(level.l, nil, nil, nil, false) {
				register(Entry{Name: "f32_" + k.String() + level.tag, Level: level.l, DType: "f32", Op: k.String(), NR: level.lanes, Bytes: true,
					Trial: func() (func(), float64) {
						a, b, dst := alignedF32(1024), alignedF32(1024), alignedF32(1024)
						return func() { k.Apply(level.l, dst, a, b) }, 12 * 1024
					}})
			}
		}
	}
}
