package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const (
	convAttrs      = "auto_pad:string dilations:ints group:int kernel_shape:ints pads:ints strides:ints"
	transposeAttrs = convAttrs + " output_padding:ints output_shape:ints"
)

// convOps are convolutions over one to three spatial dimensions; tensors are laid out
// [N, C, spatial...], weights [M, C/group, kernel...].
func convOps() []Def {
	return []Def{
		{Name: "Conv", In: "X W B?", Out: "Y", Attrs: convAttrs, Infer: inferConv(1), Eval: evalConv, MACs: convMACs(1),
			Quant: Quant{Kind: QuantWeighted, Axis: 0}},
		{Name: "ConvInteger", In: "x w x_zero_point? w_zero_point?", Out: "y", Attrs: convAttrs,
			Infer: inferConvInteger, Eval: evalConvInteger, MACs: convMACs(1)},
		{Name: "FusedConv", Domain: graph.DomainMicrosoft, In: "X W B? Z?", Out: "Y",
			Attrs: convAttrs + " activation:string activation_params:floats", Infer: inferConv(1), Eval: evalFusedConv, MACs: convMACs(1)},
		{Name: "ConvTranspose", In: "X W B?", Out: "Y", Attrs: transposeAttrs, Infer: inferConvTranspose, Eval: evalConvTranspose, MACs: convTransposeMACs},
		{Name: "CausalConvWithState", In: "input weight bias? past_state?", Out: "output present_state?", Attrs: "activation:string",
			Infer: inferCausalConv, Eval: evalCausalConv, MACs: convMACs(1)},
	}
}

// kernelOf returns the kernel sizes from the weights, which the attribute kernel_shape
// must repeat if it is given.
func kernelOf(a graph.Attrs, weights graph.Shape) ([]int, error) {
	kernel := make([]int, len(weights)-2)
	attr := a.Ints("kernel_shape")
	if len(attr) != 0 && len(attr) != len(kernel) {
		return nil, fmt.Errorf("kernel_shape %v does not fit weights %v", attr, weights)
	}
	for i, d := range weights[2:] {
		kernel[i] = d.Size
		if len(attr) == 0 {
			continue
		}
		if d.Known() && int64(d.Size) != attr[i] {
			return nil, fmt.Errorf("kernel_shape %v contradicts weights %v", attr, weights)
		}
		kernel[i] = int(attr[i])
	}
	return kernel, nil
}

// checkConv reports ranks and groups that cannot be.
func checkConv(x, w graph.Shape, group int64) error {
	switch {
	case len(x) < 3 || len(w) != len(x):
		return fmt.Errorf("input %v and weights %v do not fit: want ranks equal and at least 3", x, w)
	case len(x) > 5:
		return fmt.Errorf("input %v has more than three spatial dimensions", x)
	case group < 1 || group > 1<<31:
		return fmt.Errorf("group=%d is not positive", group)
	}
	return nil
}

func checkConvChannels(x, w graph.Shape, group int64) error {
	if err := checkConv(x, w, group); err != nil {
		return err
	}
	c, per, m := x[1], w[1], w[0]
	if c.Known() && per.Known() && int64(per.Size)*group != int64(c.Size) {
		return fmt.Errorf("weights %v with group=%d want %d input channels, input %v has %d", w, group, int64(per.Size)*group, x, c.Size)
	}
	if m.Known() && int64(m.Size)%group != 0 {
		return fmt.Errorf("group=%d does not divide %d channels", group, m.Size)
	}
	return nil
}

// convShape returns the output shape of a convolution.
func convShape(a graph.Attrs, x, w graph.Shape) (graph.Shape, *window, error) {
	if err := checkConvChannels(x, w, a.Int("group", 1)); err != nil {
		return nil, nil, err
	}
	kernel, err := kernelOf(a, w)
	if err != nil {
		return nil, nil, err
	}
	win, err := newWindow(a, kernel)
	if err != nil {
		return nil, nil, err
	}
	spatial, err := win.dims(x[2:])
	if err != nil {
		return nil, nil, err
	}
	return append(graph.Shape{x[0], w[0]}, spatial...), win, nil
}

func inferConv(weights int) func(*Infer) error {
	return func(c *Infer) error { return inferConvAs(c, weights, c.DType(0)) }
}

func inferConvAs(c *Infer, weights int, d tensor.DType) error {
	x, w := c.Shape(0), c.Shape(weights)
	if !x.Ranked() || !w.Ranked() {
		c.SetTensor(0, d, nil)
		return nil
	}
	s, _, err := convShape(c.Attrs(), x, w)
	if err != nil {
		return err
	}
	c.SetTensor(0, d, s)
	return nil
}

func inferConvInteger(c *Infer) error {
	return inferConvAs(c, 1, tensor.Int32)
}

// convMACs counts every output against one kernel over the channels of its group.
func convMACs(weights int) func(*Infer) int64 {
	return func(c *Infer) int64 {
		w, ok := c.Shape(weights).Static()
		if !ok || len(w) == 0 {
			return 0
		}
		return c.outputs() * int64(volume(w[1:]))
	}
}

// convolution is one convolution of known shape.
type convolution struct {
	*placed
	batch, cin, cout, group int
	shape                   []int // of the output
}

func (e *Eval) convolution(x, w *tensor.Tensor) *convolution {
	s, win, err := convShape(e.Attrs(), graph.Dims(x.Shape()...), graph.Dims(w.Shape()...))
	if err != nil {
		e.Fail("%w", err)
	}
	p, err := win.over(x.Shape()[2:])
	if err != nil {
		e.Fail("%w", err)
	}
	c := &convolution{placed: p, batch: x.Dim(0), cin: x.Dim(1), cout: w.Dim(0), group: int(e.Attrs().Int("group", 1))}
	c.shape, _ = s.Static()
	if n, err := tensor.NumElements(c.shape); err != nil || n > MaxEvalBytes/8 {
		e.Fail("an output of shape %v is too large", c.shape)
	}
	return c
}

// run convolves all samples; each output starts from the bias of its channel.
func (c *convolution) run(x, w, bias []float64) []float64 {
	g := c.placed.cube()
	y := make([]float64, volume(c.shape))
	in, out, kernel := volume(c.in), volume(c.out), volume(c.kernel)
	perIn, perOut := c.cin/c.group, c.cout/c.group
	for n := range c.batch {
		for m := range c.cout {
			plane := y[(n*c.cout+m)*out:][:out]
			if bias != nil {
				for i := range plane {
					plane[i] = bias[m]
				}
			}
			for i := range perIn {
				ch := m/perOut*perIn + i
				g.gather(plane, x[(n*c.cin+ch)*in:][:in], w[(m*perIn+i)*kernel:][:kernel])
			}
		}
	}
	return y
}

// cube is a placed window over exactly three dimensions.
type cube struct{ in, kernel, out, stride, dilation, lo [3]int }

// cube adds leading dimensions of size 1. A pointwise convolution becomes one long row.
func (p *placed) cube() cube {
	c := cube{}
	for k := range 3 {
		c.in[k], c.kernel[k], c.out[k], c.stride[k], c.dilation[k] = 1, 1, 1, 1, 1
	}
	off := 3 - len(p.in)
	for i := range p.in {
		k := off + i
		c.in[k], c.kernel[k], c.out[k] = p.in[i], p.kernel[i], p.out[i]
		c.stride[k], c.dilation[k], c.lo[k] = p.stride[i], p.dilation[i], p.lo[i]
	}
	if volume(p.kernel) == 1 && volume(p.stride) == 1 && slices.Equal(p.in, p.out) && c.lo == [3]int{} {
		c.in = [3]int{1, 1, volume(p.in)}
		c.out = c.in
	}
	return c
}

// gather adds the convolution of one input plane with one kernel to one output plane.
func (c *cube) gather(dst, src, kernel []float64) {
	c.taps(kernel, c.out, c.in, func(v float64, near, far, n, step int) {
		if step == 1 {
			addScaled(dst[near:near+n], src[far:far+n], v)
			return
		}
		row, from := dst[near:near+n], src[far:]
		for i := range row {
			row[i] += v * from[i*step]
		}
	})
}

// scatter is the transpose of gather: it spreads one input plane over one output plane.
func (c *cube) scatter(dst, src, kernel []float64) {
	c.taps(kernel, c.in, c.out, func(v float64, near, far, n, step int) {
		if step == 1 {
			addScaled(dst[far:far+n], src[near:near+n], v)
			return
		}
		row, to := src[near:near+n], dst[far:]
		for i := range row {
			to[i*step] += v * row[i]
		}
	})
}

// taps calls f for every weight v and row of the near plane: n positions from offset
// near, each meeting the far plane at offset far + i*step.
func (c *cube) taps(kernel []float64, near, far [3]int, f func(v float64, near, far, n, step int)) {
	for k, v := range kernel {
		at := [3]int{k / (c.kernel[1] * c.kernel[2]), k / c.kernel[2] % c.kernel[1], k % c.kernel[2]}
		var off, from, to [3]int
		for d := range 3 {
			off[d] = at[d]*c.dilation[d] - c.lo[d]
			from[d], to[d] = valid(near[d], far[d], c.stride[d], off[d])
		}
		n := to[2] - from[2]
		if n <= 0 {
			continue
		}
		for z := from[0]; z < to[0]; z++ {
			for y := from[1]; y < to[1]; y++ {
				rowNear := (z*near[1] + y) * near[2]
				rowFar := ((z*c.stride[0]+off[0])*far[1] + y*c.stride[1] + off[1]) * far[2]
				f(v, rowNear+from[2], rowFar+from[2]*c.stride[2]+off[2], n, c.stride[2])
			}
		}
	}
}

// bias returns input i as numbers, one per channel, nil when absent.
func (e *Eval) bias(i, channels int) []float64 {
	if !e.Has(i) {
		return nil
	}
	b := e.T(i)
	if b.Len() != channels {
		e.Fail("input %s is %v, want one number for each of %d channels", e.inputName(i), b, channels)
	}
	return b.Floats()
}

func evalConv(e *Eval) error {
	e.sameType(0, 1)
	x, w := e.float(0), e.float(1)
	c := e.convolution(x, w)
	e.store(0, x.DType(), c.run(x.Floats(), w.Floats(), e.bias(2, c.cout)), c.shape...)
	return nil
}

// evalConvInteger pads with the zero point of x, that is with zero after it is taken off.
func evalConvInteger(e *Eval) error {
	c, acc := e.integerConv(0, 1, 2, 3, nil)
	out := e.Result(0, tensor.Int32, c.shape...)
	for i, v := range acc {
		out.SetInt(i, int64(v))
	}
	return nil
}

// integerConv convolves inputs x and w less their zero points at inputs zx and zw; the
// latter may hold one value per output channel.
func (e *Eval) integerConv(x, w, zx, zw int, bias func(channels int) []float64) (*convolution, []float64) {
	c := e.convolution(e.T(x), e.T(w))
	data, weights := e.T(x).Floats(), e.T(w).Floats()
	zero := e.scalar(zx, 0)
	for i := range data {
		data[i] -= zero
	}
	if e.Has(zw) {
		z := e.T(zw).Floats()
		if len(z) != 1 && len(z) != c.cout {
			e.Fail("input %s is %v, want one value or %d", e.inputName(zw), e.T(zw), c.cout)
		}
		per := len(weights) / max(c.cout, 1)
		for i := range weights {
			weights[i] -= z[(i/per)%len(z)]
		}
	}
	var b []float64
	if bias != nil {
		b = bias(c.cout)
	}
	return c, c.run(data, weights, b)
}

// evalFusedConv is act(conv(X, W) + B + Z).
func evalFusedConv(e *Eval) error {
	e.sameType(0, 1)
	x, w := e.float(0), e.float(1)
	c := e.convolution(x, w)
	acc := c.run(x.Floats(), w.Floats(), e.bias(2, c.cout))
	if e.Has(3) {
		z := e.T(3)
		if !slices.Equal(z.Shape(), c.shape) {
			e.Fail("Z %v does not have the shape %v of the output", z, c.shape)
		}
		for i := range acc {
			acc[i] += z.Float(i)
		}
	}
	act := fusedActivation(e)
	for i := range acc {
		acc[i] = act(acc[i])
	}
	e.store(0, x.DType(), acc, c.shape...)
	return nil
}

func fusedActivation(e *Eval) func(float64) float64 {
	name, p := e.Attrs().String("activation", ""), e.Attrs().Floats("activation_params")
	param := func(i int, def float64) float64 {
		if i < len(p) {
			return float64(p[i])
		}
		return def
	}
	switch name {
	case "":
		return func(x float64) float64 { return x }
	case "Relu":
		return func(x float64) float64 { return max(x, 0) }
	case "Tanh":
		return math.Tanh
	case "Sigmoid":
		return sigmoid
	case "LeakyRelu":
		return leakyRelu(param(0, 0.01))
	case "HardSigmoid":
		return hardSigmoid(param(0, 0.2), param(1, 0.5))
	case "Clip":
		lo, hi := param(0, math.Inf(-1)), param(1, math.Inf(1))
		return func(x float64) float64 { return min(max(x, lo), hi) }
	}
	e.Fail("fused activation %q is not known", name)
	return nil
}
