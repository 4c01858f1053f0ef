package ecg

import (
	"math"
	"testing"
)

// tableI holds the parameters of the paper: angle, strength and width of P, Q, R, S, T.
var tableI = [waves]struct{ theta, a, b float64 }{
	{-math.Pi / 3, 1.2, 0.25},
	{-math.Pi / 12, -5, 0.1},
	{0, 30, 0.1},
	{math.Pi / 12, -7.5, 0.1},
	{math.Pi / 2, 0.75, 0.4},
}

// paperSignal integrates the third equation as printed, at a constant angular velocity
// of one turn a second on the limit cycle, in small Euler-midpoint steps, and returns z
// at the given rate. The paper scales its z afterwards; here R is to be 1 mV.
func paperSignal(seconds, rate int) []float64 {
	const omega, fine = 2 * math.Pi, 64
	scale := omega / (0.1 * 0.1) / tableI[waveR].a
	slope := func(z, t float64) float64 {
		theta := math.Remainder(omega*t, 2*math.Pi)
		d := -z
		for _, e := range tableI {
			delta := math.Remainder(theta-e.theta, 2*math.Pi)
			d -= scale * e.a * delta * math.Exp(-delta*delta/(2*e.b*e.b))
		}
		return d
	}
	var out []float64
	z, h := 0.0, 1/float64(rate*fine)
	for i := range seconds * rate * fine {
		t := float64(i) * h
		if i%fine == 0 {
			out = append(out, z)
		}
		z += h * slope(z+h/2*slope(z, t), t+h/2)
	}
	return out
}

func TestModelIsThatOfThePaper(t *testing.T) {
	const seconds, rate = 8, SampleRate * oversampling
	beats := make([]beat, seconds+2)
	for i := range beats {
		beats[i] = beat{events: sinusBeat, rr: 1}
	}
	o := newOscillator(beats, 0, respiratoryHz)
	want := paperSignal(seconds, rate)
	for i, w := range want {
		// The start differs: the paper's cycle has a beat before the first.
		if i > 5*rate && math.Abs(o.state.z-w) > 0.01 {
			t.Fatalf("z(%.3f s) = %.4f mV, by the paper's equation %.4f", float64(i)/rate, o.state.z, w)
		}
		o.advance(1.0 / rate)
		if r := math.Hypot(o.state.x, o.state.y); math.Abs(r-1) > 1e-6 {
			t.Fatalf("at %.3f s the trajectory is %g from the axis", o.time, r)
		}
	}
}

func TestTrajectoryReturnsToTheLimitCycle(t *testing.T) {
	beats := make([]beat, 12)
	for i := range beats {
		beats[i].rr = 1
	}
	o := newOscillator(beats, 0, respiratoryHz)
	o.state.x = 0.2
	for range 10 * SampleRate {
		o.advance(1.0 / SampleRate)
	}
	if r := math.Hypot(o.state.x, o.state.y); math.Abs(r-1) > 1e-3 {
		t.Errorf("radius is %g after ten seconds", r)
	}
}

// R peaks come at the intervals of the beats, early ones too.
func TestPeaksKeepTheirIntervals(t *testing.T) {
	s := newSubject(newSource(3, 1))
	beats, _, _ := s.script()
	o := newOscillator(beats, 0.1, respiratoryHz)
	const h = 1.0 / (SampleRate * oversampling)
	var due float64
	for o.now+1 < len(beats) {
		if !o.advance(h) {
			continue
		}
		due += beats[o.now-1].rr
		peak := o.time - o.phase*beats[o.now].rr
		if math.Abs(peak-due) > 0.01 {
			t.Fatalf("beat %d comes at %.3f s, due at %.3f", o.now, peak, due)
		}
	}
}

// The spectrum of the RR process has the two lobes of the paper with the asked ratio of
// power and nothing else, and the series has the asked mean and deviation.
func TestRhythmSpectrum(t *testing.T) {
	const mean, deviation, ratio, rate = 0.8, 0.04, 0.5, 4
	const n = rhythmPeriod * rate
	r := newRhythm(newSource(4, 4), mean, deviation, ratio)
	var series [n]float64
	var sum, squares float64
	for i := range series {
		series[i] = r.at(float64(i) / rate)
		sum += series[i]
		squares += (series[i] - mean) * (series[i] - mean)
	}
	if math.Abs(sum/n-mean) > 1e-6 || math.Abs(math.Sqrt(squares/n)-deviation) > 1e-4 {
		t.Errorf("mean %.4f s, deviation %.4f s", sum/n, math.Sqrt(squares/n))
	}
	var low, high, rest float64
	for k := 1; k < n/2; k++ {
		var re, im float64
		for i, v := range series {
			s, c := math.Sincos(2 * math.Pi * float64(k*i%n) / n)
			re += v * c
			im += v * s
		}
		power := re*re + im*im
		switch f := float64(k) / rhythmPeriod; {
		case math.Abs(f-0.1) < 0.04:
			low += power
		case math.Abs(f-0.25) < 0.04:
			high += power
		default:
			rest += power
		}
	}
	if math.Abs(low/high-ratio) > 0.02 || rest > 1e-3*(low+high) {
		t.Errorf("low %g, high %g, elsewhere %g", low, high, rest)
	}
}
