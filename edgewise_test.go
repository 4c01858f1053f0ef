package edgewise

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestDynamicShapesShareNothingWrong(t *testing.T) {
	g := graph.New("double")
	x := g.Input("x", graph.Type{DType: tensor.Float32, Shape: graph.Shape{graph.Sym("n"), {Size: 2}}})
	y := g.Add("Add", "y", nil, x, x)
	g.Output(y)
	s, err := FromGraph(g).NewSession(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3, 1, 5, 7, 9, 3} {
		in := tensor.New(tensor.Float32, n, 2)
		for i := range in.F32() {
			in.F32()[i] = float32(i)
		}
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": in})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range out[y.Name].F32() {
			if v != 2*float32(i) {
				t.Fatalf("n=%d: element %d is %v", n, i, v)
			}
		}
	}
	if n := len(s.ready.items); n > keptSessions {
		t.Errorf("%d working memories are kept", n)
	}
	for want, in := range map[string]map[string]*tensor.Tensor{
		"missing":       {},
		"contradicts":   {"x": tensor.New(tensor.Float32, 1, 3)},
		"float64":       {"x": tensor.New(tensor.Float64, 1, 2)},
		"2 inputs were": {"x": tensor.New(tensor.Float32, 1, 2), "z": tensor.New(tensor.Float32, 1)},
	} {
		if _, err := s.Run(context.Background(), in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.New(tensor.Float32, 1, 2)}); err == nil {
		t.Error("a closed session ran")
	}
}

func TestOpenRefusesOtherFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, []byte("<html>not a model</html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a web page was opened")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); err == nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want a file that does not exist, got %v", err)
	}
	if _, err := Open("zoo:nothing"); err == nil {
		t.Error("an unknown network was built")
	}
}

// Shapes that the file states may be given or left out: the plan, and its packed weights,
// are the same.
func TestStatedShapesShareAPlan(t *testing.T) {
	g := graph.New("g")
	g.Output(g.Add("Relu", "y", nil, g.Input("x", graph.TensorType(tensor.Float32, 2, 3))))
	m := FromGraph(g)
	a, err := m.Plan(Options{Threads: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Plan(Options{Threads: 1}, map[string][]int{"x": {2, 3}})
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Error("one shape was planned twice")
	}
}

func TestAShapeForNoInputSpoilsNothing(t *testing.T) {
	g := graph.New("same")
	g.Output(g.Add("Relu", "y", nil, g.Input("x", graph.TensorType(tensor.Float32, 2))))
	m := FromGraph(g)
	if _, err := m.Plan(Options{}, map[string][]int{"z": {2}}); err == nil || !strings.Contains(err.Error(), "no input") {
		t.Errorf("a shape for z: %v", err)
	}
	if _, err := m.Plan(Options{}, nil); err != nil {
		t.Errorf("a plan after that: %v", err)
	}
}
