package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

var mapLevels = []mapLevel{{cpu.AVX2, 8}, {cpu.AVX512, 16}}

// exactMinMax says that the assembly of Min and Max treats NaN and signed zeros as
// Go does.
const exactMinMax = true

// unmapped are the functions without assembly.
var unmapped []ActKind

//go:noescape
func actF32AVX2(args *actF32)

//go:noescape
func actF32AVX512(args *actF32)

//go:noescape
func binaryF32AVX2(args *binaryF32)

//go:noescape
func binaryF32AVX512(args *binaryF32)

//go:noescape
func reduceF32AVX2(args *reduceF32)

//go:noescape
func reduceF32AVX512(args *reduceF32)

//go:noinline
func (a Act) call(l cpu.Level, args *actF32) {
	if l.Includes(cpu.AVX512) {
		actF32AVX512(args)
	} else {
		actF32AVX2(args)
	}
}

//go:noinline
func (k BinaryKind) call(l cpu.Level, args *binaryF32) {
	if l.Includes(cpu.AVX512) {
		binaryF32AVX512(args)
	} else {
		binaryF32AVX2(args)
	}
}

//go:noinline
func (a *reduceF32) call(lanes int) {
	if lanes == 16 {
		reduceF32AVX512(a)
	} else {
		reduceF32AVX2(a)
	}
}
