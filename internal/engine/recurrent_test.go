package engine

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestRecurrentLayers(t *testing.T) {
	const steps, batch, input, hidden = 5, 2, 7, 19
	for _, c := range []struct {
		op, direction string
		gates, dirs   int
		initial       bool
		linear        int64
		peep          bool
		acts          []string
	}{
		{"LSTM", "forward", 4, 1, false, 0, false, nil}, {"LSTM", "reverse", 4, 1, true, 0, false, []string{"HardSigmoid", "Relu", "Tanh"}},
		{"LSTM", "bidirectional", 4, 2, true, 0, false, nil}, {"LSTM", "bidirectional", 4, 2, true, 0, true, nil},
		{"GRU", "forward", 3, 1, true, 1, false, nil}, {"GRU", "bidirectional", 3, 2, false, 1, false, nil},
		{"GRU", "reverse", 3, 1, true, 0, false, nil}, {"GRU", "bidirectional", 3, 2, false, 0, false, nil},
		{"RNN", "forward", 1, 1, false, 0, false, nil}, {"RNN", "bidirectional", 1, 2, true, 0, false, []string{"Relu", "Tanh"}},
	} {
		g := graph.New(c.op)
		x := g.Input("x", graph.TensorType(tensor.Float32, steps, batch, input))
		in := []*graph.Value{x, g.Constant("w", random(1, c.dirs, c.gates*hidden, input)), g.Constant("r", random(2, c.dirs, c.gates*hidden, hidden)),
			g.Constant("b", random(3, c.dirs, 2*c.gates*hidden))}
		outs := []string{"y", "y_h"}
		attrs := graph.Attrs{"direction": c.direction, "hidden_size": int64(hidden)}
		if c.op == "GRU" {
			attrs["linear_before_reset"] = c.linear
		}
		if c.acts != nil {
			attrs["activations"] = c.acts
		}
		if c.op == "LSTM" {
			outs = append(outs, "y_c")
		}
		if c.initial {
			in = append(in, nil, g.Constant("h", random(4, c.dirs, batch, hidden)))
			if c.op == "LSTM" {
				in = append(in, g.Constant("c", random(5, c.dirs, batch, hidden)))
			}
		}
		if c.peep {
			in = append(in, g.Constant("p", random(7, c.dirs, 3*hidden)))
		}
		n := g.NewNode(c.op, "", "rnn", attrs, in, outs...)
		g.Nodes = append(g.Nodes, n)
		g.Output(n.Outputs...)
		s := compile(t, g, Options{})
		for _, st := range s.Plan().Steps() {
			if st.Fallback {
				t.Errorf("%s %s: %s", c.op, c.direction, st.Reason)
			}
		}
		against(t, s, g, 1e-5, 1e-4, random(6, steps, batch, input))
	}
}
