package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func normSumF32AVX2(args *normF32)

//go:noescape
func normSquareF32AVX2(args *normF32)

//go:noescape
func normClampF32AVX2(args *normF32)

//go:noescape
func normSumsF32AVX2(args *normF32)

//go:noescape
func normAffineF32AVX2(args *normF32)

//go:noescape
func normGatedSumsF32AVX2(args *normF32)

//go:noescape
func normGatedAffineF32AVX2(args *normF32)

//go:noescape
func normSumF32AVX512(args *normF32)

//go:noescape
func normSquareF32AVX512(args *normF32)

//go:noescape
func normClampF32AVX512(args *normF32)

//go:noescape
func normSumsF32AVX512(args *normF32)

//go:noescape
func normAffineF32AVX512(args *normF32)

//go:noescape
func normGatedSumsF32AVX512(args *normF32)

//go:noescape
func normGatedAffineF32AVX512(args *normF32)

func normArch(l cpu.Level) bool { return l.Includes(cpu.AVX2) }

//go:noinline
func (c *normF32) call(l cpu.Level, pass normPass) {
	if l.Includes(cpu.AVX512) {
		c.callAVX512(pass)
		return
	}
	switch pass {
	case normSum:
		normSumF32AVX2(c)
	case normSquare:
		normSquareF32AVX2(c)
	case normClamp:
		normClampF32AVX2(c)
	case normSums:
		normSumsF32AVX2(c)
	case normAffine:
		normAffineF32AVX2(c)
	case normGatedSums:
		normGatedSumsF32AVX2(c)
	default:
		normGatedAffineF32AVX2(c)
	}
}

//go:noinline
func (c *normF32) callAVX512(pass normPass) {
	switch pass {
	case normSum:
		normSumF32AVX512(c)
	case normSquare:
		normSquareF32AVX512(c)
	case normClamp:
		normClampF32AVX512(c)
	case normSums:
		normSumsF32AVX512(c)
	case normAffine:
		normAffineF32AVX512(c)
	case normGatedSums:
		normGatedSumsF32AVX512(c)
	default:
		normGatedAffineF32AVX512(c)
	}
}

func init() {
	later(func() {
		registerNorm(cpu.AVX2, 8, "_8_avx2")
		registerNorm(cpu.AVX512, 16, "_16_avx512")
	})
}
