package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// body is a subgraph of a control-flow node as a graph of its own: the values that it
// captures from around it are further inputs, after its own.
type body struct {
	graph    *graph.Graph // as the node holds it
	captures []*graph.Value
	refs     []*ref
	closed   *graph.Graph
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

// run executes the body on its inputs and captured values.
func (b *body) run(s *Session, inputs, captured []op.Value) ([]op.Value, error) {
	if len(inputs) != len(b.graph.Inputs) {
		return nil, fmt.Errorf("body %s takes %d inputs, got %d", b.graph.Name, len(b.graph.Inputs), len(inputs))
	}
	all := make([]op.Value, 0, len(b.closed.Inputs))
	all = append(append(all, inputs...), captured...)
	return interp.Run(s.ctx, b.closed, all)
}
