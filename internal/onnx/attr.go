package onnx

import (
	"errors"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Values of AttributeProto.AttributeType.
const (
	attrFloat = iota + 1
	attrInt
	attrString
	attrTensor
	attrGraph
	attrFloats
	attrInts
	attrStrings
	attrTensors
	attrGraphs
	attrSparse
	attrSparses
	attrType
)

// binding is an attribute that a call hands to a function. It is evaluated where it is
// used, names in the scope of the call.
type binding struct {
	attr  *attrProto
	scope *scope
}

// attr returns the value of an attribute; nil when it refers to an attribute that the
// call of the function leaves out.
func (im *importer) attr(sc *scope, a *attrProto) (any, error) {
	if a.ref != "" {
		b, ok := sc.attrs[a.ref]
		if !ok {
			return nil, nil
		}
		in := *b.scope
		in.g = sc.g // a body handed in belongs to the graph that uses it
		return im.attr(&in, b.attr)
	}
	switch a.kindOf() {
	case attrFloat:
		return a.f, nil
	case attrInt:
		return a.i, nil
	case attrString:
		return string(a.s), nil
	case attrTensor:
		if a.tensor == nil {
			return nil, errors.New("the tensor is missing")
		}
		return a.tensor.decode(im.ext)
	case attrSparse:
		if a.sparse == nil {
			return nil, errors.New("the sparse tensor is missing")
		}
		return a.sparse.decode(im.ext)
	case attrGraph:
		if a.graph == nil {
			return nil, errors.New("the graph is missing")
		}
		return im.body(sc, a.graph)
	case attrFloats:
		out := make([]float32, len(a.floats)/4)
		t, err := tensor.FromBytes(tensor.Float32, []int{len(out)}, a.floats)
		if err != nil {
			return nil, err
		}
		copy(out, t.F32())
		return out, nil
	case attrInts:
		out := make([]int64, len(a.ints))
		for i, v := range a.ints {
			out[i] = int64(v)
		}
		return out, nil
	case attrStrings:
		return append([]string{}, a.strings...), nil
	case attrTensors:
		out := make([]*tensor.Tensor, len(a.tensors))
		for i, t := range a.tensors {
			var err error
			if out[i], err = t.decode(im.ext); err != nil {
				return nil, err
			}
		}
		return out, nil
	case attrGraphs:
		out := make([]*graph.Graph, len(a.graphs))
		for i, b := range a.graphs {
			var err error
			if out[i], err = im.body(sc, b); err != nil {
				return nil, err
			}
		}
		return out, nil
	case attrType:
		if a.typ == nil {
			return nil, errors.New("the type is missing")
		}
		return a.typ.Clone(), nil
	}
	return nil, fmt.Errorf("attributes of kind %d are not supported", a.kind)
}

// kindOf returns the stated kind, or for files older than that field the one whose
// value is there.
func (a *attrProto) kindOf() int64 {
	switch {
	case a.kind != 0:
		return a.kind
	case a.tensor != nil:
		return attrTensor
	case a.graph != nil:
		return attrGraph
	case a.sparse != nil:
		return attrSparse
	case a.typ != nil:
		return attrType
	case a.floats != nil:
		return attrFloats
	case a.ints != nil:
		return attrInts
	case a.strings != nil:
		return attrStrings
	case a.tensors != nil:
		return attrTensors
	case a.graphs != nil:
		return attrGraphs
	case a.s != nil:
		return attrString
	case a.f != 0:
		return attrFloat
	}
	return attrInt
}

func (im *importer) body(sc *scope, p *graphProto) (*graph.Graph, error) {
	in := &scope{
		g:      sc.g.NewBody(p.name),
		parent: sc,
		vals:   map[string]*graph.Value{},
		opsets: sc.opsets,
		attrs:  sc.attrs,
		prefix: sc.prefix,
		depth:  sc.depth + 1,
	}
	in.g.Doc = p.doc
	if err := im.graph(in, p); err != nil {
		return nil, fmt.Errorf("body %q: %w", p.name, err)
	}
	return in.g, nil
}

// constantValue returns what a Constant node holds: exactly one of its attributes.
func constantValue(a graph.Attrs) (*tensor.Tensor, error) {
	if len(a) != 1 {
		return nil, fmt.Errorf("a constant needs one attribute, it has %d: %v", len(a), a.Names())
	}
	for name, v := range a {
		switch v := v.(type) {
		case *tensor.Tensor:
			if name == "value" || name == "sparse_value" {
				return v, nil
			}
		case int64:
			if name == "value_int" {
				return tensor.Scalar(v), nil
			}
		case float32:
			if name == "value_float" {
				return tensor.Scalar(v), nil
			}
		case string:
			if name == "value_string" {
				return tensor.OfStrings([]string{v}), nil
			}
		case []int64:
			if name == "value_ints" {
				return tensor.Of(v, len(v)), nil
			}
		case []float32:
			if name == "value_floats" {
				return tensor.Of(v, len(v)), nil
			}
		case []string:
			if name == "value_strings" {
				return tensor.OfStrings(v, len(v)), nil
			}
		}
		return nil, fmt.Errorf("attribute %s does not hold a constant", name)
	}
	return nil, nil
}
