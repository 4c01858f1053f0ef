package ecg

import "math"

// The functions here are plain polynomials in fixed order. They are good to about 1e-10,
// far below the step of a sample; what counts is that they round alike everywhere.

// Coefficients of the Taylor series, highest power first.
var (
	expTerms    = []float64{1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040, 1. / 720, 1. / 120, 1. / 24, 1. / 6, 1. / 2, 1, 1}
	sinTerms    = []float64{-1. / 39916800, 1. / 362880, -1. / 5040, 1. / 120, -1. / 6, 1}
	cosTerms    = []float64{1. / 479001600, -1. / 3628800, 1. / 40320, -1. / 720, 1. / 24, -1. / 2, 1}
	arctanTerms = []float64{1. / 21, -1. / 19, 1. / 17, -1. / 15, 1. / 13, -1. / 11, 1. / 9, -1. / 7, 1. / 5, -1. / 3, 1}
)

// horner evaluates the polynomial with coefficients c, highest power first.
func horner(x float64, c []float64) float64 {
	y := c[0]
	for _, v := range c[1:] {
		y = float64(y*x) + v
	}
	return y
}

// exp returns e to the x for x <= 0, and 0 below -700.
func exp(x float64) float64 {
	if x < -700 {
		return 0
	}
	k := math.Floor(float64(x*math.Log2E) + 0.5)
	r := x - float64(k*math.Ln2)
	y := horner(r, expTerms)
	return y * math.Float64frombits(uint64(int(k)+1023)<<52)
}

// sincos returns the sine and cosine of an angle in turns.
func sincos(turns float64) (sin, cos float64) {
	q := math.Floor(float64(4*turns) + 0.5)
	r := (turns - float64(q/4)) * (2 * math.Pi) // within an eighth of a turn of 0
	s := r * r
	sin = r * horner(s, sinTerms)
	cos = horner(s, cosTerms)
	switch int64(q) & 3 {
	case 1:
		return cos, -sin
	case 2:
		return -sin, -cos
	case 3:
		return -cos, sin
	}
	return sin, cos
}

// angle returns the angle of the point (x, y) in turns, in (-1/2, 1/2].
func angle(x, y float64) float64 {
	ax, ay := math.Abs(x), math.Abs(y)
	t := min(ax, ay) / max(ax, ay)
	var turns float64
	if t > math.Sqrt2-1 { // the tangent of half of 45 degrees
		t, turns = (t-1)/(t+1), 0.125
	}
	s := t * t
	p := horner(s, arctanTerms)
	turns += float64(t * p * (1 / (2 * math.Pi)))
	if ay > ax {
		turns = 0.25 - turns
	}
	if x < 0 {
		turns = 0.5 - turns
	}
	return math.Copysign(turns, y)
}
