package rewrite

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Padding with anything but zero does not commute with dequantization, whatever the name
// of the operator.
func TestOnlyPadsWithZeroMoveBytes(t *testing.T) {
	for _, c := range []struct {
		value float32
		moves bool
	}{{0, true}, {0.5, false}} {
		n := newNet()
		x := n.Input("x", graph.TensorType(tensor.Float32, 1, 2, 3, 3))
		y := n.Add("Pad", "pad", nil, n.qdq(x, 0.02, 128), n.Ints("", 0, 0, 1, 1, 0, 0, 1, 1), n.scalar(c.value))
		n.Output(n.Add("CenterCropPad", "y", nil, y, n.Ints("", 1, 2, 7, 7)))
		same(t, n.Graph, 0, func(g *graph.Graph) error { _, _, err := Legalize(g, Options{}); return err })
		for _, node := range n.Nodes {
			if node.Op == "Pad" && (node.Outputs[0].Type.DType == tensor.Uint8) != c.moves {
				t.Errorf("padding with %v: %v\n%s", c.value, node.Outputs[0], n)
			}
			if node.Op == "CenterCropPad" && node.Outputs[0].Type.DType != tensor.Float32 {
				t.Errorf("zeros were added to bytes\n%s", n)
			}
		}
	}
}
