package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func outerF32AVX2(args *outerF32)

//go:noescape
func outerF32AVX512(args *outerF32)

// outerArch reports whether the level has a kernel of its own.
func outerArch(l cpu.Level) bool { return l.Includes(cpu.AVX2) }

//go:noinline
func (o *outerF32) run(l cpu.Level) {
	switch {
	case l.Includes(cpu.AVX512):
		outerF32AVX512(o)
	case l.Includes(cpu.AVX2):
		outerF32AVX2(o)
	default:
		goOuterF32(o)
	}
}

func init() {
	later(func() {
		registerOuter(cpu.AVX2, "f32_outer_16x16_avx2")
		registerOuter(cpu.AVX512, "f32_outer_16x32_avx512")
	})
}
