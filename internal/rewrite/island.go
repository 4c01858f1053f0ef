package rewrite

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// An island is the part of a quantized graph between DequantizeLinear nodes and one
// QuantizeLinear. The rule here looks at the QuantizeLinear and walks upwards: over a
// clamp, to an operator all of whose operands are dequantized values or constants. The
// integer operator that takes its place computes with int32 accumulation and one
// requantization (documented in package kernel), so its result may differ from the
// floating-point reading of the island by one step, and never by more.

// clamp is the range that Relu and Clip leave.
type clamp struct{ lo, hi float64 }

// throughClamps follows v upwards over Relu and Clip with single use.
func (c *Context) throughClamps(v *graph.Value) (*graph.Value, clamp) {
	cl := clamp{math.Inf(-1), math.Inf(1)}
	for v.Def != nil && c.Sole(v) {
		n := v.Def
		switch {
		case n.Is("Relu"):
			cl.lo = max(cl.lo, 0)
		case n.Is("Clip"):
			for i, bound := range []*float64{&cl.lo, &cl.hi} {
				if n.In(1+i) == nil {
					continue
				}
				t := c.Known(n.In(1 + i))
				if t == nil || t.Len() != 1 {
					return v, cl
				}
				if i == 0 {
					*bound = max(*bound, t.Float(0))
				} else {
					*bound = min(*bound, t.Float(0))
				}
			}
		default:
			return v, cl
		}
		v = n.Inputs[0]
	}
	return v, cl
}

func integerIsland(c *Context, q *graph.Node) (*Patch, error) {
	y := c.quantizeTarget(q)
	if y == nil {
		return nil, nil
	}
	v, cl := c.throughClamps(q.Inputs[0])
	n := v.Def
	if n == nil || !c.Sole(v) || n.Domain != "" {
		return nil, nil
	}
	var nodes []*graph.Node
	switch n.Op {
	case "Conv":
		nodes = c.integerConv(n, y)
	case "Gemm":
		nodes = c.integerGemm(n, y)
	case "MatMul":
		nodes = c.integerMatMul(n, nil, y)
	case "Add", "Mul":
		nodes = c.integerBinary(n, y)
		if nodes == nil && n.Op == "Add" {
			nodes = c.integerMatMulBias(n, y)
		}
	case "Concat":
		nodes = c.integerConcat(n, y)
	case "GlobalAveragePool", "AveragePool":
		nodes = c.integerPool(n, y)
	case "ReduceMean":
		nodes = c.integerMean(n, y)
	case "DequantizeLinear":
		// A lone clamp between equal parameters works on the integers themselves.
		if d := c.dequantizedFrom(v); d != nil && d.same(y) && v != q.Inputs[0] {
			return c.clamped(q, nil, d.q, y, cl), nil
		}
		return nil, nil
	}
	if nodes == nil {
		return nil, nil
	}
	last := nodes[len(nodes)-1]
	last.Outputs[0].Type = graph.Type{DType: y.q.Type.DType, Shape: v.Type.Shape.Clone()}
	return c.clamped(q, nodes, last.Outputs[0], y, cl), nil
}

// clamped ends a patch: it clamps the 8-bit value r in the output's own units where
// saturation does not do so already, and puts it in the place of q's output.
func (c *Context) clamped(q *graph.Node, nodes []*graph.Node, r *graph.Value, y *quantized, cl clamp) *Patch {
	d := y.q.Type.DType
	lo, hi := d.IntRange()
	step := func(x float64) int64 {
		s, z := y.scale.Const.F32()[0], y.zero.Const.Int(0)
		v := math.RoundToEven(float64(float32(x)/s)) + float64(z)
		return int64(min(max(v, float64(lo)), float64(hi)))
	}
	qlo, qhi := lo, hi
	if !math.IsInf(cl.lo, 0) {
		qlo = step(cl.lo)
	}
	if !math.IsInf(cl.hi, 0) {
		qhi = step(cl.hi)
	}
	if qlo > lo || qhi < hi {
		bound := func(x int64) *graph.Value {
			t := tensor.New(d)
			t.SetInt(0, x)
			return c.Graph.Constant("", t)
		}
		clip := c.Graph.NewNode("Clip", "", "", graph.Attrs{}, []*graph.Value{r, bound(qlo), bound(qhi)}, "")
		nodes = append(nodes, clip)
		r = clip.Outputs[0]
		r.Type = graph.Type{DType: d, Shape: q.Inputs[0].Type.Shape.Clone()}
	}
	if !c.replaceable(q.Outputs[0], r) {
		return nil
	}
	return &Patch{Nodes: nodes, Replace: []Subst{{q.Outputs[0], r}}}
}

// integerBias returns the bias as int32 at scale x·w per output channel; ok is false when
// it is not constant or does not fit.
func (c *Context) integerBias(b *graph.Value, x, w *quantized, channels int) (bias *graph.Value, ok bool) {
	if b == nil {
		return nil, true
	}
	xs := float64(x.scale.Const.F32()[0])
	ws := w.scale.Const.F32()
	at := func(s []float32, i int) float64 {
		if len(s) == 1 {
			return float64(s[0])
		}
		return float64(s[i])
	}
	out := tensor.New(tensor.Int32, channels)
	ints := tensor.Data[int32](out)
	if n := b.Def; n != nil && n.Is("DequantizeLinear") && n.Inputs[0].Type.DType == tensor.Int32 {
		q, s := c.Known(n.Inputs[0]), c.Known(n.Inputs[1])
		if z := n.In(2); z != nil {
			if t := c.Known(z); t == nil || t.Len() > 0 && !allZero(t) {
				return nil, false
			}
		}
		if q == nil || s == nil || s.DType() != tensor.Float32 || q.Len() != channels || s.Len() != 1 && s.Len() != channels {
			return nil, false
		}
		exact := true
		for i := range ints {
			want := xs * at(ws, i)
			exact = exact && math.Abs(at(s.F32(), i)-want) <= 1e-5*want
			ints[i] = tensor.Data[int32](q)[i]
		}
		if exact {
			return c.Graph.Constant(n.Inputs[0].Name, out), true
		}
		for i := range ints {
			v := math.RoundToEven(float64(tensor.Data[int32](q)[i]) * at(s.F32(), i) / (xs * at(ws, i)))
			if math.Abs(v) > 1<<30 {
				return nil, false
			}
			ints[i] = int32(v)
		}
		return c.Graph.Constant(n.Inputs[0].Name, out), true
	}
	t := c.Known(b)
	if t == nil || t.DType() != tensor.Float32 || t.Len() != channels {
		return nil, false
	}
	for i := range ints {
		v := math.RoundToEven(float64(t.F32()[i]) / (xs * at(ws, i)))
		if math.Abs(v) > 1<<30 || v != v {
			return nil, false
		}
		ints[i] = int32(v)
	}
	return c.Graph.Constant(b.Name, out), true
}

func allZero(t *tensor.Tensor) bool {
	for i := range t.Len() {
		if t.Int(i) != 0 {
			return false
		}
	}
	return true
}

// operands returns the quantized forms of the data and weight inputs when both exist, the
// data is per-tensor and the weights are constant with scales along axis.
func (c *Context) operands(n *graph.Node, axis int) (x, w *quantized) {
	x, w = c.dequantizedFrom(n.Inputs[0]), c.dequantizedFrom(n.Inputs[1])
	if x == nil || w == nil || !x.perTensor() || w.q.Const == nil || !w.perTensor() && w.axis != axis {
		return nil, nil
	}
	return x, w
}

func (c *Context) integerConv(n *graph.Node, y *quantized) []*graph.Node {
	x, w := c.operands(n, 0)
	if x == nil {
		return nil
	}
	bias, ok := c.integerBias(n.In(2), x, w, w.q.Const.Dim(0))
	if !ok {
		return nil
	}
	in := []*graph.Value{x.q, x.scale, x.zero, w.q, w.scale, w.zero, y.scale, y.zero}
	if bias != nil {
		in = append(in, bias)
	}
	return []*graph.Node{c.Graph.NewNode("QLinearConv", "", n.Name, n.Attrs.Clone(), in, "")}
}

func (c *Context) integerGemm(n *graph.Node, y *quantized) []*graph.Node {
	if n.Attrs.Int("transA", 0) != 0 || n.Attrs.Float("alpha", 1) != 1 || n.Attrs.Float("beta", 1) != 1 {
		return nil
	}
	axis := 1
	if n.Attrs.Int("transB", 0) != 0 {
		axis = 0
	}
	x, w := c.operands(n, axis)
	if x == nil {
		return nil
	}
	bias, ok := c.integerBias(n.In(2), x, w, w.q.Const.Dim(axis))
	if !ok {
		return nil
	}
	return []*graph.Node{c.qgemm(n.Name, x.q, x, w, bias, y, n.Attrs.Int("transB", 0))}
}

func (c *Context) qgemm(name string, a *graph.Value, x, w *quantized, bias *graph.Value, y *quantized, transB int64) *graph.Node {
	return c.Graph.NewNode("QGemm", graph.DomainMicrosoft, name, graph.Attrs{"transB": transB},
		[]*graph.Value{a, x.scale, x.zero, w.q, w.scale, w.zero, bias, y.scale, y.zero}, "")
}

// integerMatMul maps a product with a constant matrix to QGemm on rows, with reshapes
// around it for more than two dimensions, and one of two activations to QLinearMatMul.
func (c *Context) integerMatMul(n *graph.Node, b *graph.Value, y *quantized) []*graph.Node {
	x, w := c.operands(n, 1)
	if x == nil {
		x, w = c.dequantizedFrom(n.Inputs[0]), c.dequantizedFrom(n.Inputs[1])
		if b != nil || x == nil || w == nil || !x.perTensor() || !w.perTensor() {
			return nil
		}
		return []*graph.Node{c.Graph.NewNode("QLinearMatMul", "", n.Name, graph.Attrs{},
			[]*graph.Value{x.q, x.scale, x.zero, w.q, w.scale, w.zero, y.scale, y.zero}, "")}
	}
	if w.q.Const.Rank() != 2 {
		return nil
	}
	bias, ok := c.integerBias(b, x, w, w.q.Const.Dim(1))
	if !ok {
		return nil
	}
	shape, static := x.q.Type.Shape.Static()
	switch {
	case len(x.q.Type.Shape) == 2:
		return []*graph.Node{c.qgemm(n.Name, x.q, x, w, bias, y, 0)}
	case !static || len(shape) < 2:
		return nil
	}
	rows := c.Graph.NewNode("Reshape", "", "", graph.Attrs{},
		[]*graph.Value{x.q, c.Graph.Ints("", -1, int64(shape[len(shape)-1]))}, "")
	rows.Outputs[0].Type = graph.Type{DType: x.q.Type.DType}
	g := c.qgemm(n.Name, rows.Outputs[0], x, w, bias, y, 0)
	g.Outputs[0].Type = graph.Type{DType: y.q.Type.DType}
	back := append(int64s(shape[:len(shape)-1]), int64(w.q.Const.Dim(1)))
	return []*graph.Node{rows, g, c.Graph.NewNode("Reshape", "", "", graph.Attrs{}, []*graph.Value{g.Outputs[0], c.Graph.Ints("", back...)}, "")}
}

// integerMatMulBias handles MatMul followed by the addition of a constant vector.
func (c *Context) integerMatMulBias(n *graph.Node, y *quantized) []*graph.Node {
	for i, v := range n.Inputs {
		b := n.Inputs[1-i]
		if v.Def != nil && v.Def.Is("MatMul") && c.Sole(v) && c.Known(b) != nil && len(b.Type.Shape) == 1 {
			return c.integerMatMul(v.Def, b, y)
		}
	}
	return nil
}

func (c *Context) integerBinary(n *graph.Node, y *quantized) []*graph.Node {
	a, b := c.dequantizedFrom(n.Inputs[0]), c.dequantizedFrom(n.Inputs[1])
	if a == nil || b == nil || !a.perTensor() || !b.perTensor() {
		return nil
	}
	return []*graph.Node{c.Graph.NewNode("QLinear"+n.Op, graph.DomainMicrosoft, n.Name, graph.Attrs{},
		[]*graph.Value{a.q, a.scale, a.zero, b.q, b.scale, b.zero, y.scale, y.zero}, "")}
}

func (c *Context) integerConcat(n *graph.Node, y *quantized) []*graph.Node {
	in := []*graph.Value{y.scale, y.zero}
	for _, v := range n.Inputs {
		d := c.dequantizedFrom(v)
		if d == nil || !d.perTensor() {
			return nil
		}
		in = append(in, d.q, d.scale, d.zero)
	}
	return []*graph.Node{c.Graph.NewNode("QLinearConcat", graph.DomainMicrosoft, n.Name, n.Attrs.Clone(), in, "")}
}

func (c *Context) integerPool(n *graph.Node, y *quantized) []*graph.Node {
	x := c.dequantizedFrom(n.Inputs[0])
	if x == nil || !x.perTensor() || n.Attrs.Has("dilations") {
		return nil
	}
	return []*graph.Node{c.Graph.NewNode("QLinear"+n.Op, graph.DomainMicrosoft, n.Name, n.Attrs.Clone(),
		[]*graph.Value{x.q, x.scale, x.zero, y.scale, y.zero}, "")}
}

// integerMean maps a mean over all spatial axes to a global pool.
func (c *Context) integerMean(n *graph.Node, y *quantized) []*graph.Node {
	x := c.dequantizedFrom(n.Inputs[0])
	axes := c.Known(n.In(1))
	if x == nil || !x.perTensor() || axes == nil {
		return nil
	}
	rank := len(x.q.Type.Shape)
	if rank < 3 || axes.Len() != rank-2 {
		return nil
	}
	for _, a := range axes.Ints() {
		if a < 0 {
			a += int64(rank)
		}
		if a < 2 {
			return nil
		}
	}
	pool := c.Graph.NewNode("QLinearGlobalAveragePool", graph.DomainMicrosoft, n.Name, graph.Attrs{},
		[]*graph.Value{x.q, x.scale, x.zero, y.scale, y.zero}, "")
	if n.Attrs.Int("keepdims", 1) != 0 {
		return []*graph.Node{pool}
	}
	pool.Outputs[0].Type = graph.Type{DType: y.q.Type.DType}
	flat := c.Graph.NewNode("Flatten", "", "", graph.Attrs{"axis": int64(1)}, []*graph.Value{pool.Outputs[0]}, "")
	return []*graph.Node{pool, flat}
}
