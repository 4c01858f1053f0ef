package rewrite

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
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

// Many nodes that each unfold a little must not unfold without end.
func TestFoldingIsBoundedAsAWhole(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 1<<20))
	budget := op.NewFoldBudget(n.Graph)
	large := n.Add("ConstantOfShape", "", nil, n.Ints("", 1<<20))
	n.Output(n.Add("Add", "y", nil, x, large))
	if _, err := op.InferTypes(n.Graph); err != nil {
		t.Fatal(err)
	}
	granted := 0
	for granted < 1<<20 && budget.Spend(large.Def, 1<<22) {
		granted++
	}
	if granted != 256 {
		t.Errorf("%d tensors of 4 MiB were granted, want 1 GiB", granted)
	}
	if budget.Spend(large.Def, 1<<22-1) {
		t.Error("a tensor above the limit was granted")
	}
	same(t, n.Graph, 0, simplify)
	if len(n.Nodes) != 1 {
		t.Errorf("not folded:\n%s", n)
	}
}
