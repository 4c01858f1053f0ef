package rewrite

import (
	"context"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A transpose with permutation p makes axis i of its result out of axis p[i] of its
// input. Files from channels-last frameworks come in with a transpose on each side of
// every convolution; moving them all downwards makes them meet and cancel.

// transposeOf returns the permutation and input of the transpose that makes v.
func transposeOf(v *graph.Value) (perm []int, x *graph.Value) {
	if v == nil || v.Def == nil || !v.Def.Is("Transpose") {
		return nil, nil
	}
	p := v.Def.Attrs.Ints("perm")
	if p == nil {
		r := len(v.Def.Inputs[0].Type.Shape)
		if v.Def.Inputs[0].Type.Shape == nil {
			return nil, nil
		}
		for i := range r {
			p = append(p, int64(r-1-i))
		}
	}
	perm = make([]int, len(p))
	seen := make([]bool, len(p))
	for i, a := range p {
		if a < 0 || int(a) >= len(p) || seen[a] {
			return nil, nil
		}
		seen[a] = true
		perm[i] = int(a)
	}
	return perm, v.Def.Inputs[0]
}

func inverse(perm []int) []int {
	inv := make([]int, len(perm))
	for i, p := range perm {
		inv[p] = i
	}
	return inv
}

func int64s(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// mergeTransposes makes one of two transposes in a row, or none.
func mergeTransposes(c *Context, n *graph.Node) (*Patch, error) {
	outer, mid := transposeOf(n.Outputs[0])
	inner, x := transposeOf(mid)
	if outer == nil || inner == nil || len(outer) != len(inner) {
		return nil, nil
	}
	perm := make([]int, len(outer))
	for i, a := range outer {
		perm[i] = inner[a]
	}
	y := n.Outputs[0]
	if isIdentity(int64s(perm)) {
		if !c.replaceable(y, x) {
			return nil, nil
		}
		return &Patch{Replace: []Subst{{y, x}}}, nil
	}
	m := c.transpose(n.Name, x, perm)
	return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{y, m.Outputs[0]}}}, nil
}

func (c *Context) transpose(name string, x *graph.Value, perm []int) *graph.Node {
	return c.Graph.NewNode("Transpose", "", name, graph.Attrs{"perm": int64s(perm)}, []*graph.Value{x}, "")
}

func elementwise(n *graph.Node) bool {
	d := op.Of(n)
	return d != nil && d.Elementwise
}

func sinkTransposes(c *Context, n *graph.Node) (*Patch, error) {
	if n.Is("Transpose") {
		return mergeTransposes(c, n)
	}
	if n.Domain != "" || len(n.Inputs) == 0 {
		return nil, nil
	}
	var perm []int
	for _, v := range n.Inputs {
		if p, _ := transposeOf(v); p != nil {
			perm = p
			break
		}
	}
	if perm == nil {
		return nil, nil
	}
	switch {
	case elementwise(n):
		return c.sinkElementwise(n, perm)
	case n.Is("QuantizeLinear"), n.Is("DequantizeLinear"):
		return c.sinkQuantize(n, perm)
	}
	// For the others only the data input may be transposed.
	if n.Op != "Concat" {
		if p, _ := transposeOf(n.Inputs[0]); p == nil {
			return nil, nil
		}
	}
	switch n.Op {
	case "Concat":
		for _, v := range n.Inputs {
			p, _ := transposeOf(v)
			if v.Const == nil && !slices.Equal(p, perm) {
				return nil, nil
			}
		}
		return c.sinkAxis(n, perm, -1)
	case "Softmax", "LogSoftmax":
		return c.sinkAxis(n, perm, -1)
	case "Split":
		return c.sinkAxis(n, perm, 0)
	case "Pad":
		return c.sinkPad(n, perm)
	case "Slice":
		return c.sinkSlice(n, perm)
	case "Resize":
		return c.sinkResize(n, perm)
	case "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceL1", "ReduceProd", "ReduceSumSquare":
		return c.sinkReduce(n, perm)
	case "ArgMax", "ArgMin":
		return c.sinkArg(n, perm)
	case "Tile":
		return c.sinkTile(n, perm)
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze":
		return c.skipIdleTranspose(n)
	}
	return nil, nil
}

// sunk returns the patch that puts edit(copy of n) on untransposed inputs and transposes
// its outputs by perm.
func (c *Context) sunk(n *graph.Node, perm []int, edit func(*graph.Node)) *Patch {
	m := &graph.Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Doc: n.Doc, Inputs: slices.Clone(n.Inputs), Attrs: n.Attrs.Clone()}
	if m.Attrs == nil {
		m.Attrs = graph.Attrs{}
	}
	for i, v := range m.Inputs {
		if p, x := transposeOf(v); p != nil {
			m.Inputs[i] = x
		}
	}
	p := &Patch{Nodes: []*graph.Node{m}}
	for _, o := range n.Outputs {
		if o == nil {
			m.Outputs = append(m.Outputs, nil)
			continue
		}
		v := c.Graph.NewValue("", graph.Type{DType: o.Type.DType})
		v.Def = m
		m.Outputs = append(m.Outputs, v)
		if isIdentity(int64s(perm)) {
			p.Replace = append(p.Replace, Subst{o, v})
			continue
		}
		t := c.transpose("", v, perm)
		p.Nodes = append(p.Nodes, t)
		p.Replace = append(p.Replace, Subst{o, t.Outputs[0]})
	}
	edit(m)
	return p
}

func (c *Context) sinkElementwise(n *graph.Node, perm []int) (*Patch, error) {
	rank := len(perm)
	for _, v := range n.Inputs {
		if v == nil {
			continue
		}
		if v.Const != nil && v.Const.Rank() <= rank {
			continue
		}
		if p, _ := transposeOf(v); p == nil || !slices.Equal(p, perm) {
			return nil, nil
		}
	}
	p := c.sunk(n, perm, func(m *graph.Node) {
		for i, v := range m.Inputs {
			if v != nil && v == n.Inputs[i] && v.Const != nil && v.Const.Len() > 1 {
				m.Inputs[i] = c.transposedConst(v, inverse(perm))
			}
		}
	})
	return p, nil
}

// transposedConst aligns a broadcast operand to the rank of perm and permutes it.
func (c *Context) transposedConst(v *graph.Value, perm []int) *graph.Value {
	shape := make([]int, len(perm))
	for i := range shape {
		shape[i] = 1
	}
	copy(shape[len(perm)-v.Const.Rank():], v.Const.Shape())
	t, err := v.Const.Reshape(shape...)
	if err != nil {
		panic(err) // only sizes of 1 were added
	}
	return c.Graph.Constant(v.Name, permuted(t, perm))
}

// permuted evaluates Transpose on a constant.
func permuted(t *tensor.Tensor, perm []int) *tensor.Tensor {
	x := &graph.Value{Name: "x", Type: graph.TypeOf(t)}
	y := &graph.Value{Name: "y"}
	e := &op.Eval{
		Node: &graph.Node{Op: "Transpose", Attrs: graph.Attrs{"perm": int64s(perm)}, Inputs: []*graph.Value{x}, Outputs: []*graph.Value{y}},
		In:   []op.Value{t}, Out: make([]op.Value, 1), Ctx: context.Background(),
	}
	if err := op.Evaluate(e); err != nil {
		panic(err) // perm is a permutation of t's rank
	}
	return e.Out[0].(*tensor.Tensor)
}

func (c *Context) sinkQuantize(n *graph.Node, perm []int) (*Patch, error) {
	if n.Attrs.Int("block_size", 0) != 0 || n.Inputs[1].Const == nil {
		return nil, nil
	}
	if p, _ := transposeOf(n.Inputs[0]); p == nil {
		return nil, nil
	}
	return c.sunk(n, perm, func(m *graph.Node) {
		if n.Inputs[1].Const.Rank() == 0 || n.Inputs[1].Const.Len() == 1 {
			return
		}
		if axis, err := op.ResolveAxis(n.Attrs.Int("axis", 1), len(perm)); err == nil {
			m.Attrs["axis"] = int64(perm[axis])
		}
	}), nil
}

func (c *Context) sinkAxis(n *graph.Node, perm []int, def int64) (*Patch, error) {
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", def), len(perm))
	if err != nil {
		return nil, nil
	}
	return c.sunk(n, perm, func(m *graph.Node) {
		m.Attrs["axis"] = int64(perm[axis])
		for i, v := range m.Inputs {
			if n.Op == "Concat" && v == n.Inputs[i] && v.Const != nil {
				m.Inputs[i] = c.transposedConst(v, inverse(perm))
			}
		}
	}), nil
}

func (c *Context) sinkPad(n *graph.Node, perm []int) (*Patch, error) {
	t := c.Known(n.In(1))
	rank := len(perm)
	if t == nil || n.In(3) != nil || t.Len() != 2*rank {
		return nil, nil
	}
	pads, moved := t.Ints(), make([]int64, 2*rank)
	for i, a := range perm {
		moved[a], moved[rank+a] = pads[i], pads[rank+i]
	}
	return c.sunk(n, perm, func(m *graph.Node) { m.Inputs[1] = c.Graph.Ints("", moved...) }), nil
}

func (c *Context) sinkSlice(n *graph.Node, perm []int) (*Patch, error) {
	starts := c.Known(n.In(1))
	if starts == nil {
		return nil, nil
	}
	axes := make([]int64, starts.Len())
	if t := c.Known(n.In(3)); t != nil {
		axes = t.Ints()
	} else if n.In(3) != nil {
		return nil, nil
	} else {
		for i := range axes {
			axes[i] = int64(i)
		}
	}
	for i, a := range axes {
		r, err := op.ResolveAxis(a, len(perm))
		if err != nil {
			return nil, nil
		}
		axes[i] = int64(perm[r])
	}
	return c.sunk(n, perm, func(m *graph.Node) {
		for len(m.Inputs) < 4 {
			m.Inputs = append(m.Inputs, nil)
		}
		m.Inputs[3] = c.Graph.Ints("", axes...)
	}), nil
}

func (c *Context) sinkResize(n *graph.Node, perm []int) (*Patch, error) {
	if n.Attrs.Has("axes") || n.In(1) != nil && n.Attrs.String("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		return nil, nil
	}
	rank := len(perm)
	moved := map[int]*graph.Value{}
	for _, i := range []int{2, 3} {
		if n.In(i) == nil {
			continue
		}
		t := c.Known(n.In(i))
		if t == nil || t.Len() != rank {
			if t != nil && t.Len() == 0 {
				continue
			}
			return nil, nil
		}
		u := tensor.New(t.DType(), rank)
		for k, a := range perm {
			u.SetFloat(a, t.Float(k))
		}
		moved[i] = c.Graph.Constant("", u)
	}
	return c.sunk(n, perm, func(m *graph.Node) {
		for i, v := range moved {
			m.Inputs[i] = v
		}
	}), nil
}

func (c *Context) sinkReduce(n *graph.Node, perm []int) (*Patch, error) {
	t := c.Known(n.In(1))
	if t == nil || t.Len() == 0 {
		return nil, nil
	}
	reduced := make([]bool, len(perm)) // by axis of the untransposed input
	axes := t.Ints()
	for i, a := range axes {
		r, err := op.ResolveAxis(a, len(perm))
		if err != nil {
			return nil, nil
		}
		axes[i] = int64(perm[r])
		reduced[perm[r]] = true
	}
	slices.Sort(axes)
	return c.sunk(n, permAfter(n, perm, reduced), func(m *graph.Node) { m.Inputs[1] = c.Graph.Ints("", axes...) }), nil
}

// permAfter is what is left of perm behind a reduction. The axes that stay keep their
// order on both sides; without keepdims they are numbered anew.
func permAfter(n *graph.Node, perm []int, reduced []bool) []int {
	if n.Attrs.Int("keepdims", 1) != 0 {
		return perm
	}
	rank := make([]int, len(perm))
	k := 0
	for a := range perm {
		rank[a] = k
		if !reduced[a] {
			k++
		}
	}
	after := []int{}
	for _, a := range perm {
		if !reduced[a] {
			after = append(after, rank[a])
		}
	}
	return after
}

func (c *Context) sinkArg(n *graph.Node, perm []int) (*Patch, error) {
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", 0), len(perm))
	if err != nil {
		return nil, nil
	}
	reduced := make([]bool, len(perm))
	reduced[perm[axis]] = true
	return c.sunk(n, permAfter(n, perm, reduced), func(m *graph.Node) { m.Attrs["axis"] = int64(perm[axis]) }), nil
}

func (c *Context) sinkTile(n *graph.Node, perm []int) (*Patch, error) {
	t := c.Known(n.In(1))
	if t == nil || t.Len() != len(perm) {
		return nil, nil
	}
	repeats := make([]int64, len(perm))
	for i, a := range perm {
		repeats[a] = t.Int(i)
	}
	return c.sunk(n, perm, func(m *graph.Node) { m.Inputs[1] = c.Graph.Ints("", repeats...) }), nil
}

// skipIdleTranspose drops a transpose before a reshape of any kind when it moves only axes of size
// 1, so that the elements keep their order.
func (c *Context) skipIdleTranspose(n *graph.Node) (*Patch, error) {
	perm, x := transposeOf(n.Inputs[0])
	shape, ok := x.Type.Shape.Static()
	if !ok || len(shape) != len(perm) {
		return nil, nil
	}
	last := -1
	for _, a := range perm {
		if shape[a] == 1 {
			continue
		}
		if a < last {
			return nil, nil
		}
		last = a
	}
	out, ok := n.Outputs[0].Type.Shape.Static()
	if !ok {
		return nil, nil
	}
	m := c.Graph.NewNode("Reshape", "", n.Name, graph.Attrs{}, []*graph.Value{x, c.Graph.Ints("", int64s(out)...)}, "")
	return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
}
