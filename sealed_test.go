package edgewise

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestASealedPlanIsForTheShapesItWasSealedFor(t *testing.T) {
	g := graph.New("rows")
	x := g.Input("x", graph.Type{DType: tensor.Float32, Shape: graph.Shape{graph.Sym("n"), {Size: 2}}})
	w := g.Constant("w", tensor.Of([]float32{1, 2, 3, 4}, 2, 2))
	y := g.Add("MatMul", "y", nil, x, w)
	g.Output(y)
	if _, err := FromGraph(g).Seal(t.Context(), Options{}, nil); err == nil || !strings.Contains(err.Error(), "not known") {
		t.Errorf("sealing for an unknown shape: %v", err)
	}
	data, err := FromGraph(g).Seal(t.Context(), Options{}, map[string][]int{"x": {3, 2}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rows.plan")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for want, shapes := range map[string]map[string][]int{
		"sealed for [3x2]": {"x": {4, 2}},
		"no input":         {"z": {3, 2}},
	} {
		if _, err := m.Plan(Options{}, shapes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a plan for %v: %v, want %q", shapes, err, want)
		}
	}
	for _, isa := range []string{"", "generic"} { // as sealed, and by the model inside
		s, err := m.NewSession(Options{ISA: isa})
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.Run(context.Background(), map[string]*tensor.Tensor{"x": tensor.Of([]float32{1, 0, 0, 1, 1, 1}, 3, 2)})
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range []float32{1, 2, 3, 4, 4, 6} {
			if got := out[m.Outputs()[0].Name].F32()[i]; got != v {
				t.Errorf("isa %q: element %d is %v, want %v", isa, i, got, v)
			}
		}
		s.Close()
	}
	if n := m.Note(); !strings.Contains(n, "asked for is generic") {
		t.Errorf("the note is %q", n)
	}
}
