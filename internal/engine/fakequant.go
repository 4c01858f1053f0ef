package engine

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerFakeQuantize, graph.DomainEdgewise, "FakeQuantize")
	lowers(lowerFakeQuantizeGradient, graph.DomainEdgewise, "FakeQuantizeGradient")
}

// faker is what the two nodes of fake quantization share. With one scale the tensor is
// walked as it lies, in units of unitElements; with several a channel is a unit, as outer
// runs of inner elements.
type faker struct {
	grid                   kernel.FakeF32
	zeros                  []int64 // one for every channel
	scale                  *ref
	outer, channels, inner int
}

// newFaker reads a node whose scale is input i and whose tensor has the given shape.
func newFaker(l *lowerer, n *graph.Node, i int, shape []int) (*faker, string) {
	g, err := op.FakeGrid(n.Attrs)
	if err != nil {
		return nil, err.Error()
	}
	s, z := n.In(i), n.In(i+1)
	if !isF32(s) || z != nil && z.Const == nil {
		return nil, "its zero point is not constant"
	}
	f := &faker{grid: kernel.FakeF32{Lo: int32(g.Lo), Hi: int32(g.Hi)}, outer: 1, channels: 1, inner: 1}
	for _, d := range shape {
		f.inner *= d
	}
	scales, _ := s.Type.Static()
	if len(scales) > 1 {
		return nil, "its scale has several dimensions"
	}
	if len(scales) == 1 && scales[0] != 1 {
		axis, err := op.ResolveAxis(n.Attrs.Int("axis", 1), len(shape))
		if err != nil || shape[axis] != scales[0] {
			return nil, "its scale does not fit"
		}
		for _, d := range shape[:axis] {
			f.outer *= d
		}
		f.channels = scales[0]
		f.inner /= max(f.outer*f.channels, 1)
	}
	f.zeros = make([]int64, f.channels)
	if z != nil {
		if z.Const.Len() != f.channels || z.Const.DType() == tensor.Float32 {
			return nil, "its zero point does not fit"
		}
		f.zeros = z.Const.Ints()
		for _, v := range f.zeros {
			if v < g.Lo || v > g.Hi {
				return nil, "its zero point is outside of its range"
			}
		}
	}
	f.scale = l.plain(s)
	return f, ""
}

// form returns v in the order that the walk needs.
func (f *faker) form(l *lowerer, v *graph.Value) *ref {
	if f.channels > 1 {
		return l.plain(v)
	}
	return l.dense(v)
}

func (f *faker) units() int {
	if f.channels > 1 {
		return f.channels
	}
	return (f.inner + unitElements - 1) / unitElements
}

// each calls do with the runs of elements of a unit and its grid and scale.
func (f *faker) each(s *Session, unit int, do func(g kernel.FakeF32, scale float32, a, b int)) {
	g, scales := f.grid, s.f32(f.scale)
	if f.channels == 1 {
		g.Zero = int32(f.zeros[0])
		do(g, scales[0], unit*unitElements, min((unit+1)*unitElements, f.inner))
		return
	}
	g.Zero = int32(f.zeros[unit])
	for o := range f.outer {
		at := (o*f.channels + unit) * f.inner
		do(g, scales[unit], at, at+f.inner)
	}
}

func lowerFakeQuantize(l *lowerer, n *graph.Node) string {
	shape, _ := n.In(0).Type.Static()
	if !isF32(n.In(0)) {
		return "only float32 has a kernel"
	}
	f, reason := newFaker(l, n, 1, shape)
	if reason != "" {
		return reason
	}
	in := f.form(l, n.In(0))
	out := l.make(n.Outputs[0], in.strides, nil)
	level := l.level
	l.add(&step{name: n.Label(), op: n.Op, kernel: "fake quantization", reads: []*ref{in, f.scale}, writes: []*ref{out}, units: f.units(),
		run: func(s *Session, _, lo, hi int) {
			y, x := s.f32(out), s.f32(in)
			for u := lo; u < hi; u++ {
				f.each(s, u, func(g kernel.FakeF32, scale float32, a, b int) { g.Apply(level, y[a:b], x[a:b], scale) })
			}
		}})
	return ""
}

// lowerFakeQuantizeGradient makes two steps: sums of each unit, and their sum, so that the
// gradient of a scale does not depend on the number of threads.
func lowerFakeQuantizeGradient(l *lowerer, n *graph.Node) string {
	shape, _ := n.In(1).Type.Static()
	ds, _ := n.In(0).Type.Static()
	if !isF32(n.In(0), n.In(1)) || !slices.Equal(ds, shape) {
		return "only float32 of equal shapes has a kernel"
	}
	f, reason := newFaker(l, n, 2, shape)
	if reason != "" {
		return reason
	}
	x := f.form(l, n.In(1))
	dy := l.like(n.In(0), x)
	dx := l.make(n.Outputs[0], x.strides, nil)
	parts := buffer32(n.Label()+"/parts", f.units())
	l.add(&step{name: n.Label(), op: n.Op, kernel: "straight through", reads: []*ref{dy, x, f.scale}, writes: []*ref{dx, parts}, units: f.units(),
		run: func(s *Session, _, lo, hi int) {
			to, from, at, sums := s.f32(dx), s.f32(dy), s.f32(x), s.f32(parts)
			for u := lo; u < hi; u++ {
				sum := float32(0)
				f.each(s, u, func(g kernel.FakeF32, scale float32, a, b int) { sum += g.Gradient(to[a:b], from[a:b], at[a:b], scale) })
				sums[u] = sum
			}
		}})
	if len(n.Outputs) < 2 || n.Outputs[1] == nil {
		return ""
	}
	out := l.makeRaw(n.Outputs[1])
	share := 1 / math.Sqrt(float64(f.outer*f.inner)*float64(f.grid.Hi))
	l.add(&step{name: n.Label() + "/sum", op: n.Op, kernel: "sum of parts", reads: []*ref{parts}, writes: []*ref{out}, exec: func(s *Session) error {
		to, from := s.f32(out), s.f32(parts)
		if f.channels > 1 {
			for i, v := range from {
				to[i] = float32(float64(v) * share)
			}
			return nil
		}
		sum := 0.0
		for _, v := range from {
			sum += float64(v)
		}
		to[0] = float32(sum * share)
		return nil
	}})
	return ""
}
