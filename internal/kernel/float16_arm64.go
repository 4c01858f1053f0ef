package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

// f16ToF32NEON takes a multiple of eight values.
//
//go:noescape
func f16ToF32NEON(dst *float32, src *uint16, n int)

//go:noinline
func callF16(dst *float32, src *uint16, n int) { f16ToF32NEON(dst, src, n) }

// f16Arch widens what assembly can take and returns how many values that is.
func f16Arch(l cpu.Level, dst []float32, src []uint16) int {
	if !l.Includes(cpu.NEON) {
		return 0
	}
	n := len(src) / 8 * 8
	for i := 0; i < n; i += callValues {
		callF16(&dst[i], &src[i], min(callValues, n-i))
	}
	return n
}

func init() { later(registerF16) }

func registerF16() {
	register(Entry{Name: "f16_widen_8_neon", Level: cpu.NEON, DType: "f16", Op: "widen", NR: 8, Bytes: true,
		Trial: func() (func(), float64) {
			dst, src := alignedF32(1024), make([]uint16, 1024)
			return func() { F16ToF32(cpu.NEON, dst, src) }, 6 * 1024
		}})
}
