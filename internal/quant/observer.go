package quant

import (
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

var errNoSamples = errors.New("there are no samples; hint: calibration needs at least one, 100 to 500 are usual")

// Method is how a value's range follows from what was observed.
type Method uint8

// Methods. All of them come from the same statistics, so one calibration serves them all.
const (
	// MinMax takes the extremes.
	MinMax Method = iota
	// MovingAverage takes the exponential moving average of each sample's extremes,
	// which forgets single outliers.
	MovingAverage
	// Percentile cuts both tails off so that the given share of the values is kept.
	Percentile
	// Entropy chooses the clipping threshold that loses least information: the least
	// Kullback–Leibler divergence of the clipped distribution from its 8-bit form
	// (S. Migacz, "8-bit Inference with TensorRT", GTC 2017).
	Entropy
	// MSE chooses the range of the least mean squared error.
	MSE
)

// Methods returns all methods.
func Methods() []Method { return []Method{MinMax, MovingAverage, Percentile, Entropy, MSE} }

func (m Method) String() string {
	switch m {
	case MinMax:
		return "minmax"
	case MovingAverage:
		return "ema"
	case Percentile:
		return "percentile"
	case Entropy:
		return "entropy"
	case MSE:
		return "mse"
	}
	return fmt.Sprintf("method(%d)", uint8(m))
}

// ParseMethod is the inverse of String.
func ParseMethod(s string) (Method, error) {
	for _, m := range Methods() {
		if m.String() == s {
			return m, nil
		}
	}
	return 0, fmt.Errorf("calibration method %q is not known; there are %v", s, Methods())
}

// Range is an interval of real values that 8 bits are to span.
type Range struct{ Lo, Hi float64 }

// Stats is what calibration keeps of one value. Its size does not depend on the number
// of samples.
type Stats struct {
	Samples   int
	Min, Max  float64 // of all finite elements
	EMA       Range   // moving average of each sample's extremes
	NonFinite int64   // NaNs and infinities seen

	hist histogram
}

// defaultMomentum is the weight of a new sample's extremes in the moving average.
const defaultMomentum = 0.05

// observe adds one sample.
func (s *Stats) observe(t *tensor.Tensor, momentum float64) error {
	if t.DType() != tensor.Float32 {
		return fmt.Errorf("observed value is %v, want float32", t)
	}
	v := t.F32()
	if len(v) == 0 {
		return nil
	}
	lo, hi := v[0], v[0]
	finite := true
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
		finite = finite && x-x == 0
	}
	if !finite {
		kept := make([]float32, 0, len(v))
		for _, x := range v {
			if x-x == 0 {
				kept = append(kept, x)
			}
		}
		s.NonFinite += int64(len(v) - len(kept))
		if v = kept; len(v) == 0 {
			return nil
		}
		lo, hi = v[0], v[0]
		for _, x := range v {
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	a, b := float64(lo), float64(hi)
	if s.Samples == 0 {
		s.Min, s.Max, s.EMA = a, b, Range{a, b}
	} else {
		s.Min, s.Max = min(s.Min, a), max(s.Max, b)
		s.EMA.Lo += float64(momentum * (a - s.EMA.Lo))
		s.EMA.Hi += float64(momentum * (b - s.EMA.Hi))
	}
	s.Samples++
	s.hist.add(v, max(math.Abs(a), math.Abs(b)))
	return nil
}

// Range returns the range that a method finds. share is the part of the values that
// Percentile keeps, such as 0.9999; 0 stands for that.
func (s *Stats) Range(m Method, share float64) Range {
	full := Range{s.Min, s.Max}
	if s.hist.total == 0 || s.Min == s.Max {
		return full
	}
	switch m {
	case MovingAverage:
		return s.EMA
	case Percentile:
		if share == 0 {
			share = 0.9999
		}
		return s.hist.percentile(full, share)
	case Entropy:
		return s.hist.entropy(full)
	case MSE:
		return s.hist.leastSquares(full)
	}
	return full
}
