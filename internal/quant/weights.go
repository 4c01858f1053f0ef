package quant

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// weightLimit is the greatest magnitude of an int8 weight: -128 is left out, so that the
// grid is symmetric.
const weightLimit = 127

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

// weightScales returns a scale per channel along axis, or one for all.
//
// A channel of zeros has no scale of its own and takes the largest one. No scale is
// below 2⁻²⁴ of the largest: such a channel is under one step of any output it is
// quantized with. Where bias holds the channel's bias in units of the input scale, the
// scale is at least so large that the bias fits into int32.
func weightScales(w *tensor.Tensor, axis int, perTensor, mse bool, bias []float64) []float32 {
	limits := absMax(w, axis)
	if mse {
		limits = leastSquaresLimits(w, axis, limits)
	}
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
	if perTensor {
		s := largest / weightLimit
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
		out[c] = float32(max(m, largest/(1<<24)) / weightLimit)
		if n := need(c); float64(out[c]) < n {
			out[c] = math.Nextafter32(float32(n), float32(math.Inf(1)))
		}
	}
	return out
}

// leastSquaresLimits returns per channel the clipping limit, as a share of the greatest
// magnitude, with the least squared error of the rounded weights. It is exact: every
// candidate is tried on the weights themselves.
func leastSquaresLimits(w *tensor.Tensor, axis int, limits []float64) []float64 {
	const steps, least = 100, 40
	n, inner := channelsOf(w, axis)
	v := w.F32()
	best := make([]float64, n)
	cost := make([]float64, n)
	for i := steps; i >= least; i-- {
		now := make([]float64, n)
		for j, x := range v {
			c := j / inner % n
			s := limits[c] * float64(i) / steps / weightLimit
			if s == 0 {
				continue
			}
			q := min(max(math.RoundToEven(float64(x)/s), -weightLimit), weightLimit)
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

// quantizeWeights returns w as int8 on the grid of the scales.
func quantizeWeights(w *tensor.Tensor, axis int, scales []float32) *tensor.Tensor {
	n, inner := channelsOf(w, axis)
	out := tensor.New(tensor.Int8, w.Shape()...)
	q := tensor.Data[int8](out)
	for i, v := range w.F32() {
		s := scales[0]
		if len(scales) > 1 {
			s = scales[i/inner%n]
		}
		q[i] = int8(min(max(math.RoundToEven(float64(v)/float64(s)), -weightLimit), weightLimit))
	}
	return out
}

// weightInfo describes weights w as stored on the grid of the scales.
func weightInfo(w, stored *tensor.Tensor, axis int, scales []float32) *WeightInfo {
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
	return &WeightInfo{Shape: w.Shape(), PerChannel: len(scales) > 1, MinScale: slices.Min(scales), MaxScale: slices.Max(scales), SQNR: p.dB()}
}
