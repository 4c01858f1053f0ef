package engine

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerConcat, "", "Concat")
}

// placeConcats decides, from the last concatenation to the first, which of the parts
// are made inside the result right away: those that a step will make in the memory
// order that the result is going to have.
func (l *lowerer) placeConcats() {
	if !l.on(ruleConcat) {
		return
	}
	order := l.predict()
	for i := len(l.g.Nodes) - 1; i >= 0; i-- {
		n := l.g.Nodes[i]
		if !n.Is("Concat") || l.unfitStatic(n) {
			continue
		}
		v := n.Outputs[0]
		s, _ := v.Type.Static()
		axis, err := op.ResolveAxis(n.Attrs.Int("axis", 0), len(s))
		if err != nil {
			continue
		}
		whole := l.target[v]
		if whole == nil {
			strides := tensor.Strides(s)
			if order[v] {
				strides = channelsLastStrides(s, s[1])
			}
			whole = &ref{dtype: v.Type.DType, biased: v.Type.DType == tensor.Int8, shape: s, strides: strides, buf: &buffer{name: v.Name}}
			if k, ok := l.output[v]; ok && whole.plain() && !whole.biased {
				whole.buf.place, whole.buf.index = inOutput, k
			}
			whole.buf.size = whole.span()
			l.target[v] = whole
		}
		at := 0
		for _, in := range n.Inputs {
			is, _ := in.Type.Static()
			part := whole.view(is, whole.strides, at*whole.strides[axis])
			at += is[axis]
			if in.Const != nil || in.Def == nil || l.target[in] != nil || order[in] != order[v] {
				continue
			}
			if _, out := l.output[in]; out {
				continue
			}
			l.target[in] = part
		}
	}
}

// unfitStatic is unfit for a time when inputs have not been lowered.
func (l *lowerer) unfitStatic(n *graph.Node) bool {
	for _, list := range [][]*graph.Value{n.Inputs, n.Outputs} {
		for _, v := range list {
			s, ok := v.Type.Static()
			if !ok || v.Type.DType.Bits() < 8 || slices.Contains(s, 0) {
				return true
			}
		}
	}
	return false
}

// predict tells which values will lie channels-last, as far as it can be said before
// lowering: the results of spatial operators, and what is made of them element by element.
func (l *lowerer) predict() map[*graph.Value]bool {
	last := map[*graph.Value]bool{}
	for _, n := range l.g.Nodes {
		switch n.Op {
		case "Conv", "MaxPool", "AveragePool", "GlobalAveragePool", "Resize", "QLinearConv", "QLinearAveragePool", "QLinearGlobalAveragePool":
			last[n.Outputs[0]] = true
		case "Transpose":
			perm := n.Attrs.Ints("perm")
			last[n.Outputs[0]] = !last[n.In(0)] && len(perm) > 2 && perm[0] == 0 && int(perm[1]) == len(perm)-1 && slices.IsSorted(perm[2:])
		case "Reshape", "Flatten", "Gemm", "MatMul", "QGemm", "QLinearMatMul":
		default:
			for _, v := range n.Inputs {
				if v == nil || v.Const != nil || !last[v] {
					continue
				}
				for _, o := range n.Outputs {
					if o != nil && len(o.Type.Shape) == len(v.Type.Shape) {
						last[o] = true
					}
				}
			}
		}
	}
	return last
}

// lowerConcat copies the parts that do not lie in the result yet.
func lowerConcat(l *lowerer, n *graph.Node) string {
	v := n.Outputs[0]
	s, _ := v.Type.Static()
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", 0), len(s))
	if err != nil {
		return err.Error()
	}
	whole := l.target[v]
	if whole == nil {
		strides := tensor.Strides(s)
		if _, ok := l.first(n.Inputs[0]).channelsLast(); ok && axis == 1 && !l.first(n.Inputs[0]).plain() {
			strides = channelsLastStrides(s, s[1])
		}
		whole = l.make(v, strides, nil)
	}
	l.alias(v, whole)
	at, moved := 0, 0
	for _, in := range n.Inputs {
		is, _ := in.Type.Static()
		part := whole.view(is, whole.strides, at*whole.strides[axis])
		at += is[axis]
		if l.find(in, part.same) != nil {
			continue
		}
		src := l.find(in, func(r *ref) bool { return r.biased == part.biased })
		if src == nil {
			src = l.first(in)
		}
		moved++
		l.move(n.Label(), part, src)
	}
	if moved < len(n.Inputs) {
		l.plan.fused[ruleConcat] += len(n.Inputs) - moved
	}
	return ""
}
