package kernel

import (
	"errors"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A StridedBackF32 is the gradient of a convolution by its input where the stride is not 1.
// Rows of the result whose numbers leave the same remainder by the stride meet the same rows
// of taps: each such phase is a convolution of stride 1 of the output's gradient. Its
// channels are those of StrideW pixels side by side, so that a phase writes whole rows.
type StridedBackF32 struct {
	shape  ConvShape
	phases []stridedPhase
	size   int // values of packed weights
	work   int // values that packing takes besides
	name   string
}

// stridedPhase is the convolution that makes rows row, row+StrideH, … of the result.
type stridedPhase struct {
	conv   ConvF32
	row    int
	packed int // where its weights begin
}

// NewStridedBackF32 prepares a gradient for the kernels of a level. The shape is that of the
// convolution. It takes dense pixels of whole strides, without groups or dilation.
func NewStridedBackF32(l cpu.Level, s ConvShape) (*StridedBackF32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Groups != 1 || s.DilationH != 1 || s.DilationW != 1 || s.InStride != s.InC || s.InH%s.StrideH != 0 || s.InW%s.StrideW != 0 {
		return nil, errors.New("strided input gradient f32: only dense images of whole strides, without groups or dilation")
	}
	b := &StridedBackF32{shape: s}
	for row := range s.StrideH {
		c := ConvShape{Batch: s.Batch, InH: s.OutH, InW: s.OutW, InC: s.OutC, InStride: s.OutStride,
			OutH: s.InH / s.StrideH, OutW: s.InW / s.StrideW, OutC: s.StrideW * s.InC, OutStride: s.StrideW * s.InC,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1}
		c.KernelH, c.PadTop = phaseWindow(s.KernelH, s.StrideH, s.PadTop, row, row+1)
		c.KernelW, c.PadLeft = phaseWindow(s.KernelW, s.StrideW, s.PadLeft, 0, s.StrideW)
		if err := c.Validate(); err != nil {
			return nil, err
		}
		p := stridedPhase{conv: ConvF32{level: l, shape: c}, row: row, packed: b.size}
		p.conv.lo, p.conv.hi, _ = Act{}.clamp()
		o := preparation{later: true, outRow: s.StrideH * s.InW * s.InC}
		if err := p.conv.prepareGemm(gemmTile(l), nil, nil, &o); err != nil {
			return nil, err
		}
		b.size += roundUp(o.size/4, 16)
		b.work = max(b.work, c.weightLen())
		b.phases = append(b.phases, p)
	}
	b.name = "phases of " + gemmTile(l).name
	return b, nil
}

// phaseTap returns which tap pixel at meets in the pixel of the gradient that lies d after
// its own, at divided by the stride; ok is false where there is none.
func phaseTap(kernel, stride, pad, at, d int) (tap int, ok bool) {
	tap = at + pad - d*stride
	return tap, tap >= 0 && tap < kernel
}

// phaseWindow returns how many pixels of the gradient the pixels from … to-1 of a stride
// meet together, and how many of them lie before their own.
func phaseWindow(kernel, stride, pad, from, to int) (size, before int) {
	least, most := 0, 0
	for at := from; at < to; at++ {
		for d := (at + pad - kernel) / stride; d <= (at+pad)/stride; d++ {
			if _, ok := phaseTap(kernel, stride, pad, at, d); ok {
				least, most = min(least, d), max(most, d)
			}
		}
	}
	return most - least + 1, -least
}

// Name names the operator and its micro-kernel.
func (b *StridedBackF32) Name() string { return b.name }

// Units returns the number of independent units of Run.
func (b *StridedBackF32) Units() int {
	n := 0
	for i := range b.phases {
		n += b.phases[i].conv.Units()
	}
	return n
}

// ScratchBytes returns the scratch that each worker needs for Run.
func (b *StridedBackF32) ScratchBytes() int {
	n := 0
	for i := range b.phases {
		n = max(n, b.phases[i].conv.ScratchBytes())
	}
	return n
}

// PackedLen returns how many values packed weights have, with what packing takes.
func (b *StridedBackF32) PackedLen() int { return b.size + b.work }

// Pack packs weights [OutC][InC][KernelH][KernelW].
func (b *StridedBackF32) Pack(packed, w []float32) {
	s := &b.shape
	w, packed = w[:s.weightLen()], packed[:b.PackedLen()]
	clear(packed)
	for i := range b.phases {
		p := &b.phases[i]
		c := &p.conv.shape
		// [pixel of the stride][channel][window], each the weights of all output channels.
		turned := packed[b.size:][:c.weightLen()]
		clear(turned)
		for px := range s.StrideW {
			for at := range c.KernelH * c.KernelW {
				ky, okY := phaseTap(s.KernelH, s.StrideH, s.PadTop, p.row, at/c.KernelW-c.PadTop)
				kx, okX := phaseTap(s.KernelW, s.StrideW, s.PadLeft, px, at%c.KernelW-c.PadLeft)
				if !okY || !okX {
					continue
				}
				for ch := range s.InC {
					to := turned[((px*s.InC+ch)*c.KernelH*c.KernelW+at)*s.OutC:][:s.OutC]
					for m := range to {
						to[m] = w[((m*s.InC+ch)*s.KernelH+ky)*s.KernelW+kx]
					}
				}
			}
		}
		p.conv.packGemm(p.weights(packed), turned, nil, &preparation{})
	}
}

// weights returns where the packed weights of a phase lie.
func (p *stridedPhase) weights(packed []float32) []float32 {
	g := &p.conv.gemm
	return packed[p.packed:][:g.tile.panels(g.n)*g.tile.panelLen(g.k)]
}

// Run computes units lo ≤ u < hi of dx, which lies as the shape's input, from dy, which lies
// as its output.
func (b *StridedBackF32) Run(dx, dy, packed []float32, scratch []byte, lo, hi int) {
	s := &b.shape
	_, _ = dx[s.inLen()-1], dy[s.outLen()-1]
	if lo < 0 || hi > b.Units() {
		panic("kernel: " + b.name + ": units out of range")
	}
	for i := range b.phases {
		p := &b.phases[i]
		units := p.conv.Units()
		if lo < units && hi > 0 {
			c := p.conv
			c.gemm.packed = p.weights(packed)
			to := unsafe.Pointer(&dx[p.row*s.InW*s.InC])
			c.runGemm(to, unsafe.Pointer(&dy[0]), nil, floatScratch(scratch, c.gemm.stripLen), max(lo, 0), min(hi, units))
		}
		lo, hi = lo-units, hi-units
	}
}
