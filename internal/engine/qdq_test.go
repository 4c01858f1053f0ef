package engine

import (
	"context"
	"math"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// withQDQ returns a float graph with QuantizeLinear, DequantizeLinear pairs around
// everything, in the ranges that the given inputs reach; weights are int8 per channel.
func withQDQ(t testing.TB, g *graph.Graph, d tensor.DType, inputs ...op.Value) *graph.Graph {
	t.Helper()
	type span struct{ lo, hi float32 }
	spans := map[string]span{}
	see := func(name string, v op.Value) {
		x, ok := v.(*tensor.Tensor)
		if !ok || x.DType() != tensor.Float32 {
			return
		}
		s := span{0, 0}
		for _, f := range x.F32() {
			s.lo, s.hi = min(s.lo, f), max(s.hi, f)
		}
		spans[name] = s
	}
	for i, v := range g.Inputs {
		see(v.Name, inputs[i])
	}
	_, err := interp.Observe(context.Background(), g, inputs, func(n *graph.Node, out []op.Value) {
		for i, v := range n.Outputs {
			see(v.Name, out[i])
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	q := g.Clone()
	uses := q.Uses()
	users := q.Users()
	var nodes []*graph.Node
	dequantized := map[*graph.Value]*graph.Value{}
	pair := func(v *graph.Value) {
		s, ok := spans[v.Name]
		if !ok || v.Type.Kind != graph.KindTensor {
			return
		}
		if uses[v.ID] == 1 && len(users[v.ID]) == 1 && v.Def != nil && v.Def.Op != "Clip" && v.Def.Op != "Relu" {
			if u := users[v.ID][0]; u.Op == "Clip" || u.Op == "Relu" {
				return // the clamp belongs to the island
			}
		}
		lo, hi := d.IntRange()
		scale := max((s.hi-s.lo)/255, 1e-6)
		zero := min(max(math.RoundToEven(float64(-s.lo/scale))+float64(lo), float64(lo)), float64(hi))
		zt := tensor.New(d)
		zt.SetInt(0, int64(zero))
		sv, zv := q.Constant(v.Name+"_scale", tensor.Scalar(scale)), q.Constant(v.Name+"_zero", zt)
		qn := q.NewNode("QuantizeLinear", "", v.Name+"_q", graph.Attrs{}, []*graph.Value{v, sv, zv}, v.Name+"_q")
		dn := q.NewNode("DequantizeLinear", "", v.Name+"_dq", graph.Attrs{}, []*graph.Value{qn.Outputs[0], sv, zv}, v.Name+"_dq")
		nodes = append(nodes, qn, dn)
		dequantized[v] = dn.Outputs[0]
	}
	for _, v := range q.Inputs {
		pair(v)
	}
	for _, n := range q.Nodes {
		for i, v := range n.Inputs {
			if k := dequantized[v]; k != nil {
				n.Inputs[i] = k
			}
		}
		if n.Op == "Conv" || n.Op == "Gemm" || n.Op == "MatMul" {
			axis := 0
			if n.Op == "MatMul" || n.Op == "Gemm" && n.Attrs.Int("transB", 0) == 0 {
				axis = 1
			}
			w, s, z := quantizeWeights(n.Inputs[1].Const, axis)
			dn := q.NewNode("DequantizeLinear", "", "", graph.Attrs{"axis": int64(axis)},
				[]*graph.Value{q.Constant("", w), q.Constant("", s), q.Constant("", z)}, "")
			nodes = append(nodes, dn)
			n.Inputs[1] = dn.Outputs[0]
		}
		nodes = append(nodes, n)
		for _, v := range n.Outputs {
			pair(v)
		}
	}
	q.Nodes = nodes
	for i, v := range q.Outputs {
		if k := dequantized[v]; k != nil {
			q.Outputs[i] = k
		}
	}
	if err := q.Verify(); err != nil {
		t.Fatal(err)
	}
	return q
}

// quantizeWeights returns symmetric int8 weights with a scale per index of axis.
func quantizeWeights(w *tensor.Tensor, axis int) (q, scale, zero *tensor.Tensor) {
	n := w.Dim(axis)
	inner := 1
	for _, d := range w.Shape()[axis+1:] {
		inner *= d
	}
	scale, zero, q = tensor.New(tensor.Float32, n), tensor.New(tensor.Int8, n), tensor.New(tensor.Int8, w.Shape()...)
	for i, v := range w.F32() {
		c := i / inner % n
		scale.F32()[c] = max(scale.F32()[c], float32(math.Abs(float64(v)))/127, 1e-9)
	}
	for i, v := range w.F32() {
		q.SetInt(i, int64(math.RoundToEven(float64(v/scale.F32()[i/inner%n]))))
	}
	return q, scale, zero
}
