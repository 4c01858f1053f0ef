package engine

import "fmt"

// updateEarly orders the steps of a plan whose last outputs are the new values of its last
// inputs (Options.States), and lie where those lie: a step that writes one comes after all
// that read the old value, and as soon as that and what it reads allow, so that the gradients
// of weights do not wait for each other.
func (p *Plan) updateEarly(states int) error {
	firstIn, firstOut := len(p.inputs)-states, len(p.outputs)-states
	state := func(b *buffer) (k int, ok bool) {
		return b.index - firstOut, b.place == inOutput && b.index >= firstOut
	}
	free := make([]bool, len(p.steps)) // to run earlier
	for i, st := range p.steps {
		free[i] = len(st.writes) > 0
		for _, r := range st.writes {
			_, ok := state(r.buf)
			free[i] = free[i] && ok
		}
	}
	// Steps run by their place, and among those of one place in their order.
	made := map[*buffer]int{} // the place from which on a buffer holds its contents
	read := make([]int, states)
	wrote := make([]bool, states)
	after := make([][]*step, len(p.steps))
	for i, st := range p.steps {
		at := i
		if free[i] {
			at = 0
			for _, r := range st.reads {
				at = max(at, made[r.buf])
			}
			for _, r := range st.writes {
				if k, ok := state(r.buf); ok {
					at = max(at, read[k])
				}
			}
		}
		for _, r := range st.reads {
			if k := r.buf.index - firstIn; r.buf.place == inInput && k >= 0 {
				if wrote[k] {
					return fmt.Errorf("step %s reads %s after its new value has been written", st.name, r.buf.name)
				}
				read[k] = max(read[k], at)
			}
		}
		for _, r := range st.writes {
			made[r.buf] = max(made[r.buf], at)
			if k, ok := state(r.buf); ok {
				wrote[k] = true
			}
		}
		after[at] = append(after[at], st)
	}
	steps := p.steps[:0:0]
	for _, list := range after {
		steps = append(steps, list...)
	}
	p.steps = steps
	return nil
}
