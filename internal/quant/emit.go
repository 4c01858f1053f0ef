package quant

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// fixedRange returns the range that an operator's result has by definition.
func fixedRange(n *graph.Node) (Range, bool) {
	d := op.Of(n)
	if d == nil || !(d.Quant.Lo < d.Quant.Hi) {
		return Range{}, false
	}
	return Range{float64(d.Quant.Lo), float64(d.Quant.Hi)}, true
}

// emit rewrites the clone: a pair of QuantizeLinear and DequantizeLinear after every
// value that is stored in 8 bits, dequantized constants before layers with weights.
func (q *quantizer) emit() error {
	var nodes []*graph.Node
	dequantized := map[*graph.Value]*graph.Value{}
	quantized := map[*graph.Value]*graph.Node{}
	pair := func(v *graph.Value) {
		t := q.tag[v]
		if t == nil {
			return
		}
		scale, zero := q.constants(t.root())
		in := []*graph.Value{v, scale, zero}
		a := q.g.NewNode("QuantizeLinear", "", v.Name+"_quantize", graph.Attrs{}, in, v.Name+"_q")
		a.Outputs[0].Type = graph.Type{DType: q.cfg.Activation, Shape: v.Type.Shape.Clone()}
		b := q.g.NewNode("DequantizeLinear", "", v.Name+"_dequantize", graph.Attrs{}, []*graph.Value{a.Outputs[0], scale, zero}, v.Name+"_dq")
		b.Outputs[0].Type = v.Type.Clone()
		nodes = append(nodes, a, b)
		quantized[v], dequantized[v] = a, b.Outputs[0]
	}
	for _, v := range q.g.Inputs {
		pair(v)
	}
	for _, n := range q.g.Nodes {
		s := q.layout.of[n]
		for i, v := range n.Inputs {
			if d := dequantized[v]; d != nil && q.readsDequantized(s, v) {
				n.Inputs[i] = d
			}
		}
		for _, b := range n.Bodies() {
			for v, d := range dequantized {
				if p := q.layout.producer(v); p != nil && p.on {
					b.ReplaceUses(v, d)
				}
			}
		}
		if s.on {
			if s.role == weighted && n == s.head() {
				more, err := q.quantizeLinear(s)
				if err != nil {
					return fmt.Errorf("%v: %w", n, err)
				}
				nodes = append(nodes, more...)
			}
			for _, v := range s.consts {
				nodes = append(nodes, q.quantizeConst(n, v))
			}
		}
		nodes = append(nodes, n)
		for _, v := range n.Outputs {
			if v != nil {
				pair(v)
			}
		}
	}
	q.g.Nodes = nodes
	renamed := map[*graph.Value]string{}
	for i, v := range q.g.Outputs {
		d := dequantized[v]
		if d == nil || slices.Contains(q.g.Inputs, v) || !q.producedQuantized(v) {
			continue
		}
		if _, ok := renamed[v]; !ok {
			renamed[v] = v.Name
			v.Name, d.Name = d.Name, v.Name // the output keeps its name
		}
		q.g.Outputs[i] = d
	}
	for v, d := range dequantized {
		name := v.Name
		if old, ok := renamed[v]; ok {
			name = old
		}
		q.res.Values[name] = d.Name
	}
	q.report(renamed)
	if q.cfg.IntegerIO {
		q.integerIO(quantized, dequantized)
	}
	q.g.Prune()
	return q.g.Sort()
}

func (q *quantizer) producedQuantized(v *graph.Value) bool {
	p := q.layout.producer(v)
	return p != nil && p.on
}

// readsDequantized reports whether the nodes of s are to see the 8-bit form of v: the
// quantized ones as operands, and all where the float form ends inside an island.
func (q *quantizer) readsDequantized(s *island, v *graph.Value) bool {
	return q.producedQuantized(v) || s.on && slices.Contains(s.inputs, v)
}

// constants returns the scale and zero point of a set of values.
func (q *quantizer) constants(r *stored) (scale, zero *graph.Value) {
	if r.scale == nil {
		r.scale = q.g.Constant(r.v.Name+"_scale", tensor.Scalar(r.params.Scale))
		z := tensor.New(q.cfg.Activation)
		z.SetInt(0, int64(r.params.Zero))
		r.zero = q.g.Constant(r.v.Name+"_zero_point", z)
	}
	return r.scale, r.zero
}

// quantizeConst stores a constant operand of an elementwise operator in 8 bits.
func (q *quantizer) quantizeConst(n *graph.Node, v *graph.Value) *graph.Node {
	r := Range{math.Inf(1), math.Inf(-1)}
	for _, x := range v.Const.F32() {
		r.Lo, r.Hi = min(r.Lo, float64(x)), max(r.Hi, float64(x))
	}
	p := paramsOf(r, q.cfg.Activation)
	z := tensor.New(q.cfg.Activation)
	z.SetInt(0, int64(p.Zero))
	d := q.dequantize(v.Name, quantizeTensor(v.Const, p, q.cfg.Activation), tensor.Scalar(p.Scale), z, -1)
	for i, x := range n.Inputs {
		if x == v {
			n.Inputs[i] = d.Outputs[0]
		}
	}
	return d
}

// dequantize returns a node that turns a stored constant back; axis is -1 for one scale.
func (q *quantizer) dequantize(name string, w, scale, zero *tensor.Tensor, axis int) *graph.Node {
	attrs := graph.Attrs{}
	if axis >= 0 {
		attrs["axis"] = int64(axis)
	}
	n := q.g.NewNode("DequantizeLinear", "", name+"_dequantize", attrs, []*graph.Value{
		q.g.Constant(name+"_quantized", w), q.g.Constant(name+"_scale", scale), q.g.Constant(name+"_zero_point", zero)}, name+"_dq")
	n.Outputs[0].Type = graph.TensorType(tensor.Float32, w.Shape()...)
	return n
}

// quantizeLinear stores the weights and the bias of a layer. The bias gets the scale of
// input times weight, which is what integer kernels add it in.
func (q *quantizer) quantizeLinear(s *island) ([]*graph.Node, error) {
	n := s.head()
	w := n.In(1)
	axis := weightAxis(n)
	xs := float64(q.tag[s.inputs[0]].root().params.Scale)
	channels, _ := channelsOf(w.Const, axis)
	bias := make([]float64, channels)
	if b := n.In(2); b != nil {
		for i, v := range b.Const.F32() {
			bias[i] = float64(v)
		}
	}
	need := make([]float64, channels)
	for i, b := range bias {
		if b-b != 0 {
			return nil, fmt.Errorf("bias %s is not finite", n.In(2).Name)
		}
		need[i] = b / xs
	}
	grid := q.cfg.grid(n.Label())
	scales := grid.scales(w.Const, axis, need)
	stored := grid.quantize(w.Const, axis, scales)
	shape, at := []int{len(scales)}, axis
	if q.cfg.PerTensor {
		shape, at = nil, -1
	}
	dw := q.dequantize(w.Name, stored, tensor.Of(scales, shape...), tensor.New(tensor.Int8, shape...), at)
	n.Inputs[1] = dw.Outputs[0]
	out := []*graph.Node{dw}
	if n.Is("MatMul") {
		return out, nil
	}
	name := w.Name + "_bias"
	if b := n.In(2); b != nil {
		name = b.Name
	}
	ints := tensor.New(tensor.Int32, channels)
	bs := make([]float32, len(scales))
	for i := range bs {
		bs[i] = float32(xs * float64(scales[i]))
	}
	for i := range channels {
		k := min(i, len(scales)-1)
		v := math.RoundToEven(bias[i] / (xs * float64(scales[k])))
		tensor.Data[int32](ints)[i] = int32(min(max(v, -maxBias), maxBias))
	}
	biasAxis := 0
	if q.cfg.PerTensor {
		biasAxis = -1
	}
	db := q.dequantize(name, ints, tensor.Of(bs, shape...), tensor.New(tensor.Int32, shape...), biasAxis)
	for len(n.Inputs) < 3 {
		n.Inputs = append(n.Inputs, nil)
	}
	n.Inputs[2] = db.Outputs[0]
	return append(out, db), nil
}

// report lists what became of every island that computes something.
func (q *quantizer) report(renamed map[*graph.Value]string) {
	weights := map[string]*graph.Node{}
	for _, n := range q.float.Nodes {
		weights[n.Label()] = n
	}
	for _, s := range q.layout.islands {
		n := s.head()
		if s.out == nil || s.role == same || n.Is("QuantizeLinear") || n.Is("DequantizeLinear") {
			continue
		}
		y := Layer{Node: n.Label(), Op: n.Op, Quantized: s.on, Bits: 32, Output: s.out.Name, SQNR: math.NaN()}
		if old, ok := renamed[s.out]; ok {
			y.Output = old
		}
		if !s.on {
			y.Reason = s.reason
			if s.role == staysFloat && !computes(n) {
				continue
			}
		} else {
			r := q.tag[s.out].root()
			y.Bits, y.Range, y.Params = 8, r.range_, r.params
			if s.role == weighted {
				d := n.Inputs[1].Def
				y.Weights = q.cfg.grid(n.Label()).info(weights[n.Label()].Inputs[1].Const, d.Inputs[0].Const, int(d.Attrs.Int("axis", 0)), d.Inputs[1].Const.F32())
			}
		}
		q.res.Layers = append(q.res.Layers, y)
	}
}

// computes reports whether a node does arithmetic on floats, as against shapes.
func computes(n *graph.Node) bool {
	d := op.Of(n)
	return isFloat(n.Out(0)) && !(d != nil && d.Quant.Kind == op.QuantSame)
}

// integerIO makes quantized inputs and outputs of the graph 8-bit.
func (q *quantizer) integerIO(quantized map[*graph.Value]*graph.Node, dequantized map[*graph.Value]*graph.Value) {
	note := func(what string, v *graph.Value, r *stored) {
		if q.g.Meta == nil {
			q.g.Meta = map[string]string{}
		}
		q.g.Meta[MetaMode+"."+what+"."+v.Name] = fmt.Sprintf("%v scale %g zero %d", q.cfg.Activation, r.params.Scale, r.params.Zero)
	}
	for _, v := range q.g.Inputs {
		n := quantized[v]
		if n == nil {
			continue
		}
		r := q.tag[v].root()
		q.g.ReplaceUses(v, dequantized[v])
		n.Inputs[0] = v
		q.g.ReplaceUses(n.Outputs[0], v)
		v.Type.DType = q.cfg.Activation
		q.g.Nodes = slices.DeleteFunc(q.g.Nodes, func(m *graph.Node) bool { return m == n })
		note("input", v, r)
	}
	for i, d := range q.g.Outputs {
		if d.Def == nil || !d.Def.Is("DequantizeLinear") || d.Def.Inputs[0].Def == nil || slices.Index(q.g.Outputs, d) != i {
			continue
		}
		y := d.Def.Inputs[0]
		v := y.Def.Inputs[0]
		if q.tag[v] == nil || slices.Contains(q.g.Outputs, y) {
			continue
		}
		r := q.tag[v].root()
		y.Name, d.Name = d.Name, y.Name
		for j := range q.g.Outputs {
			if q.g.Outputs[j] == d {
				q.g.Outputs[j] = y
			}
		}
		note("output", y, r)
	}
}
