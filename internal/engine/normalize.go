package engine

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerSoftmax, "", "Softmax", "LogSoftmax")
	lowers(lowerLayerNorm, "", "LayerNormalization")
	lowers(lowerBatchNorm, "", "BatchNormalization")
}

// rowsAlong returns v densely with the elements of one dimension side by side.
func (l *lowerer) rowsAlong(v *graph.Value, axis int) *ref {
	if r := l.find(v, func(r *ref) bool { return r.dense() && !r.biased && (r.strides[axis] == 1 || r.shape[axis] == 1) }); r != nil {
		return r
	}
	s := l.first(v).shape
	strides := make([]int, len(s))
	strides[axis] = 1
	n := s[axis]
	for i := len(s) - 1; i >= 0; i-- {
		if i != axis {
			strides[i] = n
			n *= s[i]
		}
	}
	return l.convert(v, s, strides, false)
}

// rows adds a step that computes every row of n elements from the same row of in.
func (l *lowerer) rows(node *graph.Node, kernelName string, n int, out, in *ref, f func(dst, src []float32)) {
	count := in.len() / n
	per := max(1, unitElements/n)
	l.add(&step{name: node.Label(), op: node.Op, kernel: kernelName, reads: []*ref{in}, writes: []*ref{out}, inPlace: true,
		units: (count + per - 1) / per,
		run: func(s *Session, _, lo, hi int) {
			a, b := lo*per*n, min(hi*per, count)*n
			f(s.f32(out)[a:b], s.f32(in)[a:b])
		}})
}

func lowerSoftmax(l *lowerer, n *graph.Node) string {
	x := n.In(0)
	if !isF32(x) {
		return "only float32 has a kernel"
	}
	s, _ := x.Type.Static()
	if len(s) == 0 {
		return "a scalar has no kernel"
	}
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", -1), len(s))
	if err != nil {
		return err.Error()
	}
	in := l.rowsAlong(x, axis)
	out := l.make(n.Outputs[0], in.strides, nil)
	level, size := l.level, s[axis]
	f := func(dst, src []float32) { kernel.Softmax(level, dst, src, size, 1) }
	if n.Op == "LogSoftmax" {
		f = func(dst, src []float32) { kernel.LogSoftmax(level, dst, src, size) }
	}
	l.rows(n, "softmax f32", size, out, in, f)
	return ""
}

func lowerLayerNorm(l *lowerer, n *graph.Node) string {
	x, scale, shift := n.In(0), n.In(1), n.In(2)
	s, _ := x.Type.Static()
	switch {
	case !isF32(n.Inputs...) || n.Out(1) != nil || n.Out(2) != nil:
		return "only float32 without statistics has a kernel"
	case scale.Const == nil || shift != nil && shift.Const == nil:
		return "scale and shift are not constant"
	}
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", -1), len(s))
	if err != nil {
		return err.Error()
	}
	size := 1
	for _, d := range s[axis:] {
		size *= d
	}
	if scale.Const.Len() != size || shift != nil && shift.Const.Len() != size {
		return "scale and shift do not cover the normalized dimensions"
	}
	gamma := scale.Const.F32()
	var beta []float32
	if shift != nil {
		beta = shift.Const.F32()
	}
	in := l.plain(x)
	out := l.make(n.Outputs[0], tensor.Strides(s), nil)
	level, eps := l.level, n.Attrs.Float("epsilon", 1e-5)
	l.plan.weights += 4 * (len(gamma) + len(beta))
	l.rows(n, "layernorm f32", size, out, in, func(dst, src []float32) { kernel.LayerNorm(level, dst, src, gamma, beta, eps) })
	return ""
}

// lowerBatchNorm is a factor and an addend per channel.
func lowerBatchNorm(l *lowerer, n *graph.Node) string {
	x := n.In(0)
	s, _ := x.Type.Static()
	if n.Attrs.Int("training_mode", 0) != 0 {
		return lowerBatchNormTraining(l, n, nil, nil)
	}
	if !isF32(n.Inputs...) || n.Out(1) != nil || len(s) < 2 {
		return "only float32 inference has a kernel"
	}
	for _, v := range n.Inputs[1:5] {
		if v.Const == nil {
			return lowerFrozenNorm(l, n)
		}
		if v.Const.Len() != s[1] {
			return "the numbers are not one for each channel"
		}
	}
	scale, shift, mean, variance := n.In(1).Const.F32(), n.In(2).Const.F32(), n.In(3).Const.F32(), n.In(4).Const.F32()
	eps := float64(n.Attrs.Float("epsilon", 1e-5))
	factor, addend := make([]float32, s[1]), make([]float32, s[1])
	for c := range factor {
		f := float64(scale[c]) / math.Sqrt(float64(variance[c])+eps)
		factor[c] = float32(f)
		addend[c] = float32(float64(shift[c]) - f*float64(mean[c]))
	}
	in := l.dense(x)
	if pixel, ok := in.channelsLast(); ok && pixel == s[1] && (len(s) == 2 || !in.plain() || s[1] == 1) {
		out := l.make(n.Outputs[0], in.strides, nil)
		level := l.level
		l.rows(n, "affine f32", s[1], out, in, func(dst, src []float32) {
			kernel.Mul.Apply(level, dst, src, factor)
			kernel.Add.Apply(level, dst, dst, addend)
		})
		return ""
	}
	in = l.plain(x)
	out := l.make(n.Outputs[0], tensor.Strides(s), nil)
	plane := in.len() / (s[0] * s[1])
	level := l.level
	l.add(&step{name: n.Label(), op: n.Op, kernel: "affine f32", reads: []*ref{in}, writes: []*ref{out}, inPlace: true, units: s[0] * s[1],
		run: func(ses *Session, _, lo, hi int) {
			x, y := ses.f32(in), ses.f32(out)
			for u := lo; u < hi; u++ {
				c := u % len(factor)
				d := y[u*plane : (u+1)*plane]
				kernel.Mul.Apply(level, d, x[u*plane:(u+1)*plane], factor[c:c+1])
				kernel.Add.Apply(level, d, d, addend[c:c+1])
			}
		}})
	return ""
}
