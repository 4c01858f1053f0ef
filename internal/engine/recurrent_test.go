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
	}{
		{"LSTM", "forward", 4, 1, false}, {"LSTM", "reverse", 4, 1, true}, {"LSTM", "bidirectional", 4, 2, true},
		{"GRU", "forward", 3, 1, true}, {"GRU", "bidirectional", 3, 2, false},
	} {
		g := graph.New(c.op)
		x := g.Input("x", graph.TensorType(tensor.Float32, steps, batch, input))
		in := []*graph.Value{x, g.Constant("w", random(1, c.dirs, c.gates*hidden, input)), g.Constant("r", random(2, c.dirs, c.gates*hidden, hidden)),
			g.Constant("b", random(3, c.dirs, 2*c.gates*hidden))}
		outs := []string{"y", "y_h"}
		attrs := graph.Attrs{"direction": c.direction, "hidden_size": int64(hidden)}
		if c.op == "GRU" {
			attrs["linear_before_reset"] = int64(1)
		} else {
			outs = append(outs, "y_c")
		}
		if c.initial {
			in = append(in, nil, g.Constant("h", random(4, c.dirs, batch, hidden)))
			if c.op == "LSTM" {
				in = append(in, g.Constant("c", random(5, c.dirs, batch, hidden)))
			}
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
