package engine

import (
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Sizes whose product overflows must not come out as a small buffer, nor as a view that
// a later step walks.
func TestOversizedValuesAreRefused(t *testing.T) {
	for _, size := range []int64{1 << 15, 1 << 31, 1 << 33, 1 << 62} {
		g := graph.New("large")
		x := g.Input("x", graph.TensorType(tensor.Float32, 1, 1))
		y := g.Add("Relu", "r", nil, g.Add("Expand", "e", nil, x, g.Ints("", size, size)))
		g.Output(g.Add("ReduceMax", "y", nil, y, g.Ints("", 0, 1)))
		if _, err := Compile(g, Options{}); err == nil || !strings.Contains(err.Error(), "e (Expand)") {
			t.Errorf("%d×%d values: %v", size, size, err)
		}
	}
}

func TestThreadsAreBounded(t *testing.T) {
	g := graph.New("g")
	g.Output(g.Add("Relu", "y", nil, g.Input("x", graph.TensorType(tensor.Float32, 1))))
	if _, err := Compile(g, Options{Threads: 1 << 30}); err == nil {
		t.Error("a thousand million workers were accepted")
	}
}
