// Package autodiff turns a graph that computes a loss into one that computes its
// gradients too. The rules stand with the operators, in package op; this package walks
// the graph backwards and adds up.
//
// Shapes must be known: a training graph is made for one batch size. What comes out is an
// ordinary graph of ordinary nodes, which the executors plan and run as any other.
package autodiff

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Gradients appends to g the backward pass of a scalar loss and returns the gradients by
// the given values, nil where the loss does not move with one. facts are those of
// op.InferTypes on g. Operators without a rule are refused together, by node.
func Gradients(g *graph.Graph, facts *op.Facts, loss *graph.Value, by []*graph.Value) ([]*graph.Value, error) {
	if s, ok := loss.Type.Static(); !ok || len(s) != 0 || !loss.Type.DType.IsFloat() {
		return nil, fmt.Errorf("loss %v is not one floating-point number", loss)
	}
	if err := decompose(g, facts, loss, by); err != nil {
		return nil, err
	}
	path := between(g, loss, by)
	if err := refuse(g, path); err != nil {
		return nil, err
	}
	w := walk{g: g, facts: facts, path: path, sums: map[*graph.Value][]*graph.Value{}}
	one, err := w.one(loss)
	if err != nil {
		return nil, err
	}
	w.sums[loss] = []*graph.Value{one}
	forward := slices.Clone(g.Nodes)
	for _, n := range slices.Backward(forward) {
		if !path.nodes[n] {
			continue
		}
		if err := w.node(n); err != nil {
			return nil, err
		}
	}
	out := make([]*graph.Value, len(by))
	for i, v := range by {
		if out[i], err = w.gradient(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// route is the part of a graph that lies between the loss and what it is differentiated by.
type route struct {
	nodes  map[*graph.Node]bool
	values map[*graph.Value]bool // that move with any of the values in question
}

// between marks the values that depend on by, and the nodes among them that the loss
// depends on.
func between(g *graph.Graph, loss *graph.Value, by []*graph.Value) route {
	r := route{map[*graph.Node]bool{}, map[*graph.Value]bool{}}
	for _, v := range by {
		r.values[v] = true
	}
	for _, n := range g.Nodes {
		if slices.ContainsFunc(n.Inputs, func(v *graph.Value) bool { return v != nil && r.values[v] }) {
			for _, y := range n.Outputs {
				if y != nil {
					r.values[y] = true
				}
			}
		}
	}
	needed := map[*graph.Value]bool{loss: true}
	for _, n := range slices.Backward(g.Nodes) {
		if !slices.ContainsFunc(n.Outputs, func(v *graph.Value) bool { return v != nil && needed[v] && r.values[v] }) {
			continue
		}
		r.nodes[n] = true
		for _, v := range n.Inputs {
			if v != nil {
				needed[v] = true
			}
		}
	}
	return r
}

// decompose replaces the nodes on the way that are differentiated in parts. Parts may
// have to be taken apart again.
func decompose(g *graph.Graph, facts *op.Facts, loss *graph.Value, by []*graph.Value) error {
	for again := true; again; {
		again = false
		path := between(g, loss, by)
		old := g.Nodes
		g.Nodes = nil
		for _, n := range old {
			if !path.nodes[n] || !op.Decomposes(n) {
				g.Nodes = append(g.Nodes, n)
				continue
			}
			again = true
			parts, err := op.Decompose(g, facts, n)
			if err != nil {
				g.Nodes = old
				return err
			}
			for i, y := range n.Outputs {
				if y == nil {
					continue
				}
				if i >= len(parts) || parts[i] == nil {
					g.Nodes = old
					return fmt.Errorf("%v: output %d has no gradient", n, i)
				}
				rename(old, g, y, parts[i])
			}
		}
	}
	return nil
}

// rename makes the nodes of a list and the outputs of g use v in place of old.
func rename(nodes []*graph.Node, g *graph.Graph, old, v *graph.Value) {
	for _, n := range nodes {
		for i := range n.Inputs {
			if n.Inputs[i] == old {
				n.Inputs[i] = v
			}
		}
	}
	for i := range g.Outputs {
		if g.Outputs[i] == old {
			g.Outputs[i] = v
		}
	}
}

// Check refuses, together and by node, the operators without a rule that stand between
// some values and y. Types need not be known.
func Check(g *graph.Graph, y *graph.Value, by []*graph.Value) error {
	return refuse(g, between(g, y, by))
}

// ErrUnsupported says that a network cannot be trained, whatever the settings.
var ErrUnsupported = errors.New("no gradients")

// refuse names every node on the way whose operator has no gradient.
func refuse(g *graph.Graph, path route) error {
	var lines []string
	for _, n := range g.Nodes {
		if path.nodes[n] && !op.Differentiable(n) && !op.Decomposes(n) {
			why := op.WithoutGradient(op.Key{Domain: n.Domain, Name: n.Op})
			if why == "" {
				why = "the operator is not known"
			}
			lines = append(lines, fmt.Sprintf("%v: %s", n, why))
		}
	}
	if lines == nil {
		return nil
	}
	return fmt.Errorf("%w: %d nodes cannot be trained through:\n  %s", ErrUnsupported, len(lines), strings.Join(lines, "\n  "))
}

// walk carries the gradients of the values it has come to, one for every use.
type walk struct {
	g     *graph.Graph
	facts *op.Facts
	path  route
	sums  map[*graph.Value][]*graph.Value
}

// one is the gradient of the loss by itself.
func (w *walk) one(loss *graph.Value) (*graph.Value, error) {
	t, err := tensor.Make(loss.Type.DType, []int{})
	if err != nil {
		return nil, err
	}
	t.SetFloat(0, 1)
	return w.g.Constant("dloss", t), nil
}

// gradient adds up what the uses of v gave, nil where none gave any.
func (w *walk) gradient(v *graph.Value) (*graph.Value, error) {
	parts := w.sums[v]
	switch len(parts) {
	case 0:
		return nil, nil
	case 1:
		return parts[0], nil
	}
	total := parts[0]
	for _, p := range parts[1:] {
		total = w.g.Add("Add", v.Name+"/gradient", nil, total, p)
		if err := w.facts.InferNode(total.Def); err != nil {
			return nil, err
		}
	}
	w.sums[v] = []*graph.Value{total}
	return total, nil
}

// node passes the gradients of a node's outputs on to its inputs.
func (w *walk) node(n *graph.Node) error {
	dy, some := make([]*graph.Value, len(n.Outputs)), false
	for i, y := range n.Outputs {
		if y == nil {
			continue
		}
		var err error
		if dy[i], err = w.gradient(y); err != nil {
			return err
		}
		some = some || dy[i] != nil
	}
	if !some {
		return nil // every use passes nothing backwards
	}
	wants := make([]bool, len(n.Inputs))
	for i, v := range n.Inputs {
		wants[i] = v != nil && w.path.values[v]
	}
	dx, err := op.Differentiate(w.g, w.facts, n, dy, wants)
	if err != nil {
		return err
	}
	for i, v := range n.Inputs {
		if dx[i] != nil {
			w.sums[v] = append(w.sums[v], dx[i])
		}
	}
	return nil
}
