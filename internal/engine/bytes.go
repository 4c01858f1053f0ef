package engine

import "github.com/edgewise-ml/edgewise/internal/graph"

func lowerByteClip(l *lowerer, n *graph.Node) string { return "todo" }

func (l *lowerer) quantChain(n *graph.Node) *group { return nil }
func (l *lowerer) tableChain(n *graph.Node) *group { return nil }
