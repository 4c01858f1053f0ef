package quant

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Pack returns g with every int8 constant that fits into 4 bits, and is dequantized with
// zero points that are 0, stored as int4: half the bytes in a file of opset 21 or later. What
// g computes stays the same, and so does the speed here, where such weights are widened to
// int8 when a program is made of them; runtimes without integer kernels for int4 compute
// those layers in floating point. It also returns the bytes saved.
func Pack(g *graph.Graph) (packed *graph.Graph, saved int) {
	c := g.Clone()
	for _, n := range c.Nodes {
		if !n.Is("DequantizeLinear") {
			continue
		}
		q, z := n.In(0), n.In(2)
		if q.Const == nil || q.Const.DType() != tensor.Int8 || q.Const.Len() < 2 || z == nil || z.Const == nil || !fits4(q.Const, -8, 7) || !fits4(z.Const, 0, 0) {
			continue
		}
		t := tensor.New(tensor.Int4, q.Const.Shape()...)
		for i, v := range tensor.Data[int8](q.Const) {
			t.SetInt(i, int64(v))
		}
		saved += q.Const.SizeBytes() - t.SizeBytes()
		n.Inputs[0] = c.Constant(q.Name, t)
		n.Inputs[2] = c.Constant(z.Name, tensor.New(tensor.Int4, z.Const.Shape()...))
	}
	return c, saved
}

// fits4 reports whether all elements lie within lo..hi.
func fits4(t *tensor.Tensor, lo, hi int8) bool {
	for _, v := range tensor.Data[int8](t) {
		if v < lo || v > hi {
			return false
		}
	}
	return true
}
