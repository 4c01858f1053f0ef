package tflite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

const (
	f32 = uint8(0)
	i32 = uint8(2)
	u8  = uint8(3)
	i8  = uint8(9)
)

func little(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// conv is a 2×2 convolution of a 3×3 image with SAME padding and a clamp to 0..6.
func conv() net {
	return net{
		op:      3,
		options: msg{0: uint8(0), 1: 1, 2: 1, 3: uint8(3)},
		tensors: []msg{tens("x", f32, 0, 1, 3, 3, 1), tens("w", f32, 1, 1, 2, 2, 1), tens("b", f32, 2, 1), tens("y", f32, 0, 1, 3, 3, 1)},
		buffers: [][]byte{little(1, 2, 3, 4), little(-8)},
		inputs:  []int32{0},
	}
}

func run(t *testing.T, data []byte, in ...op.Value) *tensor.Tensor {
	t.Helper()
	g, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := interp.Run(context.Background(), g, in)
	if err != nil {
		t.Fatalf("%v\n%v", err, g)
	}
	return out[0].(*tensor.Tensor)
}

func TestConvolution(t *testing.T) {
	got := run(t, conv().bytes(), tensor.Of([]float32{1, 0, 2, 0, 1, 0, 3, 0, 1}, 1, 3, 3, 1)).F32()
	// SAME padding of an even kernel adds a row below and a column to the right.
	want := []float32{0, 0, 0, 4, 0, 0, 0, 0, 0}
	x := [4][4]float32{{1, 0, 2}, {0, 1, 0}, {3, 0, 1}}
	for i := range 3 {
		for j := range 3 {
			v := x[i][j] + 2*x[i][j+1] + 3*x[i+1][j] + 4*x[i+1][j+1] - 8
			want[3*i+j] = min(max(v, 0), 6)
		}
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}

func TestQuantizedAdd(t *testing.T) {
	n := net{op: 0, options: msg{}, inputs: []int32{0, 1}, tensors: []msg{
		scaled(tens("a", u8, 0, 3), 10, 0.5), scaled(tens("b", u8, 0, 3), 0, 1), scaled(tens("y", u8, 0, 3), 20, 0.25)}}
	got := run(t, n.bytes(), tensor.Of([]uint8{10, 12, 250}, 3), tensor.Of([]uint8{0, 3, 5}, 3))
	for i, want := range []uint8{20, 20 + 16, 255} {
		if tensor.Data[uint8](got)[i] != want {
			t.Errorf("element %d is %d, want %d", i, tensor.Data[uint8](got)[i], want)
		}
	}
}

func TestHalfPrecisionAndInt4Weights(t *testing.T) {
	h := tensor.Float16FromFloat32
	var half []byte
	for _, v := range []float32{1.5, -2} {
		half = binary.LittleEndian.AppendUint16(half, h(v))
	}
	n := net{op: 6, tensors: []msg{tens("w", 1, 1, 2), tens("y", f32, 0, 2)}, buffers: [][]byte{half}}
	if got := run(t, n.bytes()).F32(); got[0] != 1.5 || got[1] != -2 {
		t.Errorf("half precision: %v", got)
	}
	n = net{op: 9, options: msg{}, inputs: []int32{0}, buffers: [][]byte{{0x71, 0x8f}}, // 1 7, -1 -8
		tensors: []msg{tens("x", f32, 0, 1, 2), scaled(tens("w", 17, 1, 2, 2), 0, 0.5), tens("y", f32, 0, 1, 2)}}
	if got := run(t, n.bytes(), tensor.Of([]float32{2, 4}, 1, 2)).F32(); got[0] != 15 || got[1] != -17 {
		t.Errorf("4-bit weights: %v", got)
	}
}

// body is a subgraph with one operator on a scalar and a constant.
func body(x, y string, out uint8) msg {
	return msg{0: []msg{tens(x, i32, 0), tens("k", i32, 1), tens(y, out, 0)}, 1: []int32{0}, 2: []int32{2}}
}

func TestWhile(t *testing.T) {
	test, step := body("c", "less", 6), body("d", "sum", i32)
	test[3] = []msg{{0: 1, 1: []int32{0, 1}, 2: []int32{2}}}
	step[3] = []msg{{0: 2, 1: []int32{0, 0}, 2: []int32{2}, 3: uint8(1), 4: msg{}}}
	n := net{op: 119, options: msg{0: 1, 1: 2}, tensors: []msg{tens("x", i32, 0), tens("y", i32, 0)}, inputs: []int32{0},
		buffers: [][]byte{{100, 0, 0, 0}}, also: []msg{test, step}}
	data := n.withCodes(58, 0)
	for _, c := range [][2]int32{{3, 192}, {200, 200}} {
		if got := run(t, data, tensor.Scalar(c[0])); tensor.Data[int32](got)[0] != c[1] {
			t.Errorf("doubling %d until it is 100 gives %d, want %d", c[0], tensor.Data[int32](got)[0], c[1])
		}
	}
}

// withCodes adds operator codes for the further subgraphs.
func (n net) withCodes(codes ...int) []byte {
	list := []msg{{0: uint8(n.op), 3: n.op}}
	for _, c := range codes {
		list = append(list, msg{0: uint8(c), 3: c})
	}
	buffers := []msg{{}}
	for _, b := range n.buffers {
		buffers = append(buffers, msg{0: b})
	}
	last := int32(len(n.tensors) - 1)
	main := msg{0: n.tensors, 1: n.inputs, 2: []int32{last}, 3: []msg{{1: []int32{0}, 2: []int32{last}, 3: uint8(1), 4: n.options}}}
	return build(msg{0: 3, 1: list, 2: append([]msg{main}, n.also...), 4: buffers})
}

func TestUnsupportedIsNamed(t *testing.T) {
	n := net{op: 32, custom: "MyOp", tensors: []msg{tens("x", f32, 0, 1), tens("y", f32, 0, 1)}, inputs: []int32{0}}
	_, err := Decode(n.bytes())
	var u *UnsupportedError
	if !errors.As(err, &u) || u.Ops[0].Name != `CUSTOM "MyOp"` || u.Ops[0].Count != 1 || u.Ops[0].First != "y" {
		t.Fatalf("got %v", err)
	}
}

// TestRefusalDoesNotSpread feeds strings to an operator: the input is what is refused, once.
func TestRefusalDoesNotSpread(t *testing.T) {
	for code := range handlers {
		n := net{op: code, options: msg{}, tensors: []msg{tens("x", 5, 0, 1), tens("y", f32, 0, 1)}, inputs: []int32{0}}
		_, err := Decode(n.bytes())
		var u *UnsupportedError
		if !errors.As(err, &u) || len(u.Ops) != 1 || u.Ops[0].Name != "input of type string" {
			t.Errorf("%s: got %v", builtinNames[code], err)
		}
	}
}

// TestStateIsRefused reads a real model with resource variables.
func TestStateIsRefused(t *testing.T) {
	path := testdata.Path(t, "models", "wakeword_alexa_int8.tflite")
	_, err := Read(path)
	var u *UnsupportedError
	if !errors.As(err, &u) || u.File != path {
		t.Fatalf("got %v", err)
	}
	found := map[string]int{}
	for _, o := range u.Ops {
		found[o.Name] = o.Count
	}
	if found["CALL_ONCE"] != 1 || found["VAR_HANDLE"] != 6 || found["READ_VARIABLE"] != 6 || found["ASSIGN_VARIABLE"] != 6 {
		t.Errorf("found %v", found)
	}
}

// TestBroken holds single faults against the reader: each must be an error that says what
// is wrong.
func TestBroken(t *testing.T) {
	mutate := func(f func(*net)) []byte {
		n := conv()
		f(&n)
		return n.bytes()
	}
	for want, data := range map[string][]byte{
		"identifier":             []byte("\x08\x00\x00\x00ONNX"),
		"outside of the file":    []byte("\xff\x00\x00\x00TFL3"),
		"leads nowhere":          []byte("\x00\x00\x00\x00TFL3"),
		"has no contents":        mutate(func(n *net) { n.buffers[0] = nil }),
		"needs 16 bytes, got 4":  mutate(func(n *net) { n.buffers[0] = little(1) }),
		"refers to buffer 9":     mutate(func(n *net) { n.tensors[1][2] = 9 }),
		"refer to tensor 77":     mutate(func(n *net) { n.inputs = []int32{77} }),
		"too many elements":      mutate(func(n *net) { n.tensors[1][0] = []int32{1 << 30, 1 << 30, 1 << 30, 1} }),
		"negative size":          mutate(func(n *net) { n.tensors[1][0] = []int32{1, -2, 2, 1} }),
		"are not positive":       mutate(func(n *net) { n.options[1] = 0 }),
		"neither SAME nor VALID": mutate(func(n *net) { n.options[0] = uint8(9) }),
		"has rank 3, want 4":     mutate(func(n *net) { n.tensors[0][0] = []int32{3, 3, 1} }),
		"an input twice":         mutate(func(n *net) { n.inputs = []int32{0, 0} }),
		"has scale NaN": mutate(func(n *net) {
			n.tensors[0] = scaled(tens("x", u8, 0, 1, 3, 3, 1), 0, float32(math.NaN()))
		}),
		"outside of uint8": mutate(func(n *net) { n.tensors[0] = scaled(tens("x", u8, 0, 1, 3, 3, 1), 256, 1) }),
		"does not divide":  mutate(func(n *net) { n.tensors[0][0] = []int32{1, 3, 3, 5}; n.tensors[1][0] = []int32{1, 1, 2, 2} }),
		"made twice":       mutate(func(n *net) { n.inputs = []int32{0, 3} }),
		"refers to subgraph 0": net{op: 119, options: msg{0: 0, 1: 0}, tensors: []msg{tens("x", i32, 0), tens("y", i32, 0)},
			inputs: []int32{0}}.bytes(),
	} {
		_, err := Decode(data)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// TestRecursionEnds reads a loop whose body is the loop itself.
func TestRecursionEnds(t *testing.T) {
	self := msg{0: []msg{tens("a", i32, 0), tens("b", i32, 0)}, 1: []int32{0}, 2: []int32{1},
		3: []msg{{0: 0, 1: []int32{0}, 2: []int32{1}, 3: uint8(1), 4: msg{0: 1, 1: 1}}}}
	n := net{op: 119, options: msg{0: 1, 1: 1}, tensors: []msg{tens("x", i32, 0), tens("y", i32, 0)}, inputs: []int32{0}, also: []msg{self}}
	if _, err := Decode(n.bytes()); err == nil || !strings.Contains(err.Error(), "nests deeper") {
		t.Errorf("got %v", err)
	}
}

// TestSharedVectorsAreBounded points many subgraphs at one, so that a small file describes
// a huge tree.
func TestSharedVectorsAreBounded(t *testing.T) {
	data := conv().bytes()
	f := newFlat(data)
	at, _ := f.root().vector(2, 4)
	target := f.follow(at)
	const n = 1 << 16
	field := f.root().field(2, 4)
	grown := bytes.Clone(data)
	for len(grown)%4 != 0 {
		grown = append(grown, 0)
	}
	start := len(grown)
	// The vector stands before its one target in a file of its own: offsets lead forwards.
	grown = append(grown, make([]byte, 4+4*n)...)
	copyAt := len(grown)
	grown = append(grown, data[:]...)
	binary.LittleEndian.PutUint32(grown[field:], uint32(int64(start)-field))
	binary.LittleEndian.PutUint32(grown[start:], n)
	for i := range n {
		p := start + 4 + 4*i
		binary.LittleEndian.PutUint32(grown[p:], uint32(copyAt+int(target)-p))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(grown)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "shared without end") {
		t.Errorf("got %v", err)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 128<<20 {
		t.Errorf("%d bytes were allocated for a file of %d", used, len(grown))
	}
}

// TestUnfoldingIsBounded names one weight tensor in many operators, each of which needs it
// in another type.
func TestUnfoldingIsBounded(t *testing.T) {
	const elements, uses = 1 << 20, 1 << 8
	n := net{op: 6, tensors: []msg{tens("w", 1, 1, elements)}, buffers: [][]byte{make([]byte, 2*elements)}}
	var ops []msg
	for i := range int32(uses) {
		n.tensors = append(n.tensors, tens("y", f32, 0, elements))
		ops = append(ops, msg{1: []int32{0}, 2: []int32{1 + i}})
	}
	data := build(msg{0: 3, 1: []msg{{0: uint8(6)}}, 4: []msg{{}, {0: n.buffers[0]}},
		2: []msg{{0: n.tensors, 2: []int32{1}, 3: ops}}})
	if _, err := Decode(data); err == nil || !strings.Contains(err.Error(), "unfolds") {
		t.Errorf("got %v", err)
	}
}

func TestTruncatedFilesAreErrors(t *testing.T) {
	data := conv().bytes()
	for n := range data {
		if g, err := Decode(data[:n:n]); err == nil {
			if err := g.Verify(); err != nil {
				t.Errorf("cut at %d: %v", n, err)
			}
		}
	}
}

func TestReadKeepsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.tflite")
	if err := os.WriteFile(path, conv().bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := g.String(); !strings.Contains(s, "Conv") || !strings.Contains(s, "pads=[0 0 1 1]") {
		t.Errorf("no convolution with explicit padding in\n%s", s)
	}
	if _, err := Read(filepath.Dir(path)); err == nil {
		t.Error("a folder was read as a model")
	}
}
