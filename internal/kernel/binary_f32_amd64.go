package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// binaryF32 is a run of n pairs through a function. Assembly reads the fields by
// their offsets.
type binaryF32 struct {
	dst, a, b unsafe.Pointer
	n         int
	kind      int
	scalar    int // not 0: b is one value for all
}

//go:noescape
func binaryF32AVX2(args *binaryF32)

//go:noescape
func binaryF32AVX512(args *binaryF32)

// applyArch runs a function in assembly where there is one, and reports that.
// Min and Max stay in Go for their NaN and signed zeros.
func (k BinaryKind) applyArch(l cpu.Level, dst, a, b []float32, scalar bool) bool {
	if k == Min || k == Max || !l.Includes(cpu.AVX2) {
		return false
	}
	args := binaryF32{kind: int(k)}
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

//go:noinline
func (k BinaryKind) call(l cpu.Level, args *binaryF32) {
	if l.Includes(cpu.AVX512) {
		binaryF32AVX512(args)
	} else {
		binaryF32AVX2(args)
	}
}
