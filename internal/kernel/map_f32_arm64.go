package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

var mapLevels = []mapLevel{{cpu.NEON, 4}}

// exactMinMax says that the assembly of Min and Max treats NaN and signed zeros as
// Go does.
const exactMinMax = true

// unmapped are the functions without assembly.
var unmapped = []ActKind{ActElu, ActSoftplus, ActMish, ActLog, ActErf, ActSqrt, ActAbs, ActRound, ActFloor, ActCeil}

//go:noescape
func actF32NEON(args *actF32)

//go:noescape
func binaryF32NEON(args *binaryF32)

//go:noescape
func reduceF32NEON(args *reduceF32)

//go:noinline
func (a Act) call(_ cpu.Level, args *actF32) { actF32NEON(args) }

//go:noinline
func (k BinaryKind) call(_ cpu.Level, args *binaryF32) { binaryF32NEON(args) }

//go:noinline
func (a *reduceF32) call(int) { reduceF32NEON(a) }
