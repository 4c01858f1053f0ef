package engine

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

// cellActs returns the activations of every direction of a recurrent layer, in the order
// of the ONNX operators; ok is false where one has no kernel.
func cellActs(n *graph.Node, dirs int) (acts [][3]kernel.Act, ok bool) {
	defaults := map[string][]string{"LSTM": {"Sigmoid", "Tanh", "Tanh"}, "GRU": {"Sigmoid", "Tanh"}, "RNN": {"Tanh"}}[n.Op]
	names := n.Attrs.Strings("activations")
	if len(names) > 0 && (len(names) < dirs*len(defaults) || n.Attrs.Has("activation_alpha") || n.Attrs.Has("activation_beta")) {
		return nil, false
	}
	acts = make([][3]kernel.Act, dirs)
	for d := range dirs {
		for i, name := range defaults {
			if len(names) > 0 {
				name = names[d*len(defaults)+i]
			}
			switch name {
			case "Sigmoid":
				acts[d][i] = kernel.Act{Kind: kernel.ActSigmoid}
			case "Tanh":
				acts[d][i] = kernel.Act{Kind: kernel.ActTanh}
			case "Relu":
				acts[d][i] = kernel.Act{Kind: kernel.ActClamp, Hi: float32(math.Inf(1))}
			case "HardSigmoid":
				acts[d][i] = kernel.Act{Kind: kernel.ActHardSigmoid, Alpha: 0.2, Beta: 0.5}
			default:
				return nil, false
			}
		}
	}
	return acts, true
}

// recurrence walks the time steps of one direction.
type recurrence struct {
	level                           cpu.Level
	acts                            [3]kernel.Act
	conv                            *kernel.ConvF32 // state to gates
	reset                           *kernel.ConvF32 // of GRU: state after the reset gate to the hidden gate
	peep                            []float32       // of LSTM: weights of the cell on the gates input, output, forget
	advance                         advance
	steps, batch, hidden, dirs, dir int
	reverse                         bool
	initial                         [2]*ref // h and c, nil: zero
	outs                            [3]*ref // Y, Y_h, Y_c, nil: not asked for
	terms                           *ref    // of the input, [steps·batch, gates·hidden]
	gates, h, c                     *ref    // of one time step
}

// advance computes one time step: gates is room for all gates of the batch, terms holds
// those of the input, h and c the state.
type advance func(r *recurrence, gates, terms, h, c []float32, scratch []byte)

func (r *recurrence) run(s *Session, scratch []byte) {
	size := r.batch * r.hidden
	h, c, gates, terms := s.f32(r.h), s.f32(r.c), s.f32(r.gates), s.f32(r.terms)
	for i, state := range [][]float32{h, c} {
		if r.initial[i] == nil {
			clear(state)
			continue
		}
		copy(state, s.f32(r.initial[i])[r.dir*size:][:size])
	}
	for i := range r.steps {
		t := i
		if r.reverse {
			t = r.steps - 1 - i
		}
		r.advance(r, gates, terms[t*len(gates):(t+1)*len(gates)], h, c, scratch)
		if r.outs[0] != nil {
			copy(s.f32(r.outs[0])[(t*r.dirs+r.dir)*size:], h)
		}
	}
	for i, state := range [][]float32{h, c} {
		if out := r.outs[1+i]; out != nil {
			copy(s.f32(out)[r.dir*size:], state)
		}
	}
}

// row returns the part of row b.
func row(v []float32, b, width int) []float32 { return v[b*width : (b+1)*width] }

// lstm has its gates in the order input, output, forget, cell.
func (r *recurrence) lstm(gates, terms, h, c []float32, scratch []byte) {
	r.conv.Run(gates, h, terms, scratch, 0, r.conv.Units())
	l, n := r.level, r.hidden
	for b := range r.batch {
		g, h, c := row(gates, b, 4*n), row(h, b, n), row(c, b, n)
		r.acts[0].Apply(l, g[:3*n], g[:3*n])
		in, out, forget, cell := g[:n], g[n:2*n], g[2*n:3*n], g[3*n:]
		r.acts[1].Apply(l, cell, cell)
		kernel.Mul.Apply(l, c, c, forget)
		kernel.Mul.Apply(l, cell, cell, in)
		kernel.Add.Apply(l, c, c, cell)
		r.acts[2].Apply(l, cell, c)
		kernel.Mul.Apply(l, h, out, cell)
	}
}

// lstmPeep is lstm where the gates see the cell, the output gate its new state.
func (r *recurrence) lstmPeep(gates, terms, h, c []float32, scratch []byte) {
	r.conv.Run(gates, h, terms, scratch, 0, r.conv.Units())
	l, n := r.level, r.hidden
	for b := range r.batch {
		g, h, c := row(gates, b, 4*n), row(h, b, n), row(c, b, n)
		// h is free until the step ends.
		gate := func(i int) []float32 {
			v := g[i*n : (i+1)*n]
			kernel.Mul.Apply(l, h, c, r.peep[i*n:(i+1)*n])
			kernel.Add.Apply(l, v, v, h)
			r.acts[0].Apply(l, v, v)
			return v
		}
		in, forget, cell := gate(0), gate(2), g[3*n:]
		r.acts[1].Apply(l, cell, cell)
		kernel.Mul.Apply(l, c, c, forget)
		kernel.Mul.Apply(l, cell, cell, in)
		kernel.Add.Apply(l, c, c, cell)
		out := gate(1)
		r.acts[2].Apply(l, cell, c)
		kernel.Mul.Apply(l, h, out, cell)
	}
}

// gruLinear has its gates in the order update, reset, hidden; the reset gate scales the
// state's term of the hidden gate.
func (r *recurrence) gruLinear(gates, terms, h, _ []float32, scratch []byte) {
	r.conv.Run(gates, h, nil, scratch, 0, r.conv.Units())
	l, n := r.level, r.hidden
	for b := range r.batch {
		g, t := row(gates, b, 3*n), row(terms, b, 3*n)
		kernel.Add.Apply(l, g[:2*n], g[:2*n], t[:2*n])
		r.acts[0].Apply(l, g[:2*n], g[:2*n])
		hidden := g[2*n:]
		kernel.Mul.Apply(l, hidden, hidden, g[n:2*n])
		kernel.Add.Apply(l, hidden, hidden, t[2*n:])
		r.blend(g[:n], hidden, row(h, b, n))
	}
}

// gru is gruLinear where the reset gate scales the state before its product.
func (r *recurrence) gru(gates, terms, h, reset []float32, scratch []byte) {
	r.conv.Run(gates, h, terms, scratch, 0, r.conv.Units())
	l, n := r.level, r.hidden
	for b := range r.batch {
		g := row(gates, b, 3*n)
		r.acts[0].Apply(l, g[:2*n], g[:2*n])
		kernel.Mul.Apply(l, row(reset, b, n), row(h, b, n), g[n:2*n])
	}
	r.reset.Run(gates[2*n:], reset, terms[2*n:], scratch, 0, r.reset.Units())
	for b := range r.batch {
		g := row(gates, b, 3*n)
		r.blend(g[:n], g[2*n:], row(h, b, n))
	}
}

// blend is h = update·h + (1-update)·f(hidden).
func (r *recurrence) blend(update, hidden, h []float32) {
	l := r.level
	r.acts[1].Apply(l, hidden, hidden)
	kernel.Sub.Apply(l, h, h, hidden)
	kernel.Mul.Apply(l, h, h, update)
	kernel.Add.Apply(l, h, h, hidden)
}

func (r *recurrence) rnn(gates, terms, h, _ []float32, scratch []byte) {
	r.conv.Run(gates, h, terms, scratch, 0, r.conv.Units())
	r.acts[0].Apply(r.level, h, gates)
}
