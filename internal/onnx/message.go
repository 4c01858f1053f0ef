package onnx

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The messages of onnx.proto as far as Edgewise has use for them, read from the wire
// without copying tensor data. Field numbers are those of onnx.proto.

type modelProto struct {
	irVersion   int64
	producer    string
	doc         string
	graph       *graphProto
	opsets      map[string]int64 // by domain
	meta        map[string]string
	functions   []*functionProto
	hasTraining bool
}

type graphProto struct {
	name, doc  string
	nodes      []*nodeProto
	init       []*tensorProto
	sparseInit []*sparseProto
	inputs     []*valueProto
	outputs    []*valueProto
	values     []*valueProto
}

type nodeProto struct {
	name, op, domain, overload, doc string
	inputs, outputs                 []string
	attrs                           []*attrProto
}

type attrProto struct {
	name, ref string
	kind      int64
	f         float32
	i         int64
	s         []byte
	tensor    *tensorProto
	graph     *graphProto
	sparse    *sparseProto
	typ       *graph.Type
	floats    []byte
	ints      []uint64
	strings   []string
	tensors   []*tensorProto
	graphs    []*graphProto
}

type functionProto struct {
	name, domain, overload string
	inputs, outputs        []string
	attrs                  []string     // without defaults
	defaults               []*attrProto // with
	nodes                  []*nodeProto
	opsets                 map[string]int64
}

type valueProto struct {
	name string
	typ  graph.Type
}

type tensorProto struct {
	name     string
	dims     []uint64
	dtype    int64
	segment  bool
	floats   []byte   // float_data
	doubles  []byte   // double_data
	ints     []uint64 // int32_data, int64_data or uint64_data
	strings  []string
	raw      []byte
	hasRaw   bool
	location int64
	external map[string]string
}

type sparseProto struct {
	values, indices *tensorProto
	dims            []uint64
}

func nested[T any](f field, parse func([]byte) (*T, error), what string) (*T, error) {
	var b []byte
	if err := f.raw(&b); err != nil {
		return nil, err
	}
	v, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return v, nil
}

func appendNested[T any](dst *[]*T, f field, parse func([]byte) (*T, error), what string) error {
	var b []byte
	if err := f.raw(&b); err != nil {
		return err
	}
	v, err := parse(b)
	if err != nil {
		return fmt.Errorf("%s %d: %w", what, len(*dst), err)
	}
	*dst = append(*dst, v)
	return nil
}

func appendString(dst *[]string, f field) error {
	var s string
	err := f.string(&s)
	*dst = append(*dst, s)
	return err
}

func (s *scanner) model(data []byte) (*modelProto, error) {
	m := &modelProto{opsets: map[string]int64{}, meta: map[string]string{}}
	err := s.message(data, func(f field) (err error) {
		switch f.num {
		case 1:
			return f.int(&m.irVersion)
		case 2:
			return f.string(&m.producer)
		case 6:
			return f.string(&m.doc)
		case 7:
			m.graph, err = nested(f, s.graph, "graph")
			return err
		case 8:
			return s.opset(f, m.opsets)
		case 14:
			return s.entry(f, m.meta)
		case 20:
			m.hasTraining = true
		case 25:
			return appendNested(&m.functions, f, s.function, "function")
		}
		return nil
	})
	return m, err
}

func (s *scanner) opset(f field, into map[string]int64) error {
	var domain string
	var version int64
	if err := s.message(f.bytes, func(f field) error {
		switch f.num {
		case 1:
			return f.string(&domain)
		case 2:
			return f.int(&version)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("opset import: %w", err)
	}
	into[plainDomain(domain)] = version
	return nil
}

// entry reads a StringStringEntryProto.
func (s *scanner) entry(f field, into map[string]string) error {
	var key, value string
	if err := s.message(f.bytes, func(f field) error {
		switch f.num {
		case 1:
			return f.string(&key)
		case 2:
			return f.string(&value)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	into[key] = value
	return nil
}

// plainDomain maps the long name of the default domain to the short one.
func plainDomain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

func (s *scanner) graph(data []byte) (*graphProto, error) {
	if s.depth > maxDepth {
		return nil, fmt.Errorf("graphs are nested more than %d messages deep", maxDepth)
	}
	g := &graphProto{}
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			return appendNested(&g.nodes, f, s.node, "node")
		case 2:
			return f.string(&g.name)
		case 5:
			return appendNested(&g.init, f, s.initializer, "initializer")
		case 10:
			return f.string(&g.doc)
		case 11:
			return appendNested(&g.inputs, f, s.value, "input")
		case 12:
			return appendNested(&g.outputs, f, s.value, "output")
		case 13:
			return appendNested(&g.values, f, s.value, "value_info")
		case 15:
			return appendNested(&g.sparseInit, f, s.sparse, "sparse initializer")
		}
		return nil
	})
	return g, err
}

func (s *scanner) node(data []byte) (*nodeProto, error) {
	n := &nodeProto{}
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			return appendString(&n.inputs, f)
		case 2:
			return appendString(&n.outputs, f)
		case 3:
			return f.string(&n.name)
		case 4:
			return f.string(&n.op)
		case 5:
			return appendNested(&n.attrs, f, s.attr, "attribute")
		case 6:
			return f.string(&n.doc)
		case 7:
			return f.string(&n.domain)
		case 8:
			return f.string(&n.overload)
		}
		return nil
	})
	if err == nil && n.op == "" {
		err = fmt.Errorf("node %q has no operator", n.name)
	}
	n.domain = plainDomain(n.domain)
	return n, err
}

func (s *scanner) attr(data []byte) (*attrProto, error) {
	a := &attrProto{}
	err := s.message(data, func(f field) (err error) {
		switch f.num {
		case 1:
			return f.string(&a.name)
		case 2:
			return f.float(&a.f)
		case 3:
			return f.int(&a.i)
		case 4:
			return f.raw(&a.s)
		case 5:
			a.tensor, err = nested(f, s.tensor, "tensor")
			return err
		case 6:
			a.graph, err = nested(f, s.graph, "graph")
			return err
		case 7:
			return f.fixed(&a.floats, 4)
		case 8:
			return f.varints(&a.ints)
		case 9:
			return appendString(&a.strings, f)
		case 10:
			return appendNested(&a.tensors, f, s.tensor, "tensor")
		case 11:
			return appendNested(&a.graphs, f, s.graph, "graph")
		case 14:
			a.typ, err = nested(f, s.typ, "type")
			return err
		case 20:
			return f.int(&a.kind)
		case 21:
			return f.string(&a.ref)
		case 22:
			a.sparse, err = nested(f, s.sparse, "sparse tensor")
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", a.name, err)
	}
	if a.name == "" {
		return nil, fmt.Errorf("an attribute has no name")
	}
	return a, nil
}

func (s *scanner) function(data []byte) (*functionProto, error) {
	fn := &functionProto{opsets: map[string]int64{}}
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			return f.string(&fn.name)
		case 4:
			return appendString(&fn.inputs, f)
		case 5:
			return appendString(&fn.outputs, f)
		case 6:
			return appendString(&fn.attrs, f)
		case 7:
			return appendNested(&fn.nodes, f, s.node, "node")
		case 9:
			return s.opset(f, fn.opsets)
		case 10:
			return f.string(&fn.domain)
		case 11:
			return appendNested(&fn.defaults, f, s.attr, "attribute")
		case 13:
			return f.string(&fn.overload)
		}
		return nil
	})
	fn.domain = plainDomain(fn.domain)
	if err == nil && fn.name == "" {
		err = fmt.Errorf("the function has no name")
	}
	return fn, err
}

func (s *scanner) value(data []byte) (*valueProto, error) {
	v := &valueProto{}
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			return f.string(&v.name)
		case 2:
			t, err := nested(f, s.typ, "type")
			if err == nil {
				v.typ = *t
			}
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%q: %w", v.name, err)
	}
	if v.name == "" {
		return nil, fmt.Errorf("a value has no name")
	}
	return v, nil
}

func (s *scanner) typ(data []byte) (*graph.Type, error) {
	t := &graph.Type{}
	if s.depth > maxDepth {
		return nil, fmt.Errorf("types are nested too deeply")
	}
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			t.Kind = graph.KindTensor
			return s.tensorType(f, t)
		case 4, 9:
			t.Kind = graph.KindSequence
			if f.num == 9 {
				t.Kind = graph.KindOptional
			}
			return s.message(f.bytes, func(f field) (err error) {
				if f.num == 1 {
					t.Elem, err = nested(f, s.typ, "element type")
				}
				return err
			})
		case 5:
			return fmt.Errorf("maps are not supported")
		case 7:
			return fmt.Errorf("opaque types are not supported")
		case 8: // sparse tensors are densified where they are constant
			return s.tensorType(f, t)
		}
		return nil
	})
	return t, err
}

func (s *scanner) tensorType(f field, t *graph.Type) error {
	return s.message(f.bytes, func(f field) error {
		switch f.num {
		case 1:
			var d int64
			if err := f.int(&d); err != nil {
				return err
			}
			if d != 0 && (d < 0 || d > 255 || !tensor.DType(d).Valid()) {
				return fmt.Errorf("element type %d is not known", d)
			}
			t.DType = tensor.DType(d)
		case 2:
			t.Shape = graph.Shape{}
			return s.message(f.bytes, func(f field) error {
				if f.num != 1 {
					return nil
				}
				d, err := s.dim(f.bytes)
				t.Shape = append(t.Shape, d)
				return err
			})
		}
		return nil
	})
}

// dim reads a size. Negative sizes, which some exporters write for "any", are unknown.
func (s *scanner) dim(data []byte) (graph.Dim, error) {
	d := graph.Unknown
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			var v int64
			if err := f.int(&v); err != nil {
				return err
			}
			if v > tensor.MaxElements || int64(int(v)) != v {
				return fmt.Errorf("size %d is too large", v)
			}
			if v >= 0 {
				d = graph.Dim{Size: int(v)}
			}
		case 2:
			var sym string
			if err := f.string(&sym); err != nil {
				return err
			}
			d = graph.Sym(sym)
		}
		return nil
	})
	return d, err
}

// initializer reads a tensor that must have a name.
func (s *scanner) initializer(data []byte) (*tensorProto, error) {
	t, err := s.tensor(data)
	if err == nil && t.name == "" {
		err = fmt.Errorf("the initializer has no name")
	}
	return t, err
}

func (s *scanner) tensor(data []byte) (*tensorProto, error) {
	t := &tensorProto{}
	err := s.message(data, func(f field) error {
		switch f.num {
		case 1:
			return f.varints(&t.dims)
		case 2:
			return f.int(&t.dtype)
		case 3:
			t.segment = true
		case 4:
			return f.fixed(&t.floats, 4)
		case 5, 7, 11:
			return f.varints(&t.ints)
		case 6:
			return appendString(&t.strings, f)
		case 8:
			return f.string(&t.name)
		case 9:
			t.hasRaw = true
			return f.raw(&t.raw)
		case 10:
			return f.fixed(&t.doubles, 8)
		case 13:
			if t.external == nil {
				t.external = map[string]string{}
			}
			return s.entry(f, t.external)
		case 14:
			return f.int(&t.location)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("tensor %q: %w", t.name, err)
	}
	return t, nil
}

func (s *scanner) sparse(data []byte) (*sparseProto, error) {
	p := &sparseProto{}
	err := s.message(data, func(f field) (err error) {
		switch f.num {
		case 1:
			p.values, err = nested(f, s.tensor, "values")
		case 2:
			p.indices, err = nested(f, s.tensor, "indices")
		case 3:
			err = f.varints(&p.dims)
		}
		return err
	})
	if err == nil && (p.values == nil || p.indices == nil) {
		err = fmt.Errorf("the sparse tensor lacks values or indices")
	}
	return p, err
}
