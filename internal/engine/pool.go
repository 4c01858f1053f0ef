package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerPool, "", "MaxPool", "AveragePool")
	lowers(lowerGlobalPool, "", "GlobalAveragePool", "GlobalMaxPool")
}

// lowerPool is a pool of float32, or a maximum of bytes.
func lowerPool(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	if n.Out(1) != nil {
		return "indices have no kernel"
	}
	xs, _ := x.Type.Static()
	ys, _ := y.Type.Static()
	var size []int
	for _, k := range n.Attrs.Ints("kernel_shape") {
		size = append(size, int(k))
	}
	win, reason := newWindow(n.Attrs, xs, ys, size)
	if reason != "" {
		return reason
	}
	p := kernel.Pooling{Max: n.Op == "MaxPool", CountInclude: n.Attrs.Int("count_include_pad", 0) != 0, PadBottom: win.hi[0], PadRight: win.hi[1]}
	return l.pool(n, win, p)
}

// pool adds the step of a pool over x = input 0.
func (l *lowerer) pool(n *graph.Node, win *window, p kernel.Pooling) string {
	x, y := n.In(0), n.Outputs[0]
	xs, _ := x.Type.Static()
	ys, _ := y.Type.Static()
	if len(ys) != len(xs) { // reduced dimensions that are not kept
		ys = append(append([]int{}, ys...), 1, 1, 1)[:len(xs)]
	}
	in, inPixel := l.channelsLast(x)
	switch x.Type.DType {
	case tensor.Float32:
		op, err := kernel.NewPoolF32(l.level, win.shape(xs, ys, inPixel, xs[1], 1), p)
		if err != nil {
			return err.Error()
		}
		out, pixel := l.makeSpatial(y, ys)
		if pixel != xs[1] {
			if op, err = kernel.NewPoolF32(l.level, win.shape(xs, ys, inPixel, pixel, 1), p); err != nil {
				return err.Error()
			}
		}
		l.add(&step{name: n.Label(), op: n.Op, kernel: op.Name(), reads: []*ref{in}, writes: []*ref{out}, units: op.Units(),
			run: func(s *Session, _, lo, hi int) { op.Run(s.f32(out), s.f32(in), lo, hi) }})
		return ""
	case tensor.Uint8, tensor.Int8:
		if !p.Max {
			return "a mean of plain integers has no kernel"
		}
		q := kernel.QuantPool{Max: true, InScale: 1, OutScale: 1, Lo: 0, Hi: 255}
		op, err := kernel.NewPoolU8(l.level, win.shape(xs, ys, inPixel, xs[1], 1), q)
		if err != nil {
			return err.Error()
		}
		out, pixel := l.makeSpatial(y, ys)
		if pixel != xs[1] {
			if op, err = kernel.NewPoolU8(l.level, win.shape(xs, ys, inPixel, pixel, 1), q); err != nil {
				return err.Error()
			}
		}
		l.addPoolU8(n, op, out, in)
		return ""
	}
	return fmt.Sprintf("%v has no kernel", x.Type.DType)
}

func (l *lowerer) addPoolU8(n *graph.Node, op *kernel.PoolU8, out, in *ref) {
	l.add(&step{name: n.Label(), op: n.Op, kernel: op.Name(), reads: []*ref{in}, writes: []*ref{out}, units: op.Units(), scratch: op.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) { op.Run(s.bytes(out), s.bytes(in), s.scratch[worker], lo, hi) }})
}

// makeSpatial is makeChannelsLast for a result that may have dropped its spatial sizes of 1.
func (l *lowerer) makeSpatial(y *graph.Value, ys []int) (*ref, int) {
	if len(y.Type.Shape) == len(ys) {
		return l.makeChannelsLast(y)
	}
	s, _ := y.Type.Static()
	return l.make(y, tensor.Strides(s), nil), ys[1]
}

// lowerGlobalPool pools all positions, however many dimensions they have.
func lowerGlobalPool(l *lowerer, n *graph.Node) string {
	x := n.In(0)
	xs, _ := x.Type.Static()
	if len(xs) > 4 {
		return "kernels for three spatial dimensions are missing"
	}
	return l.pool(n, wholeWindow(xs), kernel.Pooling{Max: n.Op == "GlobalMaxPool"})
}

func wholeWindow(xs []int) *window {
	return &window{kernel: [2]int{height(xs), xs[len(xs)-1]}, stride: [2]int{1, 1}, dilation: [2]int{1, 1}}
}
