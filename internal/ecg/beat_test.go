package ecg

import (
	"math"
	"testing"
)

// subjects calls f for a number of wearers.
func subjects(n int, f func(*subject)) {
	for i := range n {
		f(newSubject(newSource(77, uint64(i))))
	}
}

func TestHeartRatesOfSubjects(t *testing.T) {
	var sum float64
	const n = 300
	subjects(n, func(s *subject) {
		if s.rr < 0.60 || s.rr > 1.10 {
			t.Errorf("mean RR interval is %.2f s", s.rr)
		}
		sum += s.rr
	})
	if mean := sum / n; math.Abs(mean-0.85) > 0.03 {
		t.Errorf("mean over all subjects is %.3f s", mean)
	}
}

func TestVentricularBeats(t *testing.T) {
	subjects(200, func(s *subject) {
		b := s.draw(Ventricular).events
		if b[waveP].height != 0 {
			t.Error("a ventricular beat has a P wave")
		}
		if b[waveR].height*b[waveT].height >= 0 {
			t.Error("T wave is not discordant")
		}
		// A normal R wave is 16 ms wide (standard deviation), up to 30 in a block.
		if w := b[waveR].width; w < 0.024 || w > 0.056 {
			t.Errorf("R wave is %.0f ms wide", 1000*w)
		}
		before, after := s.prematurity(Ventricular)
		if before > 0.9 || math.Abs(before+after-2) > 1e-12 {
			t.Errorf("intervals %.2f and %.2f are not premature with a full pause", before, after)
		}
	})
}

func TestAtrialBeats(t *testing.T) {
	subjects(200, func(s *subject) {
		b := s.draw(Supra).events
		if limit := 0.9 * s.sinus[waveP].height; b[waveP].height > limit {
			t.Errorf("P wave of %.3f mV is not altered from %.3f", b[waveP].height, s.sinus[waveP].height)
		}
		if math.Signbit(b[waveT].height) != math.Signbit(s.sinus[waveT].height) {
			t.Error("repolarization differs from that of a normal beat")
		}
		before, after := s.prematurity(Supra)
		if before > 0.8 || before+after >= 2 || after < 1 {
			t.Errorf("intervals %.2f and %.2f are not premature with a short pause", before, after)
		}
	})
}

func TestFusionLiesBetween(t *testing.T) {
	subjects(200, func(s *subject) {
		b := s.draw(Fusion).events
		lo, hi := s.sinus[waveR].width, s.ectopic[waveR].width
		if lo > hi {
			lo, hi = hi, lo
		}
		if w := b[waveR].width; w < 0.85*lo || w > 1.15*hi {
			t.Errorf("R wave of %.1f ms is not between %.1f and %.1f", 1000*w, 1000*lo, 1000*hi)
		}
		if b[waveP].height == 0 {
			t.Error("a fusion beat lacks the P wave")
		}
		if before, _ := s.prematurity(Fusion); before < 0.9 || before > 1 {
			t.Errorf("comes at %.2f of the interval", before)
		}
	})
}

// A script labels WindowsPerSubject places, leaves room for a window around each and has
// no interval a heart could not keep.
func TestScripts(t *testing.T) {
	subjects(200, func(s *subject) {
		beats, artefact, first := s.script()
		var at float64
		for i, b := range beats {
			if b.rr < 0.2 || b.rr > 2.6 {
				t.Errorf("interval after beat %d (%s) is %.2f s", i, b.class, b.rr)
			}
			if artefact[i] != 0 && i < first-1 {
				t.Errorf("artefact at beat %d before the first labelled one, %d", i, first)
			}
			if i < first {
				at += b.rr
			}
		}
		if at < lead {
			t.Errorf("first label at %.2f s", at)
		}
	})
	subjects(20, func(s *subject) {
		signal, marks := s.record()
		if len(marks) != WindowsPerSubject {
			t.Fatalf("%d marks", len(marks))
		}
		for i, m := range marks {
			if m.sample < Peak || m.sample-Peak+Window > len(signal) {
				t.Errorf("mark at sample %d of %d", m.sample, len(signal))
			}
			if i > 0 && m.sample < marks[i-1].sample {
				t.Error("marks are out of order")
			}
		}
	})
}
