package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	alone := func(l *lowerer, n *graph.Node) string {
		return lowerTransposedGroup(l, &group{nodes: []*graph.Node{n}})
	}
	lowers(alone, "", "ConvTranspose")
}

// lowerTransposedGroup makes two steps of a transposed convolution and what follows it:
// a pointwise convolution that computes, for every input position, what each tap of the
// kernel adds to the output, and a step that gathers for every output position the taps
// that meet there. No product is computed twice or with an inserted zero.
func lowerTransposedGroup(l *lowerer, g *group) string {
	n := g.head()
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	x, w, b := n.In(0), n.In(1), n.In(2)
	switch {
	case x.Type.DType != tensor.Float32:
		return fmt.Sprintf("%v has no kernel", x.Type.DType)
	case n.Attrs.Has("output_shape"):
		return "a given output_shape has no kernel"
	}
	xs, _ := x.Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	if a := n.Attrs.String("auto_pad", "NOTSET"); a != "NOTSET" && a != "VALID" && a != "" {
		return "automatic padding has no kernel"
	}
	ws, _ := w.Type.Static()
	win, reason := newWindow(n.Attrs, xs, ys, ws[2:])
	if reason != "" {
		return reason
	}
	if w.Const == nil || b != nil && b.Const == nil {
		if len(g.nodes) > 1 {
			return "what follows computed weights is a step of its own"
		}
		return lowerVariableTransposed(l, n, win)
	}
	groups := int(n.Attrs.Int("group", 1))
	taps := win.kernel[0] * win.kernel[1]
	channels := ys[1]
	// What needs no products of single taps does without their memory, at the price of
	// turning the weights at every run.
	depthwise := groups > 1 && groups == xs[1] && groups == channels
	if len(g.nodes) == 1 && b == nil && taps > 1 && (depthwise || win.stride == [2]int{1, 1}) {
		return lowerVariableTransposed(l, n, win)
	}
	bias := make([]float32, channels)
	if b != nil {
		copy(bias, b.Const.F32())
	}
	if g.bias != nil {
		for i, v := range g.bias.F32() {
			bias[i] += v
		}
	}
	in, inPixel := l.channelsLast(x)
	out, pixel := l.makeChannelsLast(g.out())
	if g.fitsPatches(win, out, groups) {
		return lowerPatches(l, g, win, in, out, inPixel, bias)
	}
	wide := taps * channels
	shape := rowsShape(xs[0]*height(xs)*xs[len(xs)-1], xs[1], wide)
	shape.InStride, shape.Groups = inPixel, groups
	conv, err := kernel.NewConvF32(l.level, shape, tapsFirst(w.Const, groups), nil, kernel.Act{}, false, l.packing())
	if err != nil {
		return err.Error()
	}
	var res *ref
	resPixel := 0
	if g.residual != nil {
		res, resPixel = l.channelsLast(g.residual)
	}
	products := &ref{dtype: tensor.Float32, shape: []int{shape.InW, wide}, strides: []int{wide, 1}, buf: &buffer{name: n.Label() + "_taps"}}
	products.buf.size = products.span()
	l.plan.weights += len(w.Const.Bytes()) + 4*len(bias)
	l.addConvF32(&group{nodes: []*graph.Node{n}}, conv, macs(n), products, in, nil)
	t := win.gather(xs, ys, groups, pixel, l.level)
	t.resPixel, t.bias, t.act = resPixel, bias, g.act
	l.note(g)
	st := &step{name: g.last().Label(), op: opNames(g.nodes...), kernel: "gather taps", reads: []*ref{products}, writes: []*ref{out}, units: t.batch * t.outH}
	if res != nil {
		st.reads = append(st.reads, res)
	}
	st.run = func(s *Session, _, lo, hi int) {
		var r []float32
		if res != nil {
			r = s.f32(res)
		}
		t.run(s.f32(out), s.f32(products), r, lo, hi)
	}
	l.add(st)
	return ""
}

// tapsFirst returns weights [C, M/group, spatial...] as those of a pointwise convolution
// with output channels in the order group, tap, channel within the group.
func tapsFirst(w *tensor.Tensor, groups int) []float32 {
	src, out := w.F32(), make([]float32, w.Len())
	for i, k := range tapOrder(w.Shape(), groups) {
		out[i] = src[k]
	}
	return out
}

// tapOrder returns which element of weights [C, M/group, spatial...] stands where once
// their taps come first.
func tapOrder(shape []int, groups int) []int {
	c, m, taps := shape[0]/groups, shape[1], 1
	for _, k := range shape[2:] {
		taps *= k
	}
	out := make([]int, shape[0]*m*taps)
	for g := range groups {
		for i := range c {
			for o := range m {
				for t := range taps {
					out[((g*taps+t)*m+o)*c+i] = ((g*c+i)*m+o)*taps + t
				}
			}
		}
	}
	return out
}

// gather adds up the taps of a transposed convolution. A unit is one output row.
type gather struct {
	batch, inH, inW, outH, outW       int
	channels, groups, pixel, resPixel int
	taps, kernelW                     int
	rows, cols                        [][]tapAt // that meet at each output row and column
	bias                              []float32
	act                               kernel.Act
	level                             cpu.Level
}

// gather prepares the sum of the taps of a transposed convolution from shape xs to ys,
// without a bias.
func (w *window) gather(xs, ys []int, groups, pixel int, level cpu.Level) *gather {
	return &gather{
		batch: xs[0], inH: height(xs), inW: xs[len(xs)-1], outH: height(ys), outW: ys[len(ys)-1], channels: ys[1],
		groups: groups, pixel: pixel, taps: w.kernel[0] * w.kernel[1], kernelW: w.kernel[1],
		rows: w.meeting(0, height(xs), height(ys)), cols: w.meeting(1, xs[len(xs)-1], ys[len(ys)-1]),
		bias: make([]float32, ys[1]), level: level,
	}
}

// tapAt is a position of the kernel along one axis and the input position it comes from.
type tapAt struct{ tap, from int }

// meeting lists the taps for every output position of axis i.
func (w *window) meeting(i, in, out int) [][]tapAt {
	all := make([][]tapAt, out)
	for y := range all {
		for k := range w.kernel[i] {
			at := y + w.lo[i] - k*w.dilation[i]
			if at >= 0 && at%w.stride[i] == 0 && at/w.stride[i] < in {
				all[y] = append(all[y], tapAt{k, at / w.stride[i]})
			}
		}
	}
	return all
}

// shortRow is the number of channels below which a kernel call costs more than it saves.
const shortRow = 16

func (t *gather) run(dst, src, res []float32, lo, hi int) {
	wide := t.taps * t.channels
	for u := lo; u < hi; u++ {
		image, y := u/t.outH, u%t.outH
		for x := range t.outW {
			at := u*t.outW + x
			out := dst[at*t.pixel : at*t.pixel+t.channels]
			copy(out, t.bias)
			if res != nil {
				kernel.Add.Apply(t.level, out, out, res[at*t.resPixel:][:t.channels])
			}
			for _, r := range t.rows[y] {
				for _, c := range t.cols[x] {
					row := src[((image*t.inH+r.from)*t.inW+c.from)*wide:][:wide]
					t.add(out, row, r.tap*t.kernelW+c.tap)
				}
			}
		}
		if t.act.Kind == kernel.ActNone {
			continue
		}
		row := dst[u*t.outW*t.pixel:]
		if t.pixel == t.channels {
			t.act.Apply(t.level, row[:t.outW*t.pixel], row[:t.outW*t.pixel])
			continue
		}
		for x := range t.outW {
			out := row[x*t.pixel:][:t.channels]
			t.act.Apply(t.level, out, out)
		}
	}
}

// add adds one tap's products to the channels of an output position.
func (t *gather) add(out, row []float32, tap int) {
	per := t.channels / t.groups
	for g := range t.groups {
		d, v := out[g*per:(g+1)*per], row[(g*t.taps+tap)*per:][:per]
		if per >= shortRow {
			kernel.Add.Apply(t.level, d, d, v)
			continue
		}
		for i, x := range v {
			d[i] += x
		}
	}
}
