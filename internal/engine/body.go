package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// body is a subgraph of a control-flow node as a graph of its own: the values that it
// captures from around it are further inputs, after its own.
type body struct {
	graph    *graph.Graph // as the node holds it
	captures []*graph.Value
	refs     []*ref
	closed   *graph.Graph
	plan     *Plan // nil where the reference executor runs the body
	slot     int   // of the plan's session, in Session.bodies
}

func newBody(g *graph.Graph) *body {
	b := &body{graph: g, captures: g.Captures(), closed: g.Clone()}
	b.closed.Inputs = append(b.closed.Inputs, b.closed.Captures()...)
	for _, v := range b.closed.Inputs {
		// The types are the node's concern and may change from one iteration to the
		// next: the kind that may hold anything is checked for nothing.
		v.Type = graph.Type{Kind: graph.KindOptional}
	}
	return b
}

// compile plans a body that has no inputs of its own and captures tensors of known size
// only, as the branches of If mostly do. One that cannot be planned, perhaps since it is
// there for other inputs, stays with the reference executor.
func (b *body) compile(l *lowerer) {
	g := b.graph.Clone()
	captures := g.Captures()
	if len(g.Inputs) > 0 {
		return
	}
	for i, v := range captures {
		shape, ok := b.captures[i].Type.Static()
		if !ok || b.captures[i].Type.DType == tensor.String {
			return
		}
		v.Type = graph.TensorType(b.captures[i].Type.DType, shape...)
	}
	g.Inputs = captures
	p, err := Compile(g, Options{Level: l.level, Portable: true, Disable: slices.Collect(maps.Keys(l.disabled))})
	if err != nil {
		return
	}
	b.plan, b.slot = p, len(l.plan.bodies)
	l.plan.bodies = append(l.plan.bodies, p)
	l.plan.weights += p.weights
}

// run executes the body on its inputs and captured values.
func (b *body) run(s *Session, inputs, captured []op.Value) ([]op.Value, error) {
	if len(inputs) != len(b.graph.Inputs) {
		return nil, fmt.Errorf("body %s takes %d inputs, got %d", b.graph.Name, len(b.graph.Inputs), len(inputs))
	}
	all := make([]op.Value, 0, len(b.closed.Inputs))
	all = append(append(all, inputs...), captured...)
	if b.plan != nil {
		return s.bodies[b.slot].Run(s.ctx, all)
	}
	return interp.Run(s.ctx, b.closed, all)
}
