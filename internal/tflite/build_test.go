package tflite

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// A small writer of flatbuffers, so that tests can make models of their own. A message is a
// map from field number to value.

type msg map[int]any

// build serializes root: each table behind its vtable, what it refers to after it, as
// offsets only lead forwards.
func build(root msg) []byte {
	w := &writer{data: []byte{8, 0, 0, 0, 'T', 'F', 'L', '3'}}
	at := w.table(root)
	binary.LittleEndian.PutUint32(w.data, uint32(at))
	return w.data
}

type writer struct{ data []byte }

func (w *writer) pad(n int) {
	for len(w.data)%n != 0 {
		w.data = append(w.data, 0)
	}
}

func (w *writer) table(m msg) int {
	ids := slices.Sorted(maps.Keys(m))
	slots := 0
	if len(ids) > 0 {
		slots = ids[len(ids)-1] + 1
	}
	w.pad(8)
	vtable := len(w.data)
	w.data = append(w.data, make([]byte, 4+2*slots)...)
	w.pad(8)
	at := len(w.data)
	w.data = append(w.data, make([]byte, 8+8*len(ids))...) // every field takes 8 bytes
	binary.LittleEndian.PutUint32(w.data[at:], uint32(at-vtable))
	binary.LittleEndian.PutUint16(w.data[vtable:], uint16(4+2*slots))
	binary.LittleEndian.PutUint16(w.data[vtable+2:], uint16(8+8*len(ids)))
	for i, id := range ids {
		p := at + 8 + 8*i
		binary.LittleEndian.PutUint16(w.data[vtable+4+2*id:], uint16(p-at))
		w.field(p, m[id])
	}
	return at
}

func (w *writer) field(p int, v any) {
	put := func(x uint64) { binary.LittleEndian.PutUint64(w.data[p:], x) }
	refer := func(at int) { binary.LittleEndian.PutUint32(w.data[p:], uint32(at-p)) }
	switch v := v.(type) {
	case bool:
		if v {
			put(1)
		}
	case uint8:
		put(uint64(v))
	case int:
		put(uint64(uint32(int32(v))))
	case uint64:
		put(v)
	case float32:
		put(uint64(math.Float32bits(v)))
	case msg:
		refer(w.table(v))
	case string:
		refer(w.vector(len(v), 1))
		w.data = append(append(w.data, v...), 0)
	case []byte:
		refer(w.vector(len(v), 16))
		w.data = append(w.data, v...)
	case []int32:
		refer(w.vector(len(v), 4))
		for _, x := range v {
			w.data = binary.LittleEndian.AppendUint32(w.data, uint32(x))
		}
	case []int64:
		refer(w.vector(len(v), 8))
		for _, x := range v {
			w.data = binary.LittleEndian.AppendUint64(w.data, uint64(x))
		}
	case []float32:
		refer(w.vector(len(v), 4))
		for _, x := range v {
			w.data = binary.LittleEndian.AppendUint32(w.data, math.Float32bits(x))
		}
	case []msg:
		refer(w.vector(len(v), 4))
		at := len(w.data)
		w.data = append(w.data, make([]byte, 4*len(v))...)
		for i, m := range v {
			to := w.table(m) // first: it moves w.data
			q := at + 4*i
			binary.LittleEndian.PutUint32(w.data[q:], uint32(to-q))
		}
	default:
		panic(v)
	}
}

// vector starts a vector whose elements are aligned and returns its position.
func (w *writer) vector(n, align int) int {
	for (len(w.data)+4)%align != 0 || len(w.data)%4 != 0 {
		w.data = append(w.data, 0)
	}
	at := len(w.data)
	w.data = binary.LittleEndian.AppendUint32(w.data, uint32(n))
	return at
}

// net describes a model of one subgraph with one operator.
type net struct {
	op      int
	options msg
	tensors []msg
	buffers [][]byte // from number 1 on
	inputs  []int32  // of the model; those of the operator are all tensors but the last
	also    []msg    // further subgraphs
	custom  string
}

func tens(name string, dtype uint8, buffer int, shape ...int32) msg {
	return msg{0: shape, 1: dtype, 2: buffer, 3: name}
}

// scaled adds quantization parameters to a tensor.
func scaled(t msg, zero int64, scale ...float32) msg {
	t[4] = msg{2: scale, 3: []int64{zero}}
	return t
}

func (n net) bytes() []byte {
	last := len(n.tensors) - 1
	var in []int32
	for i := range last {
		in = append(in, int32(i))
	}
	o := msg{1: in, 2: []int32{int32(last)}}
	if n.options != nil {
		o[3], o[4] = uint8(1), n.options
	}
	code := msg{0: uint8(min(n.op, 127)), 3: n.op}
	if n.custom != "" {
		code[1] = n.custom
	}
	buffers := []msg{{}}
	for _, b := range n.buffers {
		buffers = append(buffers, msg{0: b})
	}
	graphs := append([]msg{{0: n.tensors, 1: n.inputs, 2: []int32{int32(last)}, 3: []msg{o}, 4: "main"}}, n.also...)
	return build(msg{0: 3, 1: []msg{code}, 2: graphs, 4: buffers})
}
