package onnx

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// models lists the backend suite's models and the real ones.
func models(t testing.TB) []string {
	var paths []string
	for _, pattern := range []string{"onnx-backend/*/*/model.onnx", "onnx-backend/light/*.onnx", "models/*.onnx"} {
		m, err := filepath.Glob(filepath.Join(testdata.Dir(t), filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, m...)
	}
	if len(paths) == 0 {
		testdata.Missing(t, "no models")
	}
	return paths
}

func TestRoundTrip(t *testing.T) {
	written := 0
	for _, path := range models(t) {
		g, err := Read(path, ReadOptions{})
		if err != nil {
			if !errors.As(err, new(*UnsupportedError)) {
				t.Errorf("%v", err)
			}
			continue
		}
		data, err := Encode(g, Options{})
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		back, err := Decode(data, "")
		if err != nil {
			t.Errorf("%s: written and read again: %v", path, err)
			continue
		}
		if err := sameGraph(g, back); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		written++
		newest, err := Encode(g, Options{Opset: graph.Opset})
		if err != nil {
			t.Errorf("%s: newest opset: %v", path, err)
			continue
		}
		if back, err = Decode(newest, ""); err != nil {
			t.Errorf("%s: newest opset: %v", path, err)
		} else if err := sameGraph(g, back); err != nil {
			t.Errorf("%s: newest opset: %v", path, err)
		}
	}
	t.Logf("%d models written and read again", written)
}

// sameGraph reports how b differs from a. Names of constants may differ, since older
// opsets have attributes in their place.
func sameGraph(a, b *graph.Graph) error {
	c := comparison{pair: map[*graph.Value]*graph.Value{}}
	return c.graphs(a, b)
}

type comparison struct{ pair map[*graph.Value]*graph.Value }

func (c *comparison) graphs(a, b *graph.Graph) error {
	if len(a.Nodes) != len(b.Nodes) {
		return fmt.Errorf("graph %s: %d nodes, want %d", a.Name, len(b.Nodes), len(a.Nodes))
	}
	if err := c.lists(a.Inputs, b.Inputs); err != nil {
		return fmt.Errorf("graph %s: inputs: %w", a.Name, err)
	}
	for i, n := range a.Nodes {
		m := b.Nodes[i]
		if n.Op != m.Op || n.Domain != m.Domain || n.Name != m.Name || n.Doc != m.Doc {
			return fmt.Errorf("node %d is %v, want %v", i, m, n)
		}
		if err := c.lists(n.Inputs, m.Inputs); err != nil {
			return fmt.Errorf("%v: inputs: %w", n, err)
		}
		if err := c.attrs(n.Attrs, m.Attrs); err != nil {
			return fmt.Errorf("%v: %w", n, err)
		}
		if err := c.lists(n.Outputs, m.Outputs); err != nil {
			return fmt.Errorf("%v: outputs: %w", n, err)
		}
	}
	if err := c.lists(a.Outputs, b.Outputs); err != nil {
		return fmt.Errorf("graph %s: outputs: %w", a.Name, err)
	}
	if a.Outer == nil && fmt.Sprint(a.Meta) != fmt.Sprint(b.Meta) {
		return fmt.Errorf("metadata is %v, want %v", b.Meta, a.Meta)
	}
	return nil
}

func (c *comparison) lists(a, b []*graph.Value) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d values, want %d", len(b), len(a))
	}
	for i := range a {
		if err := c.values(a[i], b[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *comparison) values(a, b *graph.Value) error {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil || b == nil || (a.Const == nil) != (b.Const == nil):
		return fmt.Errorf("%v, want %v", b, a)
	case a.Const != nil:
		return sameTensor(a.Const, b.Const)
	case c.pair[a] == nil:
		c.pair[a] = b
	case c.pair[a] != b:
		return fmt.Errorf("%v, want %v", b, c.pair[a])
	}
	if a.Name != b.Name {
		return fmt.Errorf("%v, want %v", b, a)
	}
	return nil
}

func sameTensor(a, b *tensor.Tensor) error {
	if a.String() != b.String() || string(a.Bytes()) != string(b.Bytes()) {
		return fmt.Errorf("constant %v, want %v or other contents", b, a)
	}
	if a.DType() == tensor.String && !slices.Equal(a.Strings(), b.Strings()) {
		return fmt.Errorf("constant %q, want %q", b.Strings(), a.Strings())
	}
	return nil
}

// attrs compares attributes; one that states a default may be missing.
func (c *comparison) attrs(a, b graph.Attrs) error {
	for _, name := range a.Names() {
		x, y := a[name], b[name]
		switch x := x.(type) {
		case *graph.Graph:
			y, ok := y.(*graph.Graph)
			if !ok {
				return fmt.Errorf("attribute %s is gone", name)
			}
			if err := c.graphs(x, y); err != nil {
				return err
			}
		case *tensor.Tensor:
			y, ok := y.(*tensor.Tensor)
			if !ok {
				return fmt.Errorf("attribute %s is gone", name)
			}
			if err := sameTensor(x, y); err != nil {
				return err
			}
		default:
			if y != nil && fmt.Sprint(x) != fmt.Sprint(y) {
				return fmt.Errorf("attribute %s is %v, want %v", name, y, x)
			}
		}
	}
	return nil
}

func TestExternalDataRoundTrip(t *testing.T) {
	g := graph.New("external")
	x := g.Input("x", graph.TensorType(tensor.Float32, 2, 1000))
	w := tensor.New(tensor.Float32, 1000)
	for i := range w.Len() {
		w.F32()[i] = float32(i)
	}
	g.Output(g.Add("Equal", "y", nil, x, g.Constant("w", w)))
	g.Meta["made"] = "by hand"
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	for range 2 { // the second time, the data file of the first is in the way
		if err := Write(path, g, Options{ExternalData: true}); err != nil {
			t.Fatal(err)
		}
		back, err := Read(path, ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := sameGraph(g, back); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > 1000 {
		t.Errorf("the model file has %v, %v: the weights are inside", info, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp"))
	if len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestWriteIntoNowhere(t *testing.T) {
	dir := t.TempDir()
	g := graph.New("g")
	g.Output(g.Input("x", graph.TensorType(tensor.Float32, 1)))
	if err := Write(filepath.Join(dir, "missing", "m.onnx"), g, Options{}); err == nil {
		t.Error("writing into a folder that is not there succeeded")
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestBeyondTwoGiB reads a tensor that lies further inside a file than an int32 reaches.
// The file is a hole but for that tensor.
func TestBeyondTwoGiB(t *testing.T) {
	if math.MaxInt == math.MaxInt32 {
		t.Skip("files of this size cannot be mapped on this machine")
	}
	const offset int64 = 3 << 30
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "w.bin"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte{0, 0, 128, 63}, offset)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Skip(err) // no room, or no holes in files
	}
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, file(both(initializer("w", []int64{1}, -1, external("w.bin", fmt.Sprint(offset), "4")), output("w"))), 0o644); err != nil {
		t.Fatal(err)
	}
	g, err := Read(path, ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Outputs[0].Const.F32()[0]; got != 1 {
		t.Errorf("got %v", got)
	}
}

// halfWay fails after some bytes, as a full disk does.
type halfWay struct{}

func (halfWay) WriteTo(w io.Writer) (int64, error) {
	n, _ := w.Write(make([]byte, 3<<20))
	return int64(n), errors.New("no space left on device")
}

func TestNothingHalfWritten(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, halfWay{}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "old" {
		t.Errorf("the file now holds %q, %v", data, err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}
