package autodiff

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// A Tape is a training step seen as a list of nodes in the order in which they run: the
// forward pass up to the node that makes the loss, then the backward pass. It says which
// values of the former the latter needs, what the step costs in memory when some of them
// are made again instead of being kept (Chen et al. 2016), and writes such a step.
//
// A value that is not kept is made again right before its first use in the backward pass,
// from kept ones, by the nodes that made it first; later uses share it. So every node of
// the forward pass runs at most twice, and results are the same bit for bit.
type Tape struct {
	g     *graph.Graph
	split int                 // nodes before it are the forward pass
	def   map[*graph.Node]int // numbers of nodes
	Kept  []*graph.Value      // of the forward pass that the backward pass uses, in order of making
}

// NewTape returns the tape of a graph to which Gradients has added the backward pass.
func NewTape(g *graph.Graph, loss *graph.Value) *Tape {
	t := &Tape{g: g, def: map[*graph.Node]int{}}
	for i, n := range g.Nodes {
		t.def[n] = i
		if n == loss.Def {
			t.split = i + 1
		}
	}
	used := map[*graph.Value]bool{}
	for _, n := range g.Nodes[t.split:] {
		for _, v := range n.Inputs {
			if v != nil && t.forward(v) {
				used[v] = true
			}
		}
	}
	for _, n := range g.Nodes[:t.split] {
		for _, v := range n.Outputs {
			if v != nil && used[v] {
				t.Kept = append(t.Kept, v)
			}
		}
	}
	return t
}

// forward reports whether v is made in the forward pass.
func (t *Tape) forward(v *graph.Value) bool { return v.Def != nil && t.def[v.Def] < t.split }

// repeatable reports whether running a node again gives the same.
func repeatable(n *graph.Node) bool {
	d := op.Of(n)
	return d != nil && !d.Impure && len(n.Bodies()) == 0
}

// again reports whether v, used in the backward pass, is made again.
func (t *Tape) again(v *graph.Value, kept map[*graph.Value]bool) bool {
	return t.forward(v) && !kept[v] && repeatable(v.Def)
}

// order returns the numbers of nodes in the order in which they run: one of the forward
// pass that comes a second time makes its values again.
func (t *Tape) order(kept map[*graph.Value]bool) []int {
	out := make([]int, t.split, len(t.g.Nodes)+t.split)
	for i := range out {
		out[i] = i
	}
	second := make([]bool, t.split)
	var need func(n *graph.Node)
	need = func(n *graph.Node) {
		for _, v := range n.Inputs {
			if v == nil || !t.again(v, kept) {
				continue
			}
			if i := t.def[v.Def]; !second[i] {
				second[i] = true
				need(v.Def)
				out = append(out, i)
			}
		}
	}
	for i, n := range t.g.Nodes[t.split:] {
		need(n)
		out = append(out, t.split+i)
	}
	return out
}

// Rewrite makes the graph keep only the given values of the forward pass for the backward
// pass. The tape is of no use afterwards.
func (t *Tape) Rewrite(keep []*graph.Value) {
	kept := map[*graph.Value]bool{}
	for _, v := range keep {
		kept[v] = true
	}
	order := t.order(kept)
	anew := map[*graph.Value]*graph.Value{}
	// Of the values of a node, those that are made again and used.
	wanted := map[*graph.Value]bool{}
	for at, i := range order {
		if at >= t.split {
			for _, v := range t.g.Nodes[i].Inputs {
				if v != nil && t.again(v, kept) {
					wanted[v] = true
				}
			}
		}
	}
	nodes := slices.Clone(t.g.Nodes[:t.split])
	for _, i := range order[t.split:] {
		n := t.g.Nodes[i]
		if i < t.split {
			n = t.copy(n, wanted, anew)
		}
		for k, v := range n.Inputs {
			if v != nil && t.again(v, kept) {
				n.Inputs[k] = anew[v]
			}
		}
		nodes = append(nodes, n)
	}
	t.g.Nodes = nodes
}

// copy returns a copy of a node of the forward pass, with outputs of its own: the wanted
// ones, and the others where the operator does not do without.
func (t *Tape) copy(n *graph.Node, wanted map[*graph.Value]bool, anew map[*graph.Value]*graph.Value) *graph.Node {
	c := &graph.Node{Name: n.Label() + "/again", Op: n.Op, Domain: n.Domain, Attrs: n.Attrs, Inputs: slices.Clone(n.Inputs)}
	c.Outputs = make([]*graph.Value, len(n.Outputs))
	last := 0
	for k, v := range n.Outputs {
		if v == nil {
			continue
		}
		w := t.g.NewValue(v.Name+"/again", v.Type)
		w.Def, c.Outputs[k] = c, w
		anew[v] = w
		if wanted[v] {
			last = k
		}
	}
	all := c.Outputs
	if c.Outputs = all[:last+1]; op.Check(c) != nil {
		c.Outputs = all
	}
	return c
}
