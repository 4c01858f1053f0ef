// Package interp is the reference executor: it walks the nodes in order and calls each
// operator's own evaluation. It is meant to be believed at sight; the engine is held
// against it.
package interp

import (
	"context"
	"errors"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Run executes g on the given inputs, one per graph input in order, and returns the
// outputs in order. A nil input is an error unless the value is an optional.
func Run(ctx context.Context, g *graph.Graph, inputs []op.Value) ([]op.Value, error) {
	return Observe(ctx, g, inputs, nil)
}

// Observe is Run with a function that sees every node's outputs as they are made, also
// those inside bodies.
func Observe(ctx context.Context, g *graph.Graph, inputs []op.Value, see func(*graph.Node, []op.Value)) ([]op.Value, error) {
	if err := CheckInputs(g, inputs); err != nil {
		return nil, err
	}
	f := &frame{ctx: ctx, vals: make(map[*graph.Value]op.Value), see: see}
	return f.run(g, inputs)
}

// CheckInputs reports inputs that are missing or whose type contradicts the graph's.
func CheckInputs(g *graph.Graph, inputs []op.Value) error {
	if len(inputs) != len(g.Inputs) {
		return fmt.Errorf("model %s takes %d inputs, got %d", g.Name, len(g.Inputs), len(inputs))
	}
	for i, v := range g.Inputs {
		t, ok := inputs[i].(*tensor.Tensor)
		switch {
		case v.Type.Kind != graph.KindTensor:
			continue
		case !ok:
			return fmt.Errorf("input %s is missing", v.Name)
		}
		if _, err := graph.Merge(v.Type, graph.TypeOf(t)); err != nil {
			return fmt.Errorf("input %s: %w", v, err)
		}
	}
	return nil
}

// frame holds the values of one graph while it runs; body frames look outwards.
type frame struct {
	ctx   context.Context
	vals  map[*graph.Value]op.Value
	outer *frame
	see   func(*graph.Node, []op.Value)
}

func (f *frame) get(v *graph.Value) (op.Value, error) {
	if v.Const != nil {
		return v.Const, nil
	}
	for s := f; s != nil; s = s.outer {
		if x, ok := s.vals[v]; ok {
			return x, nil
		}
	}
	return nil, fmt.Errorf("value %s has not been computed", v.Name)
}

func (f *frame) run(g *graph.Graph, inputs []op.Value) ([]op.Value, error) {
	if len(inputs) != len(g.Inputs) {
		return nil, fmt.Errorf("body %s takes %d inputs, got %d", g.Name, len(g.Inputs), len(inputs))
	}
	for i, v := range g.Inputs {
		f.vals[v] = inputs[i]
	}
	last := lastUses(g)
	for i, n := range g.Nodes {
		if err := f.ctx.Err(); err != nil {
			return nil, err
		}
		if err := f.node(n); err != nil {
			return nil, err
		}
		for _, v := range last[i] {
			delete(f.vals, v)
		}
	}
	out := make([]op.Value, len(g.Outputs))
	for i, v := range g.Outputs {
		x, err := f.get(v)
		if err != nil {
			return nil, fmt.Errorf("graph %s: output: %w", g.Name, err)
		}
		out[i] = x
	}
	return out, nil
}

func (f *frame) node(n *graph.Node) error {
	e := &op.Eval{Node: n, Ctx: f.ctx, In: make([]op.Value, len(n.Inputs)), Out: make([]op.Value, len(n.Outputs)), Run: f.body}
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		x, err := f.get(v)
		if err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
		e.In[i] = x
	}
	if err := op.Evaluate(e); err != nil {
		return err
	}
	for i, v := range n.Outputs {
		if v != nil {
			f.vals[v] = e.Out[i]
		}
	}
	if f.see != nil {
		f.see(n, e.Out)
	}
	return nil
}

const maxDepth = 64

func (f *frame) body(g *graph.Graph, inputs []op.Value) ([]op.Value, error) {
	depth := 0
	for s := f; s != nil; s = s.outer {
		depth++
	}
	if depth > maxDepth {
		return nil, errors.New("bodies are nested too deeply")
	}
	in := &frame{ctx: f.ctx, vals: make(map[*graph.Value]op.Value), outer: f, see: f.see}
	return in.run(g, inputs)
}

// lastUses returns for every node the values that nobody needs after it.
func lastUses(g *graph.Graph) [][]*graph.Value {
	out := make([][]*graph.Value, len(g.Nodes))
	done := map[*graph.Value]bool{}
	for _, v := range g.Outputs {
		done[v] = true
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		use := func(v *graph.Value) {
			if v != nil && v.Const == nil && !done[v] {
				done[v] = true
				out[i] = append(out[i], v)
			}
		}
		for _, v := range n.Inputs {
			use(v)
		}
		for _, b := range n.Bodies() {
			for _, v := range b.Captures() {
				use(v)
			}
		}
		for _, v := range n.Outputs {
			use(v)
		}
	}
	return out
}
