//go:build amd64 || arm64

package kernel

import (
	"fmt"
	"math"
	"slices"
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
	return a.Kind != ActNone && a.Kind != ActPRelu && !slices.Contains(unmapped, a.Kind) && l.Includes(mapLevels[0].level)
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

// A mapLevel is a level that has elementwise functions and reductions, of so many
// lanes. mapLevels lists those of the architecture, ascending.
type mapLevel struct {
	level cpu.Level
	lanes int
}

// tag is the end of a kernel's name.
func (m mapLevel) tag() string { return fmt.Sprintf("_%d_%v", m.lanes, m.level) }

func init() { later(registerAct) }

func registerAct() {
	for _, m := range mapLevels {
		for k := range actKinds {
			a := Act{Kind: k, Lo: 0, Hi: float32(math.Inf(1)), Alpha: 0.2, Beta: 0.5}
			if a.applyArch(m.level, nil, nil) {
				register(Entry{Name: "f32_" + k.String() + m.tag(), Level: m.level, DType: "f32", Op: k.String(), NR: m.lanes, Bytes: true,
					Trial: func() (func(), float64) {
						src, dst := alignedF32(1024), alignedF32(1024)
						return func() { a.Apply(m.level, dst, src) }, 8 * 1024
					}})
			}
		}
		for k := range binaryKinds {
			if k.applyArch(m.level, nil, nil, nil, false) {
				register(Entry{Name: "f32_" + k.String() + m.tag(), Level: m.level, DType: "f32", Op: k.String(), NR: m.lanes, Bytes: true,
					Trial: func() (func(), float64) {
						a, b, dst := alignedF32(1024), alignedF32(1024), alignedF32(1024)
						return func() { k.Apply(m.level, dst, a, b) }, 12 * 1024
					}})
			}
		}
	}
}
