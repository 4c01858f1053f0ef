package rewrite

import (
	"math"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func legalized(g *graph.Graph) error { _, _, err := Legalize(g, Options{}); return err }

// ops counts the nodes of an operator.
func (n *net) ops(name string) int {
	k := 0
	for _, m := range n.Nodes {
		if m.Is(name) {
			k++
		}
	}
	return k
}

func TestGeluInItsForms(t *testing.T) {
	mul := func(n *net, a, b *graph.Value) *graph.Value { return n.Add("Mul", "", nil, a, b) }
	erf := func(n *net, x *graph.Value, by float32) *graph.Value {
		return n.Add("Erf", "", nil, n.Add("Div", "", nil, x, n.scalar(by)))
	}
	onePlus := func(n *net, v *graph.Value) *graph.Value { return n.Add("Add", "", nil, n.scalar(1), v) }
	tanh := func(n *net, x *graph.Value, cube float32) *graph.Value {
		inner := n.Add("Add", "", nil, x, mul(n, n.scalar(cube), n.Add("Pow", "", nil, x, n.scalar(3))))
		return n.Add("Tanh", "", nil, mul(n, inner, n.scalar(0.7978846)))
	}
	for name, c := range map[string]struct {
		gelu  int
		build func(n *net, x *graph.Value) *graph.Value
	}{
		"half last": {1, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, mul(n, x, onePlus(n, erf(n, x, math.Sqrt2))), n.scalar(0.5))
		}},
		"half first": {1, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, mul(n, n.scalar(0.5), x), onePlus(n, n.Add("Erf", "", nil, mul(n, x, n.scalar(0.70710677)))))
		}},
		"half in the gate": {1, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, x, mul(n, onePlus(n, erf(n, x, math.Sqrt2)), n.scalar(0.5)))
		}},
		"half distributed": {1, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, x, n.Add("Add", "", nil, mul(n, erf(n, x, math.Sqrt2), n.scalar(0.5)), n.scalar(0.5)))
		}},
		"tanh": {1, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, mul(n, n.scalar(0.5), x), onePlus(n, tanh(n, x, 0.044715)))
		}},
		"another slope": {0, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, mul(n, x, onePlus(n, erf(n, x, 1.3))), n.scalar(0.5))
		}},
		"another cube": {0, func(n *net, x *graph.Value) *graph.Value {
			return mul(n, mul(n, n.scalar(0.5), x), onePlus(n, tanh(n, x, 0.05)))
		}},
		"no half": {0, func(n *net, x *graph.Value) *graph.Value { return mul(n, x, onePlus(n, erf(n, x, math.Sqrt2))) }},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNet()
			n.Output(c.build(n, n.Input("x", graph.TensorType(tensor.Float32, 2, 5))))
			same(t, n.Graph, 1e-5, legalized)
			if got := n.ops("Gelu"); got != c.gelu {
				t.Errorf("%d Gelu, want %d\n%s", got, c.gelu, n)
			}
		})
	}
}

func TestLayerNormWrittenOut(t *testing.T) {
	for name, c := range map[string]struct {
		axis, fused  int
		shape, gamma []int
	}{
		"last dimension":  {-1, 1, []int{2, 6, 6}, []int{6}},
		"scale of rank 3": {2, 1, []int{2, 6, 6}, []int{1, 1, 6}},
		"another axis":    {1, 0, []int{2, 6, 6}, []int{6}},
		"scale per row":   {-1, 0, []int{2, 6, 6}, []int{6, 1}},
		"before ones":     {1, 1, []int{2, 6, 1}, []int{6, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNet()
			x := n.Input("x", graph.TensorType(tensor.Float32, c.shape...))
			mean := func(v *graph.Value) *graph.Value { return n.Add("ReduceMean", "", nil, v, n.Ints("", int64(c.axis))) }
			d := n.Add("Sub", "", nil, x, mean(x))
			variance := mean(n.Add("Mul", "", nil, d, d))
			s := n.Add("Sqrt", "", nil, n.Add("Add", "", nil, variance, n.scalar(1e-3)))
			y := n.Add("Mul", "", nil, n.Add("Div", "", nil, d, s), n.weights(c.gamma...))
			n.Output(n.Add("Add", "", nil, n.weights(c.gamma...), y))
			same(t, n.Graph, 1e-5, legalized)
			if got := n.ops("LayerNormalization"); got != c.fused {
				t.Errorf("%d LayerNormalization, want %d\n%s", got, c.fused, n)
			}
		})
	}
}

func TestPReluWrittenOut(t *testing.T) {
	for name, c := range map[string]struct {
		shape []int
		other bool
		fused int
	}{
		"per channel":   {[]int{1, 3, 1, 1}, false, 1},
		"one slope":     {[]int{1}, false, 1},
		"another value": {[]int{1, 3, 1, 1}, true, 0},
		"a larger one":  {[]int{2, 1, 3, 1, 1}, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNet()
			x := n.Input("x", graph.TensorType(tensor.Float32, 1, 3, 4, 5))
			z := x
			if c.other {
				z = n.Add("Exp", "", nil, x)
			}
			minus := n.Add("Relu", "", nil, n.Add("Neg", "", nil, z))
			n.Output(n.Add("Add", "", nil, n.Add("Relu", "", nil, x), n.Add("Mul", "", nil, minus, n.weights(c.shape...))))
			same(t, n.Graph, 0, legalized)
			if got := n.ops("PRelu"); got != c.fused {
				t.Errorf("%d PRelu, want %d\n%s", got, c.fused, n)
			}
		})
	}
}

func TestNormalizationBehindScale(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 1, 3, 4, 5))
	y := n.Add("ConvTranspose", "", graph.Attrs{"strides": ints(2, 2)}, x, n.weights(3, 2, 2, 2))
	y = n.Add("Add", "", nil, y, n.weights(1, 2, 1, 1))
	n.Output(n.Add("BatchNormalization", "", nil, y, n.weights(2), n.weights(2), n.weights(2), n.positive(2)))
	same(t, n.Graph, 1e-5, simplify)
	if len(n.Nodes) != 1 {
		t.Errorf("not folded:\n%s", n)
	}
}

func TestFactorsOfOperandsAreFactorsOfTheProduct(t *testing.T) {
	n := newNet()
	f32 := func(s ...int) graph.Type { return graph.TensorType(tensor.Float32, s...) }
	x, y := n.Input("x", f32(2, 3, 5)), n.Input("y", f32(2, 3, 5))
	a := n.Add("Mul", "", nil, x, n.scalar(0.25))
	b := n.Add("Transpose", "", graph.Attrs{"perm": ints(0, 2, 1)}, n.Add("Div", "", nil, y, n.scalar(3)))
	p := n.Add("MatMul", "", nil, a, b)
	// A factor that others use as well stays.
	kept := n.Add("MatMul", "", nil, p, n.Add("Mul", "", nil, x, n.scalar(2)))
	n.Output(kept, a)
	same(t, n.Graph, 1e-5, legalized)
	for _, m := range n.Nodes {
		if m.Is("Mul") && m.Inputs[0] != x && m.Inputs[0].Def != nil && !m.Inputs[0].Def.Is("MatMul") && !m.Inputs[0].Def.Is("Mul") {
			t.Errorf("%v multiplies no product\n%s", m, n)
		}
	}
	if n.ops("Div") != 0 {
		t.Errorf("the division of an operand is left\n%s", n)
	}
}
