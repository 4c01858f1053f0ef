package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func peakF32AVX512(n int)

//go:noescape
func peakF32AVX2(n int)

//go:noescape
func peakU8AVX512(n int)

//go:noescape
func peakU8AVX2(n int)

// The peak entries measure how fast the core multiplies and adds when it does nothing
// else: the bound of every other kernel of their dtype. The int8 ones of these levels
// count as two operations what takes an element of 16 bits.
func init() { later(registerPeak) }

func registerPeak() {
	const n = 1000
	register(
		Entry{Name: "f32_peak_8_avx2", Level: cpu.AVX2, DType: "f32", Op: "peak", NR: 8,
			Trial: func() (func(), float64) { return func() { peakF32AVX2(n) }, n * 12 * 8 * 2 }},
		Entry{Name: "f32_peak_16_avx512", Level: cpu.AVX512, DType: "f32", Op: "peak", NR: 16,
			Trial: func() (func(), float64) { return func() { peakF32AVX512(n) }, n * 24 * 16 * 2 }},
		Entry{Name: "u8s8_peak_16_avx2", Level: cpu.AVX2, DType: "u8s8", Op: "peak", NR: 16,
			Trial: func() (func(), float64) { return func() { peakU8AVX2(n) }, n * 12 * 16 * 2 }},
		Entry{Name: "u8s8_peak_32_avx512", Level: cpu.AVX512, DType: "u8s8", Op: "peak", NR: 32,
			Trial: func() (func(), float64) { return func() { peakU8AVX512(n) }, n * 24 * 32 * 2 }},
	)
}
