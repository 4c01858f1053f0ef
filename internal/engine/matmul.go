package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	alone := func(l *lowerer, n *graph.Node) string { return lowerMatMulGroup(l, &group{nodes: []*graph.Node{n}}) }
	lowers(alone, "", "Gemm", "MatMul")
}

// macs returns the node's multiply-accumulates as its definition counts them.
func macs(n *graph.Node) int64 {
	d := op.Of(n)
	if d == nil || d.MACs == nil {
		return 0
	}
	return d.MACs(&op.Infer{Node: n})
}

// lowerMatMulGroup makes one step of a float32 product and what follows it. With a
// constant right side it is a pointwise convolution over rows.
func lowerMatMulGroup(l *lowerer, g *group) string {
	n := g.head()
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	a, b := n.In(0), n.In(1)
	if a.Type.DType != tensor.Float32 {
		return "only float32 products have a kernel"
	}
	variable := b.Const == nil || b.Const.Rank() != 2
	if n.Op == "Gemm" {
		variable = variable || n.In(2) != nil && n.In(2).Const == nil || n.Attrs.Int("transA", 0) != 0
	}
	if variable {
		if len(g.nodes) > 1 {
			return "the right side is not a constant matrix"
		}
		p, reason := productOf(n), ""
		if n.Op == "Gemm" {
			p, reason = gemmProduct(n)
		}
		if reason != "" {
			return reason
		}
		return lowerProduct(l, p)
	}
	transB, alpha, beta := false, float32(1), float32(1)
	var c *graph.Value
	if n.Op == "Gemm" {
		transB, alpha, beta, c = n.Attrs.Int("transB", 0) != 0, n.Attrs.Float("alpha", 1), n.Attrs.Float("beta", 1), n.In(2)
	}
	as, _ := a.Type.Static()
	if len(as) < 2 && n.Op == "Gemm" {
		return "the left side is no matrix"
	}
	k := as[len(as)-1]
	m := 1
	for _, d := range as[:len(as)-1] {
		m *= d
	}
	w, cols := scaled(b.Const.F32(), alpha), b.Const.Dim(1)
	opts := []kernel.Option{l.packed(b), l.choice(g)}
	if transB {
		cols = b.Const.Dim(0)
	} else {
		opts = append(opts, kernel.Columns())
	}
	var bias []float32
	if c != nil {
		t := perChannel(c, []int{m, cols}, 1)
		if t == nil {
			return "the addend C is not one constant per column"
		}
		bias = make([]float32, cols)
		for i, v := range t.F32() {
			bias[i] = beta * v
		}
	}
	if g.bias != nil {
		if bias == nil {
			bias = make([]float32, cols)
		}
		for i, v := range g.bias.F32() {
			bias[i] += v
		}
	}
	s := rowsShape(m, k, cols)
	in := l.plain(a)
	var res *ref
	if g.residual != nil {
		res, s.ResStride = l.plain(g.residual), cols
	}
	conv, err := kernel.NewConvF32(l.level, s, w, bias, g.act, res != nil, opts...)
	if err != nil {
		return l.refusal(g, err)
	}
	l.note(g)
	ys, _ := g.out().Type.Static()
	out := l.make(g.out(), tensor.Strides(ys), nil)
	l.plan.weights += 4 * (b.Const.Len() + len(bias))
	l.addConvF32(g, conv, int64(m)*int64(k)*int64(cols), out, in, res)
	return ""
}

// rowsShape is the product of an m×k matrix with a k×n one as a pointwise convolution.
func rowsShape(m, k, n int) kernel.ConvShape {
	return kernel.ConvShape{Batch: 1, InH: 1, InW: m, InC: k, OutH: 1, OutW: m, OutC: n, KernelH: 1, KernelW: 1,
		StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Groups: 1, InStride: k, OutStride: n}
}

// scaled returns w times alpha.
func scaled(w []float32, alpha float32) []float32 {
	if alpha == 1 {
		return w
	}
	out := make([]float32, len(w))
	for i, v := range w {
		out[i] = alpha * v
	}
	return out
}
