package ecg

import "math"

// Shape of the RR spectrum, from the paper: two Gaussians, the low-frequency one of the
// Mayer waves and the high-frequency one of respiratory sinus arrhythmia, in Hz.
const (
	mayerHz       = 0.1
	respiratoryHz = 0.25
	bandwidthHz   = 0.01
	// harmonics of 1/rhythmPeriod up to 0.4 Hz carry the process.
	rhythmPeriod = 128 // seconds
	harmonics    = 51
)

// rhythm is a realization of the RR-interval process: a sum of harmonics with random
// phases whose powers follow the bimodal spectrum
//
//	S(f) = σ1² g(f; f1, c) + σ2² g(f; f2, c),  σ1²/σ2² the LF/HF ratio,
//
// scaled to the wanted mean and standard deviation over one period.
type rhythm struct {
	mean      float64 // seconds
	amplitude [harmonics]float64
	phase     [harmonics]float64 // turns
}

func newRhythm(src source, mean, deviation, lfhf float64) *rhythm {
	r := &rhythm{mean: mean}
	var total float64
	for k := range r.amplitude {
		f := float64(float64(k+1) / rhythmPeriod)
		power := float64(lfhf*bump(f-mayerHz, bandwidthHz)) + bump(f-respiratoryHz, bandwidthHz)
		r.amplitude[k] = power
		r.phase[k] = src.uniform(0, 1)
		total += power
	}
	for k, power := range r.amplitude {
		r.amplitude[k] = deviation * math.Sqrt(2*power/total)
	}
	return r
}

// at returns the RR interval in seconds that begins at time t.
func (r *rhythm) at(t float64) float64 {
	rr := r.mean
	for k, a := range r.amplitude {
		if a < 1e-6 {
			continue
		}
		_, c := sincos(float64(t*float64(k+1)/rhythmPeriod) + r.phase[k])
		rr += float64(a * c)
	}
	return rr
}

// bump is a Gaussian of unit height.
func bump(x, width float64) float64 {
	u := x / width
	return exp(float64(-0.5 * u * u))
}
