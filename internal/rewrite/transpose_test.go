package rewrite

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A transposed scalar has an empty permutation, which no operand of higher rank shares.
func TestTransposedScalarDoesNotSink(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32))
	n.Output(n.Add("Add", "y", nil, n.Add("Transpose", "", nil, x), n.weights(3)))
	same(t, n.Graph, 0, simplify)
}
