package kernel

import (
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// QuantConv holds what a quantized convolution adds to its shape. Activations
// are unsigned bytes (signed tensors are stored with an offset of 128), weights
// signed bytes (unsigned weights likewise, the offset taken from WeightZero).
//
// The accumulator of an output element is
//
//	Bias + Σ (x - InZero)·(w - WeightZero)
//
// exactly, in int32. A constructor refuses weights for which some input could
// make it leave int32; with every weight at its extreme that happens above
// K = KernelH·KernelW·InC/Groups of about 65,000 (half of it where WeightZero
// is used).
type QuantConv struct {
	InZero     uint8
	WeightZero []int32   // nil: 0; else 1 or OutC values within ±255
	Bias       []int32   // nil or OutC, at the scale in·w
	Mult       []float32 // 1 or OutC: scale in·w / scale out; nil where only RunI32 or RunF32 is used
	OutZero    uint8
	Lo, Hi     uint8     // inclusive bounds of the output byte
	Residual   *QuantAdd // optional: the byte above is then its A, the residual its B
}

// channel returns the value for channel c of a list that is nil, one for all,
// or one for each.
func channel[T int32 | float32](v []T, c int) T {
	switch len(v) {
	case 0:
		return 0
	case 1:
		return v[0]
	}
	return v[c]
}

func (q *QuantConv) validate(s ConvShape) error {
	if n := len(q.WeightZero); n > 1 && n != s.OutC {
		return fmt.Errorf("quantized conv: %d weight zero points for %d output channels", n, s.OutC)
	}
	for _, z := range q.WeightZero {
		if z < -255 || z > 255 {
			return fmt.Errorf("quantized conv: weight zero point %d is outside -255..255", z)
		}
	}
	if n := len(q.Bias); n != 0 && n != s.OutC {
		return fmt.Errorf("quantized conv: %d biases for %d output channels", n, s.OutC)
	}
	if n := len(q.Mult); n > 1 && n != s.OutC {
		return fmt.Errorf("quantized conv: %d multipliers for %d output channels", n, s.OutC)
	}
	if !finite(q.Mult...) {
		return errors.New("quantized conv: a multiplier is not finite")
	}
	if q.Lo > q.Hi {
		return fmt.Errorf("quantized conv: bounds %d..%d are empty", q.Lo, q.Hi)
	}
	if q.Residual != nil {
		if s.ResStride < s.OutC {
			return fmt.Errorf("quantized conv: residual pixel stride %d is below %d output channels", s.ResStride, s.OutC)
		}
		return q.Residual.Validate()
	}
	return nil
}

// ConvU8 is a prepared quantized convolution: an Op whose weights are packed.
// It covers pointwise, k×k, grouped and depthwise convolutions, any stride,
// dilation and padding, and matrix products with constant weights.
type ConvU8 struct {
	shape ConvShape
	quant QuantConv
	add   *preparedAdd
	gemm  *u8ConvGemm // one of the two
	dw    *u8ConvDepthwise
}

var _ Op = (*ConvU8)(nil)

// NewConvU8 packs weights w [OutC][KernelH][KernelW][InC/Groups] for the best
// kernel of level l. Of the options it heeds Choice.
func NewConvU8(l cpu.Level, s ConvShape, w []int8, q QuantConv, opts ...Option) (*ConvU8, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if len(w) != s.weightLen() {
		return nil, fmt.Errorf("quantized conv: %d weights, want %d for [%d %d %d %d]", len(w), s.weightLen(), s.OutC, s.KernelH, s.KernelW, s.InC/s.Groups)
	}
	if err := q.validate(s); err != nil {
		return nil, err
	}
	asm, err := accumulatorFits(s, w, &q)
	if err != nil {
		return nil, err
	}
	c := &ConvU8{shape: s, quant: q}
	if q.Residual != nil {
		c.add = q.Residual.prepare(l)
	}
	if s.Groups == s.InC && s.InC > 1 {
		c.dw = newU8ConvDepthwise(l, s, w, &c.quant, asm)
	}
	choice := prepare(opts).choice
	if c.dw == nil {
		c.gemm, err = newU8ConvGemm(l, s, w, &c.quant, asm, choice)
	} else if choice != "" && choice != c.dw.name() {
		err = refuse(choice, c.Candidates())
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// accumulatorFits bounds every channel's accumulator over all inputs. It fails
// where int32 could overflow, and reports whether the requantized value also
// stays below requantLimit.
func accumulatorFits(s ConvShape, w []int8, q *QuantConv) (asm bool, err error) {
	k := len(w) / s.OutC
	below, above := -int64(q.InZero), 255-int64(q.InZero)
	if q.Mult == nil { // the zero point comes at run time
		below, above = -255, 255
	}
	asm = true
	for n := range s.OutC {
		wz, bias := int64(channel(q.WeightZero, n)), int64(channel(q.Bias, n))
		// Mostly the number of weights alone is proof enough.
		hi := int64(k)*max(above, -below)*(128+max(wz, -wz)) + max(bias, -bias)
		lo := -hi
		if lo < math.MinInt32 || q.Mult != nil && math.Abs(float64(q.multiplier(n)))*float64(hi) >= requantLimit {
			lo, hi = bias, bias
			for _, v := range w[n*k : (n+1)*k] {
				a, b := below*(int64(v)-wz), above*(int64(v)-wz)
				lo += min(a, b)
				hi += max(a, b)
			}
		}
		if lo < math.MinInt32 || hi > math.MaxInt32 {
			return false, fmt.Errorf("quantized conv: output channel %d with k=%d can reach an accumulator of %d..%d, outside int32", n, k, lo, hi)
		}
		if q.Mult != nil && math.Abs(float64(q.multiplier(n)))*float64(max(-lo, hi)) >= requantLimit {
			asm = false
		}
	}
	return asm, nil
}

func (q *QuantConv) multiplier(n int) float32 { return channel(q.Mult, n) }

// Name implements Op.
func (c *ConvU8) Name() string {
	kind := fmt.Sprintf("conv%dx%d", c.shape.KernelH, c.shape.KernelW)
	if c.dw != nil {
		return kind + "dw " + c.dw.name()
	}
	return kind + " " + c.gemm.full.name
}

// Units implements Op.
func (c *ConvU8) Units() int {
	if c.dw != nil {
		return c.dw.units()
	}
	return c.gemm.units()
}

// ScratchBytes implements Op.
func (c *ConvU8) ScratchBytes() int {
	if c.dw != nil {
		return c.dw.scratch.total
	}
	return c.gemm.scratch.total
}

// Run computes units lo ≤ u < hi into dst. residual is read only where
// QuantConv.Residual was given; neither it nor src may overlap dst. It panics if a slice is shorter than the shape
// says or Mult was nil.
func (c *ConvU8) Run(dst, src, residual []uint8, scratch []byte, lo, hi int) {
	if c.quant.Mult == nil {
		panic("kernel: ConvU8.Run without multipliers")
	}
	c.check(len(dst), len(src), scratch)
	if c.add != nil && len(residual) < c.shape.resLen() {
		panic("kernel: ConvU8 residual too short")
	}
	out := u8Output{u8: dst, residual: residual, inZero: c.quant.InZero, add: c.add}
	c.run(&out, src, scratch, lo, hi)
}

// RunI32 stores the accumulators themselves. inZero replaces QuantConv.InZero,
// which serves activations quantized at run time: an Op made without Mult
// was checked for every zero point.
func (c *ConvU8) RunI32(dst []int32, src []uint8, inZero uint8, scratch []byte, lo, hi int) {
	c.check(len(dst), len(src), scratch)
	out := u8Output{i32: dst, inZero: inZero}
	c.run(&out, src, scratch, lo, hi)
}

// RunF32 stores float32(acc)*mult + bias, each operation rounded, for dynamic
// quantization. mult holds 1 or OutC values, bias none or OutC.
func (c *ConvU8) RunF32(dst []float32, src []uint8, inZero uint8, mult, bias []float32, scratch []byte, lo, hi int) {
	c.check(len(dst), len(src), scratch)
	if n := len(mult); n != 1 && n != c.shape.OutC || len(bias) != 0 && len(bias) != c.shape.OutC {
		panic("kernel: ConvU8.RunF32 multipliers or biases do not match the channels")
	}
	out := u8Output{f32: dst, inZero: inZero, mult: mult, bias: bias}
	c.run(&out, src, scratch, lo, hi)
}

func (c *ConvU8) check(dst, src int, scratch []byte) {
	if dst < c.shape.outLen() || src < c.shape.inLen() || len(scratch) < c.ScratchBytes() {
		panic("kernel: ConvU8 slice too short for its shape")
	}
}

func (c *ConvU8) run(out *u8Output, src []uint8, scratch []byte, lo, hi int) {
	if c.dw != nil {
		c.dw.run(out, src, scratch, lo, hi)
		return
	}
	c.gemm.run(out, src, scratch, lo, hi)
}

// u8Output says where and in which form results go: one of the slices is set.
type u8Output struct {
	u8, residual []uint8
	i32          []int32
	f32          []float32
	mult, bias   []float32 // for f32
	inZero       uint8
	add          *preparedAdd
}

// finish applies the residual to n pixels of channels lo ≤ c < hi that are
// already in place.
func (o *u8Output) finish(s *ConvShape, pixel, n, lo, hi int) {
	if o.add == nil {
		return
	}
	if s.OutStride == s.OutC && s.ResStride == s.OutC && lo == 0 && hi == s.OutC {
		d := o.u8[pixel*s.OutC : (pixel+n)*s.OutC]
		o.add.run(d, d, o.residual[pixel*s.OutC:(pixel+n)*s.OutC])
		return
	}
	for p := pixel; p < pixel+n; p++ {
		d := o.u8[p*s.OutStride+lo : p*s.OutStride+hi]
		o.add.run(d, d, o.residual[p*s.ResStride+lo:p*s.ResStride+hi])
	}
}

// u8Scratch lays out a worker's scratch, each part 64-aligned relative to its
// start.
type u8Scratch struct{ total int }

func (s *u8Scratch) take(bytes int) int {
	at := s.total
	s.total += (bytes + 63) &^ 63
	return at
}
