package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Augment says how training samples are varied. Images are [1, channels, height, width] or,
// where Last is set, [1, height, width, channels]; signals have one dimension fewer. Values
// that come into view are Fill.
type Augment struct {
	Flip   bool    `yaml:"flip"`   // left and right, every other time
	Crop   int     `yaml:"crop"`   // a window of the same size, moved by up to so many pixels
	Cutout int     `yaml:"cutout"` // side of a square that is blanked (DeVries and Taylor 2017)
	Noise  float64 `yaml:"noise"`  // standard deviation of what is added, at most: each sample has one of its own
	Shift  int     `yaml:"shift"`  // along time, by up to so many steps
	Mixup  float64 `yaml:"mixup"`  // alpha of Beta(alpha, alpha) (Zhang et al. 2018)
	Fill   float32 `yaml:"fill"`
	Last   bool    `yaml:"-"`

	// Columns is how many values each step of time has in signals that lie flat, [1, steps *
	// columns], all of a step before the next; 0 for one.
	Columns int `yaml:"-"`
}

// Validate checks the settings by themselves.
func (a Augment) Validate() error {
	for _, f := range []struct {
		key string
		v   float64
	}{{"crop", float64(a.Crop)}, {"cutout", float64(a.Cutout)}, {"shift", float64(a.Shift)}, {"noise", a.Noise}, {"mixup", a.Mixup}} {
		if !(f.v >= 0) || !finite(f.v) {
			return fmt.Errorf("augment: %s: %v is not a number from 0: no amount may be negative", f.key, f.v)
		}
	}
	if !finite(float64(a.Fill)) {
		return fmt.Errorf("augment: fill: %v is not a number", a.Fill)
	}
	return nil
}

// plane is the geometry of a sample: how its channels, rows and columns lie.
type plane struct{ channels, rows, cols, perChannel, perRow, perCol int }

func (a Augment) plane(shape []int) (plane, error) {
	if len(shape) < 2 || len(shape) > 4 || shape[0] != 1 {
		return plane{}, fmt.Errorf("a sample of shape %v is no image or signal", shape)
	}
	s := shape[1:]
	switch {
	case len(s) == 1 && a.Columns > 1 && s[0]%a.Columns == 0:
		return plane{a.Columns, 1, s[0] / a.Columns, 1, s[0], a.Columns}, nil
	case len(s) == 1:
		return plane{1, 1, s[0], s[0], s[0], 1}, nil
	case a.Last && len(s) == 2:
		return plane{s[1], 1, s[0], 1, s[0] * s[1], s[1]}, nil
	case a.Last:
		return plane{s[2], s[0], s[1], 1, s[1] * s[2], s[2]}, nil
	case len(s) == 2:
		return plane{s[0], 1, s[1], s[1], s[1], 1}, nil
	}
	return plane{s[0], s[1], s[2], s[1] * s[2], s[2], 1}, nil
}

// apply writes the varied form of x into dst, which has as many values, and into restored,
// unless it is nil, what a network that restores its input should make of it: moved alike,
// but with nothing blanked or added.
func (a Augment) apply(rng *rand.Rand, dst, restored []float32, x *tensor.Tensor) error {
	src := x.F32()
	if !a.Flip && a.Crop == 0 && a.Cutout == 0 && a.Shift == 0 {
		copy(dst, src)
		copy(restored, src)
		a.noise(rng, dst)
		return nil
	}
	p, err := a.plane(x.Shape())
	if err != nil {
		return err
	}
	within := func(n int) int {
		if n == 0 {
			return 0
		}
		return rng.IntN(2*n+1) - n
	}
	down, right := 0, within(a.Crop+a.Shift)
	if p.rows > 1 {
		down, right = within(a.Crop), within(a.Crop)
	}
	flip := a.Flip && rng.IntN(2) == 1
	top, left := -1, -1
	if a.Cutout > 0 {
		top, left = rng.IntN(p.rows)-a.Cutout/2, rng.IntN(p.cols)-a.Cutout/2
	}
	for r := range p.rows {
		for c := range p.cols {
			from, at := r+down, c+right
			if flip {
				at = p.cols - 1 - at
			}
			outside := from < 0 || from >= p.rows || at < 0 || at >= p.cols
			blank := a.Cutout > 0 && r >= top && r < top+a.Cutout && c >= left && c < left+a.Cutout
			to := r*p.perRow + c*p.perCol
			for k := range p.channels {
				v := a.Fill
				if !outside {
					v = src[k*p.perChannel+from*p.perRow+at*p.perCol]
				}
				if restored != nil {
					restored[to+k*p.perChannel] = v
				}
				if blank {
					v = a.Fill
				}
				dst[to+k*p.perChannel] = v
			}
		}
	}
	a.noise(rng, dst)
	return nil
}

func (a Augment) noise(rng *rand.Rand, dst []float32) {
	if a.Noise == 0 {
		return
	}
	level := a.Noise * rng.Float64() // so that clean samples are among them
	for i := range dst {
		dst[i] += float32(rng.NormFloat64() * level)
	}
}

// mix returns the share of the first of two samples that are mixed: Beta(alpha, alpha), as
// the quotient of two gamma variables.
func (a Augment) mix(rng *rand.Rand) float64 {
	x, y := gamma(rng, a.Mixup), gamma(rng, a.Mixup)
	if x+y == 0 {
		return 1
	}
	return x / (x + y)
}

// gamma draws from the gamma distribution of a shape, by the method of Marsaglia and Tsang
// (2000); shapes below 1 are raised by one and scaled.
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := rng.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(1-rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}
