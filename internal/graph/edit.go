package graph

import (
	"fmt"
	"maps"
	"slices"
)

// Sort puts the nodes into topological order, keeping their given order where it is
// free. It fails, naming a node, when there is a cycle.
func (g *Graph) Sort() error {
	index := make(map[*Node]int, len(g.Nodes))
	for i, n := range g.Nodes {
		index[n] = i
	}
	const (
		white = iota
		grey
		black
	)
	state := make([]uint8, len(g.Nodes))
	order := make([]*Node, 0, len(g.Nodes))
	deps := func(n *Node) []*Value {
		out := slices.Clone(n.Inputs)
		for _, b := range n.Bodies() {
			out = append(out, b.Captures()...)
		}
		return out
	}
	// An explicit stack: a hostile chain must not exhaust the goroutine's.
	type frame struct {
		node int
		deps []*Value
	}
	for root := range g.Nodes {
		if state[root] != white {
			continue
		}
		state[root] = grey
		stack := []frame{{root, deps(g.Nodes[root])}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.deps) == 0 {
				state[top.node] = black
				order = append(order, g.Nodes[top.node])
				stack = stack[:len(stack)-1]
				continue
			}
			v := top.deps[0]
			top.deps = top.deps[1:]
			if v == nil || v.Def == nil {
				continue
			}
			i, ok := index[v.Def]
			if !ok {
				continue // of an enclosing graph
			}
			switch state[i] {
			case grey:
				return fmt.Errorf("%v: the graph has a cycle through %q", g.Nodes[i], v.Name)
			case white:
				state[i] = grey
				stack = append(stack, frame{i, deps(g.Nodes[i])})
			}
		}
	}
	g.Nodes = order
	return nil
}

// Prune removes nodes none of whose outputs is used, repeatedly, and returns how many.
func (g *Graph) Prune() int {
	uses := g.Uses()
	removed := 0
	kept := make([]*Node, 0, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		live := false
		for _, o := range n.Outputs {
			live = live || o != nil && uses[o.ID] > 0
		}
		if live {
			kept = append(kept, n)
			continue
		}
		removed++
		for _, v := range n.Inputs {
			if v != nil {
				uses[v.ID]--
			}
		}
		for _, b := range n.Bodies() {
			b.countUses(uses, -1)
		}
	}
	slices.Reverse(kept)
	g.Nodes = kept
	return removed
}

// Clone returns a deep copy that shares constant tensors. IDs and names are kept. The
// copy of a body is a graph of its own, with copies of what the body captures.
func (g *Graph) Clone() *Graph {
	c := g.clone(nil, map[*Value]*Value{})
	c.nextID = g.NumIDs()
	c.names = maps.Clone(g.Root().names)
	return c
}

func (g *Graph) clone(outer *Graph, m map[*Value]*Value) *Graph {
	c := &Graph{Name: g.Name, Doc: g.Doc, Outer: outer, nextID: g.nextID}
	if g.Meta != nil {
		c.Meta = make(map[string]string, len(g.Meta))
		for k, v := range g.Meta {
			c.Meta[k] = v
		}
	}
	if g.names != nil {
		c.names = maps.Clone(g.names)
	}
	value := func(v *Value) *Value {
		if v == nil {
			return nil
		}
		if w, ok := m[v]; ok {
			return w
		}
		w := &Value{ID: v.ID, Name: v.Name, Type: v.Type.Clone(), Const: v.Const}
		m[v] = w
		return w
	}
	list := func(vs []*Value) []*Value {
		out := make([]*Value, len(vs))
		for i, v := range vs {
			out[i] = value(v)
		}
		return out
	}
	c.Inputs = list(g.Inputs)
	for _, n := range g.Nodes {
		d := &Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Doc: n.Doc, Inputs: list(n.Inputs), Outputs: list(n.Outputs)}
		for _, o := range d.Outputs {
			if o != nil {
				o.Def = d
			}
		}
		if n.Attrs != nil {
			d.Attrs = make(Attrs, len(n.Attrs))
			for k, a := range n.Attrs {
				switch a := a.(type) {
				case *Graph:
					d.Attrs[k] = a.clone(c, m)
				case []*Graph:
					bodies := make([]*Graph, len(a))
					for i, b := range a {
						bodies[i] = b.clone(c, m)
					}
					d.Attrs[k] = bodies
				default:
					d.Attrs[k] = a
				}
			}
		}
		c.Nodes = append(c.Nodes, d)
	}
	c.Outputs = list(g.Outputs)
	return c
}

// Absorb moves the nodes of src, a graph of its own, to the end of g, with the given values
// of g in the place of its inputs. What moves gets names that begin with prefix. The
// outputs of src are values of g then; src itself must not be used any further.
func (g *Graph) Absorb(src *Graph, prefix string, inputs []*Value) {
	for i, v := range src.Inputs {
		src.ReplaceUses(v, inputs[i])
	}
	moved := map[*Value]bool{}
	for _, v := range inputs {
		moved[v] = true
	}
	root := g.Root()
	move := func(list []*Value) {
		for _, v := range list {
			if v == nil || moved[v] {
				continue
			}
			moved[v] = true
			v.ID, v.Name = root.nextID, g.freshName(prefix+v.Name)
			root.nextID++
		}
	}
	src.Walk(func(_ *Graph, n *Node) {
		n.Name = prefix + n.Name
		move(n.Inputs)
		move(n.Outputs)
		for _, b := range n.Bodies() {
			move(b.Inputs)
			move(b.Outputs)
		}
	})
	move(src.Outputs)
	for _, n := range src.Nodes {
		for _, b := range n.Bodies() {
			b.Outer = g
		}
	}
	g.Nodes = append(g.Nodes, src.Nodes...)
	src.Nodes = nil
}
