package optimize

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// shielded returns g in a form whose float layers other runtimes leave in float.
//
// ONNX Runtime takes a Conv or Gemm with float weights between DequantizeLinear and
// QuantizeLinear for an oversight, and quantizes the weights itself while it loads the
// model, per tensor: the very thing that a layer was kept in float against. It does so
// only where nothing but Relu and Clip stands before the QuantizeLinear, so a Max with
// minus infinity is put there. That changes no value; package rewrite removes it, so it
// costs nothing here and one cheap operator per kept layer elsewhere.
func shielded(g *graph.Graph) *graph.Graph {
	var at []int
	for i, n := range g.Nodes {
		if n.Is("QuantizeLinear") && floatLayerBefore(n.In(0)) {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return g
	}
	g = g.Clone()
	lowest := g.Constant("minus_infinity", tensor.Scalar(float32(math.Inf(-1))))
	nodes := make([]*graph.Node, 0, len(g.Nodes)+len(at))
	for i, n := range g.Nodes {
		if len(at) > 0 && at[0] == i {
			at = at[1:]
			x := n.Inputs[0]
			m := g.NewNode("Max", "", x.Name+"_kept_float", nil, []*graph.Value{x, lowest}, x.Name+"_kept_float")
			m.Outputs[0].Type = x.Type.Clone()
			n.Inputs[0] = m.Outputs[0]
			nodes = append(nodes, m)
		}
		nodes = append(nodes, n)
	}
	g.Nodes = nodes
	return g
}

// floatLayerBefore reports whether v is made, but for clamps, by a layer with float
// weights that reads dequantized values.
func floatLayerBefore(v *graph.Value) bool {
	for v != nil && v.Def != nil && (v.Def.Is("Relu") || v.Def.Is("Clip")) {
		v = v.Def.In(0)
	}
	if v == nil || v.Def == nil {
		return false
	}
	n := v.Def
	if !n.Is("Conv") && !n.Is("ConvTranspose") && !n.Is("Gemm") {
		return false
	}
	x, w := n.In(0), n.In(1)
	return x != nil && x.Def != nil && x.Def.Is("DequantizeLinear") && w != nil && w.Const != nil && w.Const.DType() == tensor.Float32
}
