package rewrite

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// linear describes a node y = W·x + b whose weights are float32 constants, so that a
// per-channel affine map of y can move into them.
type linear struct {
	node    *graph.Node
	weight  *tensor.Tensor
	bias    *tensor.Tensor // nil when absent
	axis    int            // of the output channels in weight
	outputs int
}

// linearOf returns the linear node that makes v when v has no other use.
func (c *Context) linearOf(v *graph.Value) *linear {
	if v == nil || v.Def == nil || !c.Sole(v) {
		return nil
	}
	n := v.Def
	l := &linear{node: n}
	switch {
	case n.Is("Conv"):
	case n.Is("ConvTranspose"):
		if n.Attrs.Int("group", 1) != 1 {
			return nil
		}
		l.axis = 1
	case n.Is("Gemm"):
		if n.Attrs.Float("alpha", 1) != 1 || n.Attrs.Float("beta", 1) != 1 {
			return nil
		}
		l.axis = 1
		if n.Attrs.Int("transB", 0) != 0 {
			l.axis = 0
		}
	default:
		return nil
	}
	if l.weight = n.Inputs[1].Const; l.weight == nil || l.weight.DType() != tensor.Float32 || l.weight.Rank() <= l.axis {
		return nil
	}
	l.outputs = l.weight.Dim(l.axis)
	if b := n.In(2); b != nil {
		if l.bias = b.Const; l.bias == nil || l.bias.DType() != tensor.Float32 || l.bias.Len() != l.outputs {
			return nil
		}
	}
	return l
}

// scaled returns a patch that puts W·scale and b·scale+shift in the place of both the
// linear node and the node after it that makes old. Arithmetic is in float64.
func (c *Context) scaled(l *linear, old *graph.Value, scale, shift []float64) *Patch {
	w := tensor.New(tensor.Float32, l.weight.Shape()...)
	inner := 1
	for _, d := range l.weight.Shape()[l.axis+1:] {
		inner *= d
	}
	src, dst := l.weight.F32(), w.F32()
	for i := range dst {
		dst[i] = float32(float64(src[i]) * scale[i/inner%l.outputs])
	}
	b := tensor.New(tensor.Float32, l.outputs)
	for i := range b.F32() {
		v := shift[i]
		if l.bias != nil {
			v += float64(l.bias.F32()[i]) * scale[i]
		}
		b.F32()[i] = float32(v)
	}
	n := l.node
	biasName := n.Inputs[1].Name + "_bias"
	if n.In(2) != nil {
		biasName = n.In(2).Name
	}
	m := c.Graph.NewNode(n.Op, n.Domain, n.Name, n.Attrs.Clone(),
		[]*graph.Value{n.Inputs[0], c.Graph.Constant(n.Inputs[1].Name, w), c.Graph.Constant(biasName, b)}, "")
	m.Doc = n.Doc
	return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{old, m.Outputs[0]}}}
}

func foldBatchNorm(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("BatchNormalization") || n.Attrs.Int("training_mode", 0) != 0 {
		return nil, nil
	}
	l := c.linearOf(n.Inputs[0])
	if l == nil {
		return nil, nil
	}
	var p [4][]float64
	for i := range p {
		t := c.Known(n.Inputs[1+i])
		if t == nil || !t.DType().IsFloat() || t.Len() != l.outputs {
			return nil, nil
		}
		p[i] = t.Floats()
	}
	eps := float64(n.Attrs.Float("epsilon", 1e-5))
	scale, shift := make([]float64, l.outputs), make([]float64, l.outputs)
	for i := range scale {
		scale[i] = p[0][i] / math.Sqrt(p[3][i]+eps)
		shift[i] = p[1][i] - p[2][i]*scale[i]
	}
	return c.scaled(l, n.Outputs[0], scale, shift), nil
}

// perChannel reads v as one number per channel of a tensor of the given rank whose
// channels are axis ch; a single number stands for all.
func perChannel(v *graph.Value, rank, ch, channels int) []float64 {
	if v == nil || v.Const == nil || !v.Const.DType().IsFloat() || v.Const.Rank() > rank {
		return nil
	}
	t := v.Const
	out := make([]float64, channels)
	if t.Len() == 1 {
		for i := range out {
			out[i] = t.Float(0)
		}
		return out
	}
	at := ch - (rank - t.Rank())
	for i, d := range t.Shape() {
		if d != 1 && i != at {
			return nil
		}
	}
	if at < 0 || t.Len() != channels {
		return nil
	}
	return t.Floats()
}

// foldScales is foldScale, and foldBatchNorm for what stood behind a scale.
func foldScales(c *Context, n *graph.Node) (*Patch, error) {
	if p, err := foldScale(c, n); p != nil || err != nil {
		return p, err
	}
	return foldBatchNorm(c, n)
}

func foldScale(c *Context, n *graph.Node) (*Patch, error) {
	if n.Domain != "" || len(n.Inputs) != 2 {
		return nil, nil
	}
	x, k := n.Inputs[0], n.Inputs[1]
	if x.Const != nil && (n.Op == "Mul" || n.Op == "Add") {
		x, k = k, x
	}
	switch n.Op {
	case "Mul", "Div", "Add", "Sub":
	default:
		return nil, nil
	}
	l := c.linearOf(x)
	if l == nil || x.Type.Shape == nil || n.Outputs[0].Type.Shape == nil || len(n.Outputs[0].Type.Shape) != len(x.Type.Shape) {
		return nil, nil
	}
	v := perChannel(k, len(x.Type.Shape), 1, l.outputs)
	if v == nil {
		return nil, nil
	}
	scale, shift := make([]float64, l.outputs), make([]float64, l.outputs)
	for i := range scale {
		scale[i] = 1
		switch n.Op {
		case "Mul":
			scale[i] = v[i]
		case "Div":
			if v[i] == 0 {
				return nil, nil
			}
			scale[i] = 1 / v[i]
		case "Add":
			shift[i] = v[i]
		case "Sub":
			shift[i] = -v[i]
		}
	}
	return c.scaled(l, n.Outputs[0], scale, shift), nil
}

// matMulToGemm joins MatMul with a constant matrix and the bias that follows it.
func matMulToGemm(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Add") {
		return nil, nil
	}
	for i, v := range n.Inputs {
		if v.Def == nil || !v.Def.Is("MatMul") || !c.Sole(v) {
			continue
		}
		a, b, bias := v.Def.Inputs[0], v.Def.Inputs[1], n.Inputs[1-i]
		if len(a.Type.Shape) != 2 || a.Type.DType != tensor.Float32 || b.Const == nil || b.Const.Rank() != 2 ||
			bias.Const == nil || bias.Const.Len() != b.Const.Dim(1) || bias.Const.Rank() > 2 || bias.Const.Rank() == 0 ||
			bias.Const.Dim(-1) != bias.Const.Len() {
			continue
		}
		flat, err := bias.Const.Reshape(bias.Const.Len())
		if err != nil {
			return nil, err
		}
		m := c.Graph.NewNode("Gemm", "", n.Name, graph.Attrs{}, []*graph.Value{a, b, c.Graph.Constant(bias.Name, flat)}, "")
		return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
	}
	return nil, nil
}

// foldPad adds constant zero padding to the pads of the only convolution that uses it.
func foldPad(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Conv") || n.Attrs.String("auto_pad", "NOTSET") != "NOTSET" {
		return nil, nil
	}
	x := n.Inputs[0]
	pad := x.Def
	if pad == nil || !pad.Is("Pad") || pad.Attrs.String("mode", "constant") != "constant" || pad.In(3) != nil {
		return nil, nil
	}
	if v := pad.In(2); v != nil {
		if t := c.Known(v); t == nil || t.Len() != 1 || t.Float(0) != 0 {
			return nil, nil
		}
	}
	t := c.Known(pad.In(1))
	rank := len(x.Type.Shape)
	if t == nil || rank < 3 || t.Len() != 2*rank {
		return nil, nil
	}
	p := t.Ints()
	for i, v := range p {
		if v < 0 || i%rank < 2 && v != 0 {
			return nil, nil
		}
	}
	spatial := rank - 2
	pads := make([]int64, 2*spatial)
	copy(pads, n.Attrs.Ints("pads"))
	for i := range spatial {
		pads[i] += p[2+i]
		pads[spatial+i] += p[rank+2+i]
	}
	return c.swapNode(n, func(m *graph.Node) {
		m.Inputs[0] = pad.Inputs[0]
		delete(m.Attrs, "auto_pad")
		m.Attrs["pads"] = pads
	}), nil
}
