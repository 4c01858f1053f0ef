package engine

import (
	"fmt"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestNormalizations(t *testing.T) {
	vector := func(g *graph.Graph, name string, n int) *graph.Value {
		return g.Constant(name, random(uint32(len(name)), n))
	}
	for i, c := range []struct {
		op, domain string
		attrs      graph.Attrs
		shape      []int
		operands   string // x, y of shape; g, b, e constant vectors; - absent
		axis       int    // of the vectors
		outputs    int
	}{
		{"RMSNormalization", "", nil, []int{3, 5, 40}, "xg", 2, 1},
		{"SimplifiedLayerNormalization", graph.DomainMicrosoft, graph.Attrs{"epsilon": float32(1e-3)}, []int{2, 17}, "xg", 1, 1},
		{"SkipLayerNormalization", graph.DomainMicrosoft, nil, []int{2, 3, 33}, "xygbe", 2, 1},
		{"SkipLayerNormalization", graph.DomainMicrosoft, nil, []int{2, 3, 33}, "xyg", 2, 4},
		{"SkipSimplifiedLayerNormalization", graph.DomainMicrosoft, nil, []int{2, 3, 33}, "xyge", 2, 4},
		{"GroupNormalization", "", graph.Attrs{"num_groups": int64(2)}, []int{2, 6, 5, 7}, "xgb", 1, 1},
		{"InstanceNormalization", "", nil, []int{2, 3, 19}, "xgb", 1, 1},
	} {
		t.Run(fmt.Sprint(i, c.op), func(t *testing.T) {
			g := graph.New("norm")
			var in []*graph.Value
			var values []op.Value
			for k, o := range c.operands {
				switch o {
				case 'x', 'y':
					in = append(in, g.Input(string(o), graph.TensorType(tensor.Float32, c.shape...)))
					values = append(values, random(uint32(k), c.shape...))
				default:
					in = append(in, vector(g, string(o), c.shape[c.axis]))
				}
			}
			n := g.NewNode(c.op, c.domain, "y", c.attrs, in, "out")
			if c.outputs == 4 {
				sum := g.NewValue("sum", graph.Type{})
				sum.Def = n
				n.Outputs = append(n.Outputs, nil, nil, sum)
			}
			g.Nodes = append(g.Nodes, n)
			for _, v := range n.Outputs {
				if v != nil {
					g.Output(v)
				}
			}
			s := compile(t, g, Options{})
			for _, st := range s.Plan().Steps() {
				if st.Fallback {
					t.Errorf("%s: %s", st.Op, st.Reason)
				}
			}
			against(t, s, g, 1e-5, 1e-4, values...)
		})
	}
}
