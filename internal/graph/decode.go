package graph

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Decode returns the graph that Encode wrote. The data are not trusted: what is returned
// verifies, but operators and types are as the data say. content returns a tensor of the
// given type and shape by the number of its contents.
func Decode(data []byte, content func(number uint64, d tensor.DType, shape []int) (*tensor.Tensor, error)) (*Graph, error) {
	d := &decoder{data: data, content: content, root: New("")}
	g := d.root
	for range d.count() {
		v := &Value{ID: len(d.values), Name: d.string()}
		if d.number() == 1 {
			v.Const = d.tensor()
			if v.Const != nil {
				v.Type = TypeOf(v.Const)
			}
		} else {
			v.Type = d.typ(0)
		}
		if d.err != nil {
			break
		}
		if _, taken := g.names[v.Name]; taken {
			d.fail(fmt.Errorf("two values are named %q", v.Name))
			break
		}
		g.names[v.Name] = 0
		d.values = append(d.values, v)
	}
	g.nextID = len(d.values)
	d.graph(g, 0)
	for range d.count() {
		k := d.string()
		g.Meta[k] = d.string()
	}
	if d.err == nil && len(d.data) > 0 {
		d.fail(fmt.Errorf("%d bytes are left over", len(d.data)))
	}
	if d.err == nil {
		d.err = g.Verify()
	}
	if d.err != nil {
		return nil, fmt.Errorf("decode graph: %w", d.err)
	}
	return g, nil
}

// decoder reads the binary form. After an error everything it returns is empty.
type decoder struct {
	data    []byte
	content func(uint64, tensor.DType, []int) (*tensor.Tensor, error)
	root    *Graph
	values  []*Value
	err     error
}

// deepest bounds how far bodies and types nest.
const deepest = 64

var errCut = errors.New("the data end too early")

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err, d.data = err, nil
	}
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.data)
	if size <= 0 {
		d.fail(errCut)
		return 0
	}
	d.data = d.data[size:]
	return n
}

func (d *decoder) signed() int64 {
	n, size := binary.Varint(d.data)
	if size <= 0 {
		d.fail(errCut)
		return 0
	}
	d.data = d.data[size:]
	return n
}

// count reads the length of a list, of which each item takes a byte or more.
func (d *decoder) count() int {
	n := d.number()
	if n > uint64(len(d.data)) {
		d.fail(errCut)
		return 0
	}
	return int(n)
}

func (d *decoder) size() int {
	n := d.number()
	if n > tensor.MaxElements {
		d.fail(fmt.Errorf("a size of %d", n))
		return 0
	}
	return int(n)
}

func (d *decoder) float() float32 { return math.Float32frombits(uint32(d.number())) }

func (d *decoder) string() string {
	n := d.count()
	s := string(d.data[:n])
	d.data = d.data[n:]
	return s
}

func (d *decoder) refs() []*Value {
	out := make([]*Value, d.count())
	for i := range out {
		switch n := d.number(); {
		case n > uint64(len(d.values)):
			d.fail(fmt.Errorf("value %d of %d", n, len(d.values)))
		case n > 0:
			out[i] = d.values[n-1]
		}
	}
	return out
}

func (d *decoder) tensor() *tensor.Tensor {
	dtype := tensor.DType(d.number())
	shape := make([]int, d.count())
	for i := range shape {
		shape[i] = d.size()
	}
	if d.err != nil {
		return nil
	}
	if dtype != tensor.String {
		t, err := d.content(d.number(), dtype, shape)
		if err != nil {
			d.fail(err)
		}
		return t
	}
	n, err := tensor.NumElements(shape)
	if err != nil || n > len(d.data) {
		d.fail(errCut)
		return nil
	}
	values := make([]string, n)
	for i := range values {
		values[i] = d.string()
	}
	return tensor.OfStrings(values, shape...)
}

func (d *decoder) typ(depth int) Type {
	t := Type{Kind: Kind(d.number()), DType: tensor.DType(d.number())}
	if t.Kind > KindOptional || t.DType != tensor.Invalid && !t.DType.Valid() {
		d.fail(errors.New("a type is of no known kind"))
		return Type{}
	}
	if rank := d.count(); rank > 0 {
		t.Shape = make(Shape, rank-1)
		for i := range t.Shape {
			n := d.signed()
			if n < -1 || n > tensor.MaxElements {
				d.fail(fmt.Errorf("a size of %d", n))
				return Type{}
			}
			if t.Shape[i].Size = int(n); n < 0 {
				t.Shape[i].Sym = d.string()
			}
		}
	}
	if d.number() == 1 {
		if depth == deepest {
			d.fail(errors.New("types nest too deep"))
			return Type{}
		}
		e := d.typ(depth + 1)
		t.Elem = &e
	}
	return t
}

func (d *decoder) graph(g *Graph, depth int) {
	if depth > deepest {
		d.fail(errors.New("bodies nest too deep"))
		return
	}
	g.Name, g.Inputs, g.Outputs = d.string(), d.refs(), d.refs()
	for range d.count() {
		n := &Node{Name: d.string(), Op: d.string(), Domain: d.string(), Inputs: d.refs(), Outputs: d.refs()}
		for _, v := range n.Outputs {
			if v != nil {
				v.Def = n
			}
		}
		for range d.count() {
			name := d.string()
			if n.Attrs == nil {
				n.Attrs = Attrs{}
			}
			n.Attrs[name] = d.attr(g, depth)
		}
		if d.err != nil {
			return
		}
		g.Nodes = append(g.Nodes, n)
	}
}

func (d *decoder) body(outer *Graph, depth int) *Graph {
	b := outer.NewBody("")
	d.graph(b, depth+1)
	return b
}

func (d *decoder) attr(g *Graph, depth int) any {
	switch code := d.number(); code {
	case codeInt:
		return d.signed()
	case codeFloat:
		return d.float()
	case codeString:
		return d.string()
	case codeInts:
		return items(d, d.signed)
	case codeFloats:
		return items(d, d.float)
	case codeStrings:
		return items(d, d.string)
	case codeTensor:
		return d.tensor()
	case codeTensors:
		return items(d, d.tensor)
	case codeGraph:
		return d.body(g, depth)
	case codeGraphs:
		return items(d, func() *Graph { return d.body(g, depth) })
	case codeType:
		return d.typ(0)
	default:
		d.fail(fmt.Errorf("attribute kind %d", code))
		return nil
	}
}

func items[T any](d *decoder, read func() T) []T {
	out := make([]T, d.count())
	for i := range out {
		if d.err != nil {
			return nil
		}
		out[i] = read()
	}
	return out
}
