package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// group is a chain of nodes that becomes one step: a head and what follows it, each
// the only user of the one before. It is lowered where its last node stands, when
// every other operand has been made.
type group struct {
	nodes []*graph.Node
	lower func(l *lowerer, g *group) (reason string)
}

func (g *group) last() *graph.Node { return g.nodes[len(g.nodes)-1] }

// findGroups claims chains from their heads in node order.
func (l *lowerer) findGroups() {
}

// placeConcats decides which values are made inside a concatenation's result.
func (l *lowerer) placeConcats() {
}
