package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// encoder writes a graph whose nodes already have the form of the target opset.
type encoder struct {
	opset    int64
	producer string
	meta     map[string]string
	external func(*tensor.Tensor) (location string, offset int64, ok bool) // nil: all inline
	err      error

	consts  map[*graph.Value]*graph.Graph   // constants, with the graph that lists each
	owned   map[*graph.Graph][]*graph.Value // the inverse
	domains map[string]int64
}

// irVersion gives, by opset, the file format that came with it.
func irVersion(opset int64) int64 {
	for _, r := range []struct{ from, ir int64 }{{25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}} {
		if opset >= r.from {
			return r.ir
		}
	}
	return 7
}

func (e *encoder) model(g *graph.Graph) *buffer {
	e.domains = map[string]int64{"": e.opset}
	e.placeConstants(g)
	var body buffer
	e.graph(&body, g, "")
	body.flush()
	var b buffer
	b.int(1, irVersion(e.opset))
	b.text(2, e.producer)
	b.message(7, func(in *buffer) {
		for _, p := range body.pieces {
			in.share(p)
		}
	})
	for _, d := range slices.Sorted(maps.Keys(e.domains)) {
		b.message(8, func(in *buffer) {
			in.optional(1, d)
			in.int(2, e.domains[d])
		})
	}
	for _, k := range slices.Sorted(maps.Keys(e.meta)) {
		b.message(14, entry(k, e.meta[k]))
	}
	return &b
}

func entry(key, value string) func(*buffer) {
	return func(in *buffer) {
		in.text(1, key)
		in.text(2, value)
	}
}

// placeConstants decides which graph lists each constant: the main graph, except that one
// that a single body returns stands in that body, since runtimes want a body's outputs
// made inside it.
func (e *encoder) placeConstants(root *graph.Graph) {
	e.consts = map[*graph.Value]*graph.Graph{}
	for _, v := range root.Constants() {
		e.consts[v] = root
	}
	users := map[*graph.Value]map[*graph.Graph]bool{}
	use := func(g *graph.Graph, vs []*graph.Value) {
		for _, v := range vs {
			if v != nil && v.Const != nil {
				if users[v] == nil {
					users[v] = map[*graph.Graph]bool{}
				}
				users[v][g] = true
			}
		}
	}
	use(root, root.Outputs)
	var bodies []*graph.Graph
	root.Walk(func(g *graph.Graph, n *graph.Node) {
		use(g, n.Inputs)
		for _, b := range n.Bodies() {
			bodies = append(bodies, b)
			use(b, b.Outputs)
		}
	})
	for _, b := range bodies {
		for _, v := range b.Outputs {
			if v.Const != nil && len(users[v]) == 1 {
				e.consts[v] = b
			}
		}
	}
	e.owned = map[*graph.Graph][]*graph.Value{}
	for _, v := range root.Constants() {
		e.owned[e.consts[v]] = append(e.owned[e.consts[v]], v)
	}
}

func (e *encoder) graph(b *buffer, g *graph.Graph, fallback string) {
	outputs := e.outputs(g)
	for _, n := range g.Nodes {
		b.message(1, func(in *buffer) { e.node(in, n) })
	}
	for i, v := range g.Outputs {
		if outputs[i] != v.Name {
			b.message(1, func(in *buffer) {
				in.text(1, v.Name)
				in.text(2, outputs[i])
				in.text(4, "Identity")
			})
		}
	}
	name := g.Name
	if name == "" {
		name = fallback
	}
	if name == "" {
		name = "graph"
	}
	b.text(2, name)
	for _, v := range e.owned[g] {
		b.message(5, func(in *buffer) { e.tensor(in, v.Name, v.Const) })
	}
	b.optional(10, g.Doc)
	for _, v := range g.Inputs {
		b.message(11, valueInfo(v.Name, v.Type))
	}
	for i, v := range g.Outputs {
		b.message(12, valueInfo(outputs[i], v.Type))
	}
	listed := map[*graph.Value]bool{}
	for _, v := range g.Outputs {
		listed[v] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v != nil && !listed[v] && typeKnown(v.Type) {
				b.message(13, valueInfo(v.Name, v.Type))
			}
		}
	}
}

// outputs returns the names of g's outputs: a fresh one where a value is returned twice, or
// where a body returns what it did not make.
func (e *encoder) outputs(g *graph.Graph) []string {
	own := map[*graph.Value]bool{}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			own[v] = true
		}
	}
	for _, v := range g.Inputs {
		own[v] = true
	}
	names := make([]string, len(g.Outputs))
	seen := map[*graph.Value]bool{}
	for i, v := range g.Outputs {
		names[i] = v.Name
		outside := g.Outer != nil && !own[v] && e.consts[v] != g
		if seen[v] || outside {
			names[i] = g.NewValue(v.Name+"_out", graph.Type{}).Name
		}
		seen[v] = true
	}
	return names
}

func typeKnown(t graph.Type) bool {
	for t.Kind != graph.KindTensor {
		if t.Elem == nil {
			return false
		}
		t = *t.Elem
	}
	return t.DType != tensor.Invalid
}

func (e *encoder) node(b *buffer, n *graph.Node) {
	for _, v := range n.Inputs {
		b.text(1, nameOf(v))
	}
	for _, v := range n.Outputs {
		b.text(2, nameOf(v))
	}
	b.optional(3, n.Name)
	b.text(4, n.Op)
	for _, name := range n.Attrs.Names() {
		b.message(5, func(in *buffer) { e.attr(in, name, n.Attrs[name]) })
	}
	b.optional(6, n.Doc)
	b.optional(7, n.Domain)
	if n.Domain != "" {
		e.domains[n.Domain] = max(e.domains[n.Domain], domainVersion(n))
	}
}

func nameOf(v *graph.Value) string {
	if v == nil {
		return ""
	}
	return v.Name
}

func (e *encoder) attr(b *buffer, name string, a any) {
	b.text(1, name)
	kind := int64(0)
	switch a := a.(type) {
	case float32:
		kind = attrFloat
		b.float(2, a)
	case int64:
		kind = attrInt
		b.int(3, a)
	case string:
		kind = attrString
		b.text(4, a)
	case *tensor.Tensor:
		kind = attrTensor
		b.message(5, func(in *buffer) { e.inline(in, "", a) })
	case *graph.Graph:
		kind = attrGraph
		b.message(6, func(in *buffer) { e.graph(in, a, name) })
	case []float32:
		kind = attrFloats
		b.raw(7, tensor.Of(a, len(a)).Bytes())
	case []int64:
		kind = attrInts
		b.packed(8, a)
	case []string:
		kind = attrStrings
		for _, s := range a {
			b.text(9, s)
		}
	case []*tensor.Tensor:
		kind = attrTensors
		for _, t := range a {
			b.message(10, func(in *buffer) { e.inline(in, "", t) })
		}
	case []*graph.Graph:
		kind = attrGraphs
		for _, g := range a {
			b.message(11, func(in *buffer) { e.graph(in, g, name) })
		}
	case graph.Type:
		kind = attrType
		b.message(14, typeProto(a))
	default:
		e.fail(fmt.Errorf("attribute %s is a %T, which ONNX cannot hold", name, a))
	}
	b.int(20, kind)
}

func (e *encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// tensor writes an initializer, outside the file where that is asked for.
func (e *encoder) tensor(b *buffer, name string, t *tensor.Tensor) {
	if e.external != nil && t.DType() != tensor.String {
		if location, offset, ok := e.external(t); ok {
			e.header(b, name, t)
			b.message(13, entry("location", location))
			b.message(13, entry("offset", strconv.FormatInt(offset, 10)))
			b.message(13, entry("length", strconv.Itoa(t.SizeBytes())))
			b.int(14, 1)
			return
		}
	}
	e.inline(b, name, t)
}

func (e *encoder) header(b *buffer, name string, t *tensor.Tensor) {
	dims := make([]int64, t.Rank())
	for i, d := range t.Shape() {
		dims[i] = int64(d)
	}
	if len(dims) > 0 {
		b.packed(1, dims)
	}
	b.int(2, int64(t.DType()))
	b.optional(8, name)
}

func (e *encoder) inline(b *buffer, name string, t *tensor.Tensor) {
	e.header(b, name, t)
	if t.DType() == tensor.String {
		for _, s := range t.Strings() {
			b.text(6, s)
		}
		return
	}
	b.raw(9, t.Bytes())
}

func valueInfo(name string, t graph.Type) func(*buffer) {
	return func(b *buffer) {
		b.text(1, name)
		if typeKnown(t) || t.Shape != nil {
			b.message(2, typeProto(t))
		}
	}
}

func typeProto(t graph.Type) func(*buffer) {
	return func(b *buffer) {
		switch t.Kind {
		case graph.KindSequence, graph.KindOptional:
			num := fieldNumber(4)
			if t.Kind == graph.KindOptional {
				num = 9
			}
			b.message(num, func(in *buffer) {
				if t.Elem != nil {
					in.message(1, typeProto(*t.Elem))
				}
			})
		default:
			b.message(1, func(in *buffer) {
				in.int(1, int64(t.DType))
				if t.Shape != nil {
					in.message(2, shapeProto(t.Shape))
				}
			})
		}
	}
}

func shapeProto(s graph.Shape) func(*buffer) {
	return func(b *buffer) {
		for _, d := range s {
			b.message(1, func(in *buffer) {
				switch {
				case d.Known():
					in.int(1, int64(d.Size))
				case d.Sym != "":
					in.text(2, d.Sym)
				}
			})
		}
	}
}
