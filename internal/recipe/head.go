package recipe

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// behind are operators that may follow the layer that makes the scores of classes.
var behind = []string{"Softmax", "LogSoftmax", "Sigmoid", "Flatten", "Reshape", "Squeeze", "Identity", "Transpose", "Add", "GlobalAveragePool", "AveragePool", "ReduceMean", "Relu", "Clip"}

// withClasses returns a copy of a network with another number of classes: the last layer
// with weights is a fresh one of that many outputs, drawn from the seed, under the same
// names.
func withClasses(network *graph.Graph, classes int, seed uint64) (*graph.Graph, error) {
	g := network.Clone()
	if len(g.Outputs) == 0 {
		return nil, errors.New("classes: the network has no output")
	}
	n := g.Outputs[0].Def
	var bias *graph.Value // of an Add behind a MatMul
	for n != nil && slices.Contains(behind, n.Op) {
		if n.Is("Add") {
			for _, v := range n.Inputs {
				if v.Const != nil {
					bias = v
				}
			}
		}
		n = n.Inputs[0].Def
	}
	if n == nil || !n.Is("Gemm") && !n.Is("MatMul") && !n.Is("Conv") || n.Inputs[1].Const == nil {
		what := "an input"
		if n != nil {
			what = n.Label()
		}
		return nil, fmt.Errorf("classes: no last layer of the network can be replaced: %s is no Gemm, MatMul or Conv with weights of its own", what)
	}
	w := n.Inputs[1]
	shape := slices.Clone(w.Const.Shape())
	axis := 0
	switch {
	case n.Is("Conv") && n.Attrs.Int("group", 1) != 1:
		return nil, fmt.Errorf("classes: the last layer %s is a convolution in groups", n.Label())
	case n.Is("MatMul"), n.Is("Gemm") && n.Attrs.Int("transB", 0) == 0:
		axis = len(shape) - 1
	}
	if len(shape) < 2 || w.Const.DType() != tensor.Float32 {
		return nil, fmt.Errorf("classes: weight %s %v of the last layer is not one of a float layer", w.Name, w.Const)
	}
	old := shape[axis]
	if old == classes {
		return g, nil
	}
	shape[axis] = classes
	w.Const = drawn(shape, w.Const.Len()/old, seed)
	w.Type = graph.TypeOf(w.Const)
	if b := n.In(2); b != nil {
		bias = b
	}
	if bias != nil {
		if bias.Const == nil || bias.Const.Len() != old {
			return nil, fmt.Errorf("classes: bias %s of the last layer is not one number for each of the %d classes", bias.Name, old)
		}
		s := slices.Clone(bias.Const.Shape())
		for i := range s {
			if s[i] == old {
				s[i] = classes
			}
		}
		bias.Const = tensor.New(tensor.Float32, s...)
		bias.Type = graph.TypeOf(bias.Const)
	}
	return g, retyped(g, n, old, classes)
}

// retyped infers the types of what follows a layer whose outputs have become more or fewer.
// Constant shapes that name their number follow.
func retyped(g *graph.Graph, head *graph.Node, old, classes int) error {
	for n := g.Outputs[0].Def; n != head; n = n.Inputs[0].Def {
		if !n.Is("Reshape") || n.Inputs[1].Const == nil {
			continue
		}
		shape := slices.Clone(n.Inputs[1].Const.Ints())
		for i, v := range shape {
			if v == int64(old) {
				shape[i] = int64(classes)
			}
		}
		n.Inputs[1] = g.Constant(n.Inputs[1].Name, tensor.Of(shape, len(shape)))
	}
	for _, n := range g.Nodes {
		for _, y := range n.Outputs {
			if y != nil {
				y.Type = graph.Type{}
			}
		}
	}
	if _, err := op.InferTypes(g); err != nil {
		return fmt.Errorf("classes: with %d in place of %d: %w", classes, old, err)
	}
	return nil
}

// drawn returns weights whose sums over inputs of size 1 have that size too.
func drawn(shape []int, inputs int, seed uint64) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 0x4ead))
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(r.NormFloat64() * math.Sqrt(1/float64(max(inputs, 1))))
	}
	return t
}
