package graph

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// The binary form of a graph keeps all that a program needs to lower it again: no layout
// of ONNX, no versions. All numbers are varints, strings and lists have their length in
// front, values are numbers in the order in which Encode meets them. The contents of
// tensors are not part of it: each is a number that the caller gave.

// Kinds of attributes in the binary form.
const (
	codeInt = iota
	codeFloat
	codeString
	codeInts
	codeFloats
	codeStrings
	codeTensor
	codeTensors
	codeGraph
	codeGraphs
	codeType
)

// Encode returns g in binary form. content returns a number under which Decode will find
// the contents of a tensor.
func Encode(g *Graph, content func(*tensor.Tensor) uint64) ([]byte, error) {
	e := &encoder{content: content, numbers: map[*Value]uint64{}}
	e.values(g)
	e.count(len(e.list))
	for _, v := range e.list {
		e.string(v.Name)
		if v.Const != nil {
			e.number(1)
			e.tensor(v.Const)
		} else {
			e.number(0)
			e.typ(v.Type)
		}
	}
	e.graph(g)
	keys := slices.Sorted(func(yield func(string) bool) {
		for k := range g.Meta {
			if !yield(k) {
				return
			}
		}
	})
	e.count(len(keys))
	for _, k := range keys {
		e.string(k)
		e.string(g.Meta[k])
	}
	return e.buf, e.err
}

type encoder struct {
	buf     []byte
	content func(*tensor.Tensor) uint64
	numbers map[*Value]uint64
	list    []*Value
	err     error
}

// values numbers the values of g and its bodies.
func (e *encoder) values(g *Graph) {
	add := func(list []*Value) {
		for _, v := range list {
			if _, ok := e.numbers[v]; v != nil && !ok {
				e.numbers[v] = uint64(len(e.list))
				e.list = append(e.list, v)
			}
		}
	}
	add(g.Inputs)
	for _, n := range g.Nodes {
		add(n.Inputs)
		add(n.Outputs)
		for _, b := range n.Bodies() {
			e.values(b)
		}
	}
	add(g.Outputs)
}

func (e *encoder) number(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }
func (e *encoder) signed(n int64)  { e.buf = binary.AppendVarint(e.buf, n) }
func (e *encoder) count(n int)     { e.number(uint64(n)) }
func (e *encoder) float(f float32) { e.number(uint64(math.Float32bits(f))) }

func (e *encoder) string(s string) {
	e.count(len(s))
	e.buf = append(e.buf, s...)
}

// refs writes values; 0 stands for none.
func (e *encoder) refs(list []*Value) {
	e.count(len(list))
	for _, v := range list {
		if v == nil {
			e.number(0)
		} else {
			e.number(e.numbers[v] + 1)
		}
	}
}

func (e *encoder) tensor(t *tensor.Tensor) {
	e.number(uint64(t.DType()))
	e.count(t.Rank())
	for _, d := range t.Shape() {
		e.count(d)
	}
	if t.DType() == tensor.String {
		for _, s := range t.Strings() {
			e.string(s)
		}
		return
	}
	e.number(e.content(t))
}

// typ writes a type; a rank is one more than its number, 0 where it is not known.
func (e *encoder) typ(t Type) {
	e.number(uint64(t.Kind))
	e.number(uint64(t.DType))
	if t.Shape == nil {
		e.number(0)
	} else {
		e.count(len(t.Shape) + 1)
		for _, d := range t.Shape {
			e.signed(int64(d.Size))
			if !d.Known() {
				e.string(d.Sym)
			}
		}
	}
	if t.Elem == nil {
		e.number(0)
		return
	}
	e.number(1)
	e.typ(*t.Elem)
}

func (e *encoder) graph(g *Graph) {
	e.string(g.Name)
	e.refs(g.Inputs)
	e.refs(g.Outputs)
	e.count(len(g.Nodes))
	for _, n := range g.Nodes {
		e.string(n.Name)
		e.string(n.Op)
		e.string(n.Domain)
		e.refs(n.Inputs)
		e.refs(n.Outputs)
		e.count(len(n.Attrs))
		for _, name := range n.Attrs.Names() {
			e.string(name)
			e.attr(n.Attrs[name])
		}
	}
}

func (e *encoder) attr(a any) {
	switch a := a.(type) {
	case int64:
		e.number(codeInt)
		e.signed(a)
	case float32:
		e.number(codeFloat)
		e.float(a)
	case string:
		e.number(codeString)
		e.string(a)
	case []int64:
		e.number(codeInts)
		list(e, a, e.signed)
	case []float32:
		e.number(codeFloats)
		list(e, a, e.float)
	case []string:
		e.number(codeStrings)
		list(e, a, e.string)
	case *tensor.Tensor:
		e.number(codeTensor)
		e.tensor(a)
	case []*tensor.Tensor:
		e.number(codeTensors)
		list(e, a, e.tensor)
	case *Graph:
		e.number(codeGraph)
		e.graph(a)
	case []*Graph:
		e.number(codeGraphs)
		list(e, a, e.graph)
	case Type:
		e.number(codeType)
		e.typ(a)
	default:
		e.err = fmt.Errorf("encode graph: an attribute is a %T", a)
	}
}

func list[T any](e *encoder, items []T, write func(T)) {
	e.count(len(items))
	for _, it := range items {
		write(it)
	}
}
