// Package graph is the intermediate representation: a directed acyclic graph of
// operators over typed values, with ONNX semantics at one canonical opset.
//
// Invariants, held by Verify:
//
//   - Nodes stand in topological order.
//   - Every value has at most one defining node. A value with Const has none and is
//     listed nowhere else; a graph input has none and no Const.
//   - A subgraph (an attribute of If, Loop, Scan ...) may use values of the graphs around
//     it directly; its own inputs and node outputs belong to it alone.
//   - Value IDs are unique and dense over a graph and all its subgraphs, so that passes
//     can use slices instead of maps.
//   - Value names are unique over a graph and its subgraphs, and not empty.
//
// Readers turn every file form into the canonical opset, so an operator has exactly
// one form here. Optional inputs that are absent are nil.
package graph

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Opset is the canonical version of the default ONNX domain.
const Opset = 28

// Domains other than the default "".
const (
	DomainML        = "ai.onnx.ml"
	DomainMicrosoft = "com.microsoft"
	DomainEdgewise  = "ai.edgewise" // of this house; never written for others
)

// Keys of Meta by which a network tells what its operators do not.
const (
	MetaFixed = "edgewise.fixed" // patterns (path.Match), divided by blanks, of constants that are not for training
	MetaRate  = "edgewise.rate"  // Hz of the sound that it takes
)

// Graph is a model, or the body of a control-flow operator.
type Graph struct {
	Name    string
	Doc     string
	Inputs  []*Value
	Outputs []*Value // may repeat, may be inputs or constants
	Nodes   []*Node
	Meta    map[string]string // free key/value data that travels with the file
	Outer   *Graph            // the enclosing graph of a body, else nil

	nextID int            // of the root: IDs handed out so far
	names  map[string]int // those taken, with the last number appended to make one unique
}

// Value is an edge: what one node makes and others use, a graph input, or a constant.
type Value struct {
	ID    int
	Name  string
	Type  Type
	Const *tensor.Tensor // read-only; may be mapped from a file
	Def   *Node          // nil for inputs and constants
}

// Node is the application of an operator.
type Node struct {
	Name    string
	Op      string
	Domain  string
	Inputs  []*Value // nil where an optional input is absent
	Outputs []*Value // nil where an optional output is not asked for
	Attrs   Attrs
	Doc     string
}

// New returns an empty graph.
func New(name string) *Graph {
	return &Graph{Name: name, Meta: map[string]string{}, names: map[string]int{}}
}

// NewBody returns an empty body for a control-flow node of g.
func (g *Graph) NewBody(name string) *Graph { return &Graph{Name: name, Outer: g} }

// Root returns the outermost graph.
func (g *Graph) Root() *Graph {
	for g.Outer != nil {
		g = g.Outer
	}
	return g
}

// NumIDs returns a bound above every value ID in g and its bodies.
func (g *Graph) NumIDs() int { return g.Root().nextID }

// NewValue returns a value that belongs to no node yet. An empty or taken name is
// made unique.
func (g *Graph) NewValue(name string, t Type) *Value {
	r := g.Root()
	v := &Value{ID: r.nextID, Name: g.freshName(name), Type: t}
	r.nextID++
	return v
}

func (g *Graph) freshName(name string) string {
	r := g.Root()
	if r.names == nil {
		r.names = map[string]int{}
	}
	if name == "" {
		name = fmt.Sprintf("v%d", r.nextID)
	}
	unique := name
	n, taken := r.names[name]
	for taken {
		n++
		unique = fmt.Sprintf("%s_%d", name, n)
		_, taken = r.names[unique]
	}
	r.names[name] = n
	if unique != name {
		r.names[unique] = 0
	}
	return unique
}

// Input appends a graph input.
func (g *Graph) Input(name string, t Type) *Value {
	v := g.NewValue(name, t)
	g.Inputs = append(g.Inputs, v)
	return v
}

// Constant returns a value that holds t.
func (g *Graph) Constant(name string, t *tensor.Tensor) *Value {
	v := g.NewValue(name, TypeOf(t))
	v.Const = t
	return v
}

// Ints returns a constant int64 vector, the form in which ONNX wants shapes and axes.
func (g *Graph) Ints(name string, v ...int64) *Value {
	return g.Constant(name, tensor.Of(slices.Clone(v), len(v)))
}

// Output appends graph outputs.
func (g *Graph) Output(v ...*Value) { g.Outputs = append(g.Outputs, v...) }

// NewNode returns a node that is in no graph yet, with one fresh output per name.
func (g *Graph) NewNode(op, domain, name string, attrs Attrs, inputs []*Value, outputs ...string) *Node {
	n := &Node{Name: name, Op: op, Domain: domain, Inputs: inputs, Attrs: attrs}
	for _, o := range outputs {
		v := g.NewValue(o, Type{})
		v.Def = n
		n.Outputs = append(n.Outputs, v)
	}
	return n
}

// Add appends a node of the default domain with one output and returns that output.
func (g *Graph) Add(op, name string, attrs Attrs, inputs ...*Value) *Value {
	n := g.NewNode(op, "", name, attrs, inputs, name)
	g.Nodes = append(g.Nodes, n)
	return n.Outputs[0]
}

// In returns input i, nil when absent.
func (n *Node) In(i int) *Value {
	if i < len(n.Inputs) {
		return n.Inputs[i]
	}
	return nil
}

// Out returns output i, nil when absent.
func (n *Node) Out(i int) *Value {
	if i < len(n.Outputs) {
		return n.Outputs[i]
	}
	return nil
}

// Is reports whether the node applies the operator op of the default domain.
func (n *Node) Is(op string) bool { return n.Domain == "" && n.Op == op }

// Label is what reports call the node: its name, or without one that of its first output.
func (n *Node) Label() string {
	if n.Name == "" && len(n.Outputs) > 0 && n.Outputs[0] != nil {
		return n.Outputs[0].Name
	}
	return n.Name
}

// String names the node for messages, as in `conv1 (Conv)`.
func (n *Node) String() string {
	op := n.Op
	if n.Domain != "" {
		op = n.Domain + "." + op
	}
	return fmt.Sprintf("%s (%s)", n.Label(), op)
}

// String names the value with its type, as in `x float32[1x3]`.
func (v *Value) String() string {
	if v == nil {
		return "<absent>"
	}
	return v.Name + " " + v.Type.String()
}

// Bodies returns the subgraphs among the node's attributes, by attribute name order.
func (n *Node) Bodies() []*Graph {
	found := false
	for _, a := range n.Attrs {
		switch a.(type) {
		case *Graph, []*Graph:
			found = true
		}
	}
	if !found {
		return nil // nearly always: spare the sorting
	}
	var out []*Graph
	for _, name := range n.Attrs.Names() {
		switch a := n.Attrs[name].(type) {
		case *Graph:
			out = append(out, a)
		case []*Graph:
			out = append(out, a...)
		}
	}
	return out
}

// Walk calls f for every node of g and its bodies, outer before inner.
func (g *Graph) Walk(f func(*Graph, *Node)) {
	for _, n := range g.Nodes {
		f(g, n)
		for _, b := range n.Bodies() {
			b.Walk(f)
		}
	}
}

// Captures returns the values that g uses but does not own, in order of first use:
// those of enclosing graphs. Constants are not counted.
func (g *Graph) Captures() []*Value {
	own := map[*Value]bool{}
	seen := map[*Value]bool{}
	var out []*Value
	use := func(v *Value) {
		if v != nil && v.Const == nil && !own[v] && !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	for _, v := range g.Inputs {
		own[v] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			use(v)
		}
		for _, b := range n.Bodies() {
			for _, v := range b.Captures() {
				use(v)
			}
		}
		for _, v := range n.Outputs {
			own[v] = true
		}
	}
	for _, v := range g.Outputs {
		use(v)
	}
	return out
}

// Uses returns, indexed by value ID, how often each value is used: as a node's input,
// as an output of g, or captured by a body.
func (g *Graph) Uses() []int {
	uses := make([]int, g.NumIDs())
	g.countUses(uses, 1)
	return uses
}

// countUses adds k to uses for every use in g and its bodies.
func (g *Graph) countUses(uses []int, k int) {
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			if v != nil {
				uses[v.ID] += k
			}
		}
		for _, b := range n.Bodies() {
			b.countUses(uses, k)
		}
	}
	for _, v := range g.Outputs {
		uses[v.ID] += k
	}
}

// Users returns, indexed by value ID, the nodes that use each value. A capture by a
// body counts as a use by the node that holds the body.
func (g *Graph) Users() [][]*Node {
	users := make([][]*Node, g.NumIDs())
	use := func(v *Value, n *Node) {
		// A node adds itself in one go, so a repetition stands last.
		if u := users[v.ID]; len(u) == 0 || u[len(u)-1] != n {
			users[v.ID] = append(u, n)
		}
	}
	for _, n := range g.Nodes {
		for _, v := range n.Inputs {
			if v != nil {
				use(v, n)
			}
		}
		for _, b := range n.Bodies() {
			for _, v := range b.Captures() {
				use(v, n)
			}
		}
	}
	return users
}

// ReplaceUses makes every user of old in g and its bodies, and g's outputs, use v.
func (g *Graph) ReplaceUses(old, v *Value) {
	swap := func(list []*Value) {
		for i := range list {
			if list[i] == old {
				list[i] = v
			}
		}
	}
	swap(g.Outputs)
	g.Walk(func(_ *Graph, n *Node) {
		swap(n.Inputs)
		for _, b := range n.Bodies() {
			swap(b.Outputs)
		}
	})
}

// Constants returns the constants that g and its bodies use, each once, in order of
// first use.
func (g *Graph) Constants() []*Value {
	seen := map[*Value]bool{}
	var out []*Value
	use := func(v *Value) {
		if v != nil && v.Const != nil && !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	g.Walk(func(_ *Graph, n *Node) {
		for _, v := range n.Inputs {
			use(v)
		}
		for _, b := range n.Bodies() {
			for _, v := range b.Outputs {
				use(v)
			}
		}
	})
	for _, v := range g.Outputs {
		use(v)
	}
	return out
}
