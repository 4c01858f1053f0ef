package rewrite

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// scalar returns the value of a float32 constant of one element.
func (c *Context) scalar(v *graph.Value) (float64, bool) {
	t := c.Known(v)
	if t == nil || t.DType() != tensor.Float32 || t.Len() != 1 {
		return 0, false
	}
	return float64(t.F32()[0]), true
}

// near allows for constants that were rounded to a few digits, as exporters do.
func near(a, b float64) bool { return math.Abs(a-b) <= 1e-5*math.Abs(b) }

// factors splits a product into its parts: the product of its constants, in *scale, and
// all others, in the order in which they are written. A part that has other users stays
// whole.
func (c *Context) factors(v *graph.Value, scale *float64, rest []*graph.Value) []*graph.Value {
	if k, ok := c.scalar(v); ok {
		*scale *= k
		return rest
	}
	if d := v.Def; d != nil && d.Is("Mul") {
		return c.factorsOf(d, scale, rest)
	}
	if d := v.Def; d != nil && d.Is("Div") && c.Sole(v) {
		if k, ok := c.scalar(d.Inputs[1]); ok && k != 0 {
			*scale /= k
			return c.factors(d.Inputs[0], scale, rest)
		}
	}
	return append(rest, v)
}

func (c *Context) factorsOf(mul *graph.Node, scale *float64, rest []*graph.Value) []*graph.Value {
	for _, in := range mul.Inputs {
		if in.Def != nil && in.Def.Is("Mul") && !c.Sole(in) {
			rest = append(rest, in)
			continue
		}
		rest = c.factors(in, scale, rest)
	}
	return rest
}

// cubic holds the coefficients of 1, x, x² and x³.
type cubic [4]float64

// cubicIn returns v as a polynomial in x; ok is false where it is none of degree 3 or less.
func (c *Context) cubicIn(v, x *graph.Value, depth int) (p cubic, ok bool) {
	if v == x {
		return cubic{0, 1}, true
	}
	if k, ok := c.scalar(v); ok {
		return cubic{k}, true
	}
	n := v.Def
	if n == nil || n.Domain != "" || len(n.Inputs) != 2 || depth == 0 {
		return p, false
	}
	a, okA := c.cubicIn(n.Inputs[0], x, depth-1)
	b, okB := c.cubicIn(n.Inputs[1], x, depth-1)
	if !okA || !okB {
		return p, false
	}
	constant := b[1] == 0 && b[2] == 0 && b[3] == 0
	switch n.Op {
	case "Add":
		for i := range p {
			p[i] = a[i] + b[i]
		}
		return p, true
	case "Div":
		for i := range p {
			p[i] = a[i] / b[0]
		}
		return p, constant && b[0] != 0
	case "Mul":
		return a.times(b)
	case "Pow":
		if !constant || b[0] != 2 && b[0] != 3 {
			return p, false
		}
		p, ok = a.times(a)
		if ok && b[0] == 3 {
			p, ok = p.times(a)
		}
		return p, ok
	}
	return p, false
}

func (a cubic) times(b cubic) (p cubic, ok bool) {
	for i, u := range a {
		for j, v := range b {
			if u*v == 0 {
				continue
			}
			if i+j >= len(p) {
				return p, false
			}
			p[i+j] += u * v
		}
	}
	return p, true
}

// fuseGelu recognizes x·½(1+erf(x/√2)) and x·½(1+tanh(√(2/π)(x+0.044715x³))), with the
// constants in any place.
func fuseGelu(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Mul") || n.Outputs[0].Type.DType != tensor.Float32 {
		return nil, nil
	}
	scale := 1.0
	parts := c.factorsOf(n, &scale, nil)
	if len(parts) != 2 {
		return nil, nil
	}
	for i, x := range parts {
		gate := parts[1-i].Def // 1 + f(u), or both terms halved
		if gate == nil || !gate.Is("Add") || !c.Sole(parts[1-i]) {
			continue
		}
		for k, v := range gate.Inputs {
			addend, ok := c.scalar(gate.Inputs[1-k])
			if !ok || v.Def == nil || !c.Sole(v) {
				continue
			}
			f, factor := v.Def, 1.0
			if inner := c.factors(v, &factor, nil); len(inner) == 1 {
				f = inner[0].Def
			}
			if f == nil || !near(addend*scale, 0.5) || !near(factor*scale, 0.5) {
				continue
			}
			approximate := ""
			switch {
			case f.Is("Erf"):
				if p, ok := c.cubicIn(f.Inputs[0], x, 2); ok && p[0] == 0 && p[2] == 0 && p[3] == 0 && near(p[1], math.Sqrt2/2) {
					approximate = "none"
				}
			case f.Is("Tanh"):
				root := math.Sqrt(2 / math.Pi)
				if p, ok := c.cubicIn(f.Inputs[0], x, 6); ok && p[0] == 0 && p[2] == 0 && near(p[1], root) && near(p[3], root*0.044715) {
					approximate = "tanh"
				}
			}
			if approximate == "" || !sameShape(x, n.Outputs[0]) {
				continue
			}
			m := c.Graph.NewNode("Gelu", "", n.Name, graph.Attrs{"approximate": approximate}, []*graph.Value{x}, "")
			return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
		}
	}
	return nil, nil
}

func sameShape(a, b *graph.Value) bool {
	as, ok := a.Type.Static()
	bs, ok2 := b.Type.Static()
	if !ok || !ok2 || len(as) != len(bs) {
		return false
	}
	for i, d := range as {
		if d != bs[i] {
			return false
		}
	}
	return true
}

// fuseLayerNorm recognizes (x-mean)/√(variance+ε)·γ+β over the last dimension of more
// than one element, as exporters wrote it before the operator existed.
func fuseLayerNorm(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Add") || n.Outputs[0].Type.DType != tensor.Float32 {
		return nil, nil
	}
	shape, ok := n.Outputs[0].Type.Static()
	if !ok || len(shape) == 0 {
		return nil, nil
	}
	axis := len(shape) - 1
	for axis > 0 && shape[axis] == 1 {
		axis--
	}
	rows := shape[axis:]
	mul, beta := c.withVector(n, "Mul", rows)
	if mul == nil {
		return nil, nil
	}
	div, gamma := c.withVector(mul, "Div", rows)
	if div == nil {
		return nil, nil
	}
	centred, deviation := div.Inputs[0], div.Inputs[1].Def
	if centred.Def == nil || !centred.Def.Is("Sub") || deviation == nil || !deviation.Is("Sqrt") {
		return nil, nil
	}
	x := centred.Def.Inputs[0]
	sum := deviation.Inputs[0].Def
	if sum == nil || !sum.Is("Add") || !c.meanOf(centred.Def.Inputs[1], x, axis) {
		return nil, nil
	}
	for i, variance := range sum.Inputs {
		eps, ok := c.scalar(sum.Inputs[1-i])
		if !ok || !(eps >= 0) || variance.Def == nil || !variance.Def.Is("ReduceMean") {
			continue
		}
		square := variance.Def.Inputs[0]
		if p, ok := c.cubicIn(square, centred, 1); !ok || p != (cubic{2: 1}) || !c.meanOf(variance, square, axis) || !sameShape(x, n.Outputs[0]) {
			continue
		}
		m := c.Graph.NewNode("LayerNormalization", "", n.Name, graph.Attrs{"axis": int64(axis - len(shape)), "epsilon": float32(eps)},
			[]*graph.Value{x, gamma, beta}, "")
		return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
	}
	return nil, nil
}

// withVector splits a sum or product of an operator's result, used nowhere else, and a
// constant that varies along the first of the last dimensions rows; the others are 1. It
// returns the node that made the result, nil where n is not of that form.
func (c *Context) withVector(n *graph.Node, made string, rows []int) (*graph.Node, *graph.Value) {
	for i, v := range n.Inputs {
		t := c.Known(n.Inputs[1-i])
		if v.Def == nil || !v.Def.Is(made) || !c.Sole(v) || t == nil || t.DType() != tensor.Float32 || t.Len() != rows[0] ||
			t.Rank() < len(rows) || t.Dim(t.Rank()-len(rows)) != rows[0] {
			continue
		}
		vector := n.Inputs[1-i]
		if t.Rank() != len(rows) || vector.Const == nil {
			shaped, err := t.Reshape(rows...)
			if err != nil {
				continue
			}
			vector = c.Graph.Constant(vector.Name, shaped)
		}
		return v.Def, vector
	}
	return nil, nil
}

// meanOf reports whether v is the mean of x along one dimension, kept as size 1.
func (c *Context) meanOf(v, x *graph.Value, dimension int) bool {
	n := v.Def
	if n == nil || !n.Is("ReduceMean") || n.Inputs[0] != x || n.Attrs.Int("keepdims", 1) != 1 || n.In(1) == nil {
		return false
	}
	axes, shape := c.Known(n.In(1)), x.Type.Shape
	if axes == nil || axes.Len() != 1 || shape == nil {
		return false
	}
	axis, err := op.ResolveAxis(axes.Int(0), len(shape))
	return err == nil && axis == dimension
}

// fusePRelu recognizes relu(x) + k·relu(-x) with a constant k, which is PRelu with the
// slope -k.
func fusePRelu(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Add") {
		return nil, nil
	}
	for i, v := range n.Inputs {
		other := n.Inputs[1-i]
		if v.Def == nil || !v.Def.Is("Relu") || other.Def == nil || !other.Def.Is("Mul") || !c.Sole(other) {
			continue
		}
		x := v.Def.Inputs[0]
		for j, k := range other.Def.Inputs {
			part := other.Def.Inputs[1-j].Def
			if k.Const == nil || k.Const.DType() != tensor.Float32 || part == nil || !part.Is("Relu") {
				continue
			}
			neg := part.Inputs[0].Def
			if neg == nil || !neg.Is("Neg") || neg.Inputs[0] != x {
				continue
			}
			xs, ok := x.Type.Static()
			if s, err := op.BroadcastShape(k.Const.Shape(), xs); !ok || err != nil || !slices.Equal(s, xs) {
				continue
			}
			slope := k.Const.Clone()
			for i, s := range slope.F32() {
				slope.F32()[i] = -s
			}
			m := c.Graph.NewNode("PRelu", "", n.Name, graph.Attrs{}, []*graph.Value{x, c.Graph.Constant(k.Name, slope)}, "")
			return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
		}
	}
	return nil, nil
}

// scaleProducts turns (x·k)·y into (x·y)·k for a constant k and computed x and y, also
// where x is transposed or reshaped in between.
func scaleProducts(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("MatMul") || n.Outputs[0].Type.DType != tensor.Float32 || c.Known(n.Inputs[0]) != nil || c.Known(n.Inputs[1]) != nil {
		return nil, nil
	}
	for i, v := range n.Inputs {
		var views []*graph.Node // from the product up
		for v.Def != nil && c.Sole(v) && (v.Def.Is("Transpose") || v.Def.Is("Reshape")) {
			views = append(views, v.Def)
			v = v.Def.Inputs[0]
		}
		scale := 1.0
		if v.Def == nil || !c.Sole(v) || !v.Def.Is("Mul") && !v.Def.Is("Div") {
			continue
		}
		x := c.factors(v, &scale, nil)
		if len(x) != 1 || x[0] == v || scale == 0 || math.IsInf(scale, 0) || !sameShape(x[0], v) {
			continue
		}
		p := &Patch{}
		v = x[0]
		for _, m := range slices.Backward(views) {
			moved := c.Graph.NewNode(m.Op, "", "", m.Attrs.Clone(), append([]*graph.Value{v}, m.Inputs[1:]...), "")
			v = moved.Outputs[0]
			v.Type = m.Outputs[0].Type.Clone()
			p.Nodes = append(p.Nodes, moved)
		}
		in := slices.Clone(n.Inputs)
		in[i] = v
		product := c.Graph.NewNode("MatMul", "", n.Name, graph.Attrs{}, in, "")
		product.Outputs[0].Type = n.Outputs[0].Type.Clone()
		k := c.Graph.Constant("", tensor.Scalar(float32(scale)))
		scaled := c.Graph.NewNode("Mul", "", "", graph.Attrs{}, []*graph.Value{product.Outputs[0], k}, "")
		p.Nodes = append(p.Nodes, product, scaled)
		p.Replace = []Subst{{n.Outputs[0], scaled.Outputs[0]}}
		return p, nil
	}
	return nil, nil
}
