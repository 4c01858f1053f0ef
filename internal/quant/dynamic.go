package quant

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// DynamicConfig says what Dynamic quantizes.
type DynamicConfig struct {
	PerTensor    bool              // one scale per weight tensor
	Convolutions bool              // Conv too, not only MatMul and Gemm
	Keep         map[string]string // layers that stay float, with the reason
}

// Dynamic returns g with the products of constant weights in int8 whose operands are
// quantized while the model runs, by the range each tensor then has. It needs no
// samples and suits networks whose ranges vary from input to input. A layer becomes
//
//	q, s, z = DynamicQuantizeLinear(x)
//	y = Cast(MatMulInteger(q, W, z)) · (s · scale of W) + bias
//
// with ConvInteger for convolutions.
func Dynamic(g *graph.Graph, cfg DynamicConfig) (*Result, error) {
	e := newEditor(g, "dynamic int8")
	cache := map[*graph.Value][3]*graph.Value{} // an operand is quantized once
	grid := weightGrid{perTensor: cfg.PerTensor}
	for _, n := range e.source() {
		reason := weightedReason(n, cfg.Keep)
		if reason == "" && n.Is("Conv") && !cfg.Convolutions {
			reason = "convolutions were not asked for"
		}
		if reason != "" {
			e.float(n, reason)
			continue
		}
		w := n.In(1)
		axis := weightAxis(n)
		scales := grid.scales(w.Const, axis, nil)
		q := grid.quantize(w.Const, axis, scales)
		info := grid.info(w.Const, q, axis, scales)
		if n.Is("Gemm") && axis == 0 {
			q, axis = transposed(q), 1
		}
		x := n.In(0)
		d, ok := cache[x]
		if !ok {
			a := e.add("DynamicQuantizeLinear", x.Name+"_quantize", nil, []*graph.Value{x}, x.Name+"_q", x.Name+"_q_scale", x.Name+"_q_zero_point")
			a.Outputs[0].Type = graph.Type{DType: tensor.Uint8, Shape: x.Type.Shape.Clone()}
			a.Outputs[1].Type = graph.TensorType(tensor.Float32)
			a.Outputs[2].Type = graph.TensorType(tensor.Uint8)
			d = [3]*graph.Value{a.Outputs[0], a.Outputs[1], a.Outputs[2]}
			cache[x] = d
		}
		y := n.Out(0)
		typed := func(m *graph.Node, t tensor.DType) *graph.Value {
			m.Outputs[0].Type = graph.Type{DType: t, Shape: y.Type.Shape.Clone()}
			return m.Outputs[0]
		}
		integer, attrs := "MatMulInteger", graph.Attrs{}
		if n.Is("Conv") {
			integer, attrs = "ConvInteger", n.Attrs.Clone()
		}
		acc := typed(e.add(integer, n.Name, attrs, []*graph.Value{
			d[0], e.g.Constant(w.Name+"_quantized", q), d[2], e.g.Constant(w.Name+"_zero_point", tensor.New(tensor.Int8))}, y.Name+"_int32"), tensor.Int32)
		real := typed(e.add("Cast", n.Name+"_cast", graph.Attrs{"to": int64(1)}, []*graph.Value{acc}, y.Name+"_accumulated"), tensor.Float32)
		ws := e.channelConst(w.Name+"_scale", scales, n, len(scales) > 1)
		both := e.add("Mul", n.Name+"_scales", nil, []*graph.Value{d[1], ws}, n.Name+"_scale")
		both.Outputs[0].Type = ws.Type.Clone()
		e.finish(n, e.add("Mul", n.Name+"_scaled", nil, []*graph.Value{real, both.Outputs[0]}, y.Name+"_scaled"))
		e.done(n, Layer{Bits: 8, Weights: info})
	}
	return e.result()
}

// editor rewrites a clone of a graph node by node.
type editor struct {
	g     *graph.Graph
	nodes []*graph.Node
	res   *Result
}

func newEditor(g *graph.Graph, mode string) *editor {
	c := g.Clone()
	if c.Meta == nil {
		c.Meta = map[string]string{}
	}
	c.Meta[MetaMode] = mode
	return &editor{g: c, res: &Result{Graph: c, Values: map[string]string{}}}
}

// source returns the nodes to go through and empties the graph's list.
func (e *editor) source() []*graph.Node {
	n := e.g.Nodes
	e.g.Nodes = nil
	return n
}

// add appends a node with fresh outputs.
func (e *editor) add(op, name string, attrs graph.Attrs, in []*graph.Value, outputs ...string) *graph.Node {
	if attrs == nil {
		attrs = graph.Attrs{}
	}
	n := e.g.NewNode(op, "", name, attrs, in, outputs...)
	e.nodes = append(e.nodes, n)
	return n
}

// float keeps a node as it is and reports it when it computes.
func (e *editor) float(n *graph.Node, reason string) {
	e.nodes = append(e.nodes, n)
	if computes(n) {
		e.res.Layers = append(e.res.Layers, Layer{Node: n.Label(), Op: n.Op, Reason: reason, Bits: 32, Output: n.Out(0).Name, SQNR: math.NaN()})
	}
}

// done reports a quantized layer.
func (e *editor) done(n *graph.Node, y Layer) {
	y.Node, y.Op, y.Quantized, y.Output, y.SQNR = n.Label(), n.Op, true, n.Outputs[0].Name, math.NaN()
	e.res.Layers = append(e.res.Layers, y)
	e.res.Values[y.Output] = y.Output
}

// channelConst returns a constant that broadcasts along the output channels of n.
func (e *editor) channelConst(name string, v []float32, n *graph.Node, perChannel bool) *graph.Value {
	if !perChannel {
		return e.g.Constant(name, tensor.Scalar(v[0]))
	}
	shape := []int{len(v)}
	if n.Is("Conv") {
		for range n.In(1).Const.Rank() - 2 {
			shape = append(shape, 1)
		}
	}
	return e.g.Constant(name, tensor.Of(v, shape...))
}

// finish makes the last node m give n's result, with n's bias added.
func (e *editor) finish(n, m *graph.Node) {
	if b := n.In(2); b != nil {
		m.Outputs[0].Type = n.Outputs[0].Type.Clone()
		c := e.channelConst(b.Name, b.Const.F32(), n, true)
		m = e.add("Add", n.Label()+"_bias", nil, []*graph.Value{m.Outputs[0], c}, "")
	}
	y := n.Outputs[0]
	m.Outputs[0], y.Def = y, m
}

func (e *editor) result() (*Result, error) {
	e.g.Nodes = e.nodes
	e.g.Prune()
	if err := e.g.Verify(); err != nil {
		return nil, fmt.Errorf("quantize %s: %w", e.g.Name, err)
	}
	return e.res, nil
}

// weightedReason reports why a node is no layer whose weights can be quantized.
func weightedReason(n *graph.Node, keep map[string]string) string {
	if d := op.Of(n); d == nil || d.Quant.Kind != op.QuantWeighted {
		return fmt.Sprintf("%s has no constant weights", n.Op)
	}
	if r, ok := keep[n.Label()]; ok {
		if r == "" {
			r = "asked for"
		}
		return r
	}
	if !isFloat(n.In(0)) || n.In(0).Const != nil {
		return "does not compute on float32"
	}
	return weightedForm(n)
}

// transposed returns the transpose of an 8-bit matrix.
func transposed(t *tensor.Tensor) *tensor.Tensor {
	r, c := t.Dim(0), t.Dim(1)
	out := tensor.New(t.DType(), c, r)
	for i := range r {
		for j := range c {
			out.Bytes()[j*r+i] = t.Bytes()[i*c+j]
		}
	}
	return out
}
