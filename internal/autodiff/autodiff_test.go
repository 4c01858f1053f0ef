package autodiff

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func normal(r *rand.Rand, shape ...int) *tensor.Tensor {
	x := tensor.New(tensor.Float64, shape...)
	for i := range x.Len() {
		x.SetFloat(i, r.NormFloat64()/2)
	}
	return x
}

// network is a small convolutional network in float64 with every shape of graph that the
// walk has to deal with: a residual (two uses of a value), an output that nobody uses, a
// decomposed operator and a branch that the loss does not see.
func network(r *rand.Rand) (g *graph.Graph, loss *graph.Value, by []*graph.Value, in []op.Value) {
	g = graph.New("net")
	param := func(name string, shape ...int) *graph.Value {
		v := g.Input(name, graph.TensorType(tensor.Float64, shape...))
		by = append(by, v)
		in = append(in, normal(r, shape...))
		return v
	}
	x := param("x", 2, 3, 6, 6)
	w1, w2 := param("w1", 4, 3, 3, 3), param("w2", 4, 1, 3, 3)
	scale, shift := param("scale", 4), param("shift", 4)
	head, bias := param("head", 36, 3), param("bias", 3)
	pads := graph.Attrs{"pads": []int64{1, 1, 1, 1}}
	c1 := g.Add("Conv", "c1", pads, x, w1)
	zero, one := g.Constant("zero", normal(r, 4)), g.Constant("one", tensor.Of([]float64{1, 1, 1, 1}, 4))
	bn := g.NewNode("BatchNormalization", "", "bn", graph.Attrs{"training_mode": int64(1)}, []*graph.Value{c1, scale, shift, zero, one}, "bn", "mean", "var")
	g.Nodes = append(g.Nodes, bn)
	a1 := g.Add("HardSwish", "a1", nil, bn.Outputs[0])
	c2 := g.Add("Conv", "c2", graph.Attrs{"pads": []int64{1, 1, 1, 1}, "group": int64(4)}, a1, w2)
	sum := g.Add("Add", "sum", nil, a1, c2)
	g.Add("Exp", "unseen", nil, sum)
	pool := g.Add("MaxPool", "pool", graph.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, sum)
	flat := g.Add("Flatten", "flat", nil, pool)
	norm := g.Add("LpNormalization", "norm", nil, flat)
	y := g.Add("Gemm", "y", nil, norm, head, bias)
	loss = g.Add("SoftmaxCrossEntropyLoss", "loss", nil, y, g.Constant("label", tensor.Of([]int64{2, 0}, 2)))
	return g, loss, by, in
}

func TestGradientsOfANetwork(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	g, loss, by, in := network(r)
	facts, err := op.InferTypes(g)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := Gradients(g, facts, loss, by)
	if err != nil {
		t.Fatal(err)
	}
	g.Output(loss)
	g.Output(grads...)
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	run := func() []op.Value {
		out, err := interp.Run(context.Background(), g, in)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	rule := run()[1:]
	const h = 1e-5
	for i, v := range by {
		x, d := in[i].(*tensor.Tensor), rule[i].(*tensor.Tensor)
		for range 12 {
			k := r.IntN(x.Len())
			was := x.Float(k)
			x.SetFloat(k, was+h)
			up := run()[0].(*tensor.Tensor).Float(0)
			x.SetFloat(k, was-h)
			down := run()[0].(*tensor.Tensor).Float(0)
			x.SetFloat(k, was)
			want := (up - down) / (2 * h)
			if got := d.Float(k); math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
				t.Errorf("gradient by %s[%d]: rule %.9g, differences %.9g", v.Name, k, got, want)
			}
		}
	}
}

func TestWhatCannotBeTrainedIsNamedAtOnce(t *testing.T) {
	g := graph.New("net")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 2, 4, 4))
	a := g.Add("LRN", "first", graph.Attrs{"size": int64(1)}, x)
	b := g.Add("LpPool", "second", graph.Attrs{"kernel_shape": []int64{2, 2}}, a)
	loss := g.Add("ReduceSum", "loss", graph.Attrs{"keepdims": int64(0)}, b)
	facts, err := op.InferTypes(g)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Gradients(g, facts, loss, []*graph.Value{x})
	if err == nil || !strings.Contains(err.Error(), "first (LRN)") || !strings.Contains(err.Error(), "second (LpPool)") {
		t.Errorf("error %v does not name both nodes", err)
	}
	if _, err = Gradients(g, facts, b, []*graph.Value{x}); err == nil {
		t.Error("a loss that is no scalar is accepted")
	}
}

func TestValuesTheLossDoesNotMoveWith(t *testing.T) {
	g := graph.New("net")
	x, y := g.Input("x", graph.TensorType(tensor.Float32)), g.Input("y", graph.TensorType(tensor.Float32))
	loss := g.Add("Add", "loss", nil, g.Add("Exp", "e", nil, x), g.Add("Floor", "f", nil, y))
	facts, err := op.InferTypes(g)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Gradients(g, facts, loss, []*graph.Value{x, y})
	if err != nil || d[0] == nil || d[1] != nil {
		t.Errorf("gradients %v, %v: want one by x and none by y", d, err)
	}
}
