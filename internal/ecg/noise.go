package ecg

// noise is what the electrodes of one wearer pick up besides the heart. Heights are in
// millivolts.
type noise struct {
	hum, humHz, humPhase float64    // mains
	muscle               float64    // standard deviation
	wander               [3]float64 // baseline, by slow sinusoids
	wanderHz             [3]float64
	wanderPhase          [3]float64
	motion               float64 // bumps of moving electrodes per second
}

func drawNoise(src source) noise {
	n := noise{humHz: 50, humPhase: src.uniform(0, 1)}
	if src.chance(0.5) {
		n.humHz = 60
	}
	n.hum = src.uniform(0, 0.05)
	level := src.uniform(0.1, 0.25)
	n.muscle = level * level
	for i := range n.wander {
		n.wander[i] = src.uniform(0, 0.1)
		n.wanderHz[i] = src.uniform(0.05, 0.5)
		n.wanderPhase[i] = src.uniform(0, 1)
	}
	n.motion = src.uniform(0, 0.15)
	return n
}

// add adds hum, muscle noise and wander to a signal at the given rate.
func (n *noise) add(src source, signal []float64, rate float64) {
	for i := range signal {
		t := float64(float64(i) / rate)
		v, _ := sincos(float64(t*n.humHz) + n.humPhase)
		v = float64(v * n.hum)
		for k, height := range n.wander {
			w, _ := sincos(float64(t*n.wanderHz[k]) + n.wanderPhase[k])
			v += float64(height * w)
		}
		signal[i] += v + float64(n.muscle*src.normal())
	}
}

// bumps adds the disturbances of moving electrodes that are too slow to deceive a beat
// detector.
func (n *noise) bumps(src source, signal []float64, rate float64) {
	for t := src.uniform(0, 4); n.motion > 0 && t < float64(len(signal))/rate; {
		width := src.uniform(0.08, 0.3)
		height := src.uniform(0.1, 0.5) * src.sign()
		addShape(signal, rate, t, float64(4*width), func(s float64) float64 { return float64(height * bump(s, width)) })
		t += src.uniform(0.2, 1.8) / n.motion
	}
}

// disturb adds a disturbance at time t that a detector takes for a beat of about the
// given height: a spike, a knock with its rebound, a lost and regained contact, or a
// burst of muscle.
func disturb(src source, signal []float64, rate, t, height float64) {
	height *= src.uniform(0.5, 1.6) * src.sign()
	switch kind := src.uniform(0, 4); {
	case kind < 1:
		width := src.uniform(0.008, 0.04)
		addShape(signal, rate, t, float64(4*width), func(s float64) float64 { return float64(height * bump(s, width)) })
	case kind < 2:
		width := src.uniform(0.015, 0.05)
		back := src.uniform(0.3, 1)
		gap := float64(width * src.uniform(1.5, 3))
		addShape(signal, rate, t, gap+float64(4*width), func(s float64) float64 {
			return float64(height*bump(s, width)) - float64(height*back*bump(s-gap, 1.3*width))
		})
	case kind < 3:
		decay := src.uniform(0.05, 0.3)
		addShape(signal, rate, t, float64(8*decay), func(s float64) float64 {
			if s < 0 {
				return float64(height * bump(s, 0.006))
			}
			return float64(height * exp(-s/decay))
		})
	default:
		width := src.uniform(0.03, 0.12)
		addShape(signal, rate, t, float64(4*width), func(s float64) float64 {
			return float64(0.6 * height * src.normal() * bump(s, width))
		})
	}
}

// addShape adds shape, a function of seconds from t, within reach seconds of t.
func addShape(signal []float64, rate, t, reach float64, shape func(float64) float64) {
	first := max(int((t-reach)*rate), 0)
	last := min(int((t+reach)*rate), len(signal)-1)
	for i := first; i <= last; i++ {
		signal[i] += float64(shape(float64(float64(i)/rate) - t))
	}
}
