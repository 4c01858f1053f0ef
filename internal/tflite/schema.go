package tflite

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/tensor"
)

// The tables of the TensorFlow Lite schema, version 3, as far as inference needs them.
// Field numbers are those of schema.fbs; unions take two, their tag first.

type model struct {
	codes       []opcode
	subgraphs   []subgraph
	description string
	buffers     [][]byte // in the file, not copied; nil where empty
	metadata    map[string]int
}

type opcode struct {
	builtin int
	custom  string
	version int
}

// name returns the builtin's name, or that of the custom operator in quotes.
func (c opcode) name() string {
	if c.builtin == opCustom {
		return fmt.Sprintf("CUSTOM %q", c.custom)
	}
	if s, ok := builtinNames[c.builtin]; ok {
		return s
	}
	return fmt.Sprintf("builtin operator %d", c.builtin)
}

type subgraph struct {
	name      string
	tensors   []tensorInfo
	inputs    []int32
	outputs   []int32
	operators []operator
}

type tensorInfo struct {
	name     string
	shape    []int32
	dtype    tensor.DType // Invalid for types outside of package tensor
	rawType  uint8
	buffer   int
	quant    *quantization // nil when there is none
	variable bool
	sparse   bool
}

// quantization is the affine map real = scale·(q − zero).
type quantization struct {
	scale []float32
	zero  []int64
	axis  int
	kind  uint8 // of the details union, 0 for affine
}

type operator struct {
	code          int
	inputs        []int32
	outputs       []int32
	options       table
	intermediates []int32
}

// rawTypes maps TensorType to element types.
var rawTypes = []tensor.DType{
	0: tensor.Float32, 1: tensor.Float16, 2: tensor.Int32, 3: tensor.Uint8, 4: tensor.Int64,
	6: tensor.Bool, 7: tensor.Int16, 9: tensor.Int8, 10: tensor.Float64, 12: tensor.Uint64,
	15: tensor.Uint32, 16: tensor.Uint16, 17: tensor.Int4, 18: tensor.BFloat16,
}

var rawTypeNames = map[uint8]string{5: "string", 8: "complex64", 11: "complex128", 13: "resource", 14: "variant"}

func dtypeOf(raw uint8) tensor.DType {
	if int(raw) < len(rawTypes) {
		return rawTypes[raw]
	}
	return tensor.Invalid
}

// readModel reads the whole description; what it returns has all indices within range.
func readModel(data []byte) (*model, error) {
	f := newFlat(data)
	root := f.root()
	if f.err == nil && root.u32(0, 0) != 3 {
		return nil, fmt.Errorf("schema version %d is not supported, want 3", root.u32(0, 0))
	}
	m := &model{description: root.string(3), metadata: map[string]int{}}
	for _, t := range root.subs(1) {
		c := opcode{builtin: int(t.i32(3, 0)), custom: t.string(1), version: int(t.i32(2, 1))}
		// Codes up to 127 stand in an older one-byte field.
		c.builtin = max(c.builtin, int(int8(t.u8(0, 0))))
		m.codes = append(m.codes, c)
	}
	for _, t := range root.subs(4) {
		b := t.bytes(0)
		if off, size := t.u64(1), t.u64(2); off > 1 {
			// Files beyond 2 GB keep the data behind the flatbuffer.
			if n := uint64(len(data)); off > n || size > n-off {
				f.fail("a buffer of %d bytes at %d lies outside of the file (%d bytes)", size, off, len(data))
				break
			}
			b = data[off : off+size : off+size]
		}
		m.buffers = append(m.buffers, b)
	}
	for _, t := range root.subs(6) {
		if b := int64(t.u32(1, 0)); b < int64(len(m.buffers)) {
			m.metadata[t.string(0)] = int(b)
		}
	}
	for i, t := range root.subs(2) {
		m.subgraphs = append(m.subgraphs, readSubgraph(f, t))
		if f.err != nil {
			return nil, f.err
		}
		if err := m.subgraphs[i].check(m); err != nil {
			return nil, fmt.Errorf("subgraph %d: %w", i, err)
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	if len(m.subgraphs) == 0 {
		return nil, fmt.Errorf("the file holds no subgraph")
	}
	return m, nil
}

func readSubgraph(f *flat, t table) subgraph {
	s := subgraph{name: t.string(4), inputs: t.i32s(1), outputs: t.i32s(2)}
	for _, x := range t.subs(0) {
		s.tensors = append(s.tensors, readTensor(x))
	}
	for _, x := range t.subs(3) {
		o := operator{code: int(x.u32(0, 0)), inputs: x.i32s(1), outputs: x.i32s(2), options: x.sub(4), intermediates: x.i32s(8)}
		if x.u8(3, 0) == 0 {
			o.options = table{}
		}
		s.operators = append(s.operators, o)
		if f.err != nil {
			break
		}
	}
	return s
}

func readTensor(t table) tensorInfo {
	x := tensorInfo{shape: t.i32s(0), rawType: t.u8(1, 0), buffer: int(t.u32(2, 0)), name: t.string(3),
		variable: t.bool(5, false), sparse: t.has(6)}
	x.dtype = dtypeOf(x.rawType)
	if q := t.sub(4); q.ok() {
		p := &quantization{scale: q.f32s(2), zero: q.i64s(3), kind: q.u8(4, 0), axis: int(q.i32(6, 0))}
		if len(p.scale) > 0 || p.kind != 0 {
			x.quant = p
		}
	}
	return x
}

// check holds every index of the subgraph against its range.
func (s *subgraph) check(m *model) error {
	within := func(list []int32, absent bool, what string) error {
		for _, i := range list {
			if int(i) >= len(s.tensors) || i < 0 && !(absent && i == -1) {
				return fmt.Errorf("%s refer to tensor %d of %d", what, i, len(s.tensors))
			}
		}
		return nil
	}
	if err := within(s.inputs, false, "inputs"); err != nil {
		return err
	}
	if err := within(s.outputs, false, "outputs"); err != nil {
		return err
	}
	for i, t := range s.tensors {
		if t.buffer < 0 || t.buffer >= max(1, len(m.buffers)) {
			return fmt.Errorf("tensor %d (%s) refers to buffer %d of %d", i, t.name, t.buffer, len(m.buffers))
		}
	}
	for i, o := range s.operators {
		if o.code < 0 || o.code >= len(m.codes) {
			return fmt.Errorf("operator %d has code %d of %d", i, o.code, len(m.codes))
		}
		if err := within(o.inputs, true, "its inputs"); err != nil {
			return fmt.Errorf("operator %d (%s): %w", i, m.codes[o.code].name(), err)
		}
		if err := within(o.outputs, false, "its outputs"); err != nil {
			return fmt.Errorf("operator %d (%s): %w", i, m.codes[o.code].name(), err)
		}
	}
	return nil
}
