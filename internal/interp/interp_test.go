package interp

import (
	"context"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestRun(t *testing.T) {
	g := graph.New("g")
	a := g.Input("a", graph.TensorType(tensor.Bool, 2))
	b := g.Input("b", graph.TensorType(tensor.Bool, 2))
	and := g.Add("And", "and", nil, a, b)
	g.Output(g.Add("Not", "nand", nil, and), and)
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	out, err := Run(context.Background(), g, []op.Value{tensor.Of([]bool{true, true}, 2), tensor.Of([]bool{true, false}, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if got := tensor.Data[bool](out[0].(*tensor.Tensor)); got[0] || !got[1] {
		t.Errorf("nand = %v", got)
	}
	if got := tensor.Data[bool](out[1].(*tensor.Tensor)); !got[0] || got[1] {
		t.Errorf("and = %v", got)
	}
	if _, err := Run(context.Background(), g, []op.Value{tensor.New(tensor.Bool, 3), tensor.New(tensor.Bool, 2)}); err == nil {
		t.Error("a wrong shape was accepted")
	}
}
