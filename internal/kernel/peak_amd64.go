package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func peakF32AVX512(n int)

//go:noescape
func peakF32AVX2(n int)

// The peak entries measure how fast the core multiplies and adds when it does
// nothing else: the bound of every other f32 kernel.
func init() {
	const n = 1000
	register(
		Entry{Name: "f32_peak_8_avx2", Level: cpu.AVX2, DType: "f32", Op: "peak", NR: 8,
			Trial: func() (func(), float64) { return func() { peakF32AVX2(n) }, n * 12 * 8 * 2 }},
		Entry{Name: "f32_peak_16_avx512", Level: cpu.AVX512, DType: "f32", Op: "peak", NR: 16,
			Trial: func() (func(), float64) { return func() { peakF32AVX512(n) }, n * 24 * 16 * 2 }},
	)
}
