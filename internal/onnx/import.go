package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

const (
	// minNodes is the number of nodes that any model may have after functions are
	// inlined; a file of some size may have one more for every bytesPerNode of it, which
	// is less than a node takes. Functions that call functions cannot make more.
	minNodes     = 1 << 16
	bytesPerNode = 4

	// maxIR is the newest file format known. Newer ones only add fields so far, but
	// what a field that is skipped means cannot be known.
	maxIR = 14
)

// importer turns messages into a graph.
type importer struct {
	model  *modelProto
	ext    *externalData
	opts   ReadOptions
	funcs  map[funcKey]*functionProto
	active map[*functionProto]bool // functions being inlined, against recursion
	used   map[string]bool         // names that any node or graph output of the file reads
	count  int                     // nodes made so far
	limit  int                     // of count
	facts  *op.Facts
}

// scope is where names are looked up: one per graph, body and inlined function.
type scope struct {
	g      *graph.Graph
	parent *scope // enclosing graph; nil for the main graph and for functions
	vals   map[string]*graph.Value
	opsets map[string]int64
	attrs  map[string]binding // attributes of the function being inlined
	formal map[string]bool    // outputs of that function that are the caller's values
	prefix string             // of names made by inlining
	depth  int
}

// absent stands for an optional input of a function that the call leaves out.
var absent = &graph.Value{}

func (s *scope) lookup(name string) *graph.Value {
	for ; s != nil; s = s.parent {
		if v, ok := s.vals[name]; ok {
			return v
		}
	}
	return nil
}

func (im *importer) run() (*graph.Graph, error) {
	m := im.model
	switch {
	case m.graph == nil && m.hasTraining:
		return nil, errors.New("the file holds training information only, no graph")
	case m.graph == nil:
		return nil, errors.New("the file holds no graph; hint: it is not an ONNX model, or it is truncated")
	case m.irVersion < 1 || m.irVersion > maxIR:
		return nil, fmt.Errorf("ir_version %d is not one of 1 to %d", m.irVersion, maxIR)
	}
	if _, ok := m.opsets[""]; !ok && m.irVersion < 3 {
		m.opsets[""] = 1
	}
	if err := checkOpsets(m.opsets); err != nil {
		return nil, err
	}
	if err := im.indexFunctions(); err != nil {
		return nil, err
	}
	if err := im.refuseUnknown(); err != nil {
		return nil, err
	}
	g := graph.New(m.graph.name)
	g.Doc = cmp.Or(m.graph.doc, m.doc)
	for k, v := range m.meta {
		g.Meta[k] = v
	}
	sc := &scope{g: g, vals: map[string]*graph.Value{}, opsets: m.opsets}
	if err := im.graph(sc, m.graph); err != nil {
		return nil, err
	}
	if err := g.Verify(); err != nil {
		return nil, err
	}
	return g, nil
}

// checkOpsets refuses versions of the default domain that did not exist when this was
// written, because an operator may mean something else there.
func checkOpsets(opsets map[string]int64) error {
	if v, ok := opsets[""]; ok && (v < 1 || v > graph.Opset) {
		return fmt.Errorf("opset %d is not one of 1 to %d; hint: convert the model to an older opset", v, graph.Opset)
	}
	return nil
}

// graph fills sc.g, which is empty, from p.
func (im *importer) graph(sc *scope, p *graphProto) error {
	if sc.depth > maxDepth {
		return errors.New("graphs are nested too deeply")
	}
	for _, t := range p.init {
		dense, err := t.decode(im.ext)
		if err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
		if err := sc.define(t.name, sc.g.Constant(sc.prefix+t.name, dense)); err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
	}
	for _, t := range p.sparseInit {
		dense, err := t.decode(im.ext)
		if err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
		if err := sc.define(t.values.name, sc.g.Constant(sc.prefix+t.values.name, dense)); err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
	}
	for _, in := range p.inputs {
		// An initializer of the same name is the input's value (IR before 4) or its
		// default (since): either way it is a constant here.
		if v, ok := sc.vals[in.name]; ok && v.Const != nil {
			continue
		}
		if err := sc.define(in.name, sc.g.Input(sc.prefix+in.name, in.typ.Clone())); err != nil {
			return fmt.Errorf("input: %w", err)
		}
	}
	if err := im.nodes(sc, p.nodes, p.values, p.outputs); err != nil {
		return err
	}
	for _, out := range p.outputs {
		v := sc.lookup(out.name)
		if v == nil || v == absent {
			return fmt.Errorf("graph %q: output %q is not defined by any node", p.name, out.name)
		}
		sc.g.Output(v)
	}
	return sc.g.Sort()
}

func (s *scope) define(name string, v *graph.Value) error {
	if s.vals[name] != nil {
		return fmt.Errorf("%q is defined twice", name)
	}
	s.vals[name] = v
	return nil
}

// nodes adds nodes to sc.g. All their outputs are made first, so that a node may
// stand before those that it needs; Sort puts that right or finds the cycle.
func (im *importer) nodes(sc *scope, nodes []*nodeProto, stated ...[]*valueProto) error {
	for i, n := range nodes {
		for _, name := range n.outputs {
			if name == "" {
				continue
			}
			if sc.formal[name] {
				delete(sc.formal, name) // by now it is defined
				continue
			}
			if err := sc.define(name, sc.g.NewValue(sc.prefix+name, graph.Type{})); err != nil {
				return fmt.Errorf("%s: output: %w", describeNode(i, n), err)
			}
		}
	}
	for _, list := range stated {
		for _, s := range list {
			if v := sc.vals[s.name]; v != nil && v.Const == nil && v.Type.Equal(graph.Type{}) {
				v.Type = s.typ.Clone()
			}
		}
	}
	for i, n := range nodes {
		if err := im.countNode(); err != nil {
			return err
		}
		if err := im.node(sc, n); err != nil {
			return fmt.Errorf("%s: %w", describeNode(i, n), err)
		}
	}
	return nil
}

func (im *importer) countNode() error {
	if im.count++; im.count > im.limit {
		return fmt.Errorf("functions and upgrades would make more than %d nodes of a small file", im.limit)
	}
	return nil
}

func describeNode(i int, n *nodeProto) string {
	name := n.name
	if name == "" && len(n.outputs) > 0 {
		name = n.outputs[0]
	}
	return fmt.Sprintf("node %d %s (%v)", i, name, op.Key{Domain: n.domain, Name: n.op})
}

func (im *importer) node(sc *scope, p *nodeProto) error {
	if fn := im.funcs[funcKey{p.domain, p.op, p.overload}]; fn != nil {
		return im.inline(sc, p, fn)
	}
	attrs := graph.Attrs{}
	for _, a := range p.attrs {
		v, err := im.attr(sc, a)
		if err != nil {
			return fmt.Errorf("attribute %s: %w", a.name, err)
		}
		if v == nil {
			continue
		}
		if attrs.Has(a.name) {
			return fmt.Errorf("attribute %s is given twice", a.name)
		}
		attrs[a.name] = v
	}
	n := &graph.Node{Name: p.name, Op: p.op, Domain: p.domain, Doc: p.doc, Attrs: attrs}
	if n.Name != "" {
		n.Name = sc.prefix + n.Name
	}
	for _, name := range p.inputs {
		var v *graph.Value
		if name != "" {
			if v = sc.lookup(name); v == nil {
				return fmt.Errorf("input %q is not defined; hint: no node, input or initializer has this name", name)
			}
			if v == absent {
				v = nil
			}
		}
		n.Inputs = append(n.Inputs, v)
	}
	for _, name := range p.outputs {
		var v *graph.Value
		if name != "" {
			v = sc.vals[name]
		}
		n.Outputs = append(n.Outputs, v)
	}
	n.Inputs, n.Outputs = trimAbsent(n.Inputs), trimAbsent(n.Outputs)
	if n.Is("Constant") {
		return constant(n)
	}
	u := &upgrader{im: im, g: sc.g, outputs: p.outputs, n: n, version: sc.opsets[n.Domain]}
	return u.run()
}

// trimAbsent drops absent values from the end.
func trimAbsent(vs []*graph.Value) []*graph.Value {
	for len(vs) > 0 && vs[len(vs)-1] == nil {
		vs = vs[:len(vs)-1]
	}
	return vs
}

// constant turns the output of a Constant node into a constant value.
func constant(n *graph.Node) error {
	t, err := constantValue(n.Attrs)
	if err != nil {
		return err
	}
	if len(n.Inputs) != 0 || len(n.Outputs) != 1 {
		return fmt.Errorf("has %d inputs and %d outputs, want 0 and 1", len(n.Inputs), len(n.Outputs))
	}
	v := n.Outputs[0]
	v.Const, v.Type = t, graph.TypeOf(t)
	return nil
}

// emit appends a finished node to g.
func (im *importer) emit(g *graph.Graph, n *graph.Node, infer bool) error {
	if err := im.countNode(); err != nil {
		return err
	}
	for _, v := range n.Outputs {
		if v != nil {
			v.Def = n
		}
	}
	g.Nodes = append(g.Nodes, n)
	if infer {
		// Later upgrades look at types. What cannot be inferred stays unknown, and
		// what is wrong is found, with a better message, when the model is compiled.
		_ = im.facts.InferNode(n)
	}
	return nil
}

// refuseUnknown names all unknown operators of the main graph, its bodies and the
// functions that they use, at once.
func (im *importer) refuseUnknown() error {
	if im.opts.KeepUnknown {
		return nil
	}
	found := map[op.Key]*UnsupportedOp{}
	seen := map[*functionProto]bool{}
	var scan func(nodes []*nodeProto, opsets map[string]int64)
	scan = func(nodes []*nodeProto, opsets map[string]int64) {
		for i, n := range nodes {
			key := op.Key{Domain: n.domain, Name: n.op}
			if fn := im.funcs[funcKey{n.domain, n.op, n.overload}]; fn != nil {
				if !seen[fn] {
					seen[fn] = true
					scan(fn.nodes, im.functionOpsets(fn))
				}
			} else if !known(key) {
				u := found[key]
				if u == nil {
					u = &UnsupportedOp{Key: key, Version: opsets[n.domain], Node: describeNode(i, n)}
					found[key] = u
				}
				u.Count++
			}
			for _, a := range n.attrs {
				for _, b := range append(slices.Clone(a.graphs), a.graph) {
					if b != nil {
						scan(b.nodes, opsets)
					}
				}
			}
		}
	}
	scan(im.model.graph.nodes, im.model.opsets)
	if len(found) == 0 {
		return nil
	}
	e := &UnsupportedError{}
	for _, u := range found {
		e.Ops = append(e.Ops, *u)
	}
	slices.SortFunc(e.Ops, func(a, b UnsupportedOp) int {
		return cmp.Or(cmp.Compare(a.Domain, b.Domain), cmp.Compare(a.Name, b.Name))
	})
	return e
}

// known reports whether the reader can make something of an operator.
func known(k op.Key) bool {
	return op.Lookup(k.Domain, k.Name) != nil || k.Domain == "" && (k.Name == "Constant" || legacy[k.Name])
}
