package dataset

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Compact divides p, which makes float32 inputs, in two: how a sample of d is kept, one
// byte a value where it is stored as bytes, and how what is kept becomes the input. Both
// together give the very values that p gives.
func (p Preprocess) Compact(d *Dataset) (kept Preprocess, expand func(dst []float32, kept *tensor.Tensor)) {
	copied := func(dst []float32, kept *tensor.Tensor) { copy(dst, kept.F32()) }
	if p.DType != tensor.Float32.String() || d.n == 0 {
		return p, copied
	}
	kept = p
	switch first, err := d.load(0); {
	case err != nil:
		return p, copied
	case first.img != nil && p.Layout != "":
		kept.DType, kept.Scale, kept.Divide, kept.Mean, kept.Std = tensor.Uint8.String(), 0, 1, nil, nil
	case first.t != nil && first.t.DType() == tensor.Uint8:
		kept.DType, kept.Stored = tensor.Uint8.String(), true
	default:
		return p, copied
	}
	channels := max(p.Channels, 1)
	if p.Layout == "" {
		channels = 1
	}
	table := make([][]float32, channels)
	for c := range table {
		t := tensor.New(tensor.Float32, 256)
		for v := range 256 {
			p.store(t, v, c, float32(v))
		}
		table[c] = t.F32()
	}
	return kept, func(dst []float32, x *tensor.Tensor) {
		src := x.Bytes()
		if p.Layout == "NHWC" {
			for i, v := range src {
				dst[i] = table[i%channels][v]
			}
			return
		}
		plane := len(src) / channels
		for c, t := range table {
			to := dst[c*plane:][:plane]
			for i, v := range src[c*plane:][:plane] {
				to[i] = t[v]
			}
		}
	}
}

// Standardized returns p with the mean and deviation of each channel as samples of d have
// them, so that inputs are near 0 and of size 1: the customary form for a network that is
// not trained yet. Samples that are not bytes stay as p says.
func (p Preprocess) Standardized(d *Dataset, samples int, seed uint64) (Preprocess, error) {
	plain := p
	plain.Divide, plain.Mean, plain.Std = 1, nil, nil
	kept, _ := plain.Compact(d)
	if kept.DType != tensor.Uint8.String() {
		return p, nil
	}
	channels := 1
	if p.Layout != "" {
		channels = p.Channels
	}
	sum, squares, n := make([]float64, channels), make([]float64, channels), 0
	for _, i := range d.Spread(samples, seed) {
		t, err := d.Sample(i, kept)
		if err != nil {
			return p, err
		}
		b := t.Bytes()
		plane := len(b) / channels
		n += plane
		for k, v := range b {
			c := k / plane
			if p.Layout == "NHWC" {
				c = k % channels
			}
			sum[c] += float64(v)
			squares[c] += float64(v) * float64(v)
		}
	}
	p.Divide, p.Mean, p.Std = 255, make([]float32, channels), make([]float32, channels)
	for c := range channels {
		p.Mean[c], p.Std[c] = moments(sum[c]/255, squares[c]/255/255, n)
	}
	p.Why = append(slices.Clone(p.Why), "mean and deviation of the training samples")
	return p, nil
}

// moments returns mean and deviation, in steps of a thousandth so that the figures can be
// written down; a deviation too small to divide by is taken as 1.
func moments(sum, squares float64, n int) (mean, deviation float32) {
	m := sum / float64(n)
	s := math.Sqrt(max(squares/float64(n)-m*m, 0))
	round := func(v float64) float32 { return float32(math.Round(v*1000) / 1000) }
	if s < 0.001 {
		return round(m), 1
	}
	return round(m), round(s)
}
