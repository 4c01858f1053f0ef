package rewrite

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestDuplicatesMerge(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 4))
	branch := func(alpha float32) *graph.Value {
		return n.Add("Exp", "", nil, n.Add("LeakyRelu", "", graph.Attrs{"alpha": alpha}, x))
	}
	n.Output(n.Add("Sum", "y", nil, branch(0.1), branch(0.2), branch(0.1), branch(0.2), branch(0.1)))
	n.Output(n.Add("LeakyRelu", "z", graph.Attrs{"alpha": float32(0.1)}, x))
	same(t, n.Graph, 0, simplify)
	// z is an output and keeps its node.
	if c := countOps(n.Graph); c["LeakyRelu"] != 3 || c["Exp"] != 2 {
		t.Errorf("%v\n%s", c, n)
	}
}
