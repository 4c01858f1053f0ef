package engine

import (
	"maps"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestRefusedLoweringsLeaveNothing compiles nodes whose lowering first brings its input
// into another layout and then finds no kernel: a plan holds reference steps alone.
func TestRefusedLoweringsLeaveNothing(t *testing.T) {
	one := func(g *graph.Graph, d tensor.DType) (scale, zero *graph.Value) {
		return g.Constant("", tensor.Scalar(float32(0.5))), g.Constant("", tensor.New(d))
	}
	cases := []struct {
		name  string
		build func(g *graph.Graph)
	}{
		{"node", func(g *graph.Graph) {
			x := g.Input("x", graph.TensorType(tensor.Float64, 1, 3, 4, 4))
			g.Output(g.Add("MaxPool", "pool", graph.Attrs{"kernel_shape": []int64{2, 2}}, x))
		}},
		{"group", func(g *graph.Graph) {
			// So many products of bytes do not fit into int32.
			const channels = 70_000
			x := g.Input("x", graph.TensorType(tensor.Uint8, 1, channels, 1, 2))
			w := tensor.New(tensor.Int8, 1, channels, 1, 1)
			for i := range w.Bytes() {
				w.Bytes()[i] = 127
			}
			xs, xz := one(g, tensor.Uint8)
			ws, wz := one(g, tensor.Int8)
			ys, yz := one(g, tensor.Uint8)
			y := g.Add("QLinearConv", "conv", nil, x, xs, xz, g.Constant("w", w), ws, wz, ys, yz)
			lo, hi := tensor.New(tensor.Uint8), tensor.New(tensor.Uint8)
			hi.SetInt(0, 200)
			g.Output(g.Add("Clip", "clip", nil, y, g.Constant("lo", lo), g.Constant("hi", hi)))
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := graph.New(c.name)
			c.build(g)
			p, err := Compile(g, Options{})
			if err != nil {
				t.Fatal(err)
			}
			fallbacks := 0
			for _, st := range p.Steps() {
				if st.Fallback {
					fallbacks++
				}
				if st.Op == "layout" {
					t.Errorf("a layout step %s of %s is left", st.Kernel, st.Name)
				}
			}
			if fallbacks == 0 {
				t.Fatal("the lowering was not refused, so this shows nothing")
			}
			if n := p.Fused()[ruleQuantClip]; n != 0 {
				t.Errorf("a rule of a refused group is counted %d times", n)
			}
		})
	}
}

func TestTryTakesBackEverything(t *testing.T) {
	g := graph.New("g")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 3, 4, 4))
	w := g.Constant("w", random(1, 1, 3, 2, 2))
	y := g.Add("Relu", "y", nil, x)
	g.Output(y)
	y.Type = x.Type
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.steps, p.inHeap, p.outRefs = nil, nil, nil
	l := newLowerer(p, g, nil)
	l.input(0, x)
	l.first(x)
	weights, slots, fused, forms := p.weights, p.heapSlots, maps.Clone(p.fused), maps.Clone(l.forms)
	if reason := l.try(func() string {
		l.applied(ruleAct)
		l.channelsLast(x)
		l.channelsLast(w)
		l.makeChannelsLast(y)
		l.alias(y, l.heapRef(y))
		l.plan.weights += 7
		l.applied(ruleBias)
		return "no"
	}); reason != "no" {
		t.Fatalf("reason %q", reason)
	}
	if len(p.steps) != 0 || p.weights != weights || p.heapSlots != slots || !maps.Equal(p.fused, fused) || len(l.rules) != 0 {
		t.Errorf("left: %d steps, %d bytes of weights (%d before), %d slots (%d), rules %v (%v), %v",
			len(p.steps), p.weights, weights, p.heapSlots, slots, p.fused, fused, l.rules)
	}
	if !maps.EqualFunc(l.forms, forms, slices.Equal) {
		t.Errorf("forms are %v, were %v", l.forms, forms)
	}
	if l.try(func() string { l.channelsLast(x); return "" }); len(p.steps) != 1 || len(l.forms[x]) != 2 {
		t.Errorf("a lowering that succeeds made %d steps and %d forms", len(p.steps), len(l.forms[x]))
	}
}
