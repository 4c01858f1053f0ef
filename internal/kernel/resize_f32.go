package kernel

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Coordinates says which input position an output position is taken from, by
// the names that the ONNX operator Resize gives them.
type Coordinates uint8

const (
	HalfPixel          Coordinates = iota // (x+1/2)/scale - 1/2
	HalfPixelSymmetric                    // half pixel, centred where the scale does not give a whole size
	PytorchHalfPixel                      // half pixel, but 0 where the output is 1 wide
	AlignCorners                          // x·(in-1)/(out-1)
	Asymmetric                            // x/scale
	coordinates
)

// Nearest says how a position between two pixels chooses one.
type Nearest uint8

const (
	RoundPreferFloor Nearest = iota
	RoundPreferCeil
	Floor
	Ceil
	nearests
)

// ResizeShape is the geometry of a resize over NHWC tensors.
type ResizeShape struct {
	Batch, InH, InW, OutH, OutW, C int
	InStride, OutStride            int     // elements from pixel to pixel, ≥ C
	ScaleH, ScaleW                 float64 // output size over input size; 0: of the sizes given
	Coordinates                    Coordinates
	Linear                         bool    // bilinear; else nearest
	Nearest                        Nearest // where not Linear
}

// A ResizeF32 is a prepared resize. A unit is one output row.
//
// A row is made in two steps: two input rows become one in scratch, of which pixels then
// are mixed along the row.
type ResizeF32 struct {
	shape ResizeShape
	level cpu.Level
	rows  []tap
	cols  []mixTap
}

// A tap is the one or two input positions of an output position.
type tap struct {
	i0, i1 int
	w1     float32 // weight of i1; 0: only i0 counts
}

// NewResizeF32 prepares a resize for the kernels of a level. Positions beyond
// the edge read the edge.
func NewResizeF32(l cpu.Level, s ResizeShape) (*ResizeF32, error) {
	c := ConvShape{Batch: s.Batch, InH: s.InH, InW: s.InW, InC: s.C, OutH: s.OutH, OutW: s.OutW, OutC: s.C, KernelH: 1, KernelW: 1,
		StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1, InStride: s.InStride, OutStride: s.OutStride}
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("resize f32: %w", err)
	}
	if s.Coordinates >= coordinates || s.Nearest >= nearests {
		return nil, fmt.Errorf("resize f32: unknown coordinates %d or rounding %d", s.Coordinates, s.Nearest)
	}
	if !(s.ScaleH >= 0 && s.ScaleW >= 0) || math.IsInf(s.ScaleH, 0) || math.IsInf(s.ScaleW, 0) {
		return nil, fmt.Errorf("resize f32: scales %g×%g are not positive", s.ScaleH, s.ScaleW)
	}
	if !productWithin(maxScratch/32, s.OutH) || !productWithin(maxScratch/32, s.OutW) {
		return nil, fmt.Errorf("resize f32: output of %d×%d is too large", s.OutH, s.OutW)
	}
	r := &ResizeF32{shape: s, level: l, rows: s.taps(s.InH, s.OutH, s.ScaleH), cols: make([]mixTap, s.OutW)}
	pixel := 4 * s.InStride
	for i, t := range s.taps(s.InW, s.OutW, s.ScaleW) {
		r.cols[i] = mixTap{at: t.i0 * pixel, next: t.i1 * pixel, w0: 1 - t.w1, w1: t.w1}
	}
	return r, nil
}

// taps returns the input positions of one axis.
func (s *ResizeShape) taps(in, out int, scale float64) []tap {
	if scale == 0 {
		scale = float64(out) / float64(in)
	}
	all := make([]tap, out)
	for i := range all {
		x := s.position(float64(i), float64(in), float64(out), scale)
		if x != x { // of a scale so small that its reciprocal is infinite
			x = 0
		}
		if !s.Linear {
			all[i].i0 = min(max(int(s.round(math.Min(math.Max(x, -1), float64(in)))), 0), in-1)
			continue
		}
		x = math.Min(math.Max(x, 0), float64(in-1))
		i0 := int(x)
		all[i] = tap{i0, min(i0+1, in-1), float32(x - float64(i0))}
	}
	return all
}

func (s *ResizeShape) position(x, in, out, scale float64) float64 {
	switch s.Coordinates {
	case AlignCorners:
		if out == 1 {
			return 0
		}
		return x * (in - 1) / (out - 1)
	case Asymmetric:
		return x / scale
	case PytorchHalfPixel:
		if out == 1 {
			return 0
		}
	case HalfPixelSymmetric:
		return in/2*(1-out/(in*scale)) + (x+0.5)/scale - 0.5
	}
	return (x+0.5)/scale - 0.5
}

func (s *ResizeShape) round(x float64) float64 {
	switch s.Nearest {
	case Floor:
		return math.Floor(x)
	case Ceil:
		return math.Ceil(x)
	case RoundPreferCeil:
		return math.Floor(x + 0.5)
	}
	return math.Ceil(x - 0.5)
}

// Name names the operator.
func (r *ResizeF32) Name() string {
	if r.shape.Linear {
		return "resize linear f32"
	}
	return "resize nearest f32"
}

// Units returns the number of independent units of work.
func (r *ResizeF32) Units() int { return r.shape.Batch * r.shape.OutH }

// ScratchBytes returns the scratch that each worker needs.
func (r *ResizeF32) ScratchBytes() int {
	if !r.shape.Linear {
		return 0
	}
	return 4 * r.rowLen()
}

// rowLen is the elements of an input row.
func (r *ResizeF32) rowLen() int { return (r.shape.InW-1)*r.shape.InStride + r.shape.C }

// Run computes units lo ≤ u < hi. dst may not overlap src. A slice too short
// for the shape is a broken invariant.
func (r *ResizeF32) Run(dst, src []float32, scratch []byte, lo, hi int) {
	s := &r.shape
	n := r.rowLen()
	mix := mixF32{n: s.C, dstStep: 4 * s.OutStride}
	most := max(1, callValues/s.C) // pixels of one call
	last := 0                      // output row before, where it is the same
	for u := lo; u < hi; u++ {
		row := r.rows[u%s.OutH]
		image := u / s.OutH * s.InH
		out := dst[u*s.OutW*s.OutStride:][:(s.OutW-1)*s.OutStride+s.C]
		top := src[(image+row.i0)*s.InW*s.InStride:][:n]
		_ = src[(image+row.i1)*s.InW*s.InStride:][n-1]
		if u > lo && u%s.OutH > 0 && row == r.rows[u%s.OutH-1] && s.OutStride == s.C {
			// Nearest rows repeat.
			copy(out, dst[last:][:len(out)])
			continue
		}
		last = u * s.OutW * s.OutStride
		mix.src = unsafe.Pointer(&top[0])
		// Where a weight is 0 its row is not read, so an infinity or NaN there does not
		// spread.
		if row.w1 != 0 {
			between := floatScratch(scratch, n)
			mix.src = unsafe.Pointer(&between[0])
			for i := 0; i < n; i += callValues {
				tap := mixTap{next: 4 * s.InW * s.InStride * (row.i1 - row.i0), w0: 1 - row.w1, w1: row.w1}
				rows := mixF32{dst: unsafe.Pointer(&between[i]), src: unsafe.Pointer(&top[i]), taps: &tap, pixels: 1, n: min(callValues, n-i)}
				rows.run(r.level)
			}
		}
		for x := 0; x < s.OutW; x += most {
			mix.dst, mix.taps, mix.pixels = unsafe.Pointer(&out[x*s.OutStride]), &r.cols[x], min(most, s.OutW-x)
			mix.run(r.level)
		}
	}
}
