package rewrite

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestPassOrder(t *testing.T) {
	for _, p := range []struct {
		passes []Pass
		order  []struct{ before, after, why string }
	}{{simplifyPasses, simplifyOrder}, {legalizePasses, legalizeOrder}} {
		at := func(name string) int {
			return slices.IndexFunc(p.passes, func(x Pass) bool { return x.Name == name })
		}
		for _, o := range p.order {
			if a, b := at(o.before), at(o.after); a < 0 || b < 0 || a >= b {
				t.Errorf("%s must come before %s: %s", o.before, o.after, o.why)
			}
		}
		for i, x := range p.passes {
			if at(x.Name) != i {
				t.Errorf("two passes are named %s", x.Name)
			}
		}
	}
}

// net builds test graphs with seeded contents.
type net struct {
	*graph.Graph
	rng *rand.Rand
}

func newNet() *net { return &net{graph.New("test"), rand.New(rand.NewPCG(1, 2))} }

func (n *net) weights(shape ...int) *graph.Value {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = n.rng.Float32()*2 - 1
	}
	return n.Constant("", t)
}

func (n *net) positive(k int) *graph.Value {
	v := n.weights(k)
	for i, x := range v.Const.F32() {
		v.Const.F32()[i] = x*x + 0.1
	}
	return v
}

func ints(v ...int64) []int64 { return v }

func (n *net) toNCHW(x *graph.Value) *graph.Value {
	return n.Add("Transpose", "", graph.Attrs{"perm": ints(0, 3, 1, 2)}, x)
}

func (n *net) toNHWC(x *graph.Value) *graph.Value {
	return n.Add("Transpose", "", graph.Attrs{"perm": ints(0, 2, 3, 1)}, x)
}

func (n *net) scalar(v float32) *graph.Value { return n.Constant("", tensor.Scalar(v)) }

func (n *net) qdq(x *graph.Value, scale float32, zero uint8) *graph.Value {
	s, z := n.scalar(scale), n.Constant("", tensor.Scalar(zero))
	return n.Add("DequantizeLinear", "", nil, n.Add("QuantizeLinear", "", nil, x, s, z), s, z)
}

// qweights returns per-channel int8 weights behind a DequantizeLinear.
func (n *net) qweights(axis int64, shape ...int) *graph.Value {
	q := tensor.New(tensor.Int8, shape...)
	for i := range q.Len() {
		q.SetInt(i, int64(n.rng.IntN(255)-127))
	}
	scale := tensor.New(tensor.Float32, shape[axis])
	for i := range scale.F32() {
		scale.F32()[i] = 0.002 + 0.01*n.rng.Float32()
	}
	zero := tensor.New(tensor.Int8, shape[axis])
	return n.Add("DequantizeLinear", "", graph.Attrs{"axis": axis}, n.Constant("", q), n.Constant("", scale), n.Constant("", zero))
}

func runAll(t *testing.T, g *graph.Graph) []*tensor.Tensor {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	in := make([]op.Value, len(g.Inputs))
	for i, v := range g.Inputs {
		shape, ok := v.Type.Static()
		if !ok {
			t.Fatalf("input %v is not static", v)
		}
		x := tensor.New(tensor.Float32, shape...)
		for k := range x.F32() {
			x.F32()[k] = rng.Float32()*4 - 2
		}
		in[i] = x
	}
	out, err := interp.Run(context.Background(), g, in)
	if err != nil {
		t.Fatalf("%v\n%s", err, g)
	}
	res := make([]*tensor.Tensor, len(out))
	for i := range out {
		res[i] = out[i].(*tensor.Tensor)
	}
	return res
}

func countOps(g *graph.Graph) map[string]int {
	c := map[string]int{}
	g.Walk(func(_ *graph.Graph, n *graph.Node) { c[n.Op]++ })
	return c
}

// same simplifies g and checks that outputs keep names and values.
func same(t *testing.T, g *graph.Graph, tol float64, change func(*graph.Graph) error) {
	t.Helper()
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	if _, err := op.InferTypes(g); err != nil {
		t.Fatal(err)
	}
	want := runAll(t, g)
	var names []string
	for _, v := range g.Outputs {
		names = append(names, v.Name)
	}
	if err := change(g); err != nil {
		t.Fatal(err)
	}
	got := runAll(t, g)
	for i, v := range g.Outputs {
		if v.Name != names[i] {
			t.Errorf("output %d is named %s, was %s", i, v.Name, names[i])
		}
		if ok, abs, _ := tensor.CloseTo(got[i], want[i], tol, tol); !ok {
			t.Errorf("output %s: %v against %v, difference %g\n%s", v.Name, got[i], want[i], abs, g)
		}
	}
}

func simplify(g *graph.Graph) error { _, err := Simplify(g, Options{}); return err }

func TestChannelsLastTransposesCancel(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 1, 8, 8, 3))
	conv := func(x *graph.Value, in, out, k int) *graph.Value {
		pad := int64(k / 2)
		y := n.Add("Conv", "", graph.Attrs{"pads": ints(pad, pad, pad, pad)}, n.toNCHW(x), n.weights(out, in, k, k), n.weights(out))
		return n.toNHWC(n.Add("Relu", "", nil, y))
	}
	a := conv(x, 3, 4, 3)
	b := conv(a, 4, 4, 1)
	sum := n.Add("Add", "", nil, a, b)
	scaled := n.Add("Mul", "", nil, sum, n.weights(4))
	cat := n.Add("Concat", "", graph.Attrs{"axis": int64(3)}, scaled, a)
	last := conv(cat, 8, 5, 1)
	padded := n.Add("Pad", "", nil, last, n.Ints("", 0, 1, 2, 0, 0, 1, 0, 0))
	mean := n.Add("ReduceMean", "", graph.Attrs{"keepdims": int64(0)}, padded, n.Ints("", 1, 2))
	n.Output(n.Add("Softmax", "y", graph.Attrs{"axis": int64(-1)}, mean))
	same(t, n.Graph, 1e-5, simplify)
	if c := countOps(n.Graph); c["Transpose"] != 1 {
		t.Errorf("%d transposes are left, want the one at the input\n%s", c["Transpose"], n)
	}
}

func TestTransposesSinkPastTailsOfNetworks(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 1, 6, 5, 3))
	y := n.toNHWC(n.Add("Conv", "", graph.Attrs{}, n.toNCHW(x), n.weights(4, 3, 1, 1)))
	n.Output(n.Add("ArgMax", "class", graph.Attrs{"axis": int64(3), "keepdims": int64(0)}, y))
	n.Output(n.Add("ArgMin", "row", graph.Attrs{"axis": int64(1), "keepdims": int64(1)}, y))
	pooled := n.toNHWC(n.Add("GlobalAveragePool", "", nil, n.toNCHW(y)))
	n.Output(n.Add("Squeeze", "features", nil, pooled, n.Ints("", 1, 2)))
	tiled := n.Add("Tile", "", nil, pooled, n.Ints("", 1, 6, 5, 1))
	n.Output(n.Add("Relu", "tiled", nil, n.Add("Conv", "", graph.Attrs{}, n.toNCHW(tiled), n.weights(2, 4, 1, 1))))
	same(t, n.Graph, 1e-5, simplify)
	// The one at the input, and that of row, whose axes are the output's; class has no
	// channels left, and its spatial axes are in order.
	if c := countOps(n.Graph); c["Transpose"] != 2 {
		t.Errorf("%d transposes are left, want two\n%s", c["Transpose"], n)
	}
}

func TestFoldingIntoWeights(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 2, 3, 6, 6))
	y := n.Add("Conv", "", nil, x, n.weights(4, 3, 3, 3))
	y = n.Add("BatchNormalization", "", nil, y, n.weights(4), n.weights(4), n.weights(4), n.positive(4))
	y = n.Add("Mul", "", nil, y, n.weights(1, 4, 1, 1))
	y = n.Add("Add", "", nil, n.weights(4, 1, 1), y)
	y = n.Add("Relu", "", nil, y)
	y = n.Add("Pad", "", nil, y, n.Ints("", 0, 0, 1, 0, 0, 0, 2, 1))
	y = n.Add("ConvTranspose", "", nil, y, n.weights(4, 2, 2, 2), n.weights(2))
	y = n.Add("BatchNormalization", "", nil, y, n.weights(2), n.weights(2), n.weights(2), n.positive(2))
	y = n.Add("Pad", "", nil, y, n.Ints("", 0, 0, 1, 1, 0, 0, 1, 1))
	y = n.Add("Conv", "", graph.Attrs{"strides": ints(2, 2)}, y, n.weights(4, 2, 3, 3))
	y = n.Add("Flatten", "", nil, y)
	y = n.Add("MatMul", "", nil, y, n.weights(4*4*3, 3))
	n.Output(n.Add("Add", "out", nil, y, n.weights(3)))
	same(t, n.Graph, 1e-4, simplify)
	c := countOps(n.Graph)
	if c["BatchNormalization"]+c["Mul"]+c["Add"]+c["MatMul"] != 0 || c["Gemm"] != 1 || c["Pad"] != 1 {
		t.Errorf("not folded: %v\n%s", c, n)
	}
}

func TestFoldsShapeArithmetic(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 2, 3, 4))
	shape := n.Add("Shape", "", nil, x)
	first := n.Add("Gather", "", nil, shape, n.Ints("", 0))
	target := n.Add("Concat", "", graph.Attrs{"axis": int64(0)}, first, n.Ints("", -1))
	n.Output(n.Add("Reshape", "y", nil, n.Add("Identity", "", nil, x), target))
	same(t, n.Graph, 0, simplify)
	if len(n.Nodes) != 1 {
		t.Errorf("left:\n%s", n)
	}
}

func TestOutputsKeepNames(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 2))
	a := n.Add("Relu", "a", nil, x)
	b := n.Add("Identity", "b", nil, a)
	n.Output(a, b, n.Add("Identity", "c", nil, x), n.Add("Relu", "d", nil, b))
	same(t, n.Graph, 0, simplify)
}

func TestLegalizeIslands(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 1, 3, 9, 9))
	xq := n.qdq(x, 0.02, 128)
	a := n.Add("Conv", "conv_a", graph.Attrs{"pads": ints(1, 1, 1, 1)}, xq, n.qweights(0, 8, 3, 3, 3), n.weights(8))
	a = n.qdq(n.Add("Clip", "", nil, a, n.scalar(0), n.scalar(1)), 0.01, 3)
	b := n.qdq(n.Add("Conv", "conv_b", graph.Attrs{"group": int64(8), "pads": ints(1, 1, 1, 1)}, a, n.qweights(0, 8, 1, 3, 3)), 0.02, 120)
	c := n.qdq(n.Add("Add", "add", nil, a, b), 0.03, 100)
	d := n.qdq(n.Add("MaxPool", "pool", graph.Attrs{"kernel_shape": ints(2, 2), "strides": ints(2, 2)}, c), 0.03, 100)
	e := n.qdq(n.Add("Sigmoid", "gate", nil, d), 1.0/256, 0)
	f := n.qdq(n.Add("Mul", "mul", nil, d, e), 0.02, 110)
	g := n.qdq(n.Add("Concat", "cat", graph.Attrs{"axis": int64(1)}, d, f), 0.03, 100)
	h := n.qdq(n.Add("GlobalAveragePool", "gap", nil, g), 0.01, 128)
	i := n.qdq(n.Add("Flatten", "", nil, h), 0.01, 128)
	y := n.Add("Gemm", "fc", graph.Attrs{"transB": int64(1)}, i, n.qweights(0, 5, 16), n.weights(5))
	n.Output(n.qdq(y, 0.02, 128))
	var notes []Note
	same(t, n.Graph, 0.021, func(g *graph.Graph) error { // one step of the output scale
		if err := simplify(g); err != nil {
			return err
		}
		var err error
		_, notes, err = Legalize(g, Options{})
		return err
	})
	got := countOps(n.Graph)
	for op, want := range map[string]int{
		"QLinearConv": 2, "QLinearAdd": 1, "QLinearMul": 1, "QLinearConcat": 1, "QLinearGlobalAveragePool": 1, "QGemm": 1,
		"Conv": 0, "Add": 0, "Mul": 0, "Gemm": 0, "QuantizeLinear": 2, "DequantizeLinear": 2, "Sigmoid": 1,
	} {
		if got[op] != want {
			t.Errorf("%d %s, want %d", got[op], op, want)
		}
	}
	if len(notes) != 0 || t.Failed() {
		t.Errorf("notes %v\n%s", notes, n)
	}
}

func TestFloatIslandIsReported(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 1, 3, 5, 5))
	y := n.Add("Conv", "stays", nil, n.qdq(x, 0.02, 128), n.weights(2, 3, 3, 3))
	n.Output(n.qdq(y, 0.1, 0))
	_, notes, err := Legalize(n.Graph, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 1 || notes[0].Node != "stays" || notes[0].Op != "Conv" {
		t.Errorf("notes = %v", notes)
	}
}

func TestLimitStopsEarly(t *testing.T) {
	n := newNet()
	x := n.Input("x", graph.TensorType(tensor.Float32, 2))
	for range 5 {
		x = n.Add("Identity", "", nil, x)
	}
	n.Output(n.Add("Relu", "y", nil, x))
	stats, err := Simplify(n.Graph, Options{Limit: 2})
	if err != nil || stats.Total() != 2 || len(n.Nodes) != 4 {
		t.Errorf("stats %v, %d nodes, %v", stats, len(n.Nodes), err)
	}
}

func TestBoundsAtInfinityGo(t *testing.T) {
	g := graph.New("bounds")
	x := g.Input("x", graph.TensorType(tensor.Float32, 2, 3))
	y := g.Add("Max", "max", nil, x, g.Constant("", tensor.Scalar(float32(math.Inf(-1)))))
	y = g.Add("Min", "min", nil, y, g.Constant("", tensor.Scalar(float32(math.Inf(1)))))
	y = g.Add("Max", "relu", nil, y, g.Constant("", tensor.Scalar(float32(0))))
	g.Output(y)
	if _, err := Simplify(g, Options{}); err != nil {
		t.Fatal(err)
	}
	if len(g.Nodes) != 1 || g.Nodes[0].Name != "relu" || g.Nodes[0].In(0) != x {
		t.Errorf("left are %v", g)
	}
}
