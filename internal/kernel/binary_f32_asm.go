//go:build amd64 || arm64

package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// binaryF32 is rows of n pairs through a function; the steps from row to row are in
// bytes. Assembly reads the fields by their offsets.
type binaryF32 struct {
	dst, a, b             unsafe.Pointer
	dstStep, aStep, bStep int
	rows, n               int
	kind                  int
	scalar                int // not 0: b is one value for all of a row
}

// applyArch runs a function in assembly where there is one, and reports that.
func (k BinaryKind) applyArch(l cpu.Level, dst, a, b []float32, scalar bool) bool {
	if !k.inAssembly(l) {
		return false
	}
	args := binaryF32{rows: 1, kind: int(k)}
	if scalar {
		args.scalar, args.b = 1, unsafe.Pointer(&b[0])
	}
	for i := 0; i < len(a); i += callValues {
		args.n = min(callValues, len(a)-i)
		args.dst, args.a = unsafe.Pointer(&dst[i]), unsafe.Pointer(&a[i])
		if !scalar {
			args.b = unsafe.Pointer(&b[i])
		}
		k.call(l, &args)
	}
	return true
}

// inAssembly tells which functions there are. Min and Max stay in Go where the
// instructions know nothing of NaN and signed zeros.
func (k BinaryKind) inAssembly(l cpu.Level) bool {
	return (exactMinMax || k != Min && k != Max) && l.Includes(mapLevels[0].level)
}

// rowsArch is applyArch for rows of n pairs, steps in bytes.
func (k BinaryKind) rowsArch(l cpu.Level, dst, a, b unsafe.Pointer, rows, n, dstStep, aStep, bStep int) bool {
	if !k.inAssembly(l) {
		return false
	}
	most := max(1, callValues/n)
	for r := 0; r < rows; r += most {
		k.call(l, &binaryF32{dst: unsafe.Add(dst, r*dstStep), a: unsafe.Add(a, r*aStep), b: unsafe.Add(b, r*bStep),
			dstStep: dstStep, aStep: aStep, bStep: bStep, rows: min(most, rows-r), n: n, kind: int(k)})
	}
	return true
}
