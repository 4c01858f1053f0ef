package quant

import (
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Params are the scale and zero point of an 8-bit tensor: real = scale·(q - zero).
type Params struct {
	Scale float32
	Zero  int
}

// paramsOf spreads the 256 values of d over r. The range is widened to hold 0, which
// must be exact: padding and Relu depend on it.
func paramsOf(r Range, d tensor.DType) Params {
	least, _ := d.IntRange()
	lo, hi := min(r.Lo, 0), max(r.Hi, 0)
	scale := float32((hi - lo) / (levels - 1))
	if !(scale >= math.SmallestNonzeroFloat32*(1<<40)) {
		scale = 1.0 / (levels - 1) // nothing but zeros was seen
		lo = 0
	}
	zero := math.RoundToEven(-lo / float64(scale))
	return Params{scale, int(least) + int(min(max(zero, 0), levels-1))}
}

// quantizeTensor returns t in units of p, as QuantizeLinear would.
func quantizeTensor(t *tensor.Tensor, p Params, d tensor.DType) *tensor.Tensor {
	lo, hi := d.IntRange()
	out := tensor.New(d, t.Shape()...)
	for i, v := range t.F32() {
		q := math.RoundToEven(float64(v/p.Scale)) + float64(p.Zero)
		out.SetInt(i, int64(min(max(q, float64(lo)), float64(hi))))
	}
	return out
}
