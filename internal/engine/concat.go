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

// placeConcats decides, from the last node to the first, which values are made right away
// where they end: the parts of a concatenation inside the whole, if a step will make them
// in the memory order that the whole is going to have, and what a reshape or transposition
// shows, if its result has a place.
func (l *lowerer) placeConcats() {
	if !l.on(ruleConcat) {
		return
	}
	order := l.predict()
	for i := len(l.g.Nodes) - 1; i >= 0; i-- {
		n := l.g.Nodes[i]
		if l.unfitStatic(n) {
			continue
		}
		switch n.Op {
		case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Transpose":
			l.placeViewed(n, order)
		}
		if !n.Is("Concat") {
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

// placeViewed hands the place of a view on to what it shows.
func (l *lowerer) placeViewed(n *graph.Node, order map[*graph.Value]bool) {
	x, y := n.In(0), n.Outputs[0]
	if n.Domain != "" || x.Const != nil || x.Def == nil || l.uses[x.ID] != 1 || l.target[x] != nil || !l.on(ruleView) {
		return
	}
	if _, out := l.output[x]; out {
		return
	}
	place := l.target[y]
	if place == nil {
		k, out := l.output[y]
		if !out || y.Type.DType == tensor.Int8 {
			return
		}
		s, _ := y.Type.Static()
		place = &ref{dtype: y.Type.DType, shape: s, strides: tensor.Strides(s), buf: &buffer{name: y.Name, place: inOutput, index: k}}
		place.buf.size = place.span()
	}
	xs, _ := x.Type.Static()
	var strides []int
	switch n.Op {
	case "Transpose":
		perm := n.Attrs.Ints("perm")
		if perm != nil && len(perm) != len(xs) {
			return
		}
		strides = make([]int, len(xs))
		for i := range xs {
			strides[permuted(perm, len(xs), i)] = place.strides[i]
		}
	default:
		strides = reshapedStrides(place.shape, place.strides, xs)
	}
	if strides == nil {
		return
	}
	r := place.view(xs, strides, 0)
	if _, last := r.channelsLast(); order[x] && !last {
		return // the step that makes x would not write it so
	}
	l.target[x] = r
}

// unfitStatic is unfit for a time when inputs have not been lowered.
func (l *lowerer) unfitStatic(n *graph.Node) bool {
	for _, list := range [][]*graph.Value{n.Inputs, n.Outputs} {
		for _, v := range list {
			if v == nil {
				continue
			}
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
