package engine

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerRMSNorm, "", "RMSNormalization", "SimplifiedLayerNormalization")
	lowers(lowerRMSNorm, graph.DomainMicrosoft, "SimplifiedLayerNormalization")
	lowers(lowerSkipNorm, graph.DomainMicrosoft, "SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
	lowers(lowerGroupNorm, "", "GroupNormalization", "InstanceNormalization")
}

// constF32 returns the values of a float32 constant of n elements, nil of none; ok is
// false where v is anything else.
func constF32(v *graph.Value, n int) (values []float32, ok bool) {
	if v == nil {
		return nil, true
	}
	if v.Const == nil || v.Const.DType() != tensor.Float32 || v.Const.Len() != n {
		return nil, false
	}
	return v.Const.F32(), true
}

func lowerRMSNorm(l *lowerer, n *graph.Node) string {
	x := n.In(0)
	s, _ := x.Type.Static()
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", -1), len(s))
	if err != nil {
		return err.Error()
	}
	size := 1
	for _, d := range s[axis:] {
		size *= d
	}
	gamma, ok := constF32(n.In(1), size)
	if !isF32(n.Inputs...) || !ok || gamma == nil || n.Out(1) != nil {
		return "only float32 with a constant scale and without statistics has a kernel"
	}
	in := l.plain(x)
	out := l.make(n.Outputs[0], tensor.Strides(s), nil)
	level, eps := l.level, n.Attrs.Float("epsilon", 1e-5)
	l.plan.weights += 4 * len(gamma)
	l.rows(n, "rmsnorm f32", size, out, in, func(dst, src []float32) { kernel.RMSNorm(level, dst, src, gamma, eps) })
	return ""
}

// lowerSkipNorm adds a residual and a bias and normalizes the sum, which may be an output
// of its own.
func lowerSkipNorm(l *lowerer, n *graph.Node) string {
	x, skip := n.In(0), n.In(1)
	s, _ := x.Type.Static()
	ss, _ := skip.Type.Static()
	if !isF32(n.Inputs...) || len(s) == 0 || !slices.Equal(s, ss) || n.Out(1) != nil || n.Out(2) != nil {
		return "only float32 of equal shapes and without statistics has a kernel"
	}
	size := s[len(s)-1]
	root := n.Op == "SkipSimplifiedLayerNormalization"
	shift, extra := n.In(3), n.In(4)
	if root {
		shift, extra = nil, n.In(3)
	}
	gamma, ok := constF32(n.In(2), size)
	beta, ok2 := constF32(shift, size)
	bias, ok3 := constF32(extra, size)
	if !ok || !ok2 || !ok3 || gamma == nil {
		return "scale, shift and bias are not constant"
	}
	a, b := l.plain(x), l.plain(skip)
	out := l.make(n.Outputs[0], tensor.Strides(s), nil)
	total := out
	writes := []*ref{out}
	if n.Out(3) != nil {
		total = l.make(n.Out(3), tensor.Strides(s), nil)
		writes = append(writes, total)
	}
	level, eps := l.level, n.Attrs.Float("epsilon", 1e-12)
	l.plan.weights += 4 * (len(gamma) + len(beta) + len(bias))
	count, per := out.len()/size, max(1, unitElements/size)
	l.add(&step{name: n.Label(), op: n.Op, kernel: "layernorm f32", reads: []*ref{a, b}, writes: writes,
		units: (count + per - 1) / per,
		run: func(ses *Session, _, lo, hi int) {
			i, k := lo*per*size, min(hi*per, count)*size
			sum, y := ses.f32(total)[i:k], ses.f32(out)[i:k]
			kernel.Add.Apply(level, sum, ses.f32(a)[i:k], ses.f32(b)[i:k])
			if bias != nil {
				kernel.Add.Apply(level, sum, sum, bias)
			}
			if root {
				kernel.RMSNorm(level, y, sum, gamma, eps)
			} else {
				kernel.LayerNorm(level, y, sum, gamma, beta, eps)
			}
		}})
	return ""
}

// lowerGroupNorm standardizes groups of channels, of which InstanceNormalization has one
// each.
func lowerGroupNorm(l *lowerer, n *graph.Node) string {
	x := n.In(0)
	s, _ := x.Type.Static()
	if !isF32(n.Inputs...) || len(s) < 2 {
		return "only float32 has a kernel"
	}
	scale, ok := constF32(n.In(1), s[1])
	shift, ok2 := constF32(n.In(2), s[1])
	if !ok || !ok2 || scale == nil || shift == nil {
		return "scale and shift are not constant"
	}
	groups := s[1]
	if n.Op == "GroupNormalization" {
		groups = int(n.Attrs.Int("num_groups", 1))
	}
	if groups < 1 || s[1]%groups != 0 {
		return "the groups do not divide the channels"
	}
	in := l.plain(x)
	out := l.make(n.Outputs[0], tensor.Strides(s), nil)
	channels, size := s[1]/groups, in.len()/(s[0]*groups)
	level, eps := l.level, n.Attrs.Float("epsilon", 1e-5)
	l.plan.weights += 8 * s[1]
	l.add(&step{name: n.Label(), op: n.Op, kernel: "groupnorm f32", reads: []*ref{in}, writes: []*ref{out}, inPlace: true, units: s[0] * groups,
		run: func(ses *Session, _, lo, hi int) {
			for u := lo; u < hi; u++ {
				c := u % groups * channels
				kernel.GroupNorm(level, ses.f32(out)[u*size:(u+1)*size], ses.f32(in)[u*size:(u+1)*size], scale[c:c+channels], shift[c:c+channels], eps)
			}
		}})
	return ""
}
