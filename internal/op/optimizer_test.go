package op

import (
	"math"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// update runs an optimizer for some steps on one parameter with a gradient that the
// parameter determines, and returns the parameter after each.
func update(t *testing.T, name string, attrs graph.Attrs, states, steps int, p float64, gradient func(p float64) float64) []float64 {
	t.Helper()
	timed := name == "AdamUpdate" || name == "LAMBUpdate"
	x := f64(p)
	var state []*tensor.Tensor
	for range states {
		state = append(state, f64(0))
	}
	var path []float64
	for k := range steps {
		in := []Value{x, f64(gradient(x.Float(0))), tensor.Of([]float32{0.1})}
		if timed {
			in = append(in, tensor.Of([]float32{float32(k + 1)}))
		}
		for _, s := range state {
			in = append(in, s)
		}
		g := graph.New("test")
		n := g.NewNode(name, graph.DomainEdgewise, "update", attrs, make([]*graph.Value, len(in)), make([]string, 1+states)...)
		e := &Eval{Node: n, In: in, Out: make([]Value, 1+states)}
		if err := Evaluate(e); err != nil {
			t.Fatal(err)
		}
		x = e.Out[0].(*tensor.Tensor)
		for i := range state {
			state[i] = e.Out[1+i].(*tensor.Tensor)
		}
		path = append(path, x.Float(0))
	}
	return path
}

func follows(t *testing.T, what string, got []float64, want ...float64) {
	t.Helper()
	for i, w := range want {
		if math.Abs(got[i]-w) > 1e-6*(1+math.Abs(w)) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

func TestOptimizersFollowTheirFormulas(t *testing.T) {
	constant := func(float64) float64 { return 2 }
	// Worked by hand from the formulas; the rate is 0.1.
	follows(t, "SGD", update(t, "SGDUpdate", nil, 0, 2, 1, constant), 0.8, 0.6)
	follows(t, "SGD with decay", update(t, "SGDUpdate", graph.Attrs{"weight_decay": float32(0.5)}, 0, 1, 1, constant), 0.75)
	follows(t, "momentum", update(t, "SGDUpdate", graph.Attrs{"momentum": float32(0.5)}, 1, 3, 1, constant), 0.8, 0.5, 0.15)
	follows(t, "Nesterov", update(t, "SGDUpdate", graph.Attrs{"momentum": float32(0.5), "nesterov": int64(1)}, 1, 2, 1, constant), 0.7, 0.35)
	// With a constant gradient Adam's corrected moments are that gradient: every step is the rate.
	follows(t, "Adam", update(t, "AdamUpdate", nil, 2, 3, 1, constant), 0.9, 0.8, 0.7)
	follows(t, "AdamW", update(t, "AdamUpdate", graph.Attrs{"weight_decay": float32(0.5), "decoupled": int64(1)}, 2, 2, 1, constant), 0.85, 0.7075)
	// The mean square after one step is (1-alpha)·g².
	follows(t, "RMSProp", update(t, "RMSPropUpdate", graph.Attrs{"alpha": float32(0.75)}, 1, 1, 1, constant), 1-0.1*2/1)
	// The trust ratio is 0.5·1/2.
	follows(t, "LARS", update(t, "LARSUpdate", graph.Attrs{"trust": float32(0.5), "momentum": float32(0.5)}, 1, 1, 1, constant), 1-0.1*0.25*2)
	// The direction has length 1, as the parameter has: the step is the rate times |p|.
	follows(t, "LAMB", update(t, "LAMBUpdate", nil, 2, 2, 4, constant), 3.6, 3.24)
}

func TestOptimizersDescend(t *testing.T) {
	bowl := func(p float64) float64 { return p }
	for name, states := range map[string]int{"SGDUpdate": 1, "AdamUpdate": 2, "RMSPropUpdate": 2, "LAMBUpdate": 2} {
		path := update(t, name, graph.Attrs{}, states, 200, 3, bowl)
		if last := math.Abs(path[len(path)-1]); last > 0.3 {
			t.Errorf("%s ends at %v from 3", name, last)
		}
	}
}
