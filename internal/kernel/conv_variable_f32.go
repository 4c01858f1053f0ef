package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A VariableConvF32 is a prepared convolution whose weights are known only when it runs, as
// in training. They are packed into memory of the caller by Pack and read there by Run, so
// that several sessions may share the operator.
type VariableConvF32 struct {
	conv ConvF32
	back bool
	size int // values of packed weights
	work int // values that packing takes besides
}

// NewVariableConvF32 prepares a convolution for the kernels of a level, without an
// activation. With back it is the way back through a convolution of stride 1, the gradient
// by its input: the shape is that of the way back, but Pack takes the weights of the
// convolution itself.
func NewVariableConvF32(l cpu.Level, s ConvShape, back bool, opts ...Option) (*VariableConvF32, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	v := &VariableConvF32{conv: ConvF32{level: l, shape: s}, back: back}
	v.conv.lo, v.conv.hi, _ = Act{}.clamp()
	o := prepare(opts)
	o.later, o.channelsFirst = true, true
	if err := v.conv.prepare(s.form(l, o.winograd), nil, nil, &o); err != nil {
		return nil, err
	}
	v.size = roundUp(o.size/4, winogradLanes)
	switch g := &v.conv.winograd; {
	case g.kernel != nil:
		v.work = g.tile.panels(s.OutC) * 9 * s.InC * g.tile.nr
	case back && !v.pointwise():
		v.work = s.weightLen()
	}
	return v, nil
}

// pointwise reports whether flipped weights are no more than a transposed matrix.
func (v *VariableConvF32) pointwise() bool {
	s := &v.conv.shape
	return v.conv.dw.kernel == nil && s.KernelH*s.KernelW == 1 && s.Groups == 1
}

// Name names the operator and the micro-kernel it uses.
func (v *VariableConvF32) Name() string { return v.conv.Name() }

// Units returns the number of independent units of Run.
func (v *VariableConvF32) Units() int { return v.conv.Units() }

// ScratchBytes returns the scratch that each worker needs for Run.
func (v *VariableConvF32) ScratchBytes() int { return v.conv.ScratchBytes() }

// PackedLen returns how many values packed weights have, with what packing takes.
func (v *VariableConvF32) PackedLen() int { return v.size + v.work }

// Pack packs weights [OutC][InC/Groups][KernelH][KernelW] and a bias [OutC] or nil; those of
// the way back lie [InC][OutC/Groups][KernelH][KernelW].
func (v *VariableConvF32) Pack(packed, w, bias []float32) {
	s := &v.conv.shape
	w = w[:s.weightLen()]
	packed, work := packed[:v.size], packed[v.size:][:v.work]
	if v.conv.winograd.kernel != nil {
		v.packWinograd(packed, work, w, bias)
		return
	}
	if v.back && !v.pointwise() {
		flipWeights(work, w, s.InC, s.OutC, s.Groups, s.KernelH*s.KernelW)
		w = work
	}
	clear(packed)
	if v.conv.dw.kernel != nil {
		v.conv.packDepthwise(packed, w, bias)
		return
	}
	v.conv.packGemm(packed, w, bias, &preparation{channelsFirst: true, columns: v.back && v.pointwise()})
}

// packWinograd turns the weights of a panel so that those of a tap lie side by side, and
// transforms them to where the products read them.
func (v *VariableConvF32) packWinograd(packed, work, w, bias []float32) {
	s, g := &v.conv.shape, &v.conv.winograd
	n, nr := g.kernel.m+2, g.tile.nr
	clear(packed[:g.outPitch])
	copy(packed, bias)
	panel, size := g.tile.panelLen(s.InC), g.tile.panels(s.OutC)*g.tile.panelLen(s.InC)
	var buffer [36 * winogradLanes]float32
	for p := range g.tile.panels(s.OutC) {
		turned, cols := work[p*9*s.InC*nr:][:9*s.InC*nr], min(nr, s.OutC-p*nr)
		first, row, col := 0, 12*nr, 4*nr
		if v.back {
			for m := range s.InC {
				g.tile.packPanel(turned[m*9*nr:], w[(m*s.OutC+p*nr)*9:], cols, 9, 9, true, 1)
			}
			first, row, col = 8*nr, -row, -col // from the last tap to the first
		} else {
			g.tile.packPanel(turned, w[p*nr*9*s.InC:], cols, 9*s.InC, 9*s.InC, true, 1)
		}
		to := packed[g.outPitch+p*panel:]
		for i := range n * n {
			clear(to[i*size:][:nr]) // where a panel has its bias
		}
		const run = 64
		for c := 0; c < s.InC; c += run {
			args := winogradTileF32{src: unsafe.Pointer(&turned[first+c*9*nr]), srcRow: row, srcCol: col, srcStep: 36 * nr,
				dst: unsafe.Pointer(&to[(1+c)*nr]), dstRow: 4 * size, dstStep: 4 * nr,
				buffer: unsafe.Pointer(&buffer[0]), channels: nr, tiles: min(run, s.InC-c)}
			args.run(g.kernel, transformWeights)
		}
	}
}

// Run computes units lo ≤ u < hi with packed weights, as ConvF32 does.
func (v *VariableConvF32) Run(dst, src, packed []float32, scratch []byte, lo, hi int) {
	c := v.conv
	packed = packed[:v.size]
	c.gemm.packed, c.dw.packed, c.winograd.packed = packed, packed, packed
	c.Run(dst, src, nil, scratch, lo, hi)
}

// flipWeights writes weights [OutC][InC/groups][taps] as those of the convolution that leads
// back, [InC][OutC/groups][taps], with the taps in reverse order: the gradient of a
// convolution of stride 1 by its input is the convolution of the gradient by its output
// with these.
func flipWeights(dst, w []float32, outC, inC, groups, taps int) {
	per, perOut := inC/groups, outC/groups
	dst, w = dst[:outC*per*taps], w[:outC*per*taps]
	for m := range outC {
		g := m / perOut
		for i := range per {
			from := w[(m*per+i)*taps:][:taps]
			to := dst[((g*per+i)*perOut+m%perOut)*taps:][:taps]
			for t, x := range from {
				to[taps-1-t] = x
			}
		}
	}
}

// A DepthwiseBackF32 is the gradient of a depthwise convolution of any stride by its input.
// The shape is that of the convolution; a unit is one image.
type DepthwiseBackF32 struct {
	shape ConvShape
	level cpu.Level
}

// NewDepthwiseBackF32 prepares a gradient for the kernels of a level.
func NewDepthwiseBackF32(l cpu.Level, s ConvShape) (*DepthwiseBackF32, error) {
	return &DepthwiseBackF32{s, l}, s.Validate()
}

// Name names the operator.
func (d *DepthwiseBackF32) Name() string { return "depthwise input gradient" }

// Units returns the number of independent units of work.
func (d *DepthwiseBackF32) Units() int { return d.shape.Batch }

// WeightsLen returns how many values Turn writes.
func (d *DepthwiseBackF32) WeightsLen() int { return d.shape.weightLen() + 2*d.shape.InC }

// Turn puts weights [C][1][KernelH][KernelW] with the channels of a tap side by side.
func (d *DepthwiseBackF32) Turn(turned, w []float32) {
	s := &d.shape
	taps := s.KernelH * s.KernelW
	for c := range s.InC {
		for t := range taps {
			turned[t*s.InC+c] = w[c*taps+t]
		}
	}
	ones := turned[taps*s.InC:][:2*s.InC]
	clear(ones)
	for c := range s.InC {
		ones[c] = 1
	}
}

// Run computes images lo ≤ n < hi. dx lies as the shape's input, dy as its output.
func (d *DepthwiseBackF32) Run(dx, dy, turned []float32, lo, hi int) {
	s := &d.shape
	_, _, _ = dx[s.inLen()-1], dy[s.outLen()-1], turned[d.WeightsLen()-1]
	taps := s.KernelH * s.KernelW
	c := channelsF32{n: s.InC, u: unsafe.Pointer(&turned[taps*s.InC]), t: unsafe.Pointer(&turned[(taps+1)*s.InC]),
		accStep: 4 * s.StrideW * s.InStride, aStep: 4 * s.OutStride}
	c.bStep = c.accStep
	for n := lo; n < hi; n++ {
		for i := range s.InH * s.InW {
			clear(dx[(n*s.InH*s.InW+i)*s.InStride:][:s.InC])
		}
		for oy := range s.OutH {
			for ky := range s.KernelH {
				for kx := range s.KernelW {
					in, out, rows := s.tapRun(n, oy, ky, kx)
					if rows == 0 {
						continue
					}
					c.rows = rows
					c.m = unsafe.Pointer(&turned[(ky*s.KernelW+kx)*s.InC])
					c.a = unsafe.Pointer(&dy[out*s.OutStride])
					c.acc = unsafe.Pointer(&dx[in*s.InStride])
					c.b = c.acc
					c.affine(d.level)
				}
			}
		}
	}
}
