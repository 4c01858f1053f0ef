package engine

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A dense 3×3 convolution with its residual and activation agrees with the reference in
// Winograd's form, which the rule switches off, as in the other.
func TestWinogradRule(t *testing.T) {
	if !cpu.Best().Includes(cpu.AVX2) {
		t.Skip("no transforms in assembly for this processor")
	}
	g := graph.New("winograd")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 64, 30, 27))
	w, b := g.Constant("w", random(1, 64, 64, 3, 3)), g.Constant("b", random(2, 64))
	y := g.Add("Conv", "conv", graph.Attrs{"pads": []int64{1, 1, 1, 1}}, x, w, b)
	g.Output(g.Add("Relu", "relu", nil, g.Add("Add", "add", nil, y, x)))
	in := random(3, 1, 64, 30, 27)
	for _, c := range []struct {
		disable []string
		times   int
	}{{nil, 1}, {[]string{ruleWinograd}, 0}} {
		for _, threads := range []int{1, 2} {
			s := compile(t, g, Options{Disable: c.disable, Threads: threads})
			if n := s.Plan().Fused()[ruleWinograd]; n != c.times {
				t.Errorf("without %v: the rule is applied %d times, want %d", c.disable, n, c.times)
			}
			against(t, s, g, 1e-4, 1e-4, in)
		}
	}
}
