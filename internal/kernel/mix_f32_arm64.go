package kernel

import "github.com/edgewise-ml/edgewise/internal/cpu"

//go:noescape
func mixF32NEON(args *mixF32)

//go:noescape
func sumRowsF32NEON(args *sumRowsF32)

//go:noescape
func interleave3F32NEON(args *planesF32)

//go:noescape
func transposeF32NEON(args *tileF32)

//go:noinline
func (m *mixF32) run(l cpu.Level) {
	if l.Includes(cpu.NEON) {
		mixF32NEON(m)
	} else {
		m.goRun()
	}
}

//go:noinline
func (s *sumRowsF32) run(l cpu.Level) {
	if l.Includes(cpu.NEON) {
		sumRowsF32NEON(s)
	} else {
		s.goRun()
	}
}

//go:noinline
func (p *planesF32) run(int) { interleave3F32NEON(p) }

//go:noinline
func (t *tileF32) run() { transposeF32NEON(t) }

// rowsLevels are the levels of the kernels of mix_f32_asm.go.
var rowsLevels = []mapLevel{{cpu.NEON, 4}}

// tileSide is the rows and columns of a tile that is transposed in registers.
const tileSide = 4
