package quant

import (
	"cmp"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// weightGrid says how weights are stored.
type weightGrid struct {
	bits      int  // 2 to 8; 0 means 8
	perTensor bool // one scale instead of one per output channel
	mse       bool // ranges by least squared error instead of extremes
}

// bounds returns the integers that a weight can be. Of 8 bits -128 is left out, so that
// they are symmetric; of fewer none can be spared.
func (g weightGrid) bounds() (lo, hi float64) {
	if g.bits == 0 || g.bits == 8 {
		return -127, 127
	}
	half := float64(int(1) << (g.bits - 1))
	return -half, half - 1
}

// maxBias bounds the magnitude of an int32 bias, leaving as much room for the products.
const maxBias = 1 << 30

// channelsOf describes how the channels along an axis lie in a tensor: element i belongs
// to channel i/inner%n.
func channelsOf(t *tensor.Tensor, axis int) (n, inner int) {
	inner = 1
	for _, d := range t.Shape()[axis+1:] {
		inner *= d
	}
	return t.Dim(axis), inner
}

// absMax returns the greatest magnitude per channel.
func absMax(t *tensor.Tensor, axis int) []float64 {
	n, inner := channelsOf(t, axis)
	out := make([]float64, n)
	for i, v := range t.F32() {
		c := i / inner % n
		out[c] = max(out[c], math.Abs(float64(v)))
	}
	return out
}

// scales returns a scale per channel along axis, or one for all.
//
// A channel of zeros has no scale of its own and takes the largest one. No scale is
// below 2⁻²⁴ of the largest: such a channel is under one step of any output it is
// quantized with. Where bias holds the channel's bias in units of the input scale, the
// scale is at least so large that the bias fits into int32.
func (g weightGrid) scales(w *tensor.Tensor, axis int, bias []float64) []float32 {
	limits := absMax(w, axis)
	if g.mse {
		limits = g.leastSquares(w, axis, limits)
	}
	_, top := g.bounds()
	largest := 0.0
	for _, m := range limits {
		largest = max(largest, m)
	}
	if largest == 0 {
		largest = 1
	}
	need := func(c int) float64 {
		if bias == nil {
			return 0
		}
		return math.Abs(bias[c]) / maxBias
	}
	if g.perTensor {
		s := largest / top
		for c := range limits {
			s = max(s, need(c))
		}
		return []float32{float32(s)}
	}
	out := make([]float32, len(limits))
	for c, m := range limits {
		if m == 0 {
			m = largest
		}
		out[c] = float32(max(m, largest/(1<<24)) / top)
		if n := need(c); float64(out[c]) < n {
			out[c] = math.Nextafter32(float32(n), float32(math.Inf(1)))
		}
	}
	return out
}

// leastSquares returns per channel the clipping limit, as a share of the greatest
// magnitude, with the least squared error of the rounded weights. It is exact: every
// candidate is tried on the weights themselves. The fewer the bits, the lower the best
// limit can be.
func (g weightGrid) leastSquares(w *tensor.Tensor, axis int, limits []float64) []float64 {
	const steps = 100
	least := 40
	if g.bits != 0 && g.bits < 5 {
		least = 10
	}
	lo, hi := g.bounds()
	n, inner := channelsOf(w, axis)
	v := w.F32()
	best := make([]float64, n)
	cost := make([]float64, n)
	for i := steps; i >= least; i-- {
		now := make([]float64, n)
		for j, x := range v {
			c := j / inner % n
			s := limits[c] * float64(i) / steps / hi
			if s == 0 {
				continue
			}
			q := min(max(math.RoundToEven(float64(x)/s), lo), hi)
			d := float64(x) - float64(q*s)
			now[c] += float64(d * d)
		}
		for c := range now {
			if i == steps || now[c] < cost[c] {
				cost[c], best[c] = now[c], limits[c]*float64(i)/steps
			}
		}
	}
	return best
}

// quantize returns w as int8 on the grid of the scales. The quotient is rounded to float32
// first, as QuantizeLinear has it.
func (g weightGrid) quantize(w *tensor.Tensor, axis int, scales []float32) *tensor.Tensor {
	lo, hi := g.bounds()
	n, inner := channelsOf(w, axis)
	out := tensor.New(tensor.Int8, w.Shape()...)
	q := tensor.Data[int8](out)
	for i, v := range w.F32() {
		s := scales[0]
		if len(scales) > 1 {
			s = scales[i/inner%n]
		}
		q[i] = int8(min(max(math.RoundToEven(float64(v/s)), lo), hi))
	}
	return out
}

// info describes weights w as stored on the grid of the scales.
func (g weightGrid) info(w, stored *tensor.Tensor, axis int, scales []float32) *WeightInfo {
	n, inner := channelsOf(w, axis)
	q := tensor.Data[int8](stored)
	var p power
	for i, v := range w.F32() {
		s := scales[0]
		if len(scales) > 1 {
			s = scales[i/inner%n]
		}
		p.add(float64(v), float64(q[i])*float64(s))
	}
	return &WeightInfo{Shape: w.Shape(), Bits: cmp.Or(g.bits, 8), PerChannel: len(scales) > 1, MinScale: slices.Min(scales), MaxScale: slices.Max(scales), SQNR: p.dB()}
}
