package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func peakF32NEON(n int)

//go:noescape
func peakU8NEON(n int)

//go:noescape
func peakU8Dot(n int)

//go:noescape
func peakU8MMLA(n int)

// The peak entries measure how fast the core multiplies and adds when it does nothing
// else: the bound of every other kernel of their dtype.
func init() { later(registerPeak) }

func registerPeak() {
	const n, sums = 500, 24
	register(
		Entry{Name: "f32_peak_4_neon", Level: cpu.NEON, DType: "f32", Op: "peak", NR: 4,
			Trial: func() (func(), float64) { return func() { peakF32NEON(n) }, n * sums * 4 * 2 }},
		Entry{Name: "u8s8_peak_4_neon", Level: cpu.NEON, DType: "u8s8", Op: "peak", NR: 4,
			Trial: func() (func(), float64) { return func() { peakU8NEON(n) }, n * sums * 4 * 2 }},
		Entry{Name: "u8s8_peak_16_neondot", Level: cpu.NEONDot, DType: "u8s8", Op: "peak", NR: 16,
			Trial: func() (func(), float64) { return func() { peakU8Dot(n) }, n * sums * 16 * 2 }},
		Entry{Name: "u8s8_peak_32_neoni8mm", Level: cpu.NEONI8MM, DType: "u8s8", Op: "peak", NR: 32,
			Trial: func() (func(), float64) { return func() { peakU8MMLA(n) }, n * sums * 32 * 2 }},
	)
}
