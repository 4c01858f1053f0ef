package rewrite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// widened are the types that constants of fewer than 8 bits take.
var widened = map[tensor.DType]tensor.DType{
	tensor.Int2: tensor.Int8, tensor.Int4: tensor.Int8, tensor.Uint2: tensor.Uint8, tensor.Uint4: tensor.Uint8,
}

// widenWeights stores constants that are packed in fewer than 8 bits as bytes, on the same
// integers and scales: islands are made of bytes.
func widenWeights(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("DequantizeLinear") || n.In(0).Const == nil {
		return nil, nil
	}
	d, ok := widened[n.In(0).Const.DType()]
	if !ok || n.In(2) != nil && (n.In(2).Const == nil || n.In(2).Const.DType() != n.In(0).Const.DType()) {
		return nil, nil
	}
	wide := func(v *graph.Value) *graph.Value {
		t := tensor.New(d, v.Const.Shape()...)
		for i := range t.Len() {
			t.SetInt(i, v.Const.Int(i))
		}
		return c.Graph.Constant(v.Name, t)
	}
	in := []*graph.Value{wide(n.In(0)), n.In(1)}
	if n.In(2) != nil {
		in = append(in, wide(n.In(2)))
	}
	m := c.Graph.NewNode("DequantizeLinear", "", n.Name, n.Attrs.Clone(), in, "")
	m.Outputs[0].Type = n.Outputs[0].Type.Clone()
	return &Patch{Nodes: []*graph.Node{m}, Replace: []Subst{{n.Outputs[0], m.Outputs[0]}}}, nil
}
