package rewrite

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// legalizePasses turn a graph into the forms that the engine has kernels for. Their
// result stays inside the program: it may use operators that few runtimes know.
var legalizePasses = []Pass{
	{"fuse-activations", "x·sigmoid(x) and x·hardsigmoid(x) are single functions", fuseActivations},
	{"fuse-prelu", "relu(x) + k·relu(-x) is a single function", fusePRelu},
	{"fuse-space-to-depth", "a convolution reads an image in place of its blocks laid out as channels", fuseSpaceToDepth},
	{"fuse-gelu", "x·½(1+erf(x/√2)) and its approximation by tanh are single functions", fuseGelu},
	{"fuse-layernorm", "mean, deviation, scale and shift of rows are one operator", fuseLayerNorm},
	{"scale-products", "a factor of an operand is one of the product, which applies it as it runs", scaleProducts},
	{"widen-weights", "weights packed in fewer than 8 bits become bytes, which integer operators take", widenWeights},
	{"quantize-up", "quantizing before moving data moves fewer bytes", quantizeUp},
	{"dequantize-down", "data movement commutes with dequantization", dequantizeDown},
	{"cancel-quantize", "dequantizing and quantizing again with the same parameters changes nothing", cancelQuantize},
	{"integer-islands", "an operator between dequantize and quantize becomes an integer operator", integerIsland},
	{"dequantize-down-again", "islands expose new movement", dequantizeDown},
	{"cancel-quantize-again", "movement exposes new pairs", cancelQuantize},
}

// legalizeOrder states which pass must come before which, and why.
var legalizeOrder = []struct{ before, after, why string }{
	{"widen-weights", "integer-islands", "an island's weights are bytes"},
	{"quantize-up", "integer-islands", "an island ends at its QuantizeLinear"},
	{"dequantize-down", "integer-islands", "an island begins at its DequantizeLinear"},
	{"dequantize-down", "cancel-quantize", "moving brings pairs together"},
}

// Legalize rewrites g in place. The notes name every island that stays in floating point
// although its surroundings are quantized, with the reason.
func Legalize(g *graph.Graph, o Options) (Stats, []Note, error) {
	p := &pipeline{passes: legalizePasses, opts: o}
	if err := p.run(g); err != nil {
		return p.stats, nil, err
	}
	return p.stats, floatIslands(g), nil
}

// quantized describes a float value that is the dequantized form of an 8-bit one.
type quantized struct {
	q     *graph.Value // the 8-bit value
	scale *graph.Value // constant float32
	zero  *graph.Value // constant of q's type
	axis  int          // of the scales when there are several
}

func (d *quantized) perTensor() bool { return d.scale.Const.Len() == 1 }

func (d *quantized) same(o *quantized) bool {
	return d.perTensor() && o.perTensor() && d.q.Type.DType == o.q.Type.DType &&
		d.scale.Const.F32()[0] == o.scale.Const.F32()[0] && d.zero.Const.Int(0) == o.zero.Const.Int(0)
}

func eightBit(d tensor.DType) bool { return d == tensor.Int8 || d == tensor.Uint8 }

// parameters reads scale and zero point of a QuantizeLinear or DequantizeLinear whose
// 8-bit side has type d.
func (c *Context) parameters(n *graph.Node, d tensor.DType) (scale, zero *graph.Value, axis int, ok bool) {
	s := c.Known(n.In(1))
	if s == nil || s.DType() != tensor.Float32 || n.Attrs.Int("block_size", 0) != 0 || !eightBit(d) || s.Rank() > 1 {
		return nil, nil, 0, false
	}
	for _, v := range s.F32() {
		if !(v > 0) || math.IsInf(float64(v), 0) {
			return nil, nil, 0, false
		}
	}
	var z *tensor.Tensor
	if n.In(2) == nil {
		z = tensor.New(d, s.Shape()...)
	} else if z = c.Known(n.In(2)); z == nil || z.DType() != d || z.Len() != s.Len() {
		return nil, nil, 0, false
	}
	scale, zero = n.In(1), n.In(2)
	if scale.Const == nil {
		scale = c.Graph.Constant(scale.Name, s)
	}
	if zero == nil || zero.Const == nil {
		zero = c.Graph.Constant("", z)
	}
	axis = int(n.Attrs.Int("axis", 1))
	return scale, zero, axis, true
}

// dequantizedFrom returns the quantized form of v, or nil.
func (c *Context) dequantizedFrom(v *graph.Value) *quantized {
	if v == nil || v.Def == nil || !v.Def.Is("DequantizeLinear") {
		return nil
	}
	q := v.Def.Inputs[0]
	scale, zero, axis, ok := c.parameters(v.Def, q.Type.DType)
	if !ok {
		return nil
	}
	if axis < 0 {
		axis += len(q.Type.Shape)
	}
	return &quantized{q, scale, zero, axis}
}

// quantizeTarget returns the parameters of a per-tensor 8-bit QuantizeLinear.
func (c *Context) quantizeTarget(n *graph.Node) *quantized {
	if !n.Is("QuantizeLinear") {
		return nil
	}
	d := n.Outputs[0].Type.DType
	scale, zero, _, ok := c.parameters(n, d)
	if !ok || scale.Const.Len() != 1 {
		return nil
	}
	return &quantized{n.Outputs[0], scale, zero, 0}
}

// moved copies the movement node n onto the 8-bit value q with zero point zero, and
// returns the copy.
func (c *Context) moved(n *graph.Node, q, zero *graph.Value) *graph.Node {
	m := &graph.Node{Name: n.Name, Op: n.Op, Doc: n.Doc, Attrs: n.Attrs.Clone()}
	m.Inputs = append(m.Inputs, n.Inputs...)
	m.Inputs[0] = q
	if n.Op == "Pad" && n.Attrs.String("mode", "constant") == "constant" {
		for len(m.Inputs) < 3 {
			m.Inputs = append(m.Inputs, nil)
		}
		fill, err := zero.Const.Reshape()
		if err != nil {
			panic(err) // a per-tensor zero point holds one element
		}
		m.Inputs[2] = c.Graph.Constant("", fill)
	}
	for _, o := range n.Outputs {
		if o == nil {
			m.Outputs = append(m.Outputs, nil)
			continue
		}
		v := c.Graph.NewValue("", graph.Type{DType: q.Type.DType, Shape: o.Type.Shape.Clone()})
		v.Def = m
		m.Outputs = append(m.Outputs, v)
	}
	return m
}

func (c *Context) dequantize(q *graph.Value, p *quantized) *graph.Node {
	return c.Graph.NewNode("DequantizeLinear", "", "", graph.Attrs{}, []*graph.Value{q, p.scale, p.zero}, "")
}

// quantizeUp turns op → move → Q into op → Q → move.
func quantizeUp(c *Context, n *graph.Node) (*Patch, error) {
	p := c.quantizeTarget(n)
	if p == nil {
		return nil, nil
	}
	x := n.Inputs[0]
	if x.Def == nil || !c.Sole(x) || !c.facts.Moves(x.Def) || len(x.Def.Outputs) != 1 || c.dequantizedFrom(x.Def.Inputs[0]) != nil {
		return nil, nil
	}
	if in := x.Def.Inputs[0]; in.Const != nil || in.Type.DType != tensor.Float32 {
		return nil, nil
	}
	q := c.Graph.NewNode("QuantizeLinear", "", "", n.Attrs.Clone(), []*graph.Value{x.Def.Inputs[0], p.scale, p.zero}, "")
	q.Outputs[0].Type = graph.Type{DType: p.q.Type.DType, Shape: x.Def.Inputs[0].Type.Shape.Clone()}
	m := c.moved(x.Def, q.Outputs[0], p.zero)
	return &Patch{Nodes: []*graph.Node{q, m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
}

// dequantizeDown turns DQ → move into move → DQ.
func dequantizeDown(c *Context, n *graph.Node) (*Patch, error) {
	if !c.facts.Moves(n) {
		if n.Is("Concat") {
			return c.concatDown(n)
		}
		return nil, nil
	}
	d := c.dequantizedFrom(n.Inputs[0])
	if d == nil || !d.perTensor() || d.q.Const != nil {
		return nil, nil
	}
	m := c.moved(n, d.q, d.zero)
	p := &Patch{Nodes: []*graph.Node{m}}
	for i, o := range n.Outputs {
		if o != nil {
			dq := c.dequantize(m.Outputs[i], d)
			p.Nodes = append(p.Nodes, dq)
			p.Replace = append(p.Replace, Subst{o, dq.Outputs[0]})
		}
	}
	return p, nil
}

func (c *Context) concatDown(n *graph.Node) (*Patch, error) {
	var first *quantized
	in := make([]*graph.Value, len(n.Inputs))
	for i, v := range n.Inputs {
		d := c.dequantizedFrom(v)
		if d == nil || !d.perTensor() || first != nil && !first.same(d) {
			return nil, nil
		}
		if first == nil {
			first = d
		}
		in[i] = d.q
	}
	m := c.Graph.NewNode("Concat", "", n.Name, n.Attrs.Clone(), in, "")
	m.Outputs[0].Type = graph.Type{DType: first.q.Type.DType, Shape: n.Outputs[0].Type.Shape.Clone()}
	dq := c.dequantize(m.Outputs[0], first)
	return &Patch{Nodes: []*graph.Node{m, dq}, Replace: []Subst{{n.Outputs[0], dq.Outputs[0]}}}, nil
}

func cancelQuantize(c *Context, n *graph.Node) (*Patch, error) {
	p := c.quantizeTarget(n)
	if p == nil {
		return nil, nil
	}
	d := c.dequantizedFrom(n.Inputs[0])
	if d == nil || !d.same(p) || !c.replaceable(n.Outputs[0], d.q) {
		return nil, nil
	}
	return &Patch{Replace: []Subst{{n.Outputs[0], d.q}}}, nil
}

// fuseActivations recognizes the two gated activations that exporters spell out.
func fuseActivations(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Mul") {
		return nil, nil
	}
	for i, x := range n.Inputs {
		g := n.Inputs[1-i]
		if g.Def == nil || !c.Sole(g) || g.Def.In(0) != x || x.Type.DType != tensor.Float32 {
			continue
		}
		var m *graph.Node
		switch {
		case g.Def.Is("Sigmoid"):
			m = c.Graph.NewNode("Swish", "", n.Name, graph.Attrs{}, []*graph.Value{x}, "")
		case g.Def.Is("HardSigmoid") && math.Abs(float64(g.Def.Attrs.Float("alpha", 0.2))-1.0/6) < 1e-6 && g.Def.Attrs.Float("beta", 0.5) == 0.5:
			m = c.Graph.NewNode("HardSwish", "", n.Name, graph.Attrs{}, []*graph.Value{x}, "")
		default:
			continue
		}
		return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
	}
	return nil, nil
}

// floatIslands lists the linear operators that compute in floating point although their
// data input or output is quantized.
func floatIslands(g *graph.Graph) []Note {
	var notes []Note
	users := g.Users()
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		if n.Domain != "" {
			return
		}
		switch n.Op {
		case "Conv", "ConvTranspose", "Gemm", "MatMul", "Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool", "Softmax", "LSTM", "GRU":
		default:
			return
		}
		isDQ := func(v *graph.Value) bool { return v != nil && v.Def != nil && v.Def.Is("DequantizeLinear") }
		dq := isDQ(n.In(0)) && n.In(0).Def.In(0).Const == nil
		q := false
		if o := n.Out(0); o != nil {
			for _, u := range users[o.ID] {
				q = q || u.Is("QuantizeLinear")
			}
		}
		if !dq && !q {
			return
		}
		reason := "its form has no integer kernel"
		switch {
		case !dq:
			reason = "its input is not quantized"
		case !q:
			reason = "its output is not quantized"
		case (n.Op == "Conv" || n.Op == "Gemm" || n.Op == "MatMul") && !isDQ(n.In(1)):
			reason = "its weights are not quantized"
		}
		notes = append(notes, Note{Node: n.Label(), Op: n.Op, Reason: fmt.Sprintf("computed in floating point: %s", reason)})
	})
	return notes
}
