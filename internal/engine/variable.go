package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// This file lowers convolutions whose weights are computed or given with each run: they are
// packed by a step of their own into memory of the session.

// lowerVariableConv makes the steps of a convolution alone.
func lowerVariableConv(l *lowerer, n *graph.Node, win *window) string {
	x, w, b := n.In(0), n.In(1), n.In(2)
	if !isF32(n.Inputs...) {
		return "only float32 has a kernel"
	}
	xs, _ := x.Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	in, inPixel := l.channelsLast(x)
	out, pixel := l.makeChannelsLast(n.Outputs[0])
	conv, err := kernel.NewVariableConvF32(l.level, win.shape(xs, ys, inPixel, pixel, int(n.Attrs.Int("group", 1))), false, l.transforms()...)
	if err != nil {
		return err.Error()
	}
	weights := l.plain(w)
	pack := &step{reads: []*ref{weights}}
	var bias *ref
	if b != nil {
		bias = l.plain(b)
		pack.reads = append(pack.reads, bias)
	}
	packed := buffer32(n.Label()+"/packed", conv.PackedLen())
	pack.exec = func(s *Session) error {
		var bv []float32
		if bias != nil {
			bv = s.f32(bias)
		}
		conv.Pack(s.f32(packed), s.f32(weights), bv)
		return nil
	}
	l.addVariableConv(n, conv, pack, packed, out, in)
	return ""
}

// transforms are the options by which a convolution may take fewer products.
func (l *lowerer) transforms() []kernel.Option {
	if l.on(ruleWinograd) {
		return []kernel.Option{kernel.Winograd()}
	}
	return nil
}

// addVariableConv adds a step that packs and one that convolves.
func (l *lowerer) addVariableConv(n *graph.Node, conv *kernel.VariableConvF32, pack *step, packed, out, in *ref) {
	pack.name, pack.op, pack.kernel = n.Label()+"/pack", n.Op, "pack weights"
	pack.writes = append(pack.writes, packed)
	l.add(pack)
	l.add(&step{name: n.Label(), op: n.Op, kernel: conv.Name(), macs: macs(n), reads: []*ref{in, packed}, writes: []*ref{out},
		units: conv.Units(), scratch: conv.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) {
			conv.Run(s.f32(out), s.f32(in), s.f32(packed), s.scratch[worker], lo, hi)
		}})
}

// lowerVariableTransposed makes the steps of a transposed convolution alone, which is the
// gradient of a convolution by its input: of one with stride 1 as the convolution with its
// weights flipped, of another depthwise one directly. What else there is adds up taps.
func lowerVariableTransposed(l *lowerer, n *graph.Node, win *window) string {
	x, w := n.In(0), n.In(1)
	if !isF32(n.Inputs...) || n.In(2) != nil {
		return "only float32 without a bias has a kernel for weights that are not constant"
	}
	xs, _ := x.Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	groups := int(n.Attrs.Int("group", 1))
	in, inPixel := l.channelsLast(x)
	weights := l.plain(w)
	// The convolution that this leads back through.
	forward := win.shape(ys, xs, ys[1], inPixel, groups)
	if groups > 1 && groups == xs[1] && groups == ys[1] && win.stride != [2]int{1, 1} {
		out, pixel := l.makeChannelsLast(n.Outputs[0])
		forward.InStride = pixel
		d, err := kernel.NewDepthwiseBackF32(l.level, forward)
		if err != nil {
			return err.Error()
		}
		turned := buffer32(n.Label()+"/turned", d.WeightsLen())
		l.add(&step{name: n.Label() + "/turn", op: n.Op, kernel: "turn weights", reads: []*ref{weights}, writes: []*ref{turned}, exec: func(s *Session) error {
			d.Turn(s.f32(turned), s.f32(weights))
			return nil
		}})
		l.add(&step{name: n.Label(), op: n.Op, kernel: d.Name(), macs: macs(n), reads: []*ref{in, turned}, writes: []*ref{out}, units: d.Units(),
			run: func(s *Session, _, lo, hi int) { d.Run(s.f32(out), s.f32(in), s.f32(turned), lo, hi) }})
		return ""
	}
	if win.stride != [2]int{1, 1} {
		if b, err := kernel.NewStridedBackF32(l.level, forward); err == nil && l.target[n.Outputs[0]] == nil {
			l.addStridedBack(n, b, weights, in)
			return ""
		}
	}
	back := win.shape(xs, ys, inPixel, ys[1], groups)
	back.PadTop, back.PadLeft = (win.kernel[0]-1)*win.dilation[0]-win.lo[0], (win.kernel[1]-1)*win.dilation[1]-win.lo[1]
	if win.stride != [2]int{1, 1} || back.PadTop < 0 || back.PadLeft < 0 {
		return l.variableTaps(n, win, in, inPixel, weights)
	}
	out, pixel := l.makeChannelsLast(n.Outputs[0])
	back.OutStride = pixel
	conv, err := kernel.NewVariableConvF32(l.level, back, true, l.transforms()...)
	if err != nil {
		return err.Error()
	}
	packed := buffer32(n.Label()+"/packed", conv.PackedLen())
	pack := &step{reads: []*ref{weights}}
	pack.exec = func(s *Session) error {
		conv.Pack(s.f32(packed), s.f32(weights), nil)
		return nil
	}
	l.addVariableConv(n, conv, pack, packed, out, in)
	return ""
}

// addStridedBack adds a step that packs and one that goes back through a convolution with
// strides.
func (l *lowerer) addStridedBack(n *graph.Node, b *kernel.StridedBackF32, weights, in *ref) {
	packed := buffer32(n.Label()+"/packed", b.PackedLen())
	l.add(&step{name: n.Label() + "/pack", op: n.Op, kernel: "pack weights", reads: []*ref{weights}, writes: []*ref{packed}, exec: func(s *Session) error {
		b.Pack(s.f32(packed), s.f32(weights))
		return nil
	}})
	out, _ := l.makeChannelsLast(n.Outputs[0])
	l.add(&step{name: n.Label(), op: n.Op, kernel: b.Name(), macs: macs(n), reads: []*ref{in, packed}, writes: []*ref{out}, units: b.Units(), scratch: b.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) {
			b.Run(s.f32(out), s.f32(in), s.f32(packed), s.scratch[worker], lo, hi)
		}})
}

// variableTaps computes what each tap adds to the output as a pointwise convolution and
// gathers the taps that meet, as lowerTransposedGroup does.
func (l *lowerer) variableTaps(n *graph.Node, win *window, in *ref, inPixel int, weights *ref) string {
	xs, _ := n.In(0).Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	groups, taps := int(n.Attrs.Int("group", 1)), win.kernel[0]*win.kernel[1]
	wide := taps * ys[1]
	shape := rowsShape(xs[0]*height(xs)*xs[len(xs)-1], xs[1], wide)
	shape.InStride, shape.Groups = inPixel, groups
	conv, err := kernel.NewVariableConvF32(l.level, shape, false)
	if err != nil {
		return err.Error()
	}
	packed := buffer32(n.Label()+"/packed", conv.PackedLen())
	products := &ref{dtype: tensor.Float32, shape: []int{shape.InW, wide}, strides: []int{wide, 1}, buf: &buffer{name: n.Label() + "/taps"}}
	products.buf.size = products.span()
	wshape, _ := n.In(1).Type.Static()
	// The order by taps is a fixed shuffle of the weights.
	order := tapOrder(wshape, groups)
	pack := &step{reads: []*ref{weights}}
	shuffled := buffer32(n.Label()+"/shuffled", len(order))
	pack.writes = []*ref{shuffled}
	pack.exec = func(s *Session) error {
		to, from := s.f32(shuffled), s.f32(weights)
		for i, k := range order {
			to[i] = from[k]
		}
		conv.Pack(s.f32(packed), to, nil)
		return nil
	}
	l.addVariableConv(n, conv, pack, packed, products, in)
	out, pixel := l.makeChannelsLast(n.Outputs[0])
	t := win.gather(xs, ys, groups, pixel, l.level)
	l.add(&step{name: n.Label() + "/gather", op: n.Op, kernel: "gather taps", reads: []*ref{products}, writes: []*ref{out}, units: t.batch * t.outH,
		run: func(s *Session, _, lo, hi int) { t.run(s.f32(out), s.f32(products), nil, lo, hi) }})
	return ""
}
