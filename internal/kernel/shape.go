package kernel

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ConvShape is the geometry of a convolution over NHWC tensors, and of
// everything computed as one: a matrix product with constant weights is the
// convolution Batch=1, InH=1, InW=M, InC=K, OutC=N with a 1×1 kernel.
//
// The strides are in elements between horizontally adjacent pixels, at least
// the channel count, so that a tensor may be a view of some channels of a wider
// one. Rows are dense: a row is W pixel strides long and an image H rows.
// PadTop and PadLeft are the border before the image; the border after it
// follows from OutH and OutW. Padding reads as zero (quantized: the zero point).
type ConvShape struct {
	Batch, InH, InW, InC, OutH, OutW, OutC int
	KernelH, KernelW                       int
	StrideH, StrideW, DilationH, DilationW int
	PadTop, PadLeft, Groups                int
	InStride, OutStride, ResStride         int // ResStride may be 0 where there is no residual
}

// maxElements bounds a tensor so that byte offsets stay far from overflow.
const maxElements = 1 << (28 + 12*(bits.UintSize/64)) // 2^28 or 2^40

// Validate reports whether the shape describes a convolution that can run.
func (s ConvShape) Validate() error {
	for _, f := range []struct {
		name string
		v    int
	}{
		{"batch", s.Batch}, {"input height", s.InH}, {"input width", s.InW}, {"input channels", s.InC},
		{"output height", s.OutH}, {"output width", s.OutW}, {"output channels", s.OutC},
		{"kernel height", s.KernelH}, {"kernel width", s.KernelW}, {"vertical stride", s.StrideH},
		{"horizontal stride", s.StrideW}, {"vertical dilation", s.DilationH}, {"horizontal dilation", s.DilationW},
		{"groups", s.Groups},
	} {
		if f.v < 1 || f.v > math.MaxInt32 {
			return fmt.Errorf("conv shape: %s is %d, want 1..%d", f.name, f.v, math.MaxInt32)
		}
	}
	if s.PadTop < 0 || s.PadLeft < 0 || s.PadTop > math.MaxInt32 || s.PadLeft > math.MaxInt32 {
		return fmt.Errorf("conv shape: padding top=%d left=%d is negative or too large", s.PadTop, s.PadLeft)
	}
	if s.InC%s.Groups != 0 || s.OutC%s.Groups != 0 {
		return fmt.Errorf("conv shape: groups=%d does not divide %d input and %d output channels", s.Groups, s.InC, s.OutC)
	}
	if s.InStride < s.InC || s.OutStride < s.OutC {
		return fmt.Errorf("conv shape: pixel strides in=%d out=%d are below the channels in=%d out=%d", s.InStride, s.OutStride, s.InC, s.OutC)
	}
	if s.ResStride != 0 && s.ResStride < s.OutC {
		return fmt.Errorf("conv shape: residual pixel stride %d is below %d output channels", s.ResStride, s.OutC)
	}
	for _, dims := range [][]int{
		{s.Batch, s.InH, s.InW, s.InStride}, {s.Batch, s.OutH, s.OutW, s.OutStride}, {s.Batch, s.OutH, s.OutW, max(s.ResStride, 1)},
		{s.OutC, s.KernelH, s.KernelW, s.InC / s.Groups}, {s.KernelH, s.DilationH}, {s.KernelW, s.DilationW},
		{s.OutH, s.StrideH}, {s.OutW, s.StrideW},
	} {
		if !productWithin(maxElements, dims...) {
			return errors.New("conv shape: a tensor has too many elements")
		}
	}
	return nil
}

// productWithin reports whether the product of positive factors is ≤ limit.
func productWithin(limit int, factors ...int) bool {
	p := 1
	for _, f := range factors {
		if f > 0 && p > limit/f {
			return false
		}
		p *= f
	}
	return p <= limit
}

// depthwise reports whether every output channel reads one input channel of
// its own number.
func (s ConvShape) depthwise() bool { return s.Groups == s.InC && s.OutC == s.InC && s.Groups > 1 }

// The least lengths of the slices that the shape describes, in elements.
func (s ConvShape) inLen() int  { return (s.Batch*s.InH*s.InW-1)*s.InStride + s.InC }
func (s ConvShape) outLen() int { return (s.Batch*s.OutH*s.OutW-1)*s.OutStride + s.OutC }
func (s ConvShape) resLen() int { return (s.Batch*s.OutH*s.OutW-1)*s.ResStride + s.OutC }

func (s ConvShape) weightLen() int { return s.OutC * s.KernelH * s.KernelW * (s.InC / s.Groups) }
