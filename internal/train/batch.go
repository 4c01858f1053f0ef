package train

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// rebatch gives the first dimension of every input the size of the batch and lets types
// follow. A network whose file fixes a batch of one has that one in its Reshapes too; they
// take the size of their input instead.
func rebatch(g *graph.Graph, batch int) error {
	if _, err := op.InferTypes(g); err != nil {
		return err
	}
	for _, n := range g.Nodes {
		freeReshape(g, n)
	}
	for _, v := range g.Inputs {
		if len(v.Type.Shape) == 0 {
			return fmt.Errorf("input %v has no dimension for the batch", v)
		}
		if d := v.Type.Shape[0]; d.Known() && d.Size != 1 && d.Size != batch {
			return fmt.Errorf("input %v has a batch of %d, the training one of %d", v, d.Size, batch)
		}
		v.Type = v.Type.Clone()
		v.Type.Shape[0] = graph.Dim{Size: batch}
	}
	for _, n := range g.Nodes {
		for _, y := range n.Outputs {
			if y != nil {
				y.Type = graph.Type{}
			}
		}
	}
	_, err := op.InferTypes(g)
	if err != nil {
		return fmt.Errorf("with a batch of %d: %w", batch, err)
	}
	return nil
}

// freeReshape writes 0, the size of the input, for a leading 1 of a constant shape.
func freeReshape(g *graph.Graph, n *graph.Node) {
	if !n.Is("Reshape") || n.Attrs.Int("allowzero", 0) != 0 || n.Inputs[1].Const == nil {
		return
	}
	shape := n.Inputs[1].Const.Ints()
	in := n.Inputs[0].Type.Shape
	if len(shape) == 0 || shape[0] != 1 || len(in) == 0 || in[0].Size != 1 {
		return
	}
	free := append([]int64{0}, shape[1:]...)
	n.Inputs[1] = g.Constant(n.Inputs[1].Name, tensor.Of(free, len(free)))
}
