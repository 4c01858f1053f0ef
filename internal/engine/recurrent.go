package engine

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerRecurrent, "", "LSTM", "GRU", "RNN")
}

// lowerRecurrent makes two steps for each direction of a recurrent layer: one product
// of all time steps with the input weights, and one that walks the time steps.
func lowerRecurrent(l *lowerer, n *graph.Node) string {
	gates := map[string]int{"LSTM": 4, "GRU": 3, "RNN": 1}[n.Op]
	x, w, r, b := n.In(0), n.In(1), n.In(2), n.In(3)
	xs, _ := x.Type.Static()
	direction := n.Attrs.String("direction", "forward")
	switch {
	case !isF32(x, w, r, b, n.In(7)) || w.Const == nil || r.Const == nil || b != nil && b.Const == nil || n.In(7) != nil && n.In(7).Const == nil:
		return "the weights are not constant float32"
	case n.In(4) != nil || n.Attrs.Has("clip") || n.Attrs.Int("layout", 0) != 0 || n.Attrs.Int("input_forget", 0) != 0:
		return "sequence lengths, clip, layout and input_forget have no kernel"
	}
	steps, batch, input := xs[0], xs[1], xs[2]
	dirs, hidden := r.Const.Dim(0), r.Const.Dim(2)
	width := gates * hidden
	acts, ok := cellActs(n, dirs)
	if !ok {
		return "its activations have no kernel"
	}
	p := n.In(7)
	if p != nil && p.Const.Len() != dirs*3*hidden || w.Const.Len() != dirs*width*input || r.Const.Len() != dirs*width*hidden || b != nil && b.Const.Len() != dirs*2*width {
		return "the weights do not fit each other"
	}
	in := l.plain(x)
	var initial [2]*ref
	for i, v := range []*graph.Value{n.In(5), n.In(6)} {
		if v == nil {
			continue
		}
		// Inference does not look at these.
		if s, _ := v.Type.Static(); !isF32(v) || !slices.Equal(s, []int{dirs, batch, hidden}) {
			return "an initial state does not fit the weights"
		}
		initial[i] = l.plain(v)
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
	linear := n.Attrs.Int("linear_before_reset", 0) != 0
	for d := range dirs {
		bias, recBias := make([]float32, width), []float32(nil)
		if b != nil {
			bw, br := b.Const.F32()[2*d*width:][:width], b.Const.F32()[(2*d+1)*width:][:width]
			copy(bias, bw)
			if n.Op == "GRU" && linear {
				recBias = br // the reset gate works on it
			} else {
				for i, v := range br {
					bias[i] += v
				}
			}
		}
		sx := rowsShape(steps*batch, input, width)
		convX, err := kernel.NewConvF32(l.level, sx, w.Const.F32()[d*width*input:][:width*input], bias, kernel.Act{}, false, l.packing())
		if err != nil {
			panic("engine: an input product of a recurrent layer was refused: " + err.Error())
		}
		// state is the product of a state with the weights of gates from … to, written into
		// the gates; added to their terms of the input where residual says so.
		state := func(from, to int, bias []float32, residual bool) *kernel.ConvF32 {
			sr := rowsShape(batch, hidden, (to-from)*hidden)
			sr.OutStride, sr.ResStride = width, width
			conv, err := kernel.NewConvF32(l.level, sr, r.Const.F32()[(d*width+from*hidden)*hidden:][:(to-from)*hidden*hidden], bias, kernel.Act{}, residual, l.packing())
			if err != nil {
				panic("engine: a recurrent product was refused: " + err.Error())
			}
			return conv
		}
		l.plan.weights += 4 * width * (input + hidden + 1)
		c := &recurrence{level: l.level, acts: acts[d], steps: steps, batch: batch, hidden: hidden, dirs: dirs, dir: d,
			reverse: d == 1 || direction == "reverse", initial: initial, outs: outs}
		switch {
		case n.Op == "GRU" && linear:
			c.conv, c.advance = state(0, 3, recBias, false), (*recurrence).gruLinear
		case n.Op == "GRU":
			c.conv, c.reset, c.advance = state(0, 2, nil, true), state(2, 3, nil, true), (*recurrence).gru
		case n.Op == "RNN":
			c.conv, c.advance = state(0, 1, nil, true), (*recurrence).rnn
		case p != nil:
			c.conv, c.peep, c.advance = state(0, 4, nil, true), p.Const.F32()[d*3*hidden:][:3*hidden], (*recurrence).lstmPeep
		default:
			c.conv, c.advance = state(0, 4, nil, true), (*recurrence).lstm
		}
		c.terms, c.gates = temp("terms", steps*batch, width), temp("gates", batch, width)
		c.h, c.c = temp("h", batch, hidden), temp("c", batch, hidden)
		g := &group{nodes: []*graph.Node{n}}
		l.addConvF32(g, convX, int64(steps)*int64(batch)*int64(width)*int64(input), c.terms, in, nil)
		st := &step{name: n.Label(), op: n.Op, kernel: "recurrence " + c.conv.Name(), macs: int64(steps) * int64(batch) * int64(width) * int64(hidden),
			reads: []*ref{c.terms}, writes: []*ref{c.gates, c.h, c.c}, units: 1, scratch: c.conv.ScratchBytes()}
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
		st.run = func(s *Session, worker, _, _ int) { c.run(s, s.scratch[worker]) }
		l.add(st)
	}
	return ""
}
