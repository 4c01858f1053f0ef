package rewrite

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// depthBlocks describes a value [N, b·b·C, H/b, W/b] made of the pixels of an image
// [N, C, H, W] of which every b×b block became the channels of one position.
type depthBlocks struct {
	image    *graph.Value
	size     int      // b
	channels int      // C
	at       [][2]int // row and column in the block of each group of C channels
}

// blocksOf recognizes the operator SpaceToDepth, and the concatenation of strided slices
// by which exporters write it.
func (c *Context) blocksOf(v *graph.Value) *depthBlocks {
	n := v.Def
	if n == nil {
		return nil
	}
	if n.Is("SpaceToDepth") {
		s, ok := n.Inputs[0].Type.Static()
		b := int(n.Attrs.Int("blocksize", 0))
		if !ok || len(s) != 4 || b < 1 || b > 64 {
			return nil
		}
		d := &depthBlocks{image: n.Inputs[0], size: b, channels: s[1]}
		for i := range b * b {
			d.at = append(d.at, [2]int{i / b, i % b})
		}
		return d
	}
	if !n.Is("Concat") || n.Attrs.Int("axis", 0) != 1 {
		return nil
	}
	d := &depthBlocks{}
	for i, part := range n.Inputs {
		image, at, step := c.grid(part)
		s, ok := image.Type.Static()
		ps, okPart := part.Type.Static()
		if !ok || !okPart || len(s) != 4 || image.Type.DType != tensor.Float32 || step[0] != step[1] || step[0] < 2 {
			return nil
		}
		if i == 0 {
			d.image, d.size, d.channels = image, step[0], s[1]
		}
		b := d.size
		if image != d.image || step[0] != b || s[2]%b != 0 || s[3]%b != 0 || at[0] >= b || at[1] >= b ||
			slices.Contains(d.at, at) || !slices.Equal(ps, []int{s[0], s[1], s[2] / b, s[3] / b}) {
			return nil
		}
		d.at = append(d.at, at)
	}
	if len(d.at) != d.size*d.size {
		return nil
	}
	return d
}

// grid follows slices of the two last of four dimensions back to what they slice, and
// returns where they start there and how far they step.
func (c *Context) grid(v *graph.Value) (image *graph.Value, at, step [2]int) {
	step = [2]int{1, 1}
	for v.Def != nil && v.Def.Is("Slice") && len(v.Type.Shape) == 4 {
		n := v.Def
		starts, axes, steps := c.Known(n.In(1)), c.Known(n.In(3)), c.Known(n.In(4))
		if starts == nil || axes == nil || steps == nil || axes.Len() != starts.Len() || steps.Len() != starts.Len() {
			break
		}
		for i := range starts.Len() {
			k, err := op.ResolveAxis(axes.Int(i), 4)
			from, by := starts.Int(i), steps.Int(i)
			if err != nil || k < 2 || step[k-2] != 1 || at[k-2] != 0 || from < 0 || from > 64 || by < 1 || by > 64 {
				return v, at, [2]int{}
			}
			at[k-2], step[k-2] = int(from), int(by)
		}
		v = n.Inputs[0]
	}
	return v, at, step
}

// fuseSpaceToDepth reads the image itself with a kernel b times as large, at b times the
// stride: the same products, and no step that moves pixels.
func fuseSpaceToDepth(c *Context, n *graph.Node) (*Patch, error) {
	if !n.Is("Conv") || n.Attrs.Int("group", 1) != 1 || n.Attrs.String("auto_pad", "NOTSET") != "NOTSET" {
		return nil, nil
	}
	w := n.Inputs[1].Const
	if w == nil || w.DType() != tensor.Float32 || w.Rank() != 4 || slices.ContainsFunc(n.Attrs.Ints("dilations"), func(d int64) bool { return d != 1 }) {
		return nil, nil
	}
	d := c.blocksOf(n.Inputs[0])
	if d == nil || w.Dim(1) != len(d.at)*d.channels {
		return nil, nil
	}
	b, kh, kw := d.size, w.Dim(2), w.Dim(3)
	large := tensor.New(tensor.Float32, w.Dim(0), d.channels, kh*b, kw*b)
	src, dst := w.F32(), large.F32()
	for o := range w.Dim(0) {
		for i := range w.Dim(1) {
			at, ch := d.at[i/d.channels], i%d.channels
			for y := range kh {
				for x := range kw {
					dst[((o*d.channels+ch)*kh*b+y*b+at[0])*kw*b+x*b+at[1]] = src[((o*w.Dim(1)+i)*kh+y)*kw+x]
				}
			}
		}
	}
	times := func(name string, absent int64, count int) []int64 {
		v := slices.Clone(n.Attrs.Ints(name))
		if v == nil {
			v = slices.Repeat([]int64{absent}, count)
		}
		for i := range v {
			v[i] *= int64(b)
		}
		return v
	}
	return c.swapNode(n, func(m *graph.Node) {
		m.Inputs[0], m.Inputs[1] = d.image, c.Graph.Constant(n.Inputs[1].Name, large)
		m.Attrs["kernel_shape"] = []int64{int64(kh * b), int64(kw * b)}
		m.Attrs["strides"], m.Attrs["pads"] = times("strides", 1, 2), times("pads", 0, 4)
	}), nil
}
