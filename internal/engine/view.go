package engine

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerReshape, "", "Reshape", "Flatten", "Squeeze", "Unsqueeze")
	lowers(lowerIdentity, "", "Identity", "Dropout")
	lowers(lowerTranspose, "", "Transpose")
	lowers(lowerSlice, "", "Slice")
	lowers(lowerSplit, "", "Split")
	lowers(lowerExpand, "", "Expand")
}

// These operators move no element: their result is another ref into the same buffer.
// Whoever needs the elements in some order asks for it, and pays for it once.

// show makes r the form of v, or copies where views are switched off.
func (l *lowerer) show(n *graph.Node, v *graph.Value, r *ref) {
	if l.on(ruleView) {
		l.plan.fused[ruleView]++
		l.alias(v, r)
		return
	}
	s, _ := v.Type.Static()
	out := l.make(v, tensor.Strides(s), nil)
	if out.biased != r.biased {
		panic("engine: a view changed the storage of " + v.Name)
	}
	l.move(n.Label(), out, r)
}

func lowerReshape(l *lowerer, n *graph.Node) string {
	v := n.Outputs[0]
	s, _ := v.Type.Static()
	r := l.reshapable(n.In(0), s)
	if r == nil {
		p := l.plainForm(n.In(0))
		r = p.view(s, tensor.Strides(s), 0)
	}
	l.show(n, v, r)
	return ""
}

// plainForm is v in row-major order in whatever storage its int8 has already.
func (l *lowerer) plainForm(v *graph.Value) *ref {
	if r := l.find(v, (*ref).plain); r != nil {
		return r
	}
	return l.plainBytes(v)
}

// reshapable returns v seen with another shape, where its strides allow that.
func (l *lowerer) reshapable(v *graph.Value, shape []int) *ref {
	r := l.first(v)
	if strides := reshapedStrides(r.shape, r.strides, shape); strides != nil {
		return r.view(shape, strides, 0)
	}
	return nil
}

// reshapedStrides returns the strides that show a tensor with another shape of as many
// elements, or nil where no strides do: dimensions are joined only where one steps over
// exactly what the next one spans.
func reshapedStrides(from, strides, to []int) []int {
	if strides == nil {
		return nil
	}
	out := make([]int, len(to))
	i, k := 0, 0
	for i < len(from) || k < len(to) {
		// The shortest runs of dimensions from i and k on that hold as many elements.
		i0, k0, a, b := i, k, 1, 1
		for a != b || a == 1 {
			switch {
			case a <= b && i < len(from):
				a *= from[i]
				i++
			case k < len(to):
				b *= to[k]
				k++
			default:
				if a != b {
					return nil
				}
				a, b = 0, 0 // nothing but sizes of 1 was left
			}
		}
		step, last := 0, -1
		for j := i - 1; j >= i0; j-- {
			if from[j] == 1 {
				continue
			}
			if last >= 0 && strides[j] != strides[last]*from[last] {
				return nil
			}
			if last < 0 {
				step = strides[j]
			}
			last = j
		}
		for j := k - 1; j >= k0; j-- {
			out[j] = step
			step *= to[j]
		}
	}
	// A dimension of one element steps over what lies inside it.
	for k := len(to) - 1; k >= 0; k-- {
		if to[k] == 1 {
			out[k] = 1
			if k+1 < len(to) {
				out[k] = out[k+1] * to[k+1]
			}
		}
	}
	return out
}

func lowerIdentity(l *lowerer, n *graph.Node) string {
	if n.Op == "Dropout" && (n.Out(1) != nil || n.In(2) != nil) {
		return "a mask or training mode has no kernel"
	}
	l.show(n, n.Outputs[0], l.first(n.In(0)))
	return ""
}

func lowerTranspose(l *lowerer, n *graph.Node) string {
	r := l.first(n.In(0))
	rank := len(r.shape)
	perm := n.Attrs.Ints("perm")
	if perm != nil && len(perm) != rank {
		return "perm does not fit the rank"
	}
	shape, strides := make([]int, rank), make([]int, rank)
	for i := range rank {
		k := permuted(perm, rank, i)
		shape[i], strides[i] = r.shape[k], r.strides[k]
	}
	l.show(n, n.Outputs[0], r.view(shape, strides, 0))
	return ""
}

// permuted returns the dimension that a transposition puts at i.
func permuted(perm []int64, rank, i int) int {
	if perm == nil {
		return rank - 1 - i
	}
	return int(perm[i])
}

func lowerSlice(l *lowerer, n *graph.Node) string {
	r := l.first(n.In(0))
	starts, axes, steps := n.In(1), n.In(3), n.In(4)
	if starts.Const == nil || axes != nil && axes.Const == nil || steps != nil && steps.Const == nil {
		return "the bounds depend on data"
	}
	s, _ := n.Outputs[0].Type.Static()
	strides := slices.Clone(r.strides)
	off := 0
	from := starts.Const.Ints()
	for i, at := range from {
		axis, step := i, int64(1)
		if axes != nil {
			a, err := op.ResolveAxis(axes.Const.Int(i), len(s))
			if err != nil {
				return err.Error()
			}
			axis = a
		}
		if steps != nil {
			step = steps.Const.Int(i)
		}
		if step < 1 {
			return "a negative step has no kernel"
		}
		d := int64(r.shape[axis])
		if at < 0 {
			at += d
		}
		at = min(max(at, 0), d)
		off += int(at) * strides[axis]
		if step < int64(r.shape[axis]) {
			strides[axis] *= int(step)
		}
	}
	l.show(n, n.Outputs[0], r.view(s, strides, off))
	return ""
}

func lowerSplit(l *lowerer, n *graph.Node) string {
	r := l.first(n.In(0))
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", 0), len(r.shape))
	if err != nil {
		return err.Error()
	}
	at := 0
	for _, v := range n.Outputs {
		if v == nil {
			return "a part is not asked for"
		}
		s, _ := v.Type.Static()
		l.show(n, v, r.view(s, r.strides, at*r.strides[axis]))
		at += s[axis]
	}
	return ""
}

func lowerExpand(l *lowerer, n *graph.Node) string {
	r := l.first(n.In(0))
	s, _ := n.Outputs[0].Type.Static()
	strides := make([]int, len(s))
	off := len(s) - len(r.shape)
	for i := range s {
		if i >= off && r.shape[i-off] != 1 {
			strides[i] = r.strides[i-off]
		}
	}
	l.show(n, n.Outputs[0], r.view(s, strides, 0))
	return ""
}
