package op

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// runBody is the least executor that bodies need: one frame, no captured values.
func runBody(b *graph.Graph, in []Value) ([]Value, error) {
	vals := map[*graph.Value]Value{}
	get := func(v *graph.Value) Value {
		if v != nil && v.Const != nil {
			return v.Const
		}
		return vals[v]
	}
	for i, v := range b.Inputs {
		vals[v] = in[i]
	}
	for _, n := range b.Nodes {
		e := &Eval{Node: n, In: make([]Value, len(n.Inputs)), Out: make([]Value, len(n.Outputs)), Run: runBody}
		for i, v := range n.Inputs {
			e.In[i] = get(v)
		}
		if err := Evaluate(e); err != nil {
			return nil, err
		}
		for i, v := range n.Outputs {
			vals[v] = e.Out[i]
		}
	}
	out := make([]Value, len(b.Outputs))
	for i, v := range b.Outputs {
		out[i] = get(v)
	}
	return out, nil
}

// control evaluates a graph that consists of one control-flow node and checks that
// inference holds for the result.
func control(t *testing.T, g *graph.Graph, n *graph.Node, in ...Value) []Value {
	t.Helper()
	g.Nodes = append(g.Nodes, n)
	g.Output(n.Outputs...)
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	if err := Check(n); err != nil {
		t.Fatal(err)
	}
	if _, err := InferTypes(g); err != nil {
		t.Fatal(err)
	}
	out, err := runBody(g, in)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range n.Outputs {
		if got, ok := out[i].(*tensor.Tensor); ok {
			if _, err := graph.Merge(o.Type, graph.TypeOf(got)); err != nil {
				t.Errorf("output %d: %v", i, err)
			}
		}
	}
	return out
}

// A loop whose carried value grows: inference must give up on its size, not state that
// of the first iteration.
func TestLoopGrows(t *testing.T) {
	g := graph.New("g")
	b := g.NewBody("body")
	i := b.Input("i", graph.Type{})
	cond := b.Input("c", graph.Type{})
	x := b.Input("x", graph.Type{})
	one := b.Add("Unsqueeze", "one", nil, i, g.Ints("axes", 0))
	grown := b.Add("Concat", "grown", graph.Attrs{"axis": int64(0)}, x, one)
	b.Output(cond, grown, i)
	init := g.Input("init", graph.TensorType(tensor.Int64, 1))
	n := g.NewNode("Loop", "", "loop", graph.Attrs{"body": b}, []*graph.Value{g.Ints("m", 3), nil, init}, "final", "scan")
	out := control(t, g, n, ints(7))
	want(t, out[0].(*tensor.Tensor), []int{4}, 7, 0, 1, 2)
	want(t, out[1].(*tensor.Tensor), []int{3}, 0, 1, 2)
	if s := n.Outputs[0].Type.Shape; len(s) != 1 || s[0].Known() {
		t.Errorf("the grown value is inferred as %v", s)
	}
	if s := n.Outputs[1].Type.String(); s != "int64[3]" {
		t.Errorf("the scan output is inferred as %v", s)
	}
}

func TestScanReverse(t *testing.T) {
	g := graph.New("g")
	b := g.NewBody("body")
	sum := b.Input("sum", graph.Type{})
	x := b.Input("x", graph.Type{})
	next := b.Add("Add", "next", nil, sum, x)
	b.Output(next, next)
	s0, xs := g.Input("s0", graph.TensorType(tensor.Int64, 1)), g.Input("xs", graph.TensorType(tensor.Int64, 1, 3))
	n := g.NewNode("Scan", "", "scan", graph.Attrs{"body": b, "num_scan_inputs": int64(1), "scan_input_axes": []int64{1},
		"scan_input_directions": []int64{1}, "scan_output_axes": []int64{-1}}, []*graph.Value{s0, xs}, "sum", "sums")
	out := control(t, g, n, ints(10), tensor.Of([]int64{1, 2, 3}, 1, 3))
	want(t, out[0].(*tensor.Tensor), []int{1}, 16)
	want(t, out[1].(*tensor.Tensor), []int{1, 3}, 13, 15, 16)
}

func TestIfWidensTypes(t *testing.T) {
	g := graph.New("g")
	branch := func(name string, v ...int64) *graph.Graph {
		b := g.NewBody(name)
		b.Output(b.Add("Identity", name, nil, g.Ints("c"+name, v...)))
		return b
	}
	cond := g.Input("cond", graph.TensorType(tensor.Bool))
	n := g.NewNode("If", "", "if", graph.Attrs{"then_branch": branch("t", 1, 2), "else_branch": branch("e", 3)}, []*graph.Value{cond}, "y")
	out := control(t, g, n, tensor.Scalar(false))
	want(t, out[0].(*tensor.Tensor), []int{1}, 3)
	if s := n.Outputs[0].Type.String(); s != "int64[?]" {
		t.Errorf("inferred as %s", s)
	}
}

func TestSequences(t *testing.T) {
	out, err := run(t, "", "SplitToSequence", graph.Attrs{"axis": int64(1)}, 1, iota32(2, 5), tensor.Scalar(int64(2)))
	if err != nil {
		t.Fatal(err)
	}
	seq := out[0].(Sequence)
	if len(seq.Elems) != 3 || seq.Elems[2].Dim(1) != 1 {
		t.Fatalf("split into %v", seq.Elems)
	}
	e := &Eval{Node: &graph.Node{Op: "ConcatFromSequence", Attrs: graph.Attrs{"axis": int64(1)}}, In: []Value{seq}, Out: make([]Value, 1)}
	if err := Evaluate(e); err != nil {
		t.Fatal(err)
	}
	want(t, e.Out[0].(*tensor.Tensor), []int{2, 5}, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	e = &Eval{Node: &graph.Node{Op: "SequenceErase"}, In: []Value{Sequence{}}, Out: make([]Value, 1)}
	if Evaluate(e) == nil {
		t.Error("an empty sequence was erased from")
	}
}
