package op

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// gradientCase is one node whose rule is held against differences of its evaluation.
type gradientCase struct {
	domain, op string
	attrs      graph.Attrs
	in         []*tensor.Tensor // those of float64 are differentiated by, unless in fixed
	fixed      []int
	outs       int // outputs asked for; those that are floating point enter the loss
	only       int // where it is not 0: how many outputs enter the loss
}

func (c gradientCase) String() string {
	s := c.op
	for _, k := range c.attrs.Names() {
		s += fmt.Sprintf(" %s=%v", k, c.attrs[k])
	}
	for _, t := range c.in {
		if t != nil {
			s += " " + t.String()
		}
	}
	return s
}

var gradientSeed = rand.NewPCG(7, 11)

// normal fills a float64 tensor with normal numbers, none closer to zero than 0.05: most
// kinks stand there.
func normal(shape ...int) *tensor.Tensor {
	r := rand.New(gradientSeed)
	x := tensor.New(tensor.Float64, shape...)
	for i := range x.Len() {
		v := r.NormFloat64()
		x.SetFloat(i, v+math.Copysign(0.05, v))
	}
	return x
}

// between fills a float64 tensor with numbers of a range.
func between(lo, hi float64, shape ...int) *tensor.Tensor {
	r := rand.New(gradientSeed)
	x := tensor.New(tensor.Float64, shape...)
	for i := range x.Len() {
		x.SetFloat(i, lo+(hi-lo)*r.Float64())
	}
	return x
}

func f64(v ...float64) *tensor.Tensor { return tensor.Of(v, len(v)) }

// backwardGraph runs a node and, in the same graph, the gradient of Σ r·y by its inputs.
type backwardGraph struct {
	g      *graph.Graph
	node   *graph.Node
	in     []*graph.Value
	loss   []*graph.Value // outputs in the loss
	weight []*graph.Value
	dx     []*graph.Value
}

func newBackwardGraph(t *testing.T, c gradientCase) *backwardGraph {
	t.Helper()
	b := &backwardGraph{g: graph.New("test")}
	wants := make([]bool, len(c.in))
	facts := NewFacts()
	for i, x := range c.in {
		var v *graph.Value
		if x != nil {
			v = b.g.Constant(fmt.Sprint("in", i), x)
			if wants[i] = x.DType() == tensor.Float64; wants[i] {
				v.Const = nil
				for _, f := range c.fixed {
					if wants[i] = wants[i] && f != i; f == i {
						v.Const = x
					}
				}
			}
		}
		b.in = append(b.in, v)
	}
	names := make([]string, max(c.outs, 1))
	for i := range names {
		names[i] = fmt.Sprint("y", i)
	}
	b.node = b.g.NewNode(c.op, c.domain, "node", c.attrs, b.in, names...)
	if err := Check(b.node); err != nil {
		t.Fatal(err)
	}
	if err := facts.InferNode(b.node); err != nil {
		t.Fatal(err)
	}
	outputs := b.node.Outputs
	if Decomposes(b.node) {
		var err error
		if outputs, err = Decompose(b.g, facts, b.node); err != nil {
			t.Fatal(err)
		}
		b.node = nil
	} else {
		b.g.Nodes = append(b.g.Nodes, b.node)
	}
	grad := make(map[*graph.Value]*graph.Value)
	for i, y := range outputs {
		if y == nil || !y.Type.DType.IsFloat() || c.only > 0 && i >= c.only || i >= max(c.outs, 1) {
			continue
		}
		s, ok := y.Type.Static()
		if !ok {
			t.Fatalf("%v: output %v has no known shape", c, y)
		}
		r := b.g.Constant("r", normal(s...))
		b.loss, b.weight = append(b.loss, y), append(b.weight, r)
		grad[y] = r
	}
	// The reverse walk that the backward pass makes, in small.
	for k := len(b.g.Nodes) - 1; k >= 0; k-- {
		n := b.g.Nodes[k]
		dy, some := make([]*graph.Value, len(n.Outputs)), false
		for i, y := range n.Outputs {
			dy[i] = grad[y]
			some = some || dy[i] != nil
		}
		if !some {
			continue
		}
		want := make([]bool, len(n.Inputs))
		for i, v := range n.Inputs {
			want[i] = v != nil && v.Const == nil && v.Type.DType.IsFloat()
		}
		dx, err := Differentiate(b.g, facts, n, dy, want)
		if err != nil {
			t.Fatalf("%v: %v", c, err)
		}
		for i, v := range n.Inputs {
			switch {
			case dx[i] == nil:
			case grad[v] == nil:
				grad[v] = dx[i]
			default:
				sum := b.g.Add("Add", "sum", nil, grad[v], dx[i])
				if err := facts.InferNode(sum.Def); err != nil {
					t.Fatal(err)
				}
				grad[v] = sum
			}
		}
	}
	for i, v := range b.in {
		var d *graph.Value
		if wants[i] {
			d = grad[v]
		}
		b.dx = append(b.dx, d)
	}
	return b
}

// run evaluates all nodes for the given inputs.
func (b *backwardGraph) run(t *testing.T, in []*tensor.Tensor) map[*graph.Value]Value {
	t.Helper()
	at := map[*graph.Value]Value{}
	for i, v := range b.in {
		if v != nil {
			at[v] = in[i]
		}
	}
	for _, n := range b.g.Nodes {
		e := &Eval{Node: n, In: make([]Value, len(n.Inputs)), Out: make([]Value, len(n.Outputs))}
		for i, v := range n.Inputs {
			switch {
			case v == nil:
			case v.Const != nil:
				e.In[i] = v.Const
			default:
				e.In[i] = at[v]
			}
		}
		if err := Evaluate(e); err != nil {
			t.Fatal(err)
		}
		for i, v := range n.Outputs {
			if v != nil {
				at[v] = e.Out[i]
			}
		}
	}
	return at
}

func (b *backwardGraph) value(at map[*graph.Value]Value) float64 {
	sum := 0.0
	for i, y := range b.loss {
		v := at[y].(*tensor.Tensor)
		for k := range v.Len() {
			sum += v.Float(k) * b.weight[i].Const.Float(k)
		}
	}
	return sum
}

// holdsGradient fails where the rule differs from central differences.
func holdsGradient(t *testing.T, c gradientCase) {
	t.Helper()
	b := newBackwardGraph(t, c)
	in := make([]*tensor.Tensor, len(c.in))
	for i, x := range c.in {
		if x != nil {
			in[i] = x.Clone()
		}
	}
	at := b.run(t, in)
	const h = 1e-5
	checked := 0
	for i, d := range b.dx {
		if d == nil {
			continue
		}
		rule := d.Const
		if rule == nil {
			rule = at[d].(*tensor.Tensor)
		}
		for k := range in[i].Len() {
			x := in[i].Float(k)
			in[i].SetFloat(k, x+h)
			up := b.value(b.run(t, in))
			in[i].SetFloat(k, x-h)
			down := b.value(b.run(t, in))
			in[i].SetFloat(k, x)
			want := (up - down) / (2 * h)
			if got := rule.Float(k); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
				t.Errorf("%v: gradient by input %d, element %d: rule %.9g, differences %.9g", c, i, k, got, want)
				return
			}
			checked++
		}
	}
	if checked == 0 {
		t.Errorf("%v: no gradient was checked", c)
	}
}

func one64(op string, attrs graph.Attrs, in ...*tensor.Tensor) gradientCase {
	return gradientCase{op: op, attrs: attrs, in: in}
}

func TestGradientsOfFunctions(t *testing.T) {
	for name := range functionSlopes() {
		x := normal(2, 5)
		switch name {
		case "Sqrt", "Log", "Reciprocal":
			x = between(0.3, 3, 2, 5)
		case "Asin", "Acos", "Atanh", "Tan":
			x = between(-0.9, 0.9, 2, 5)
		case "Acosh":
			x = between(1.2, 3, 2, 5)
		}
		holdsGradient(t, one64(name, nil, x))
	}
	for name := range activationSlopes() {
		if name == "QuickGelu" {
			continue
		}
		holdsGradient(t, one64(name, nil, normal(3, 7)))
	}
	for _, c := range []gradientCase{
		one64("Relu", nil, normal(3, 4)), one64("Abs", nil, normal(7)), one64("Neg", nil, normal(7)),
		one64("Gelu", graph.Attrs{"approximate": "tanh"}, normal(9)), one64("Elu", graph.Attrs{"alpha": float32(0.7)}, normal(9)),
		one64("HardSigmoid", graph.Attrs{"alpha": float32(0.3), "beta": float32(0.4)}, normal(9)),
		one64("Shrink", graph.Attrs{"bias": float32(0.5), "lambd": float32(0.3)}, normal(9)),
		one64("PRelu", nil, normal(2, 3, 4), normal(3, 1)), one64("SwiGLU", nil, normal(2, 5), normal(2, 5)),
		{domain: graph.DomainMicrosoft, op: "BiasGelu", in: []*tensor.Tensor{normal(2, 5), normal(5)}},
		{domain: graph.DomainMicrosoft, op: "FastGelu", in: []*tensor.Tensor{normal(2, 5), normal(5)}},
		{domain: graph.DomainMicrosoft, op: "QuickGelu", in: []*tensor.Tensor{normal(2, 5)}},
		one64("Identity", nil, normal(4)), one64("Cast", graph.Attrs{"to": int64(tensor.Float64)}, normal(4)),
		one64("Clip", nil, between(-2, 2, 11), tensor.Of([]float64{-0.7}), tensor.Of([]float64{0.9})),
	} {
		if c.op == "Clip" {
			c.fixed = []int{1, 2}
		}
		holdsGradient(t, c)
	}
}

func TestGradientsOfArithmetic(t *testing.T) {
	for _, shapes := range [][2][]int{{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{2, 1, 4}, {3, 1}}, {{}, {2, 2}}} {
		a, b := normal(shapes[0]...), between(0.5, 2, shapes[1]...)
		for _, name := range []string{"Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean"} {
			holdsGradient(t, one64(name, nil, a, b))
		}
		holdsGradient(t, one64("Pow", nil, between(0.5, 2, shapes[0]...), b))
		holdsGradient(t, one64("Where", nil, tensor.Of([]bool{true, false}, 2, 1), normal(2, 3), normal(3)))
	}
	holdsGradient(t, one64("Sum", nil, normal(2, 3), normal(3), normal(2, 1)))
	holdsGradient(t, one64("Max", nil, normal(2, 3), normal(3), normal(2, 1)))
	holdsGradient(t, one64("Mod", graph.Attrs{"fmod": int64(1)}, between(3.1, 3.9, 4), between(1.1, 1.4, 4)))
	holdsGradient(t, one64("CumSum", nil, normal(3, 4), tensor.Of([]int64{1})))
	holdsGradient(t, one64("CumSum", graph.Attrs{"reverse": int64(1), "exclusive": int64(1)}, normal(3, 4), tensor.Of([]int64{0})))
}

func TestGradientsOfReductions(t *testing.T) {
	for name := range reduceGradients() {
		x := normal(2, 3, 4)
		if name == "ReduceLogSum" {
			x = between(0.5, 2, 2, 3, 4)
		}
		for _, keep := range []int64{0, 1} {
			a := graph.Attrs{"keepdims": keep}
			holdsGradient(t, one64(name, a, x))
			holdsGradient(t, one64(name, a, x, vec[int64](1)))
			holdsGradient(t, one64(name, a, x, vec[int64](0, -1)))
		}
	}
	for _, axis := range []int64{0, 1, -1} {
		for _, name := range []string{"Softmax", "LogSoftmax"} {
			holdsGradient(t, one64(name, graph.Attrs{"axis": axis}, normal(3, 4, 2)))
		}
	}
}

func TestGradientsOfMoves(t *testing.T) {
	x := normal(2, 4, 6)
	for _, c := range []gradientCase{
		one64("Reshape", nil, x, vec[int64](6, -1)), one64("Flatten", nil, x), one64("Squeeze", nil, normal(1, 3, 1), vec[int64](0)),
		one64("Unsqueeze", nil, x, vec[int64](1)), one64("Transpose", graph.Attrs{"perm": []int64{2, 0, 1}}, x), one64("Transpose", nil, x),
		one64("Expand", nil, normal(3, 1), vec[int64](2, 3, 4)), one64("Tile", nil, normal(2, 3), vec[int64](2, 3)),
		one64("Concat", graph.Attrs{"axis": int64(1)}, normal(2, 1, 3), normal(2, 4, 3)),
		{op: "Split", attrs: graph.Attrs{"axis": int64(2)}, in: []*tensor.Tensor{x, vec[int64](1, 2, 3)}, outs: 3},
		{op: "Split", attrs: graph.Attrs{"axis": int64(1), "num_outputs": int64(2)}, in: []*tensor.Tensor{x}, outs: 2, only: 1},
		one64("Pad", nil, normal(3, 4), vec[int64](1, 2, 0, 1)), one64("Pad", nil, normal(3, 4), vec[int64](-1, 2, 0, -1)),
		one64("Pad", graph.Attrs{"mode": "reflect"}, normal(3, 4), vec[int64](1, 2, 0, 1)),
		one64("Pad", graph.Attrs{"mode": "edge"}, normal(3, 4), vec[int64](1, 2, 0, 1)),
		one64("Pad", graph.Attrs{"mode": "wrap"}, normal(3, 4), vec[int64](1, 2, 0, 1)),
		one64("Pad", nil, normal(3, 4), vec[int64](1, 1), nil, vec[int64](1)),
		one64("CenterCropPad", nil, normal(5, 3), vec[int64](3, 4)),
		one64("Slice", nil, x, vec[int64](1, -4), vec[int64](4, 5), vec[int64](1, 2)),
		one64("Slice", nil, x, vec[int64](5, 0), vec[int64](-10, 4), vec[int64](2, 1), vec[int64](-2, 3)),
		one64("ReverseSequence", nil, normal(4, 3), vec[int64](4, 2, 3)),
		one64("DepthToSpace", graph.Attrs{"blocksize": int64(2)}, normal(1, 8, 2, 3)),
		one64("DepthToSpace", graph.Attrs{"blocksize": int64(2), "mode": "CRD"}, normal(1, 8, 2, 3)),
		one64("SpaceToDepth", graph.Attrs{"blocksize": int64(2)}, normal(1, 2, 4, 6)),
		one64("Trilu", graph.Attrs{"upper": int64(0)}, normal(2, 3, 3)),
		one64("Gather", graph.Attrs{"axis": int64(1)}, x, tensor.Of([]int64{0, 3, 3, -1}, 2, 2)), one64("Gather", nil, x, tensor.Of([]int64{1})),
		one64("GatherElements", graph.Attrs{"axis": int64(1)}, normal(2, 3), tensor.Of([]int64{0, 0, 2, 1}, 2, 2)),
		one64("GatherND", nil, x, tensor.Of([]int64{0, 1, 1, 3, 0, 1}, 3, 2)),
		one64("GatherND", graph.Attrs{"batch_dims": int64(1)}, x, tensor.Of([]int64{1, 2}, 2, 1)),
		one64("ScatterElements", graph.Attrs{"axis": int64(1)}, normal(2, 3), tensor.Of([]int64{1, 0}, 2, 1), normal(2, 1)),
		one64("ScatterElements", graph.Attrs{"reduction": "add"}, normal(2, 3), tensor.Of([]int64{1, 0, 1}, 1, 3), normal(1, 3)),
		one64("ScatterND", nil, normal(3, 2), tensor.Of([]int64{2, 0}, 2, 1), normal(2, 2)),
		{op: "TopK", in: []*tensor.Tensor{normal(3, 5), vec[int64](2)}, outs: 2},
	} {
		holdsGradient(t, c)
	}
}

func TestGradientsOfProducts(t *testing.T) {
	for _, s := range [][2][]int{{{3, 4}, {4, 2}}, {{2, 3, 4}, {4, 2}}, {{2, 1, 3, 4}, {3, 4, 2}}, {{4}, {4, 2}}, {{3, 4}, {4}}, {{2, 3, 4}, {4}}, {{4}, {4}}, {{4}, {2, 4, 3}}} {
		holdsGradient(t, one64("MatMul", nil, normal(s[0]...), normal(s[1]...)))
	}
	for k := range 4 {
		a, b := []int{3, 4}, []int{4, 2}
		if k&1 != 0 {
			a = []int{4, 3}
		}
		if k&2 != 0 {
			b = []int{2, 4}
		}
		attrs := graph.Attrs{"transA": int64(k & 1), "transB": int64(k >> 1), "alpha": float32(0.5), "beta": float32(2)}
		holdsGradient(t, one64("Gemm", attrs, normal(a...), normal(b...), normal(2)))
		holdsGradient(t, one64("Gemm", attrs, normal(a...), normal(b...), normal(3, 1)))
	}
	for eq, in := range map[string][]*tensor.Tensor{
		"bij,bjk->bik": {normal(2, 3, 4), normal(2, 4, 2)}, "ij,kj->": {normal(2, 3), normal(4, 3)}, "ij->ji": {normal(2, 3)},
		"bhqd,bhkd->bhqk": {normal(1, 2, 3, 2), normal(1, 2, 4, 2)}, "i,j,k->ijk": {normal(2), normal(3), normal(2)},
	} {
		holdsGradient(t, one64("Einsum", graph.Attrs{"equation": eq}, in...))
	}
}

func TestGradientsOfConvolutions(t *testing.T) {
	r := rand.New(gradientSeed)
	pick := func(lo, hi int) int { return lo + r.IntN(hi-lo+1) }
	for range 40 {
		rank, group := pick(1, 2), pick(1, 3)
		cin, cout, batch := group*pick(1, 2), group*pick(1, 2), pick(1, 2)
		x, w := []int{batch, cin}, []int{cout, cin / group}
		var strides, dilations, lo, hi, extra []int64
		for range rank {
			k := pick(1, 3)
			w, x = append(w, k), append(x, pick(5, 7))
			s := pick(1, 3)
			strides, dilations = append(strides, int64(s)), append(dilations, int64(pick(1, 2)))
			lo, hi = append(lo, int64(pick(0, 2))), append(hi, int64(pick(0, 2)))
			extra = append(extra, int64(pick(0, s-1)))
		}
		a := graph.Attrs{"group": int64(group), "strides": strides, "dilations": dilations, "pads": append(lo, hi...)}
		holdsGradient(t, one64("Conv", a, normal(x...), normal(w...), normal(cout)))
		w[0], w[1] = cin, cout/group
		for i := range x[2:] {
			x[2+i] -= 2
		}
		b := a.Clone()
		for i := range lo {
			lo[i], hi[i] = min(lo[i], 1), min(hi[i], 1)
		}
		b["output_padding"], b["pads"] = extra, append(lo, hi...)
		holdsGradient(t, one64("ConvTranspose", b, normal(x...), normal(w...), normal(cout)))
	}
	for _, auto := range []string{"SAME_UPPER", "SAME_LOWER", "VALID"} {
		a := graph.Attrs{"auto_pad": auto, "strides": []int64{2, 1}}
		holdsGradient(t, one64("Conv", a, normal(1, 2, 5, 6), normal(3, 2, 3, 2)))
	}
}

func TestGradientsOfPoolsAndResize(t *testing.T) {
	k := []int64{3, 2}
	for _, a := range []graph.Attrs{
		{"kernel_shape": k}, {"kernel_shape": k, "strides": []int64{2, 2}, "pads": []int64{1, 0, 1, 1}},
		{"kernel_shape": k, "ceil_mode": int64(1), "strides": []int64{2, 3}}, {"kernel_shape": k, "auto_pad": "SAME_UPPER"},
	} {
		holdsGradient(t, one64("MaxPool", a, normal(2, 2, 5, 6)))
		holdsGradient(t, one64("AveragePool", a, normal(2, 2, 5, 6)))
		b := a.Clone()
		b["count_include_pad"] = int64(1)
		holdsGradient(t, one64("AveragePool", b, normal(1, 2, 5, 6)))
	}
	holdsGradient(t, one64("GlobalAveragePool", nil, normal(2, 3, 4, 2)))
	holdsGradient(t, one64("GlobalMaxPool", nil, normal(2, 3, 4, 2)))
	for _, mode := range []string{"nearest", "linear", "cubic"} {
		for _, coord := range []string{"half_pixel", "asymmetric", "align_corners"} {
			a := graph.Attrs{"mode": mode, "coordinate_transformation_mode": coord}
			holdsGradient(t, one64("Resize", a, normal(1, 2, 3, 4), nil, vec[float32](1, 1, 2, 1.5)))
			holdsGradient(t, one64("Resize", a, normal(1, 2, 6, 4), nil, nil, vec[int64](1, 2, 3, 5)))
		}
	}
}

func TestGradientsOfNormalizations(t *testing.T) {
	x := normal(3, 4, 2, 3)
	for _, c := range []gradientCase{
		one64("LayerNormalization", nil, normal(2, 5), normal(5), normal(5)), one64("LayerNormalization", graph.Attrs{"axis": int64(1)}, normal(2, 3, 4), normal(3, 4)),
		one64("RMSNormalization", nil, normal(2, 5), normal(5)), one64("InstanceNormalization", nil, x, normal(4), normal(4)),
		one64("GroupNormalization", graph.Attrs{"num_groups": int64(2)}, x, normal(4), normal(4)),
		{op: "BatchNormalization", in: []*tensor.Tensor{x, normal(4), normal(4), normal(4), between(0.5, 2, 4)}, fixed: []int{3, 4}},
		{op: "BatchNormalization", attrs: graph.Attrs{"training_mode": int64(1)}, in: []*tensor.Tensor{x, normal(4), normal(4), normal(4), between(0.5, 2, 4)}, fixed: []int{3, 4}},
		one64("LpNormalization", nil, normal(2, 5)), one64("LpNormalization", graph.Attrs{"p": int64(1), "axis": int64(0)}, normal(2, 5)),
		one64("MeanVarianceNormalization", nil, x),
		{domain: graph.DomainMicrosoft, op: "SkipLayerNormalization", in: []*tensor.Tensor{normal(2, 3, 5), normal(2, 3, 5), normal(5), normal(5), normal(5)}},
		{domain: graph.DomainMicrosoft, op: "SkipSimplifiedLayerNormalization", in: []*tensor.Tensor{normal(2, 3, 5), normal(2, 3, 5), normal(5)}},
	} {
		holdsGradient(t, c)
	}
}

func TestGradientsOfLosses(t *testing.T) {
	label, map2 := tensor.Of([]int64{2, 0, 1}, 3), tensor.Of([]int64{2, 0, 1, 1, 2, 2}, 3, 2)
	for _, reduction := range []string{"mean", "sum", "none"} {
		a := graph.Attrs{"reduction": reduction}
		b := graph.Attrs{"reduction": reduction, "ignore_index": int64(1)}
		for _, name := range []string{"SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss"} {
			holdsGradient(t, one64(name, a, normal(3, 4), label))
			holdsGradient(t, gradientCase{op: name, attrs: b, in: []*tensor.Tensor{normal(3, 4, 2), map2, between(0.5, 2, 4)}, fixed: []int{2}})
		}
	}
}

func TestGradientsOfRecurrentLayers(t *testing.T) {
	const hidden, batch, steps, input = 3, 2, 3, 2
	for gates, name := range map[int]string{1: "RNN", 3: "GRU", 4: "LSTM"} {
		for dirs, direction := range map[int]string{1: "reverse", 2: "bidirectional"} {
			for layout := range int64(2) {
				if layout == 1 && dirs == 2 {
					continue
				}
				a := graph.Attrs{"direction": direction, "hidden_size": int64(hidden), "layout": layout}
				x, h := normal(steps, batch, input), normal(dirs, batch, hidden)
				if layout == 1 {
					x, h = normal(batch, steps, input), normal(batch, dirs, hidden)
				}
				in := []*tensor.Tensor{x, normal(dirs, gates*hidden, input), normal(dirs, gates*hidden, hidden), normal(dirs, 2*gates*hidden), nil, h}
				outs := 2
				if name == "LSTM" {
					in, outs = append(in, h.Clone(), normal(dirs, 3*hidden)), 3
				}
				holdsGradient(t, gradientCase{op: name, attrs: a, in: in, outs: outs})
				if name == "GRU" {
					a = a.Clone()
					a["linear_before_reset"] = int64(1)
					holdsGradient(t, gradientCase{op: name, attrs: a, in: in, outs: outs})
				}
			}
		}
	}
}

func TestGradientsOfAttention(t *testing.T) {
	holdsGradient(t, one64("Attention", nil, normal(1, 2, 3, 4), normal(1, 2, 5, 4), normal(1, 2, 5, 2)))
	a := graph.Attrs{"is_causal": int64(1), "q_num_heads": int64(4), "kv_num_heads": int64(2), "softcap": float32(3)}
	holdsGradient(t, one64("Attention", a, normal(1, 3, 8), normal(1, 3, 4), normal(1, 3, 4)))
}

// TestFakeQuantizeGradient holds the straight-through rule, which no difference can show,
// against its definition on values inside and outside the range.
func TestFakeQuantizeGradient(t *testing.T) {
	c := gradientCase{domain: graph.DomainEdgewise, op: "FakeQuantize", attrs: graph.Attrs{"bits": int64(3), "axis": int64(0)},
		in: []*tensor.Tensor{tensor.Of([]float64{0.2, 1.4, -11, 9}, 2, 2), f64(1, 2)}}
	b := newBackwardGraph(t, c)
	at := b.run(t, c.in)
	r := b.weight[0].Const
	dx, ds := at[b.dx[0]].(*tensor.Tensor), at[b.dx[1]].(*tensor.Tensor)
	for i, inside := range []bool{true, true, false, false} {
		want := 0.0
		if inside {
			want = r.Float(i)
		}
		if dx.Float(i) != want {
			t.Errorf("dx[%d] = %v, want %v", i, dx.Float(i), want)
		}
	}
	g := 1 / math.Sqrt(2*3)
	for k, want := range []float64{g * (r.Float(0)*(0-0.2) + r.Float(1)*(1-1.4)), g * (r.Float(2)*-4 + r.Float(3)*3)} {
		if math.Abs(ds.Float(k)-want) > 1e-12 {
			t.Errorf("dscale[%d] = %v, want %v", k, ds.Float(k), want)
		}
	}
}

// TestQuantizationPassesGradients: through QuantizeLinear and DequantizeLinear together the
// gradient is the identity inside the range and zero outside.
func TestQuantizationPassesGradients(t *testing.T) {
	g, facts := graph.New("test"), NewFacts()
	x := g.Input("x", graph.TensorType(tensor.Float32, 3))
	scale, zero := g.Constant("s", tensor.Of([]float32{0.5})), g.Constant("z", tensor.Of([]int8{1}))
	q := g.Add("QuantizeLinear", "q", nil, x, scale, zero)
	y := g.Add("DequantizeLinear", "y", nil, q, scale, zero)
	for _, n := range g.Nodes {
		if err := facts.InferNode(n); err != nil {
			t.Fatal(err)
		}
	}
	r := g.Constant("r", vec[float32](2, 3, 4))
	dq, err := Differentiate(g, facts, y.Def, []*graph.Value{r}, []bool{true, false, false})
	if err != nil {
		t.Fatal(err)
	}
	dx, err := Differentiate(g, facts, q.Def, dq[:1], []bool{true, false, false})
	if err != nil {
		t.Fatal(err)
	}
	b := &backwardGraph{g: g, in: []*graph.Value{x}}
	got := b.run(t, []*tensor.Tensor{vec[float32](1, 63, 64.5)})[dx[0]].(*tensor.Tensor)
	for i, want := range []float64{2, 3, 0} {
		if got.Float(i) != want {
			t.Errorf("dx[%d] = %v, want %v", i, got.Float(i), want)
		}
	}
}

// TestGradientLedger holds that every operator has a rule, a decomposition or a reason, and
// no reason outlives what it is about.
func TestGradientLedger(t *testing.T) {
	for _, d := range All() {
		if k := (Key{d.Domain, d.Name}); WithoutGradient(k) == "unexplained" {
			t.Errorf("%v has neither a rule nor a reason in withoutGradient", k)
		}
	}
	for _, r := range withoutGradient {
		for _, name := range r.names {
			if k := (Key{r.domain, name}); WithoutGradient(k) == "" {
				t.Errorf("%v stands in withoutGradient, but has a rule or does not exist", k)
			}
		}
	}
	for _, name := range stepwise {
		if Lookup("", name) == nil {
			t.Errorf("stepwise names %s, which does not exist", name)
		}
	}
}
