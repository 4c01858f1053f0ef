package ecg

import "math"

const (
	// WindowsPerSubject is how many windows each subject has: few, so that sets of a few
	// hundred show many subjects.
	WindowsPerSubject = 12
	// oversampling is the number of integration steps per sample.
	oversampling = 2
	// lead is the time before the first and after the last labelled beat, in seconds;
	// it covers a window and the transient of z.
	lead = 3.0
)

// mark is a detection: the sample at which the detector fired and what was there.
type mark struct {
	sample int
	class  Class
}

// script draws the sequence of beats of a record and, for some of its beats, the part of
// the interval after it at which an artefact is detected (0 for none). Labelled beats
// and artefacts together number WindowsPerSubject; the beats from first on are labelled.
func (s *subject) script() (beats []beat, artefact []float64, first int) {
	var t float64
	factor := 1.0 // of the interval from the last beat to the next, unless that is early
	put := func(class Class) {
		before, after := s.prematurity(class)
		if n := len(beats); n > 0 {
			// After a premature beat its pause is kept, unless a second one cuts it.
			if before == 1 {
				before = factor
			}
			beats[n-1].rr = float64(s.rhythm.at(t) * before)
			t += beats[n-1].rr
		}
		factor = after
		beats = append(beats, s.draw(class))
		artefact = append(artefact, 0)
	}
	put(Normal)
	for t < lead {
		put(Normal)
	}
	first = len(beats)
	quiet := true // the last beat was normal, without an artefact after it
	for marks := 0; marks < WindowsPerSubject; marks++ {
		class := s.pick(quiet)
		quiet = class == Normal
		if class != Artefact {
			put(class)
			continue
		}
		artefact[len(artefact)-1] = s.src.uniform(0.25, 0.75)
	}
	for last := t; t < last+lead; {
		put(Normal)
	}
	beats[len(beats)-1].rr = s.rr
	return beats, artefact, first
}

// pick draws the class of the next mark. After anything but a normal beat mostly a
// normal one follows.
func (s *subject) pick(quiet bool) Class {
	if !quiet && s.src.chance(0.75) {
		return Normal
	}
	var total float64
	for _, p := range s.prone {
		total += p
	}
	at := s.src.uniform(0, total)
	for c, p := range s.prone {
		if at -= p; at < 0 && (quiet || Class(c) != Artefact) {
			return Class(c)
		}
	}
	return Normal
}

// record makes one record of the subject, in steps of Microvolts at SampleRate, and its
// marks in order.
func (s *subject) record() (signal []int16, marks []mark) {
	beats, artefact, first := s.script()
	const rate = SampleRate * oversampling
	var length float64
	for _, b := range beats[:len(beats)-1] {
		length += b.rr
	}
	detect := func(t float64, class Class) {
		// The beats that lead out are not labelled.
		if len(marks) < WindowsPerSubject {
			jitter := s.src.uniform(-0.02, 0.02)
			marks = append(marks, mark{int(math.Floor((t + jitter) * SampleRate)), class})
		}
	}
	z := make([]float64, int(length*rate))
	var disturbances []float64
	o := newOscillator(beats, s.src.uniform(0, 0.15), respiratoryHz)
	for i := range z {
		z[i] = o.state.z
		if !o.advance(1.0 / rate) {
			continue
		}
		rr := o.beats[o.now].rr
		peak := o.time - float64(o.phase*rr)
		if o.now >= first {
			detect(peak, o.beats[o.now].class)
		}
		if part := artefact[o.now]; part > 0 {
			t := peak + float64(part*rr)
			disturbances = append(disturbances, t)
			detect(t, Artefact)
		}
	}
	height := math.Abs(s.sinus[waveR].height)
	for _, t := range disturbances {
		disturb(s.src, z, rate, t, height)
	}
	s.noise.bumps(s.src, z, rate)
	s.noise.add(s.src, z, rate)
	return sample(z), marks
}

// sample brings a signal in millivolts to the sampling rate and the steps of a converter.
func sample(z []float64) []int16 {
	out := make([]int16, len(z)/oversampling)
	for i := range out {
		var sum float64
		for _, v := range z[i*oversampling : (i+1)*oversampling] {
			sum += v
		}
		steps := math.Floor(float64(sum*(1000./Microvolts/oversampling)) + 0.5)
		out[i] = int16(min(max(steps, math.MinInt16), math.MaxInt16))
	}
	return out
}
