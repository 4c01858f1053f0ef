// Package rewrite holds the graph→graph passes: a table of named passes whose order is
// checked, made of rules that look at one node and return a patch.
//
// A rule never edits the graph. It returns what it wants done; the driver applies it,
// names it, counts it and can stop after a given number of patches, so that a model that
// comes out wrong can be bisected mechanically (Options.Limit).
//
// Invariants a rule may rely on: the graph verifies; types are inferred as far as
// possible; every node has at least one user or makes a graph output. What it must keep:
// the names of graph inputs and outputs, and the meaning.
package rewrite

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Patch is a local edit: new nodes, to stand before the node that the rule looked at,
// and values that take the place of others. Nodes that lose their last user go.
type Patch struct {
	Nodes   []*graph.Node
	Replace []Subst
}

// Subst makes every user of Old use New. When Old is a graph output, New takes its name.
type Subst struct{ Old, New *graph.Value }

// Rule looks at one node and returns a patch, or nil when it has nothing to do.
type Rule func(c *Context, n *graph.Node) (*Patch, error)

// Pass is a named step of a pipeline: a rule applied to every node until nothing changes.
type Pass struct {
	Name string
	Why  string
	Rule Rule
}

// Options steer a pipeline.
type Options struct {
	Disable []string                          // names of passes to leave out
	Limit   int                               // stop after so many patches; 0 = no limit
	Trace   func(pass, change string)         // called for each patch
	After   func(pass string, g *graph.Graph) // called after each pass that changed something
}

// Stats counts the patches by pass.
type Stats map[string]int

// Total returns the number of patches.
func (s Stats) Total() int {
	n := 0
	for _, k := range s {
		n += k
	}
	return n
}

// Context gives rules access to the graph under rewriting.
type Context struct {
	Graph  *graph.Graph
	facts  *op.Facts
	budget *op.FoldBudget
	users  map[*graph.Value][]*graph.Node // one entry per use, in no order; a capture counts as one
	outs   map[*graph.Value]int           // uses as graph output
	own    map[*graph.Node]bool           // nodes of a body; nil for the outermost graph
	seen   map[string]*graph.Node         // by what they compute, see mergeDuplicates
}

// Note records something that a pass could not do, for the user to read.
type Note struct {
	Node   string
	Op     string
	Reason string
}

// Known returns the contents of v when they are known without running the model.
func (c *Context) Known(v *graph.Value) *tensor.Tensor { return c.facts.Known(v) }

// Sole reports whether v has exactly one use, by a node of this graph.
func (c *Context) Sole(v *graph.Value) bool {
	return v != nil && c.outs[v] == 0 && len(c.users[v]) == 1 && len(c.users[v][0].Bodies()) == 0
}

func newContext(g *graph.Graph, facts *op.Facts, budget *op.FoldBudget) *Context {
	c := &Context{Graph: g, facts: facts, budget: budget, users: make(map[*graph.Value][]*graph.Node, 4*len(g.Nodes)), outs: map[*graph.Value]int{}, seen: map[string]*graph.Node{}}
	if g.Outer != nil {
		c.own = make(map[*graph.Node]bool, len(g.Nodes))
	}
	for _, n := range g.Nodes {
		c.addUses(n)
		if c.own != nil {
			c.own[n] = true
		}
	}
	for _, v := range g.Outputs {
		c.outs[v]++
	}
	return c
}

// operands calls f for every value that n uses: once for each input, and once for each
// body that captures it.
func operands(n *graph.Node, f func(*graph.Value)) {
	for _, v := range n.Inputs {
		if v != nil {
			f(v)
		}
	}
	for _, b := range n.Bodies() {
		for _, v := range b.Captures() {
			f(v)
		}
	}
}

func (c *Context) addUses(n *graph.Node) {
	operands(n, func(v *graph.Value) { c.users[v] = append(c.users[v], n) })
}

func (c *Context) dropUses(n *graph.Node) {
	operands(n, func(v *graph.Value) {
		list := c.users[v]
		if i := slices.Index(list, n); i >= 0 {
			last := len(list) - 1
			list[i] = list[last]
			c.users[v] = list[:last]
		}
	})
}

// replaceable reports whether old may give way to v without an output losing its name.
func (c *Context) replaceable(old, v *graph.Value) bool {
	if c.outs[old] == 0 {
		return true
	}
	return v.Def != nil && c.outs[v] == 0 && (c.own == nil || c.own[v.Def])
}

// substitute puts s.New in the place of s.Old. A value that was made for this patch
// takes over the name, so that names stay those of the file.
func (c *Context) substitute(s Subst, made bool) {
	if made || c.outs[s.Old] > 0 {
		s.Old.Name, s.New.Name = s.New.Name, s.Old.Name
	}
	if c.outs[s.Old] > 0 {
		for i, v := range c.Graph.Outputs {
			if v == s.Old {
				c.Graph.Outputs[i] = s.New
			}
		}
		c.outs[s.New] += c.outs[s.Old]
		delete(c.outs, s.Old)
	}
	for _, u := range c.users[s.Old] {
		for i, v := range u.Inputs {
			if v == s.Old {
				u.Inputs[i] = s.New
			}
		}
		for _, b := range u.Bodies() {
			b.ReplaceUses(s.Old, s.New)
		}
	}
	c.users[s.New] = append(c.users[s.New], c.users[s.Old]...)
	delete(c.users, s.Old)
	if merged, err := graph.Merge(s.New.Type, s.Old.Type); err == nil && s.New.Const == nil {
		s.New.Type = merged
	}
}

func (c *Context) dead(n *graph.Node) bool {
	for _, o := range n.Outputs {
		if o != nil && (len(c.users[o]) > 0 || c.outs[o] > 0) {
			return false
		}
	}
	return true
}

type pipeline struct {
	passes []Pass
	opts   Options
	stats  Stats
	budget *op.FoldBudget

	// Of the graph as it stands; nil after a change.
	facts    *op.Facts
	contexts map[*graph.Graph]*Context
}

// changed forgets what was known of the graph.
func (p *pipeline) changed() { p.facts, p.contexts = nil, nil }

// context returns the context of g or of one of its bodies.
func (p *pipeline) context(g *graph.Graph) *Context {
	c := p.contexts[g]
	if c == nil {
		c = newContext(g, p.facts, p.budget)
		if p.contexts == nil {
			p.contexts = map[*graph.Graph]*Context{}
		}
		p.contexts[g] = c
	}
	clear(c.seen)
	return c
}

// run applies the passes to g and its bodies, and verifies after each that changed something.
func (p *pipeline) run(g *graph.Graph) error {
	p.stats, p.budget = Stats{}, op.NewFoldBudget(g)
	for _, pass := range p.passes {
		if slices.Contains(p.opts.Disable, pass.Name) {
			continue
		}
		before := p.stats[pass.Name]
		if err := p.pass(g, pass); err != nil {
			return fmt.Errorf("rewrite %s: %w", pass.Name, err)
		}
		if p.stats[pass.Name] == before {
			continue
		}
		g.Prune()
		p.contexts = nil
		if err := g.Verify(); err != nil {
			return fmt.Errorf("rewrite %s broke the graph: %w", pass.Name, err)
		}
		if p.opts.After != nil {
			p.opts.After(pass.Name, g)
		}
	}
	return p.infer(g)
}

// infer learns types and facts anew where they are out of date.
func (p *pipeline) infer(g *graph.Graph) (err error) {
	if p.facts == nil {
		p.facts, err = op.InferTypes(g)
	}
	return err
}

// maxRounds bounds the fixpoint iteration of a pass; a pass that needs more is
// undoing its own work.
const maxRounds = 64

func (p *pipeline) pass(root *graph.Graph, pass Pass) error {
	for range maxRounds {
		if err := p.infer(root); err != nil {
			return err
		}
		changed, err := p.sweep(root, pass)
		if err != nil || !changed {
			return err
		}
		p.changed()
	}
	return nil
}

// sweep visits the nodes of g once, after those of their bodies.
func (p *pipeline) sweep(g *graph.Graph, pass Pass) (changed bool, err error) {
	inner := false
	for _, n := range g.Nodes {
		for _, b := range n.Bodies() {
			ch, err := p.sweep(b, pass)
			if err != nil {
				return false, err
			}
			inner = inner || ch
		}
	}
	if inner { // what bodies capture may have changed
		delete(p.contexts, g)
	}
	c := p.context(g)
	before := make(map[*graph.Node][]*graph.Node)
	gone := map[*graph.Node]bool{}
	for _, n := range slices.Clone(g.Nodes) {
		if gone[n] || p.opts.Limit > 0 && p.stats.Total() >= p.opts.Limit {
			continue
		}
		patch, err := c.try(pass.Rule, n)
		if err != nil {
			return false, fmt.Errorf("%v: %w", n, err)
		}
		if patch == nil {
			continue
		}
		if p.opts.Trace != nil {
			p.opts.Trace(pass.Name, n.String())
		}
		p.stats[pass.Name]++
		changed = true
		before[n] = append(before[n], patch.Nodes...)
		for _, k := range patch.Nodes {
			c.addUses(k)
		}
		for _, s := range patch.Replace {
			made := s.New.Def != nil && slices.Contains(patch.Nodes, s.New.Def) || s.New.Const != nil && len(c.users[s.New]) == 0
			c.substitute(s, made)
		}
		c.collect(n, gone)
	}
	if changed {
		nodes := make([]*graph.Node, 0, len(g.Nodes))
		for _, n := range g.Nodes {
			nodes = append(nodes, before[n]...)
			if !gone[n] {
				nodes = append(nodes, n)
			}
		}
		g.Nodes = nodes
		if err := g.Sort(); err != nil {
			return false, err
		}
	}
	return changed || inner, nil
}

// try asks a rule. What a rule trips over in a graph that came from a file is an error:
// the graph is not edited before the rule returns.
func (c *Context) try(rule Rule, n *graph.Node) (p *Patch, err error) {
	defer func() {
		if r := recover(); r != nil {
			p, err = nil, fmt.Errorf("the rule failed: %v", r)
		}
	}()
	return rule(c, n)
}

// collect marks n and the nodes that fed only it as gone when nobody uses them any more.
func (c *Context) collect(n *graph.Node, gone map[*graph.Node]bool) {
	stack := []*graph.Node{n}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if gone[n] || !c.dead(n) {
			continue
		}
		gone[n] = true
		c.dropUses(n)
		for _, v := range n.Inputs {
			if v != nil && v.Def != nil {
				stack = append(stack, v.Def)
			}
		}
	}
}
