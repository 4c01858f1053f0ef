package engine

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerRecurrent, "", "LSTM", "GRU")
}

// lowerRecurrent makes two steps for each direction of a recurrent layer: one product
// of all time steps with the input weights, and one that walks the time steps.
func lowerRecurrent(l *lowerer, n *graph.Node) string {
	gates := 4
	if n.Op == "GRU" {
		gates = 3
		if n.Attrs.Int("linear_before_reset", 0) == 0 {
			return "linear_before_reset=0 has no kernel"
		}
	}
	x, w, r, b := n.In(0), n.In(1), n.In(2), n.In(3)
	xs, _ := x.Type.Static()
	direction := n.Attrs.String("direction", "forward")
	switch {
	case !isF32(x) || w.Const == nil || r.Const == nil || b != nil && b.Const == nil:
		return "the weights are not constant float32"
	case n.In(4) != nil || n.In(7) != nil || n.Attrs.Has("clip") || n.Attrs.Int("layout", 0) != 0 || n.Attrs.Int("input_forget", 0) != 0:
		return "sequence lengths, peepholes, clip, layout and input_forget have no kernel"
	case !defaultActivations(n, gates):
		return "only the default activations have a kernel"
	}
	steps, batch, input := xs[0], xs[1], xs[2]
	dirs, hidden := r.Const.Dim(0), r.Const.Dim(2)
	width := gates * hidden
	if w.Const.Len() != dirs*width*input || r.Const.Len() != dirs*width*hidden || b != nil && b.Const.Len() != dirs*2*width {
		return "the weights do not fit each other"
	}
	in := l.plain(x)
	var initial [2]*ref
	for i, v := range []*graph.Value{n.In(5), n.In(6)} {
		if v != nil {
			initial[i] = l.plain(v)
		}
	}
	temp := func(name string, shape ...int) *ref {
		t := &ref{dtype: tensor.Float32, shape: shape, strides: tensor.Strides(shape), buf: &buffer{name: n.Label() + "_" + name}}
		t.buf.size = t.span()
		return t
	}
	var outs [3]*ref
	for i, v := range n.Outputs {
		if v != nil {
			s, _ := v.Type.Static()
			outs[i] = l.make(v, tensor.Strides(s), nil)
		}
	}
	for d := range dirs {
		bias, recBias := make([]float32, width), []float32(nil)
		if b != nil {
			bw, br := b.Const.F32()[2*d*width:][:width], b.Const.F32()[(2*d+1)*width:][:width]
			copy(bias, bw)
			if n.Op == "GRU" {
				recBias = br // the reset gate works on it
			} else {
				for i, v := range br {
					bias[i] += v
				}
			}
		}
		sx := rowsShape(steps*batch, input, width)
		sr := rowsShape(batch, hidden, width)
		sr.ResStride = width
		convX, err := kernel.NewConvF32(l.level, sx, w.Const.F32()[d*width*input:][:width*input], bias, kernel.Act{}, false, l.packing())
		if err != nil {
			panic("engine: an input product of a recurrent layer was refused: " + err.Error())
		}
		convR, err := kernel.NewConvF32(l.level, sr, r.Const.F32()[d*width*hidden:][:width*hidden], recBias, kernel.Act{}, n.Op == "LSTM", l.packing())
		if err != nil {
			panic("engine: a recurrent product was refused: " + err.Error())
		}
		l.plan.weights += 4 * width * (input + hidden + 1)
		c := &recurrence{level: l.level, conv: convR, steps: steps, batch: batch, hidden: hidden, dirs: dirs, dir: d,
			reverse: d == 1 || direction == "reverse", initial: initial, outs: outs}
		c.terms, c.gates = temp("terms", steps*batch, width), temp("gates", batch, width)
		c.h, c.c = temp("h", batch, hidden), temp("c", batch, hidden)
		g := &group{nodes: []*graph.Node{n}}
		l.addConvF32(g, convX, int64(steps)*int64(batch)*int64(width)*int64(input), c.terms, in, nil)
		st := &step{name: n.Label(), op: n.Op, kernel: "recurrence " + convR.Name(), macs: int64(steps) * int64(batch) * int64(width) * int64(hidden),
			reads: []*ref{c.terms}, writes: []*ref{c.gates, c.h, c.c}, units: 1, scratch: convR.ScratchBytes()}
		for _, r := range initial {
			if r != nil {
				st.reads = append(st.reads, r)
			}
		}
		for _, r := range outs {
			if r != nil {
				st.writes = append(st.writes, r)
			}
		}
		if n.Op == "LSTM" {
			st.run = func(s *Session, worker, _, _ int) { c.run(s, s.scratch[worker], lstmCell) }
		} else {
			st.run = func(s *Session, worker, _, _ int) { c.run(s, s.scratch[worker], gruCell) }
		}
		l.add(st)
	}
	return ""
}

func defaultActivations(n *graph.Node, gates int) bool {
	one := []string{"Sigmoid", "Tanh", "Tanh"}[:gates-1]
	acts := n.Attrs.Strings("activations")
	return len(acts) == 0 || slices.Equal(acts, one) || slices.Equal(acts, append(slices.Clone(one), one...))
}

// recurrence walks the time steps of one direction.
type recurrence struct {
	level                           cpu.Level
	conv                            *kernel.ConvF32 // hidden state to gates
	steps, batch, hidden, dirs, dir int
	reverse                         bool
	initial                         [2]*ref // h and c, nil: zero
	outs                            [3]*ref // Y, Y_h, Y_c, nil: not asked for
	terms                           *ref    // of the input, [steps·batch, gates·hidden]
	gates, h, c                     *ref    // of one time step
}

type cellFunc func(l cpu.Level, gates, terms, h, c []float32)

func (r *recurrence) run(s *Session, scratch []byte, cell cellFunc) {
	size := r.batch * r.hidden
	h, c, gates, terms := s.f32(r.h), s.f32(r.c), s.f32(r.gates), s.f32(r.terms)
	for i, state := range [][]float32{h, c} {
		if r.initial[i] == nil {
			clear(state)
			continue
		}
		copy(state, s.f32(r.initial[i])[r.dir*size:][:size])
	}
	width := len(gates) / r.batch
	for i := range r.steps {
		t := i
		if r.reverse {
			t = r.steps - 1 - i
		}
		now := terms[t*len(gates) : (t+1)*len(gates)]
		r.conv.Run(gates, h, now, scratch, 0, r.conv.Units())
		for b := range r.batch {
			cell(r.level, gates[b*width:(b+1)*width], now[b*width:(b+1)*width], h[b*r.hidden:(b+1)*r.hidden], c[b*r.hidden:(b+1)*r.hidden])
		}
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

var (
	sigmoid = kernel.Act{Kind: kernel.ActSigmoid}
	tanh    = kernel.Act{Kind: kernel.ActTanh}
)

// lstmCell advances one row: gates, in the order input, output, forget, cell, hold all
// terms already.
func lstmCell(l cpu.Level, gates, _, h, c []float32) {
	n := len(h)
	sigmoid.Apply(l, gates[:3*n], gates[:3*n])
	in, out, forget, cell := gates[:n], gates[n:2*n], gates[2*n:3*n], gates[3*n:]
	tanh.Apply(l, cell, cell)
	kernel.Mul.Apply(l, c, c, forget)
	kernel.Mul.Apply(l, cell, cell, in)
	kernel.Add.Apply(l, c, c, cell)
	tanh.Apply(l, cell, c)
	kernel.Mul.Apply(l, h, out, cell)
}

// gruCell advances one row: gates, in the order update, reset, hidden, hold the terms of
// the state, terms those of the input. The reset gate scales the state's hidden term.
func gruCell(l cpu.Level, gates, terms, h, _ []float32) {
	n := len(h)
	kernel.Add.Apply(l, gates[:2*n], gates[:2*n], terms[:2*n])
	sigmoid.Apply(l, gates[:2*n], gates[:2*n])
	update, reset, hidden := gates[:n], gates[n:2*n], gates[2*n:]
	kernel.Mul.Apply(l, hidden, hidden, reset)
	kernel.Add.Apply(l, hidden, hidden, terms[2*n:])
	tanh.Apply(l, hidden, hidden)
	// h = update·h + (1-update)·hidden
	kernel.Sub.Apply(l, h, h, hidden)
	kernel.Mul.Apply(l, h, h, update)
	kernel.Add.Apply(l, h, h, hidden)
}
