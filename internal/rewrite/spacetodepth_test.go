package rewrite

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestBlocksBeforeConvolution(t *testing.T) {
	slice := func(n *net, v *graph.Value, axis, from, step int64) *graph.Value {
		return n.Add("Slice", "", nil, v, n.Ints("", from), n.Ints("", 1<<40), n.Ints("", axis), n.Ints("", step))
	}
	at := func(n *net, x *graph.Value, y, col int64) *graph.Value {
		return slice(n, slice(n, x, 2, y, 2), 3, col, 2)
	}
	joined := func(n *net, parts ...*graph.Value) *graph.Value {
		return n.Add("Concat", "", graph.Attrs{"axis": int64(1)}, parts...)
	}
	for name, c := range map[string]struct {
		fused bool
		build func(n *net, x *graph.Value) *graph.Value
	}{
		"slices by columns": {true, func(n *net, x *graph.Value) *graph.Value {
			return joined(n, at(n, x, 0, 0), at(n, x, 1, 0), at(n, x, 0, 1), at(n, x, 1, 1))
		}},
		"the operator": {true, func(n *net, x *graph.Value) *graph.Value {
			return n.Add("SpaceToDepth", "", graph.Attrs{"blocksize": int64(2)}, x)
		}},
		"a part twice": {false, func(n *net, x *graph.Value) *graph.Value {
			return joined(n, at(n, x, 0, 0), at(n, x, 1, 0), at(n, x, 0, 0), at(n, x, 1, 1))
		}},
		"a part too few": {false, func(n *net, x *graph.Value) *graph.Value {
			return joined(n, at(n, x, 0, 0), at(n, x, 1, 0), at(n, x, 0, 1))
		}},
		"a part of another image": {false, func(n *net, x *graph.Value) *graph.Value {
			return joined(n, at(n, x, 0, 0), at(n, x, 1, 0), at(n, x, 0, 1), at(n, n.Add("Exp", "", nil, x), 1, 1))
		}},
		"steps of their own": {false, func(n *net, x *graph.Value) *graph.Value {
			return joined(n, slice(n, slice(n, x, 2, 0, 4), 3, 0, 1), slice(n, slice(n, x, 2, 1, 4), 3, 0, 1),
				slice(n, slice(n, x, 2, 2, 4), 3, 0, 1), slice(n, slice(n, x, 2, 3, 4), 3, 0, 1))
		}},
	} {
		for _, attrs := range []graph.Attrs{{"pads": ints(1, 1, 1, 1)}, {"pads": ints(1, 0, 0, 2), "strides": ints(2, 1)}, nil} {
			t.Run(name, func(t *testing.T) {
				n := newNet()
				blocks := c.build(n, n.Input("x", graph.TensorType(tensor.Float32, 1, 3, 12, 8)))
				channels := 12
				if name == "a part too few" {
					channels = 9
				}
				n.Output(n.Add("Conv", "", attrs, blocks, n.weights(4, channels, 3, 3)))
				same(t, n.Graph, 1e-5, legalized)
				if fused := len(n.Nodes) == 1; fused != c.fused {
					t.Errorf("fused: %v\n%s", fused, n)
				}
			})
		}
	}
}
