package engine

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerResize, "", "Resize")
	lowers(lowerPad, "", "Pad")
}

var coordinates = map[string]kernel.Coordinates{"half_pixel": kernel.HalfPixel, "half_pixel_symmetric": kernel.HalfPixelSymmetric,
	"pytorch_half_pixel": kernel.PytorchHalfPixel, "align_corners": kernel.AlignCorners, "asymmetric": kernel.Asymmetric}

var nearest = map[string]kernel.Nearest{"round_prefer_floor": kernel.RoundPreferFloor, "round_prefer_ceil": kernel.RoundPreferCeil,
	"floor": kernel.Floor, "ceil": kernel.Ceil}

// lowerResize scales the two last of four dimensions.
func lowerResize(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	xs, _ := x.Type.Static()
	ys, _ := y.Type.Static()
	mode := n.Attrs.String("mode", "nearest")
	c, okC := coordinates[n.Attrs.String("coordinate_transformation_mode", "half_pixel")]
	r, okR := nearest[n.Attrs.String("nearest_mode", "round_prefer_floor")]
	switch {
	case len(xs) != 4 || xs[0] != ys[0] || xs[1] != ys[1]:
		return "only the two last of four dimensions have a kernel"
	case !okC || !okR || mode != "nearest" && mode != "linear" || n.Attrs.Int("antialias", 0) != 0 || n.Attrs.Int("exclude_outside", 0) != 0:
		return fmt.Sprintf("mode %s of this form has no kernel", mode)
	case n.Attrs.String("keep_aspect_ratio_policy", "stretch") != "stretch":
		return "a kept aspect ratio has no kernel"
	case !isF32(x) && !(mode == "nearest" && isByte(x.Type.DType)):
		return fmt.Sprintf("%v has no kernel", x.Type.DType)
	}
	s := kernel.ResizeShape{Batch: xs[0], InH: xs[2], InW: xs[3], OutH: ys[2], OutW: ys[3], C: xs[1], Coordinates: c, Linear: mode == "linear", Nearest: r}
	if scales := n.In(2); scales != nil && (scales.Const == nil || scales.Const.Len() > 0) {
		if scales.Const == nil || scales.Const.DType() != tensor.Float32 {
			return "the scales depend on data"
		}
		v := scales.Const.F32()
		if len(v) < 2 {
			return "the scales do not cover both dimensions"
		}
		axes := n.Attrs.Ints("axes")
		if axes != nil && (len(axes) != 2 || (axes[0]+4)%4 != 2 || (axes[1]+4)%4 != 3) {
			return "only the two last of four dimensions have a kernel"
		}
		s.ScaleH, s.ScaleW = float64(v[len(v)-2]), float64(v[len(v)-1])
	}
	if !isF32(x) {
		return l.nearestBytes(n, s)
	}
	in, inPixel := l.channelsLast(x)
	s.InStride, s.OutStride = inPixel, xs[1]
	if _, err := kernel.NewResizeF32(l.level, s); err != nil {
		return err.Error()
	}
	out, pixel := l.makeChannelsLast(y)
	s.OutStride = pixel
	k, err := kernel.NewResizeF32(l.level, s)
	if err != nil {
		panic("engine: a resize accepts one stride and not another: " + err.Error())
	}
	l.add(&step{name: n.Label(), op: n.Op, kernel: k.Name(), reads: []*ref{in}, writes: []*ref{out}, units: k.Units(), scratch: k.ScratchBytes(),
		run: func(ses *Session, worker, lo, hi int) { k.Run(ses.f32(out), ses.f32(in), ses.scratch[worker], lo, hi) }})
	return ""
}

// nearestBytes copies pixels. Which ones, the float32 kernel is asked once at compile
// time, by resizing pictures whose values are the coordinates.
func (l *lowerer) nearestBytes(n *graph.Node, s kernel.ResizeShape) string {
	rows, err := nearestIndices(s.InH, s.OutH, kernel.ResizeShape{Batch: 1, InH: s.InH, InW: 1, OutH: s.OutH, OutW: 1, C: 1, InStride: 1, OutStride: 1,
		ScaleH: s.ScaleH, Coordinates: s.Coordinates, Nearest: s.Nearest})
	if err != nil {
		return err.Error()
	}
	cols, err := nearestIndices(s.InW, s.OutW, kernel.ResizeShape{Batch: 1, InH: 1, InW: s.InW, OutH: 1, OutW: s.OutW, C: 1, InStride: 1, OutStride: 1,
		ScaleW: s.ScaleW, Coordinates: s.Coordinates, Nearest: s.Nearest})
	if err != nil {
		return err.Error()
	}
	in, inPixel := l.channelsLast(n.In(0))
	out, pixel := l.makeChannelsLast(n.Outputs[0])
	l.add(&step{name: n.Label(), op: n.Op, kernel: "resize nearest u8", reads: []*ref{in}, writes: []*ref{out}, units: s.Batch * s.OutH,
		run: func(ses *Session, _, lo, hi int) {
			x, y := ses.bytes(in), ses.bytes(out)
			for u := lo; u < hi; u++ {
				src := (u/s.OutH*s.InH + rows[u%s.OutH]) * s.InW
				for i, c := range cols {
					at := (u*s.OutW + i) * pixel
					copy(y[at:at+s.C], x[(src+c)*inPixel:])
				}
			}
		}})
	return ""
}

func nearestIndices(in, out int, s kernel.ResizeShape) ([]int, error) {
	if in >= 1<<24 {
		return nil, fmt.Errorf("size %d is too large for a nearest resize of bytes", in)
	}
	k, err := kernel.NewResizeF32(0, s)
	if err != nil {
		return nil, err
	}
	x, y := make([]float32, in), make([]float32, out)
	for i := range x {
		x[i] = float32(i)
	}
	k.Run(y, x, nil, 0, k.Units())
	idx := make([]int, out)
	for i, v := range y {
		idx[i] = int(v)
	}
	return idx, nil
}

// lowerPad surrounds a tensor with a constant, in which case the border is written and then
// the inside, or with elements of its own, which are copied from the inside outwards.
func lowerPad(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	pads, value, axes := n.In(1), n.In(2), n.In(3)
	d := x.Type.DType
	switch {
	case pads.Const == nil || axes != nil && axes.Const == nil || value != nil && (value.Const == nil || value.Const.Len() != 1 || value.Const.DType() != d):
		return "the border depends on data"
	}
	xs, _ := x.Type.Static()
	ys, _ := y.Type.Static()
	before := make([]int, len(xs))
	for i, p := range pads.Const.Ints() {
		if p < 0 {
			return "a negative pad has no kernel"
		}
		k := i
		if half := pads.Const.Len() / 2; axes != nil {
			a := axes.Const.Int(i % half)
			if a < 0 {
				a += int64(len(xs))
			}
			k = int(a)
			if i < half {
				before[k] = int(p)
			}
		} else if i < half {
			before[k] = int(p)
		}
	}
	in := l.first(x)
	if in.biased != (d == tensor.Int8) {
		in = l.plainBytes(x)
	}
	strides := tensor.Strides(ys)
	if _, ok := in.channelsLast(); ok && !in.plain() {
		strides = channelsLastStrides(ys, ys[1])
	}
	out := l.make(y, strides, nil)
	fill := make([]byte, out.elem())
	if value != nil {
		copy(fill, value.Const.Bytes())
	}
	if out.biased {
		fill[0] ^= 0x80
	}
	off := 0
	for i, p := range before {
		off += p * out.strides[i]
	}
	inside := out.view(xs, out.strides, off)
	m := newMove(l.level, inside, in)
	if mode := n.Attrs.String("mode", "constant"); mode != "constant" {
		return l.padWithItself(n, mode, before, in, inside, out)
	}
	// One unit writes the border and one thread the inside: pads are small.
	l.add(&step{name: n.Label(), op: n.Op, kernel: "pad", reads: []*ref{in}, writes: []*ref{out}, units: 1,
		run: func(s *Session, _, _, _ int) {
			fillBytes(s.bytes(out), fill)
			m.Run(s.bytes(inside), s.bytes(in), 0, m.Units())
		}})
	return ""
}

// maxBorder bounds the copies that a border takes.
const maxBorder = 1024

// padWithItself copies the inside and then, for one dimension after the other, every index
// of the border from the index that the mode names, over all that is filled by then.
func (l *lowerer) padWithItself(n *graph.Node, mode string, before []int, in, inside, out *ref) string {
	type slab struct {
		move     *kernel.Move
		dst, src *ref
	}
	slabs := []slab{{newMove(l.level, inside, in), inside, in}}
	shape, off := slices.Clone(in.shape), 0
	for i, p := range before {
		off += p * out.strides[i]
	}
	for axis, size := range in.shape {
		off -= before[axis] * out.strides[axis]
		shape[axis] = 1
		for i := range out.shape[axis] {
			k := i - before[axis]
			if k >= 0 && k < size {
				continue
			}
			from, err := op.BorderIndex(k, size, mode)
			if err != nil {
				return err.Error()
			}
			if len(slabs) > maxBorder {
				return "so wide a border has no kernel"
			}
			s := slices.Clone(shape)
			dst, src := out.view(s, out.strides, off+i*out.strides[axis]), out.view(s, out.strides, off+(before[axis]+from)*out.strides[axis])
			slabs = append(slabs, slab{newMove(l.level, dst, src), dst, src})
		}
		shape[axis] = out.shape[axis]
	}
	l.add(&step{name: n.Label(), op: n.Op, kernel: "pad " + mode, reads: []*ref{in}, writes: []*ref{out}, units: 1,
		run: func(s *Session, _, _, _ int) {
			for _, p := range slabs {
				p.move.Run(s.bytes(p.dst), s.bytes(p.src), 0, p.move.Units())
			}
		}})
	return ""
}

// fillBytes repeats a pattern whose length divides that of dst.
func fillBytes(dst, pattern []byte) {
	if len(dst) == 0 {
		return
	}
	n := copy(dst, pattern)
	for n < len(dst) {
		n += copy(dst[n:], dst[:n])
	}
}
