package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A ConvF32 is a prepared f32 convolution with packed weights:
// dst = act(conv(src) + bias + residual). It also serves matrix products with a
// constant right side, see ConvShape.
type ConvF32 struct {
	shape    ConvShape
	level    cpu.Level
	act      Act
	lo, hi   float32
	more     bool // the activation is not only a clamp
	residual bool
	name     string
	// transforms says that Winograd's form is allowed.
	transforms bool

	gemm     convGemm // used where the kernels of the other two are nil
	dw       convDepthwise
	winograd convWinograd
}

// maxScratch bounds what a worker may need besides the tensors.
const maxScratch = 1 << 30

// NewConvF32 prepares a convolution for the kernels of a level. Weights are
// [OutC][KernelH][KernelW][InC/Groups], bias [OutC] or nil; both are copied.
// With residual, Run adds a tensor of the output's shape before act.
func NewConvF32(l cpu.Level, s ConvShape, w, bias []float32, act Act, residual bool, opts ...Option) (*ConvF32, error) {
	if err := errors.Join(s.Validate(), act.Validate()); err != nil {
		return nil, err
	}
	o := prepare(opts)
	if len(w) != s.weightLen() && !o.packing.Adopts() {
		return nil, fmt.Errorf("conv f32: %d weights, want %d×%d×%d×%d", len(w), s.OutC, s.KernelH, s.KernelW, s.InC/s.Groups)
	}
	if bias != nil && len(bias) != s.OutC {
		return nil, fmt.Errorf("conv f32: %d bias values for %d output channels", len(bias), s.OutC)
	}
	if residual && s.ResStride < s.OutC {
		return nil, fmt.Errorf("conv f32: residual pixel stride %d is below %d output channels", s.ResStride, s.OutC)
	}
	if act.Kind == ActPRelu && len(act.Slope) != s.OutC {
		return nil, fmt.Errorf("conv f32: %d slopes for %d output channels", len(act.Slope), s.OutC)
	}
	c := &ConvF32{level: l, shape: s, act: act, residual: residual}
	c.lo, c.hi, c.more = act.clamp()
	c.transforms = o.winograd
	f, err := s.choose(l, o.winograd, o.choice)
	if err == nil {
		err = c.prepare(f, w, bias, &o)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// prepare packs the weights for a form.
func (c *ConvF32) prepare(f convForm, w, bias []float32, o *preparation) error {
	switch {
	case f.dw != nil:
		return c.prepareDepthwise(f.dw, w, bias, o)
	case f.winograd != nil:
		return c.prepareWinograd(f.winograd, f.tile, w, bias, o)
	}
	return c.prepareGemm(f.tile, w, bias, o)
}

// Name names the operator and the micro-kernel it uses.
func (c *ConvF32) Name() string { return c.name }

// Units returns the number of independent units of work.
func (c *ConvF32) Units() int {
	if c.dw.kernel != nil {
		return c.shape.Batch * c.shape.OutH
	}
	if c.winograd.kernel != nil {
		return c.winograd.groups * c.winograd.blocks
	}
	return c.gemm.tiles * c.gemm.blocks
}

// ScratchBytes returns the scratch that each worker needs.
func (c *ConvF32) ScratchBytes() int {
	if c.winograd.kernel != nil {
		return c.winograd.scratchLen(&c.shape) * 4
	}
	return c.gemm.stripLen * 4
}

// Run computes units lo ≤ u < hi. dst, src and residual (nil unless prepared
// with one) are laid out as the shape says; residual may be dst itself, src may
// not overlap it. A slice too short for the shape is a broken invariant.
func (c *ConvF32) Run(dst, src, residual []float32, scratch []byte, lo, hi int) {
	s := &c.shape
	_, _ = dst[s.outLen()-1], src[s.inLen()-1]
	var res unsafe.Pointer
	if c.residual {
		_ = residual[s.resLen()-1]
		res = unsafe.Pointer(&residual[0])
	}
	if lo < 0 || hi > c.Units() {
		panic("kernel: " + c.name + ": units out of range")
	}
	d, x := unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0])
	if c.dw.kernel != nil {
		c.runDepthwise(d, x, res, lo, hi)
		return
	}
	if c.winograd.kernel != nil {
		c.runWinograd(d, x, res, floatScratch(scratch, c.winograd.scratchLen(s)), lo, hi)
		return
	}
	c.runGemm(d, x, res, floatScratch(scratch, c.gemm.stripLen), lo, hi)
}

// activate applies what the micro-kernel did not: rows of n channels from channel on,
// step elements apart.
func (c *ConvF32) activate(dst unsafe.Pointer, rows, n, step, channel int) {
	c.act.applyRows(c.level, dst, dst, rows, n, 4*step, 4*step, channel)
}

// floatScratch returns the first n values of a worker's scratch.
func floatScratch(scratch []byte, n int) []float32 {
	if n == 0 {
		return nil
	}
	_ = scratch[n*4-1]
	return unsafe.Slice((*float32)(unsafe.Pointer(&scratch[0])), n)
}
