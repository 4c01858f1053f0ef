package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	alone := func(l *lowerer, n *graph.Node) string { return lowerConvGroup(l, &group{nodes: []*graph.Node{n}}) }
	lowers(alone, "", "Conv")
}

// lowerConvGroup makes one step of a float32 convolution with constant weights and what
// follows it. Everything lies channels-last.
func lowerConvGroup(l *lowerer, g *group) string {
	n := g.head()
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	x, w, b := n.In(0), n.In(1), n.In(2)
	if x.Type.DType != tensor.Float32 {
		return fmt.Sprintf("%v convolution has no kernel", x.Type.DType)
	}
	xs, _ := x.Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	ws, _ := w.Type.Static()
	win, reason := newWindow(n.Attrs, xs, ys, ws[2:])
	if reason != "" {
		return reason
	}
	if w.Const == nil || b != nil && b.Const == nil {
		if len(g.nodes) > 1 {
			return "what follows computed weights is a step of its own"
		}
		return lowerVariableConv(l, n, win)
	}
	bias := make([]float32, ys[1])
	if b != nil {
		copy(bias, b.Const.F32())
	}
	if g.bias != nil {
		for i, v := range g.bias.F32() {
			bias[i] += v
		}
	}
	if b == nil && g.bias == nil {
		bias = nil
	}
	in, inPixel := l.channelsLast(x)
	s := win.shape(xs, ys, inPixel, ys[1], int(n.Attrs.Int("group", 1)))
	var res *ref
	if g.residual != nil {
		res, s.ResStride = l.channelsLast(g.residual)
	}
	l.note(g)
	out, pixel := l.makeChannelsLast(g.out())
	s.OutStride = pixel
	opts := append(l.transforms(), l.packed(w), kernel.ChannelsFirst(), l.choice(g))
	conv, err := kernel.NewConvF32(l.level, s, w.Const.F32(), bias, g.act, res != nil, opts...)
	if err != nil {
		return l.refusal(g, err)
	}
	if conv.UsesWinograd() {
		l.applied(ruleWinograd)
	}
	l.plan.weights += 4 * (w.Const.Len() + len(bias))
	l.addConvF32(g, conv, macs(n), out, in, res)
	return ""
}

// addConvF32 adds the step of a prepared convolution or matrix product.
func (l *lowerer) addConvF32(g *group, conv *kernel.ConvF32, macs int64, out, in, res *ref) {
	st := &step{name: g.last().Label(), op: opNames(g.nodes...), kernel: conv.Name(), kernels: conv, macs: macs,
		reads: []*ref{in}, writes: []*ref{out}, units: conv.Units(), scratch: conv.ScratchBytes()}
	if res == nil {
		st.run = func(s *Session, worker, lo, hi int) {
			conv.Run(s.f32(out), s.f32(in), nil, s.scratch[worker], lo, hi)
		}
	} else {
		st.reads = []*ref{res, in}
		// The kernel reads a residual element just before it stores the result there.
		st.inPlace = sameStrides(res, out) && res.buf != in.buf
		st.run = func(s *Session, worker, lo, hi int) {
			conv.Run(s.f32(out), s.f32(in), s.f32(res), s.scratch[worker], lo, hi)
		}
	}
	l.add(st)
}
