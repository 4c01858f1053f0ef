package ecg

import "math"

// event is one extremum of a beat. In the paper an event has an angle θ, a width b and a
// strength a on a limit cycle of angular velocity ω; a beat that comes early would then
// have its waves squeezed with its cycle, which the heart does not do. So events are kept
// in time: θ = ω·at, b = ω·width, a = ω·height/b², which is the same equation and leaves
// a wave of that height and width at any ω. At 60 beats per minute with the values of
// sinusBeat these are the paper's Table I.
type event struct {
	at     float64 // seconds after the R peak
	width  float64 // standard deviation, seconds
	height float64 // millivolts
}

// Indices of the events of a beat.
const (
	waveP = iota
	waveQ
	waveR
	waveS
	waveT
	waves
)

// beat is one turn of the limit cycle.
type beat struct {
	class  Class
	events [waves]event
	rr     float64 // interval to the next R peak, seconds
}

// state is a point of the trajectory: x and y move on the limit cycle, the unit circle,
// and z is the signal in millivolts.
type state struct{ x, y, z float64 }

func (s state) step(d state, h float64) state {
	return state{s.x + float64(h*d.x), s.y + float64(h*d.y), s.z + float64(h*d.z)}
}

// oscillator integrates the three equations of the model over a sequence of beats:
//
//	x' = αx − ωy,  y' = αy + ωx,  α = 1 − √(x²+y²)
//	z' = −Σ a Δθ exp(−Δθ²/2b²) − (z − z0(t))
//
// The angle is not taken modulo one turn: each beat owns its events, and those of the
// beat behind and of the beat ahead act together, so that a premature P falls on the T
// before it.
type oscillator struct {
	beats []beat
	now   int     // the beat whose R peak was passed last
	phase float64 // turns since that R peak, at the point reached
	state state
	time  float64 // seconds

	// The baseline z0 moves with respiration, as in the paper.
	breath   float64 // millivolts
	breathHz float64
}

// newOscillator starts at the R peak of the first beat.
func newOscillator(beats []beat, breath, breathHz float64) *oscillator {
	return &oscillator{beats: beats, state: state{1, 0, 0}, breath: breath, breathHz: breathHz}
}

// turns returns the angle of s in turns since the R peak behind, which may pass one
// within a step.
func (o *oscillator) turns(s state) float64 {
	a := angle(s.x, s.y)
	return a + math.Floor(o.phase-a+0.5)
}

// derivative returns the right-hand side of the equations at s and time t.
func (o *oscillator) derivative(s state, t float64) state {
	rr := o.beats[o.now].rr
	omega := 2 * math.Pi / rr
	alpha := 1 - math.Sqrt(float64(s.x*s.x)+float64(s.y*s.y))
	breath, _ := sincos(t * o.breathHz)
	since := float64(o.turns(s) * rr)
	z := float64(o.breath*breath) - s.z - pull(&o.beats[o.now].events, since)
	if o.now+1 < len(o.beats) {
		z -= pull(&o.beats[o.now+1].events, since-rr)
	}
	return state{
		x: float64(alpha*s.x) - float64(omega*s.y),
		y: float64(alpha*s.y) + float64(omega*s.x),
		z: z,
	}
}

// pull returns Σ a Δθ exp(−Δθ²/2b²) over the events of a beat, at a number of seconds
// after its R peak.
func pull(events *[waves]event, since float64) float64 {
	var sum float64
	for i := range events {
		e := &events[i]
		u := (since - e.at) / e.width
		if u < -5 || u > 5 || e.height == 0 {
			continue // below 2e-5 of the event
		}
		sum += float64(e.height / e.width * u * exp(float64(-0.5*u*u)))
	}
	return sum
}

// advance integrates over h seconds by the classical Runge-Kutta method and reports
// whether an R peak was passed. The angular velocity changes at the end of the step
// that passes one.
func (o *oscillator) advance(h float64) bool {
	s := o.state
	half := float64(h / 2)
	k1 := o.derivative(s, o.time)
	k2 := o.derivative(s.step(k1, half), o.time+half)
	k3 := o.derivative(s.step(k2, half), o.time+half)
	k4 := o.derivative(s.step(k3, h), o.time+h)
	s = s.step(k1, h/6).step(k2, h/3).step(k3, h/3).step(k4, h/6)
	o.phase = o.turns(s)
	o.state = s
	o.time += h
	if o.phase < 1 || o.now+1 == len(o.beats) {
		return false
	}
	o.phase--
	o.now++
	return true
}
