package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// passing are the operators that may stand between a classifier's last layer and its
// scores: they keep the classes apart.
var passing = []string{"Softmax", "LogSoftmax", "Sigmoid", "Identity", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose",
	"GlobalAveragePool", "AveragePool", "ReduceMean", "Relu", "Clip"}

// NewHead returns g with another number of classes: the last layer before the first output,
// a Conv, Gemm or MatMul, gets weights drawn from the seed, uniform within 1/√fan (as
// PyTorch does), and biases of zero. Their names stay. A network that has so many classes
// keeps the layer. g stays as it is.
func NewHead(g *graph.Graph, classes int, seed uint64) (*graph.Graph, error) {
	if classes < 1 || classes > 1<<20 {
		return nil, fmt.Errorf("%d classes", classes)
	}
	g = g.Clone()
	if len(g.Outputs) == 0 {
		return nil, fmt.Errorf("the network has no output")
	}
	facts, err := op.InferTypes(g)
	if err != nil {
		return nil, err
	}
	h := &head{g: g, facts: facts, classes: classes, rng: rand.New(rand.NewPCG(seed, 0))}
	n := g.Outputs[0].Def
	for !h.done(n) {
		switch {
		case n == nil:
			return nil, fmt.Errorf("output %v is made by no layer with weights", g.Outputs[0])
		case n.Is("Add") && h.bias(n) >= 0:
			h.above = append(h.above, n)
			n = n.Inputs[1-h.bias(n)].Def
		case n.Domain == "" && slices.Contains(passing, n.Op):
			h.above = append(h.above, n)
			n = n.Inputs[0].Def
		default:
			return nil, fmt.Errorf("%v: a new last layer is put in the place of a Conv, Gemm or MatMul with stored weights, which this is not", n)
		}
	}
	if h.was == classes {
		return g, nil
	}
	for _, n := range append(h.above, n) {
		h.resize(n)
		for _, y := range n.Outputs {
			y.Type = graph.Type{}
		}
	}
	if _, err := op.InferTypes(g); err != nil {
		return nil, fmt.Errorf("with %d classes: %w", classes, err)
	}
	g.Prune()
	return g, nil
}

// head is the end of a network while it is made anew.
type head struct {
	g        *graph.Graph
	facts    *op.Facts
	rng      *rand.Rand
	was, fan int // classes and weights of each
	classes  int
	above    []*graph.Node // between the last layer and the scores
}

// done reports whether n is the last layer and notes its size.
func (h *head) done(n *graph.Node) bool {
	if n == nil || !h.stored(n, 1) {
		return false
	}
	axis := h.axis(n)
	if axis < 0 {
		return false
	}
	w := n.In(1).Const
	h.was, h.fan = w.Dim(axis), w.Len()/max(w.Dim(axis), 1)
	return true
}

// axis is that of the classes in the weights of n, -1 where it is no layer that can be
// made anew.
func (h *head) axis(n *graph.Node) int {
	switch w := n.In(1).Const; {
	case n.Is("Conv") && n.Attrs.Int("group", 1) == 1, n.Is("Gemm") && n.Attrs.Int("transB", 0) != 0:
		return 0
	case n.Is("Gemm"), n.Is("MatMul") && w.Rank() == 2:
		return 1
	}
	return -1
}

// bias returns which input of an Add is a stored vector, -1 where none is.
func (h *head) bias(n *graph.Node) int {
	return slices.IndexFunc([]int{0, 1}, func(i int) bool { return h.stored(n, i) })
}

// stored reports whether input i of n holds numbers that the file has; what is computed
// from such is put in its place.
func (h *head) stored(n *graph.Node, i int) bool {
	v := n.In(i)
	t := h.facts.Known(v)
	if t == nil || !t.DType().IsFloat() {
		return false
	}
	if v.Const == nil {
		n.Inputs[i] = h.g.Constant(v.Name, t)
	}
	return true
}

// resize gives the constants of n the new number of classes.
func (h *head) resize(n *graph.Node) {
	switch {
	case n.Is("Reshape") && n.Inputs[1].Const != nil:
		shape := slices.Clone(n.Inputs[1].Const.Ints())
		for i, d := range shape {
			if d == int64(h.was) {
				shape[i] = int64(h.classes)
			}
		}
		n.Inputs[1] = h.g.Ints(n.Inputs[1].Name, shape...)
	case n.Is("Add"):
		h.reset(n, h.bias(n))
	case n.In(1) != nil && h.axis(n) >= 0:
		n.Inputs[1] = h.drawn(n.Inputs[1], h.axis(n), 1/math.Sqrt(float64(h.fan)))
		if n.In(2) != nil {
			h.reset(n, 2)
		}
	}
}

// reset makes input i, a bias, zero for the new number of classes; one number for all of
// them stays.
func (h *head) reset(n *graph.Node, i int) {
	if axis := slices.Index(n.Inputs[i].Const.Shape(), h.was); axis >= 0 && n.Inputs[i].Const.Len() > 1 {
		n.Inputs[i] = h.drawn(n.Inputs[i], axis, 0)
	}
}

// drawn is a constant in the place of v, of other size along an axis, uniform within bound.
func (h *head) drawn(v *graph.Value, axis int, bound float64) *graph.Value {
	shape := slices.Clone(v.Const.Shape())
	shape[axis] = h.classes
	t := tensor.New(v.Const.DType(), shape...)
	for i := range t.Len() {
		t.SetFloat(i, (2*h.rng.Float64()-1)*bound)
	}
	c := h.g.Constant("", t)
	c.Name = v.Name
	return c
}
