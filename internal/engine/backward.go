package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// This file lowers what stands in backward passes alone.

func init() {
	lowers(lowerConvWeightGradient, graph.DomainEdgewise, "ConvWeightGradient")
	lowers(lowerMaxPoolGradient, graph.DomainEdgewise, "MaxPoolGradient")
}

// buffer32 returns n float32 values of the arena for steps that make one node.
func buffer32(name string, n int) *ref {
	r := &ref{dtype: tensor.Float32, shape: []int{n}, strides: []int{1}, buf: &buffer{name: name}}
	r.buf.size = r.span()
	return r
}

// gradientWindow returns the window of a node whose attributes say how a kernel moved over x
// to make what dy is the gradient of, and the shapes of both. Inference does not compare
// them.
func gradientWindow(n *graph.Node, x, dy *graph.Value) (win *window, xs, ys []int, reason string) {
	xs, _ = x.Type.Static()
	ys, _ = dy.Type.Static()
	if !isF32(x, dy) || len(xs) != len(ys) || len(xs) == 0 || xs[0] != ys[0] {
		return nil, nil, nil, "only float32 of one batch has a kernel"
	}
	var size []int
	for _, k := range n.Attrs.Ints("kernel_shape") {
		size = append(size, int(k))
	}
	win, reason = newWindow(n.Attrs, xs, ys, size)
	return win, xs, ys, reason
}

// lowerConvWeightGradient makes two steps: sums over parts of the pixels, and their sum.
func lowerConvWeightGradient(l *lowerer, n *graph.Node) string {
	x, dy := n.In(0), n.In(1)
	win, xs, ys, reason := gradientWindow(n, x, dy)
	if reason != "" {
		return reason
	}
	in, inPixel := l.channelsLast(x)
	grad, gradPixel := l.channelsLast(dy)
	g, err := kernel.NewConvWeightsF32(l.level, win.shape(xs, ys, inPixel, gradPixel, int(n.Attrs.Int("group", 1))), l.transforms()...)
	if err != nil {
		return err.Error()
	}
	parts := buffer32(n.Label()+"/parts", g.PartsLen())
	l.add(&step{name: n.Label(), op: n.Op, kernel: g.Name(), macs: macs(n), reads: []*ref{in, grad}, writes: []*ref{parts},
		units: g.Units(), scratch: g.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) {
			g.Run(s.f32(parts), s.f32(in), s.f32(grad), s.scratch[worker], lo, hi)
		}})
	out := l.makeRaw(n.Outputs[0])
	l.add(&step{name: n.Label() + "/sum", op: n.Op, kernel: "sum of parts", reads: []*ref{parts}, writes: []*ref{out}, units: g.FinishUnits(), scratch: g.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) { g.Finish(s.f32(out), s.f32(parts), s.scratch[worker], lo, hi) }})
	return ""
}

// lowerMaxPoolGradient gives each gradient to the first largest element of its window. A
// unit is an image: windows that overlap write the same rows.
func lowerMaxPoolGradient(l *lowerer, n *graph.Node) string {
	dy, x := n.In(0), n.In(1)
	win, xs, ys, reason := gradientWindow(n, x, dy)
	switch {
	case reason != "":
		return reason
	case xs[1] != ys[1]:
		return "the gradient does not have the input's channels"
	}
	in, inPixel := l.channelsLast(x)
	grad, gradPixel := l.channelsLast(dy)
	out, outPixel := l.makeChannelsLast(n.Outputs[0])
	m := maxPoolGradient{win.shape(xs, ys, inPixel, gradPixel, 1), outPixel}
	if err := m.Validate(); err != nil {
		return err.Error()
	}
	l.add(&step{name: n.Label(), op: n.Op, kernel: "scatter of maxima", reads: []*ref{grad, in}, writes: []*ref{out}, units: xs[0],
		run: func(s *Session, _, lo, hi int) { m.run(s.f32(out), s.f32(grad), s.f32(in), lo, hi) }})
	return ""
}

type maxPoolGradient struct {
	kernel.ConvShape
	pixel int // of the result
}

func (m *maxPoolGradient) run(dx, dy, x []float32, lo, hi int) {
	for n := lo; n < hi; n++ {
		for i := range m.InH * m.InW {
			clear(dx[(n*m.InH*m.InW+i)*m.pixel:][:m.InC])
		}
		for oy := range m.OutH {
			for ox := range m.OutW {
				m.window(dx, dy[((n*m.OutH+oy)*m.OutW+ox)*m.OutStride:][:m.OutC], x, n, oy, ox)
			}
		}
	}
}

// window spreads the gradients of one output pixel. A NaN is larger than all, as it is
// where the maximum was taken.
func (m *maxPoolGradient) window(dx, dy, x []float32, n, oy, ox int) {
	for c, g := range dy {
		best, at := float32(0), -1
		for ky := range m.KernelH {
			iy := oy*m.StrideH + ky*m.DilationH - m.PadTop
			if iy < 0 || iy >= m.InH {
				continue
			}
			for kx := range m.KernelW {
				ix := ox*m.StrideW + kx*m.DilationW - m.PadLeft
				if ix < 0 || ix >= m.InW {
					continue
				}
				p := (n*m.InH+iy)*m.InW + ix
				if v := x[p*m.InStride+c]; at < 0 || v > best || v != v {
					best, at = v, p
				}
			}
		}
		if at >= 0 {
			dx[at*m.pixel+c] += g
		}
	}
}
