package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func mixF32AVX2(args *mixF32)

//go:noescape
func mixF32AVX512(args *mixF32)

//go:noescape
func sumRowsF32AVX2(args *sumRowsF32)

//go:noescape
func sumRowsF32AVX512(args *sumRowsF32)

//go:noescape
func interleave3F32AVX2(args *planesF32)

//go:noescape
func interleave3F32AVX512(args *planesF32)

//go:noescape
func transposeF32AVX2(args *tileF32)

//go:noinline
func (m *mixF32) run(l cpu.Level) {
	switch {
	case l.Includes(cpu.AVX512):
		mixF32AVX512(m)
	case l.Includes(cpu.AVX2):
		mixF32AVX2(m)
	default:
		m.goRun()
	}
}

//go:noinline
func (s *sumRowsF32) run(l cpu.Level) {
	switch {
	case l.Includes(cpu.AVX512):
		sumRowsF32AVX512(s)
	case l.Includes(cpu.AVX2):
		sumRowsF32AVX2(s)
	default:
		s.goRun()
	}
}

//go:noinline
func (p *planesF32) run(lanes int) {
	if lanes == 16 {
		interleave3F32AVX512(p)
	} else {
		interleave3F32AVX2(p)
	}
}

//go:noinline
func (t *tileF32) run() { transposeF32AVX2(t) }

// rowsLevels are the levels of the kernels of mix_f32_asm.go.
var rowsLevels = []mapLevel{{cpu.AVX2, 8}, {cpu.AVX512, 16}}

// tileSide is the rows and columns of a tile that is transposed in registers.
const tileSide = 8
