package op

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// gradMatMul: dA = dY·Bᵀ and dB = Aᵀ·dY over broadcast batches; a vector is a matrix of
// one row or column.
func gradMatMul(c *Gradient) error {
	a, b := c.In(0), c.In(1)
	sa, sb, sy := c.Shape(a), c.Shape(b), c.Shape(c.Out(0))
	if len(sa) == 1 {
		sa = []int{1, sa[0]}
		if len(sb) > 1 {
			sy = slices.Insert(slices.Clone(sy), len(sy)-1, 1)
		} else {
			sy = append(slices.Clone(sy), 1)
		}
	}
	if len(sb) == 1 {
		sb = []int{sb[0], 1}
		sy = append(slices.Clone(sy), 1)
	}
	dy := c.reshape(c.Dy(), sy)
	if c.Wants(0) {
		da := c.op("MatMul", dy, c.swapLast(c.reshape(b, sb)))
		c.Set(0, c.like(c.sumTo(da, sa), a))
	}
	if c.Wants(1) {
		db := c.op("MatMul", c.swapLast(c.reshape(a, sa)), dy)
		c.Set(1, c.like(c.sumTo(db, sb), b))
	}
	return nil
}

// swapLast transposes the last two dimensions.
func (c *Gradient) swapLast(v *graph.Value) *graph.Value {
	n := len(c.Shape(v))
	perm := make([]int, n)
	for i := range perm {
		perm[i] = i
	}
	perm[n-1], perm[n-2] = n-2, n-1
	return c.transpose(v, perm...)
}

// gradGemm: Y = alpha·A'·B' + beta·C.
func gradGemm(c *Gradient) error {
	at, bt := c.Attrs().Int("transA", 0) != 0, c.Attrs().Int("transB", 0) != 0
	alpha, beta := attrFloat(c.Attrs(), "alpha", 1), attrFloat(c.Attrs(), "beta", 1)
	scaled := func(v *graph.Value, f float64) *graph.Value {
		if f == 1 {
			return v
		}
		return c.scale(v, f)
	}
	// gemm multiplies with the transpositions as flags, so that no matrix moves.
	gemm := func(a, b *graph.Value, ta, tb bool) *graph.Value {
		attrs := graph.Attrs{"alpha": float32(alpha), "transA": flag(ta), "transB": flag(tb)}
		return c.opWith("Gemm", attrs, a, b)
	}
	a, b, dy := c.In(0), c.In(1), c.Dy()
	if c.Wants(0) {
		if at {
			c.Set(0, gemm(b, dy, bt, true))
		} else {
			c.Set(0, gemm(dy, b, false, !bt))
		}
	}
	if c.Wants(1) {
		if bt {
			c.Set(1, gemm(dy, a, true, at))
		} else {
			c.Set(1, gemm(a, dy, !at, false))
		}
	}
	c.SetBroadcast(2, func() *graph.Value { return scaled(dy, beta) })
	return nil
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// gradConv: the gradient by the input is the transposed convolution of dY with the same
// weights, that by the weights correlates the input with dY.
func gradConv(c *Gradient) error {
	p := c.placement()
	if c.Wants(0) {
		c.Set(0, c.opWith("ConvTranspose", p.transposed(), c.Dy(), c.In(1)))
	}
	if c.Wants(1) {
		c.Set(1, c.own("ConvWeightGradient", p.attrs(), 1, c.In(0), c.Dy())[0])
	}
	c.SetBroadcast(2, func() *graph.Value { return c.channelSum(c.Dy()) })
	return nil
}

// gradConvTranspose is gradConv with input and output exchanged.
func gradConvTranspose(c *Gradient) error {
	x, w := c.In(0), c.In(1)
	s, win, err := transposed(c.Attrs(), graph.Dims(c.Shape(x)...), graph.Dims(c.Shape(w)...))
	if err != nil {
		return err
	}
	out, _ := s.Static()
	p := &placement{placed: &placed{in: out[2:], out: c.Shape(x)[2:], kernel: win.kernel, stride: win.stride, dilation: win.dilation, lo: win.lo},
		group: c.Attrs().Int("group", 1)}
	// Output padding makes the output longer at its end, as a smaller pad there would.
	p.hi = make([]int, len(p.in))
	for i := range p.in {
		p.hi[i] = (p.out[i]-1)*p.stride[i] + win.extent(i) - p.in[i] - p.lo[i]
	}
	dy := c.Dy()
	if extra := p.negative(); extra != nil {
		// Rows that no kernel reached do not take part.
		dy = c.op("Pad", dy, c.Ints(append(make([]int, len(out)), append([]int{0, 0}, extra...)...)...))
		for i, n := range extra {
			p.in[i] += n
			p.hi[i] -= n
		}
	}
	if c.Wants(0) {
		c.Set(0, c.opWith("Conv", p.attrs(), dy, w))
	}
	if c.Wants(1) {
		c.Set(1, c.own("ConvWeightGradient", p.attrs(), 1, dy, x)[0])
	}
	c.SetBroadcast(2, func() *graph.Value { return c.channelSum(c.Dy()) })
	return nil
}

// channelSum sums over everything but dimension 1.
func (c *Gradient) channelSum(v *graph.Value) *graph.Value {
	axes := []int{0}
	for i := 2; i < len(c.Shape(v)); i++ {
		axes = append(axes, i)
	}
	return c.sum(v, false, axes...)
}

// placement is a convolution placed over its input, as attributes say it.
type placement struct {
	*placed
	group int64
}

func (c *Gradient) placement() *placement {
	x, w := c.Shape(c.In(0)), c.Shape(c.In(1))
	_, win, err := convShape(c.Attrs(), graph.Dims(x...), graph.Dims(w...))
	if err != nil {
		c.Fail("%w", err)
	}
	p, err := win.over(x[2:])
	if err != nil {
		c.Fail("%w", err)
	}
	return &placement{placed: p, group: c.Attrs().Int("group", 1)}
}

// attrs states the convolution with explicit padding.
func (p *placement) attrs() graph.Attrs {
	return graph.Attrs{"kernel_shape": ints64(p.kernel), "strides": ints64(p.stride), "dilations": ints64(p.dilation),
		"pads": ints64(slices.Concat(p.lo, p.hi)), "group": p.group}
}

// transposed states the transposed convolution that leads from the output's shape back to
// the input's.
func (p *placement) transposed() graph.Attrs {
	extra := make([]int, len(p.in))
	for i := range extra {
		full := (p.out[i]-1)*p.stride[i] + (p.kernel[i]-1)*p.dilation[i] + 1
		extra[i] = p.in[i] + p.lo[i] + p.hi[i] - full
	}
	a := p.attrs()
	a["output_padding"] = ints64(extra)
	return a
}

// negative returns the padding after each dimension where it is below zero anywhere.
func (p *placement) negative() []int {
	out, any := make([]int, len(p.hi)), false
	for i, h := range p.hi {
		if h < 0 {
			out[i], any = h, true
		}
	}
	if !any {
		return nil
	}
	return out
}

func ints64(v []int) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

// gradEinsum: the gradient by an operand is the product of the others with dY, summed to
// that operand's letters. A letter that only this operand has is repeated.
func gradEinsum(c *Gradient) error {
	equation := strings.ReplaceAll(c.Attrs().String("equation", ""), " ", "")
	left, right, found := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if !found || strings.Contains(equation, ".") || len(terms) != len(c.node.Inputs) {
		return fmt.Errorf("equation %q is implicit or has an ellipsis", equation)
	}
	for i, term := range terms {
		if !c.Wants(i) {
			continue
		}
		in, from := []*graph.Value{c.Dy()}, []string{right}
		for k, other := range terms {
			if k != i {
				in, from = append(in, c.In(k)), append(from, other)
			}
		}
		have := strings.Join(from, "")
		shape, kept := c.Shape(c.In(i)), []int{}
		letters := ""
		for d, l := range term {
			switch {
			case strings.ContainsRune(letters, l):
				return fmt.Errorf("equation %q repeats %q within an operand", equation, l)
			case strings.ContainsRune(have, l):
				letters += string(l)
				kept = append(kept, shape[d])
			default:
				kept = append(kept, 1)
			}
		}
		dx := c.opWith("Einsum", graph.Attrs{"equation": strings.Join(from, ",") + "->" + letters}, in...)
		c.Set(i, c.expand(c.reshape(dx, kept), shape))
	}
	return nil
}
