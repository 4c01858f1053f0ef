package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestOperandsThatDoNotFit: what inference does not compare must not reach kernels, which
// believe in sizes; the reference evaluation says what is wrong.
func TestOperandsThatDoNotFit(t *testing.T) {
	f32 := func(shape ...int) graph.Type { return graph.TensorType(tensor.Float32, shape...) }
	window := graph.Attrs{"kernel_shape": []int64{3, 3}, "pads": []int64{1, 1, 1, 1}}
	recurrent := func(g *graph.Graph, in []*graph.Value) {
		g.Output(g.Add("LSTM", "n", graph.Attrs{"hidden_size": int64(9)}, in[0], g.Constant("w", random(1, 1, 36, 5)), g.Constant("r", random(2, 1, 36, 9)), nil, nil, in[1]))
	}
	gradient := func(name string, outputs int, attrs graph.Attrs) func(*graph.Graph, []*graph.Value) {
		return func(g *graph.Graph, in []*graph.Value) {
			var names []string
			for i := range outputs {
				names = append(names, fmt.Sprint("y", i))
			}
			n := g.NewNode(name, graph.DomainEdgewise, "n", attrs, in, names...)
			g.Nodes = append(g.Nodes, n)
			g.Output(n.Outputs...)
		}
	}
	for _, c := range []struct {
		name   string
		build  func(*graph.Graph, []*graph.Value)
		inputs []graph.Type
	}{
		{"a short state", recurrent, []graph.Type{f32(4, 2, 5), f32(1, 2, 3)}},

		{"a short gradient of relu", gradient("ReluGradient", 1, nil), []graph.Type{f32(1, 4, 2, 2), f32(1, 4, 8, 8)}},
		{"relu of another rank", gradient("ReluGradient", 1, nil), []graph.Type{f32(256), f32(1, 4, 8, 8)}},
		{"a short gradient of clip", gradient("ClipGradient", 1, nil), []graph.Type{f32(1, 4, 2, 2), f32(1, 4, 8, 8)}},
		{"clip by a tensor", gradient("ClipGradient", 1, nil), []graph.Type{f32(4), f32(4), f32(4)}},
		{"a gradient of more channels", gradient("MaxPoolGradient", 1, window), []graph.Type{f32(1, 9, 8, 8), f32(1, 4, 8, 8)}},
		{"a gradient of more images", gradient("MaxPoolGradient", 1, window), []graph.Type{f32(3, 4, 8, 8), f32(1, 4, 8, 8)}},
		{"an input of fewer images", gradient("ConvWeightGradient", 1, window), []graph.Type{f32(1, 4, 8, 8), f32(3, 4, 8, 8)}},
		{"a short gradient of a normalization", gradient("BatchNormalizationGradient", 3, nil), []graph.Type{f32(1, 4, 2, 2), f32(2, 4, 8, 8), f32(4)}},
		{"a short scale", gradient("BatchNormalizationGradient", 3, nil), []graph.Type{f32(2, 4, 8, 8), f32(2, 4, 8, 8), f32(3)}},
	} {
		g := graph.New(c.name)
		var in []*graph.Value
		for i, ty := range c.inputs {
			in = append(in, g.Input(fmt.Sprint("x", i), ty))
		}
		c.build(g, in)
		p, err := Compile(g, Options{Threads: 2})
		if err != nil {
			continue
		}
		for _, st := range p.steps {
			if !st.fallback {
				t.Errorf("%s: step %s runs as %s", c.name, st.name, st.kernel)
			}
		}
		s, err := p.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(context.Background(), probe(p)); err == nil {
			t.Errorf("%s: it runs", c.name)
		}
		s.Close()
	}
}

func TestAStepThatTripsEndsTheRun(t *testing.T) {
	g := graph.New("trips")
	x := g.Input("x", graph.TensorType(tensor.Float32, 64, 64))
	g.Output(g.Add("Relu", "relu", nil, x))
	p, err := Compile(g, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	st := p.steps[len(p.steps)-1]
	run := st.run
	st.units, st.grain = 64, 1
	st.run = func(_ *Session, _, lo, hi int) { _ = make([]int, 1)[hi-lo] }
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := []op.Value{random(1, 64, 64)}
	if _, err := s.Run(context.Background(), in); err == nil || !strings.Contains(err.Error(), "step relu") {
		t.Errorf("the run ends with %v", err)
	}
	st.exec = func(*Session) error { panic("whole") }
	if _, err := s.Run(context.Background(), in); err == nil || !strings.Contains(err.Error(), "step relu: whole") {
		t.Errorf("the run ends with %v", err)
	}
	st.exec, st.run, st.units = nil, run, 1
	if _, err := s.Run(context.Background(), in); err != nil {
		t.Errorf("the run after it: %v", err)
	}
}
