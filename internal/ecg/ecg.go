// Package ecg makes synthetic single-lead electrocardiograms with labelled beats, by
// the dynamical model of P. E. McSharry, G. D. Clifford, L. Tarassenko and L. A. Smith,
// "A dynamical model for generating synthetic electrocardiogram signals", IEEE
// Transactions on Biomedical Engineering 50(3), 2003.
//
// It exists to give Edgewise an example with data of its own. The signals are made by
// equations, no patient was measured, and nothing trained or scored on them may be
// used for a medical purpose.
//
// The same seed gives the same bytes on every platform. Therefore the package calls no
// transcendental function of package math (their last bits depend on the architecture)
// and writes every product that is added to something as float64(a*b), which the
// language defines to round, so that no compiler may contract it to a fused
// multiply-add.
package ecg

import "math"

const (
	// SampleRate is the sampling frequency of windows in Hz.
	SampleRate = 128
	// Window is the number of samples in one window: two seconds.
	Window = 256
	// Peak is the index of a window at which the beat detector fired: the R peak, give
	// or take the detector's jitter. More lies before it than after it, because the
	// distance to the beat before tells a premature beat.
	Peak = 144
	// Microvolts is the value of one step of an int16 sample.
	Microvolts = 5
)

// Seeds of the data sets. Subjects are drawn from the seed and a counter, so that no two
// seeds share a subject.
const (
	TrainSeed       uint64 = 1
	ValidationSeed  uint64 = 2
	CalibrationSeed uint64 = 3
	EvaluationSeed  uint64 = 4
)

// Class is the label of a beat, after the five groups of ANSI/AAMI EC57.
type Class uint8

// The classes. What distinguishes them is set down where their beats are made.
const (
	Normal        Class = iota // sinus rhythm, with or without bundle branch block
	Supra                      // atrial premature beat
	Ventricular                // ventricular premature beat
	Fusion                     // of a sinus and a ventricular beat
	Artefact                   // no beat: the detector fired on a disturbance
	numberClasses = int(Artefact) + 1
)

// String returns the letter that EC57 gives the class.
func (c Class) String() string { return string("NSVFQ"[c]) }

// Names returns the names of the classes in the order of their labels.
func Names() []string {
	return []string{"N normal", "S atrial premature", "V ventricular premature", "F fusion", "Q artefact"}
}

// Windows returns n windows of Window samples, one after another in x, and the Class of
// each. They come from as many subjects as it takes, WindowsPerSubject from each, and a
// smaller n gives a prefix of a larger one.
func Windows(seed uint64, n int) (x []int16, labels []int) {
	x = make([]int16, 0, n*Window)
	labels = make([]int, 0, n)
	for subject := uint64(0); len(labels) < n; subject++ {
		s := newSubject(newSource(seed, subject))
		signal, marks := s.record()
		for _, m := range marks[:min(len(marks), n-len(labels))] {
			x = append(x, signal[m.sample-Peak:m.sample-Peak+Window]...)
			labels = append(labels, int(m.class))
		}
	}
	return x, labels
}

// Dataset is Windows with each window normalized as Normalize does.
func Dataset(seed uint64, n int) (x []float32, labels []int) {
	raw, labels := Windows(seed, n)
	x = make([]float32, len(raw))
	for i := 0; i < len(raw); i += Window {
		Normalize(x[i:i+Window], raw[i:i+Window])
	}
	return x, labels
}

// Normalize writes src to dst with its mean taken off and its standard deviation made
// one. A flat window becomes zeros. It is what the classifier expects of every window,
// in training as on the device; the units of src do not matter. The sums are integers
// and so exact. It panics when dst is shorter than src.
func Normalize(dst []float32, src []int16) {
	var sum, squares int64
	for _, v := range src {
		sum += int64(v)
		squares += int64(v) * int64(v)
	}
	n := int64(len(src))
	// n² times the variance; below 2^63 for windows of up to 2^16 samples.
	spread := n*squares - sum*sum
	if spread <= 0 {
		clear(dst[:len(src)])
		return
	}
	scale := 1 / math.Sqrt(float64(spread))
	for i, v := range src {
		dst[i] = float32(float64(n*int64(v)-sum) * scale)
	}
}
