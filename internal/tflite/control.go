package tflite

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// inline imports a subgraph into g, its inputs being the given stored values, and returns
// its outputs.
func (o *operation) inline(g *graph.Graph, number int32, in []*graph.Value) []*graph.Value {
	if number < 1 || int(number) >= len(o.model.subgraphs) {
		o.fail("refers to subgraph %d of %d", number, len(o.model.subgraphs))
	}
	sub := &o.model.subgraphs[number]
	if len(in) != len(sub.inputs) {
		o.fail("gives %d inputs to subgraph %d, which takes %d", len(in), number, len(sub.inputs))
	}
	if o.depth++; o.depth > maxDepth {
		o.fail("control flow nests deeper than %d", maxDepth)
	}
	defer func() { o.depth-- }()
	s := o.importer.scope(g, sub)
	for i, t := range sub.inputs {
		if d := in[i].Type.DType; d != sub.tensors[t].dtype {
			o.fail("gives %v to input %s of subgraph %d, which takes %v", in[i], sub.tensors[t].name, number, sub.tensors[t].dtype)
		}
		s.stored[t] = in[i]
	}
	err := s.operators()
	var out []*graph.Value
	for _, t := range sub.outputs {
		if err != nil {
			break
		}
		var v *graph.Value
		if v, err = s.output(int(t)); err == nil {
			out = append(out, v)
		}
	}
	if err != nil {
		o.fail("subgraph %d: %w", number, err)
	}
	return out
}

// own makes values that come from outside of a body its own, as outputs must be.
func own(s *scope, body *graph.Graph, vs []*graph.Value) []*graph.Value {
	in := *s
	in.g = body
	out := make([]*graph.Value, len(vs))
	for i, v := range vs {
		if v.Def == nil || !slices.Contains(body.Nodes, v.Def) || slices.Contains(out[:i], v) {
			v = in.identity(v, "")
		}
		out[i] = v
	}
	return out
}

func (o *operation) rawInputs(from int) []*graph.Value {
	var in []*graph.Value
	for i := from; i < len(o.inputs); i++ {
		in = append(in, o.raw(i))
	}
	return in
}

// ifThen has the condition first; the branches see the other inputs.
func ifThen(o *operation) {
	o.count(1, 1<<16)
	branch := func(name string, field int) *graph.Graph {
		b := o.g.NewBody(o.base + "/" + name)
		b.Output(own(o.scope, b, o.inline(b, o.options.i32(field, 0), o.rawInputs(1)))...)
		if len(b.Outputs) != len(o.outputs) {
			o.fail("the %s branch has %d outputs, want %d", name, len(b.Outputs), len(o.outputs))
		}
		return b
	}
	attrs := graph.Attrs{"then_branch": branch("then", 0), "else_branch": branch("else", 1)}
	for i, v := range o.nodes("If", o.base+"/If", len(o.outputs), attrs, o.raw(0)) {
		o.outRaw(i, v)
	}
}

// whileLoop tests before each round. An ONNX loop takes its condition from the round
// before, so the test is made once outside and then at the end of each round.
func whileLoop(o *operation) {
	o.count(1, 1<<16)
	test, round := o.options.i32(0, 0), o.options.i32(1, 0)
	condition := func(g *graph.Graph, vs []*graph.Value) *graph.Value {
		c := o.inline(g, test, vs)
		if len(c) != 1 || c[0].Type.DType != tensor.Bool {
			o.fail("the loop's test does not give one truth value")
		}
		return c[0]
	}
	init := o.rawInputs(0)
	body := o.g.NewBody(o.base + "/body")
	body.Input("", graph.TensorType(tensor.Int64))
	body.Input("", graph.TensorType(tensor.Bool))
	var carried []*graph.Value
	var types []graph.Type
	for _, v := range init {
		carried = append(carried, body.Input("", v.Type.Clone()))
		types = append(types, v.Type.Clone())
	}
	next := o.inline(body, round, carried)
	if len(next) != len(init) || len(o.outputs) != len(init) {
		o.fail("the loop carries %d values, gives %d and makes %d", len(init), len(next), len(o.outputs))
	}
	body.Output(own(o.scope, body, append([]*graph.Value{condition(body, next)}, next...))...)
	in := append([]*graph.Value{nil, condition(o.g, init)}, init...)
	out := o.nodes("Loop", o.base+"/Loop", len(init), graph.Attrs{"body": body}, in...)
	for i, v := range body.Inputs[2:] {
		// Shapes were taken as known while the body was imported.
		if !v.Type.Equal(types[i]) {
			o.unsupported("value %d changes its shape from round to round: %v, then %v", i, types[i], v.Type)
		}
	}
	for i, v := range out {
		o.outRaw(i, v)
	}
}
