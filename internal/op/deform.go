package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// deformOps are the relatives of convolution that move data irregularly.
func deformOps() []Def {
	return []Def{
		{Name: "DeformConv", In: "X W offset B? mask?", Out: "Y",
			Attrs: "dilations:ints group:int kernel_shape:ints offset_group:int pads:ints strides:ints",
			Infer: inferConv(1), Eval: evalDeformConv, MACs: convMACs(1)},
		{Name: "Col2Im", In: "input image_shape block_shape", Out: "output", Attrs: "dilations:ints pads:ints strides:ints",
			Infer: inferCol2Im, Eval: evalCol2Im},
	}
}

// evalDeformConv reads every tap at a fractional displacement of its own (Dai et al. 2017)
// times a mask (Zhu et al. 2019). Offsets are [N, offset_group·kh·kw·2, oh, ow], y before
// x; outside the input there are zeros.
func evalDeformConv(e *Eval) error {
	x, w, off := e.float(0), e.float(1), e.float(2)
	if x.Rank() != 4 {
		e.Fail("X %v: only two spatial dimensions are supported", x)
	}
	c := e.convolution(x, w)
	groups := int(e.Attrs().Int("offset_group", 1))
	taps, places := volume(c.kernel), volume(c.out)
	if groups < 1 || c.cin%groups != 0 {
		e.Fail("offset_group=%d does not divide %d channels", groups, c.cin)
	}
	if want := []int{c.batch, groups * taps * 2, c.out[0], c.out[1]}; !slices.Equal(off.Shape(), want) {
		e.Fail("offset %v has not the shape %v", off, want)
	}
	mask := func(int) float64 { return 1 }
	if e.Has(4) {
		m := e.float(4)
		if want := []int{c.batch, groups * taps, c.out[0], c.out[1]}; !slices.Equal(m.Shape(), want) {
			e.Fail("mask %v has not the shape %v", m, want)
		}
		mask = m.Float
	}
	h, width := c.in[0], c.in[1]
	perIn, perOut, perOffset := c.cin/c.group, c.cout/c.group, c.cin/groups
	src, weights, bias := x.Floats(), w.Floats(), e.bias(3, c.cout)
	y := e.scratch(c.shape...)
	for n := range c.batch {
		for ch := range c.cin {
			plane := src[(n*c.cin+ch)*h*width:][:h*width]
			for tap := range taps {
				row := (n*groups+ch/perOffset)*taps + tap
				for o := range places {
					py := float64(o/c.out[1]*c.stride[0]-c.lo[0]+tap/c.kernel[1]*c.dilation[0]) + off.Float(row*2*places+o)
					px := float64(o%c.out[1]*c.stride[1]-c.lo[1]+tap%c.kernel[1]*c.dilation[1]) + off.Float((row*2+1)*places+o)
					v := bilinear(plane, h, width, py, px) * mask(row*places+o)
					g, i := ch/perIn, ch%perIn
					for m := g * perOut; m < (g+1)*perOut; m++ {
						y[(n*c.cout+m)*places+o] += v * weights[(m*perIn+i)*taps+tap]
					}
				}
			}
		}
		for m := range bias {
			for o := range places {
				y[(n*c.cout+m)*places+o] += bias[m]
			}
		}
	}
	e.store(0, x.DType(), y, c.shape...)
	return nil
}

// bilinear reads a plane between its cells; outside there are zeros.
func bilinear(plane []float64, h, w int, y, x float64) float64 {
	if !(y > -1 && y < float64(h) && x > -1 && x < float64(w)) {
		return 0
	}
	y0, x0 := int(math.Floor(y)), int(math.Floor(x))
	fy, fx := y-float64(y0), x-float64(x0)
	at := func(y, x int) float64 {
		if y < 0 || y >= h || x < 0 || x >= w {
			return 0
		}
		return plane[y*w+x]
	}
	return (1-fy)*((1-fx)*at(y0, x0)+fx*at(y0, x0+1)) + fy*((1-fx)*at(y0+1, x0)+fx*at(y0+1, x0+1))
}

func inferCol2Im(c *Infer) error {
	s := c.Shape(0)
	if s.Ranked() && len(s) != 3 {
		return fmt.Errorf("input %v has not rank 3", s)
	}
	image, ok := c.KnownInts(1)
	block, ok2 := c.KnownInts(2)
	if !ok || !s.Ranked() {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	out := graph.Shape{s[0], graph.Unknown}
	if ok2 && s[1].Known() {
		vol := int64(1)
		for _, b := range block {
			vol *= b
		}
		if vol < 1 || int64(s[1].Size)%vol != 0 {
			return fmt.Errorf("input %v does not hold blocks %v", s, block)
		}
		out[1] = graph.Dim{Size: s[1].Size / int(vol)}
	}
	for _, d := range image {
		out = append(out, graph.Dim{Size: int(max(d, 0))})
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

// evalCol2Im sums the columns [N, C·block, L] back into images, L counting the places of
// the block in row-major order.
func evalCol2Im(e *Eval) error {
	x := e.number(0)
	image, block := toInts(e.Ints(1)), toInts(e.Ints(2))
	if x.Rank() != 3 || len(image) != len(block) {
		e.Fail("input %v, image_shape %v and block_shape %v do not fit", x, image, block)
	}
	for _, b := range block {
		if b < 1 || b > math.MaxInt32 {
			e.Fail("block_shape %v is not valid", block)
		}
	}
	w, err := newWindow(e.Attrs(), block)
	if err != nil {
		return err
	}
	if _, err := tensor.NumElements(image); err != nil {
		return err
	}
	p, err := w.over(image)
	if err != nil {
		return err
	}
	taps, err := tensor.NumElements(block)
	if err != nil || x.Dim(1)%taps != 0 || x.Dim(2) != volume(p.out) {
		e.Fail("input %v does not hold %v blocks of %v", x, p.out, block)
	}
	channels := x.Dim(1) / taps
	shape := append([]int{x.Dim(0), channels}, image...)
	plane, places := volume(image), positions(p.out)
	strides, tap := tensor.Strides(image), positions(block)
	acc := e.scratch(shape...)
	for row := range x.Dim(0) * x.Dim(1) {
		base := row / taps * plane
		for l, at := range places {
			flat, inside := 0, true
			for d := range image {
				i := at[d]*p.stride[d] - p.lo[d] + tap[row%taps][d]*p.dilation[d]
				inside = inside && i >= 0 && i < image[d]
				flat += i * strides[d]
			}
			if inside {
				acc[base+flat] += x.Float(row*len(places) + l)
			}
		}
	}
	e.store(0, x.DType(), acc, shape...)
	return nil
}

func toInts(v []int64) []int {
	out := make([]int, len(v))
	for i, x := range v {
		out[i] = int(x)
	}
	return out
}
