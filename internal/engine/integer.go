package engine

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerDynamicQuantize, "", "DynamicQuantizeLinear")
	alone := func(l *lowerer, n *graph.Node) string { return lowerIntegerGroup(l, &group{nodes: []*graph.Node{n}}) }
	lowers(alone, "", "ConvInteger", "MatMulInteger")
	lowers(lowerCast, "", "Cast")
}

// lowerDynamicQuantize finds the range of a tensor and quantizes by it: two steps, since
// the second needs all of the first.
func lowerDynamicQuantize(l *lowerer, n *graph.Node) string {
	x := n.In(0)
	if !isF32(x) || n.Out(0) == nil || n.Out(1) == nil || n.Out(2) == nil {
		return "this form has no kernel"
	}
	in := l.dense(x)
	out := l.make(n.Outputs[0], in.strides, nil)
	scale, zero := l.make(n.Outputs[1], []int{}, nil), l.make(n.Outputs[2], []int{}, nil)
	level, total := l.level, in.len()
	l.add(&step{name: n.Label(), op: n.Op, kernel: "range f32", reads: []*ref{in}, writes: []*ref{scale, zero}, units: 1,
		run: func(s *Session, _, _, _ int) {
			sc, z := kernel.DynamicScaleU8(kernel.RangeF32(level, s.f32(in)))
			s.f32(scale)[0], s.bytes(zero)[0] = sc, z
		}})
	l.add(&step{name: n.Label(), op: n.Op, kernel: "quantize u8", reads: []*ref{in, scale, zero}, writes: []*ref{out},
		units: (total + unitElements - 1) / unitElements,
		run: func(s *Session, _, lo, hi int) {
			a, b := lo*unitElements, min(hi*unitElements, total)
			kernel.QuantizeU8(level, s.bytes(out)[a:b], s.f32(in)[a:b], s.f32(scale)[0], s.bytes(zero)[0], 0, 255)
		}})
	return ""
}

// integerChain is an integer product, its conversion to float32, the multiplication with
// the product of the scales, and a constant addend per channel.
func (l *lowerer) integerChain(n *graph.Node) *group {
	shape, ok := n.Outputs[0].Type.Static()
	if !ok || !l.on(ruleDynamic) {
		return nil
	}
	channel := len(shape) - 1
	if n.Op == "ConvInteger" {
		channel = 1
	}
	g := &group{nodes: []*graph.Node{n}, lower: lowerIntegerGroup}
	cast := l.next(g.out())
	if cast == nil || !cast.Is("Cast") || cast.Outputs[0].Type.DType != tensor.Float32 {
		return nil
	}
	mul := l.next(cast.Outputs[0])
	if mul == nil || !mul.Is("Mul") {
		return nil
	}
	scales := mul.Inputs[0]
	if scales == cast.Outputs[0] {
		scales = mul.Inputs[1]
	}
	s := scales.Def
	if s == nil || !s.Is("Mul") || l.next(scales) != mul || l.groups[s] != nil {
		return nil
	}
	x, w := s.Inputs[0], s.Inputs[1]
	if x.Const != nil {
		x, w = w, x
	}
	if xs, ok := x.Type.Static(); !ok || x.Const != nil || !isF32(x) || !slices.Equal(xs, []int{}) && !slices.Equal(xs, []int{1}) {
		return nil
	}
	if g.scales = perChannel(w, shape, channel); g.scales == nil {
		return nil
	}
	g.scale = x
	g.nodes = append(g.nodes, s, cast)
	g.take(mul, ruleDynamic)
	if m := l.next(g.out()); m != nil && m.Is("Add") {
		other := m.Inputs[0]
		if other == g.out() {
			other = m.Inputs[1]
		}
		if b := perChannel(other, shape, channel); b != nil && l.on(ruleBias) {
			g.bias = b
			g.take(m, ruleBias)
		}
	}
	return g
}

// lowerIntegerGroup makes steps of a product of bytes with constant weights: to int32, or
// to float32 where the scales follow.
func lowerIntegerGroup(l *lowerer, g *group) string {
	n := g.head()
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	x, w, xz, wz := n.In(0), n.In(1), n.In(2), n.In(3)
	xs, _ := x.Type.Static()
	ws, _ := w.Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	conv := n.Op == "ConvInteger"
	switch {
	case w.Const == nil || !isByte(w.Const.DType()) || !isByte(x.Type.DType):
		return "the weights are not a constant of 8 bits"
	case !conv && (len(ws) != 2 || len(xs) < 2):
		return "the product's form has no kernel"
	case xz != nil && (len(xz.Type.Shape) > 1 || l.size(xz) != 1):
		return "zero points per row have no kernel"
	case wz != nil && wz.Const == nil:
		return "the weights' zero point is not constant"
	}
	channels := ys[len(ys)-1]
	if conv {
		channels = ys[1]
	}
	q := kernel.QuantConv{Lo: 0, Hi: 255}
	shift := int32(offset(tensor.Int8) - offset(w.Const.DType()))
	zeros, some := []int32{-shift}, shift != 0
	if wz != nil {
		if wz.Const.Len() != 1 && wz.Const.Len() != channels {
			return "the weights' zero points are not per channel"
		}
		zeros = zeros[:0]
		for _, z := range wz.Const.Ints() {
			zeros = append(zeros, int32(z)-shift)
			some = some || int32(z) != shift
		}
	}
	if some {
		q.WeightZero = zeros
	}
	weights := l.signedWeights(w.Const, conv, false)
	var s kernel.ConvShape
	var in, out *ref
	if conv {
		win, reason := newWindow(n.Attrs, xs, ys, ws[2:])
		if reason != "" {
			return reason
		}
		if xz == nil && (win.lo != [2]int{} || win.hi != [2]int{}) && x.Type.DType == tensor.Int8 {
			return "a border of int8 zeros has no kernel"
		}
		var pixel int
		in, pixel = l.channelsLast(x)
		s = win.shape(xs, ys, pixel, channels, int(n.Attrs.Int("group", 1)))
	} else {
		m := 1
		for _, d := range xs[:len(xs)-1] {
			m *= d
		}
		s = rowsShape(m, ws[0], channels)
		in = l.plainBytes(x)
	}
	var zero *ref
	fixed := uint8(offset(x.Type.DType))
	if xz != nil {
		zero = l.plainBytes(xz)
	}
	prepare := func() (*kernel.ConvU8, error) { return kernel.NewConvU8(l.level, s, weights, q, l.choice(g)) }
	op, err := prepare()
	if err != nil {
		return l.refusal(g, err)
	}
	if conv {
		out, s.OutStride = l.makeChannelsLast(g.out())
		if s.OutStride != channels {
			if op, err = prepare(); err != nil {
				panic("engine: a convolution accepts one stride and not another: " + err.Error())
			}
		}
	} else {
		out = l.make(g.out(), tensor.Strides(ys), nil)
	}
	l.plan.weights += len(weights)
	st := &step{name: g.last().Label(), op: opNames(g.nodes...), kernel: op.Name(), kernels: op, macs: macs(n), reads: []*ref{in}, writes: []*ref{out},
		units: op.Units(), scratch: op.ScratchBytes()}
	if zero != nil {
		st.reads = append(st.reads, zero)
	}
	zeroOf := func(s *Session) uint8 {
		if zero == nil {
			return fixed
		}
		return s.bytes(zero)[0]
	}
	if g.scales == nil {
		st.run = func(s *Session, worker, lo, hi int) {
			op.RunI32(s.i32(out), s.bytes(in), zeroOf(s), s.scratch[worker], lo, hi)
		}
		l.add(st)
		return ""
	}
	level := l.level
	scale, factors := l.plain(g.scale), g.scales.F32()
	mult := &ref{dtype: tensor.Float32, shape: []int{channels}, strides: []int{1}, buf: &buffer{name: n.Label() + "_scales"}}
	mult.buf.size = mult.span()
	l.add(&step{name: g.nodes[1].Label(), op: "Mul", kernel: "scales", reads: []*ref{scale}, writes: []*ref{mult}, units: 1,
		run: func(s *Session, _, _, _ int) { kernel.Mul.Apply(level, s.f32(mult), factors, s.f32(scale)[:1]) }})
	l.note(g)
	var bias []float32
	if g.bias != nil {
		bias = g.bias.F32()
	}
	st.reads = append(st.reads, mult)
	st.run = func(s *Session, worker, lo, hi int) {
		op.RunF32(s.f32(out), s.bytes(in), zeroOf(s), s.f32(mult), bias, s.scratch[worker], lo, hi)
	}
	l.add(st)
	return ""
}

func (l *lowerer) size(v *graph.Value) int {
	s, _ := v.Type.Static()
	n := 1
	for _, d := range s {
		n *= d
	}
	return n
}

// lowerCast covers the conversions that networks use on data.
func lowerCast(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	from, to := x.Type.DType, y.Type.DType
	if from == to {
		l.show(n, y, l.first(x))
		return ""
	}
	var f func(s *Session, out, in *ref, a, b int)
	switch {
	case from == tensor.Int32 && to == tensor.Float32:
		f = func(s *Session, out, in *ref, a, b int) {
			dst := s.f32(out)[a:b]
			for i, v := range s.i32(in)[a:b] {
				dst[i] = float32(v)
			}
		}
	case from == tensor.Int64 && to == tensor.Float32:
		f = func(s *Session, out, in *ref, a, b int) {
			dst := s.f32(out)[a:b]
			for i, v := range sliceOf[int64](s.bytes(in))[a:b] {
				dst[i] = float32(v)
			}
		}
	case from == tensor.Uint8 && to == tensor.Float32:
		f = func(s *Session, out, in *ref, a, b int) {
			dst := s.f32(out)[a:b]
			for i, v := range s.bytes(in)[a:b] {
				dst[i] = float32(v)
			}
		}
	case from == tensor.Float16 && to == tensor.Float32:
		level := l.level
		f = func(s *Session, out, in *ref, a, b int) {
			kernel.F16ToF32(level, s.f32(out)[a:b], sliceOf[uint16](s.bytes(in))[a:b])
		}
	default:
		return fmt.Sprintf("%v to %v has no kernel", from, to)
	}
	in := l.dense(x)
	out := l.make(y, in.strides, nil)
	total := in.len()
	l.add(&step{name: n.Label(), op: n.Op, kernel: "cast", reads: []*ref{in}, writes: []*ref{out}, units: (total + unitElements - 1) / unitElements,
		run: func(s *Session, _, lo, hi int) { f(s, out, in, lo*unitElements, min(hi*unitElements, total)) }})
	return ""
}
