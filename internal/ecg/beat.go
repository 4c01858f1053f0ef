package ecg

import "math"

// sinusBeat is the paper's Table I in time and millivolts, at 60 beats per minute and an
// R wave of 1 mV.
var sinusBeat = [waves]event{
	waveP: {at: -1. / 6, width: 0.25 / (2 * math.Pi), height: 0.25},
	waveQ: {at: -1. / 24, width: 0.1 / (2 * math.Pi), height: -1. / 6},
	waveR: {at: 0, width: 0.1 / (2 * math.Pi), height: 1},
	waveS: {at: 1. / 24, width: 0.1 / (2 * math.Pi), height: -0.25},
	waveT: {at: 0.25, width: 0.4 / (2 * math.Pi), height: 0.4},
}

// subject is one wearer: the shapes of the beats and the rhythm, drawn once.
type subject struct {
	src      source
	rr       float64 // mean RR interval, seconds
	rhythm   *rhythm
	sinus    [waves]event // normal beat
	ectopic  [waves]event // beat of the one ventricular focus
	atrialP  float64      // factor of the P wave of atrial premature beats
	coupling float64      // of ventricular beats, part of the RR interval
	prone    [numberClasses]float64
	noise    noise
}

func newSubject(src source) *subject {
	s := &subject{src: src}
	s.rr = src.uniform(0.60, 1.10)
	deviation := s.rr * src.uniform(0.015, 0.045)
	s.rhythm = newRhythm(src, s.rr, deviation, src.uniform(0.3, 2)) // the paper has 0.5
	s.drawSinus()
	s.drawEctopic()
	s.atrialP = src.uniform(-0.6, 0.4)
	s.coupling = src.uniform(0.55, 0.80)
	for c, odds := range [numberClasses]float64{24, 24, 22, 20, 20} {
		s.prone[c] = odds * src.uniform(0.5, 1.5)
	}
	s.noise = drawNoise(src)
	return s
}

// drawSinus varies the normal beat from wearer to wearer: height and width of every
// wave, the axis (deep S), flat and inverted T, low P, and in one of eight a bundle
// branch block, whose wide QRS and discordant T still count as normal.
func (s *subject) drawSinus() {
	src := s.src
	s.sinus = sinusBeat
	gain := src.uniform(0.6, 1.5) // of skin and electrodes
	// Waves move with the square root of the interval, as in Bazett's formula.
	pace := math.Sqrt(s.rr)
	for i := range s.sinus {
		e := &s.sinus[i]
		e.height *= gain * src.around(1, 0.2)
		e.width *= src.around(1, 0.12)
		e.at *= src.around(1, 0.08)
	}
	s.sinus[waveT].at *= pace
	s.sinus[waveT].width *= pace
	s.sinus[waveP].at *= math.Sqrt(pace)
	s.sinus[waveP].height *= src.uniform(0.25, 1.2)
	s.sinus[waveS].height *= src.uniform(0.2, 2.2)
	s.sinus[waveT].height *= src.uniform(0.3, 1.4)
	if src.chance(0.08) {
		s.sinus[waveT].height *= -0.6
	}
	if src.chance(0.125) {
		s.sinus[waveQ].height *= 0.2
		s.sinus[waveR].width *= src.uniform(1.4, 1.9)
		s.sinus[waveS].width *= src.uniform(1.5, 2.2)
		s.sinus[waveS].at *= 1.5
		s.sinus[waveT].height = -0.7 * math.Abs(s.sinus[waveT].height)
	}
}

// drawEctopic makes the beat of a ventricular focus: no P, a wide and mostly tall QRS,
// and a T against the QRS.
func (s *subject) drawEctopic() {
	src := s.src
	r := math.Abs(s.sinus[waveR].height) * src.uniform(0.7, 1.6)
	if src.chance(0.25) {
		r = -r
	}
	wide := src.uniform(0.028, 0.048)
	s.ectopic = [waves]event{
		waveP: {at: -0.2, width: 0.04, height: 0},
		waveQ: {at: -2.2 * wide, width: 0.6 * wide, height: -0.15 * r},
		waveR: {at: 0, width: wide, height: r},
		waveS: {at: src.uniform(2, 2.5) * wide, width: 0.9 * wide, height: -r * src.uniform(0.05, 0.5)},
		waveT: {at: src.uniform(0.29, 0.35), width: src.uniform(0.06, 0.09), height: -r * src.uniform(0.2, 0.5)},
	}
}

// draw returns a beat of a class, with rr not yet set: the shapes of the subject with
// what changes from beat to beat.
func (s *subject) draw(class Class) beat {
	src := s.src
	b := beat{class: class, events: s.sinus}
	switch class {
	case Supra:
		// Another focus in the atria: the P wave is low, absent or inverted and its
		// distance to the QRS differs. Now and then the conduction is aberrant.
		b.events[waveP].height *= s.atrialP + float64(0.1*src.normal())
		b.events[waveP].at *= src.uniform(0.75, 1.2)
		if src.chance(0.15) {
			b.events[waveR].width *= src.uniform(1.2, 1.6)
			b.events[waveS].width *= src.uniform(1.2, 1.6)
		}
	case Ventricular:
		b.events = s.ectopic
	case Fusion:
		// Both foci activate a part of the ventricles.
		share := src.uniform(0.35, 0.65)
		for i := range b.events {
			from, to := s.sinus[i], s.ectopic[i]
			b.events[i] = event{
				at:     mix(from.at, to.at, share),
				width:  mix(from.width, to.width, share),
				height: mix(from.height, to.height, share),
			}
		}
		b.events[waveP].height = s.sinus[waveP].height
		b.events[waveP].at = s.sinus[waveP].at
	}
	// Respiration turns the axis of the heart.
	swell := src.around(1, 0.05)
	for i := range b.events {
		b.events[i].height *= swell * src.around(1, 0.04)
		b.events[i].width *= src.around(1, 0.03)
	}
	return b
}

// prematurity returns the interval before a beat of the class and the one after it, as
// parts of the sinus interval.
func (s *subject) prematurity(class Class) (before, after float64) {
	src := s.src
	switch class {
	case Supra:
		// The sinus node is reset: the pause is less than compensatory.
		return src.uniform(0.58, 0.80), src.uniform(1.0, 1.12)
	case Ventricular:
		// The sinus node goes on: both intervals make two.
		before = min(s.coupling*src.around(1, 0.06), 0.9)
		return before, 2 - before
	case Fusion:
		// The sinus beat was about to come.
		before = src.uniform(0.90, 1.0)
		return before, 2 - before
	}
	return 1, 1
}

func mix(from, to, share float64) float64 { return from + float64(share*(to-from)) }
