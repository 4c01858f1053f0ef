package engine

import (
	"context"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/conformance"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// execute compiles for the shapes at hand and runs once.
func execute(ctx context.Context, g *graph.Graph, inputs []op.Value) ([]op.Value, error) {
	shapes := map[string][]int{}
	for i, v := range g.Inputs {
		if t, ok := inputs[i].(*tensor.Tensor); ok && v.Type.Kind == graph.KindTensor {
			shapes[v.Name] = t.Shape()
		}
	}
	p, err := Compile(g, Options{Shapes: shapes})
	if err != nil {
		return nil, err
	}
	s, err := p.NewSession()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Run(ctx, inputs)
}

func TestONNXSuite(t *testing.T) { conformance.RunONNX(t, execute, conformance.ONNXLedger()) }
