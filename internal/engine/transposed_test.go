package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestTransposedConvolutions runs those whose outputs overlap and those that make blocks,
// with what is fused behind them.
func TestTransposedConvolutions(t *testing.T) {
	for _, c := range []struct {
		channels, out  int
		kernel, stride []int64
		pads           []int64
		patches        bool
	}{
		{24, 1, []int64{2, 2}, []int64{2, 2}, nil, true},
		{5, 3, []int64{3, 2}, []int64{3, 2}, nil, true},
		{7, 24, []int64{2, 2}, []int64{2, 2}, nil, true},
		{4, 17, []int64{1, 4}, []int64{1, 4}, nil, true},
		{6, 5, []int64{3, 3}, []int64{2, 2}, []int64{1, 1, 1, 1}, false},
		{6, 20, []int64{2, 2}, []int64{2, 2}, []int64{0, 0, 1, 1}, false},
	} {
		for _, act := range []string{"", "Sigmoid", "PRelu"} {
			for _, level := range cpu.Levels() {
				t.Run(fmt.Sprintf("%v-%d-%s-%v", c.kernel, c.out, act, level), func(t *testing.T) {
					g := graph.New("g")
					x := g.Input("x", graph.TensorType(tensor.Float32, 2, c.channels, 5, 6))
					w := g.Constant("w", random(1, c.channels, c.out, int(c.kernel[0]), int(c.kernel[1])))
					attrs := graph.Attrs{"strides": c.stride}
					if c.pads != nil {
						attrs["pads"] = c.pads
					}
					y := g.Add("ConvTranspose", "conv", attrs, x, w, g.Constant("b", random(2, c.out)))
					switch act {
					case "PRelu":
						y = g.Add(act, "act", nil, y, g.Constant("slope", random(3, c.out, 1, 1)))
					case "Sigmoid":
						y = g.Add(act, "act", nil, y)
					}
					g.Output(y)
					s := compile(t, g, Options{Level: level, Portable: true})
					patches := false
					for _, st := range s.Plan().Steps() {
						patches = patches || strings.HasPrefix(st.Kernel, "patches")
						if st.Fallback || st.Op == act {
							t.Errorf("%s is a step of its own: %s", st.Op, st.Reason)
						}
					}
					if patches != c.patches {
						t.Errorf("made in patches: %v", patches)
					}
					against(t, s, g, 1e-5, 1e-5, random(9, 2, c.channels, 5, 6))
				})
			}
		}
	}
}
