package op

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// standardized is x with its mean taken off (where center is set) and divided by its
// deviation over axes, and what the way back needs.
type standardized struct {
	axes   []int
	center bool
	hat    *graph.Value // the standardized values
	inv    *graph.Value // 1/deviation
}

func (c *Gradient) standardize(x *graph.Value, axes []int, eps float64, center bool) standardized {
	if center {
		x = c.sub(x, c.mean(x, axes...))
	}
	inv := c.op("Reciprocal", c.op("Sqrt", c.shift(c.mean(c.square(x), axes...), eps)))
	return standardized{axes, center, c.mul(x, inv), inv}
}

// back turns a gradient by the standardized values into one by x: both the mean and the
// deviation moved with every element (Ioffe and Szegedy 2015, section 3, in closed form).
func (s standardized) back(c *Gradient, g *graph.Value) *graph.Value {
	d := c.sub(g, c.mul(s.hat, c.mean(c.mul(g, s.hat), s.axes...)))
	if s.center {
		d = c.sub(d, c.mean(g, s.axes...))
	}
	return c.mul(s.inv, d)
}

// affine is the rule of hat·scale + shift, with scale at input 1 and shift at input 2
// given a shape that broadcasts to hat's; it returns the gradient by hat.
func (c *Gradient) affine(hat, dy *graph.Value, shape []int) *graph.Value {
	reshaped := func(i int, v *graph.Value) {
		if c.Wants(i) {
			c.Set(i, c.like(c.sumTo(v, shape), c.In(i)))
		}
	}
	if c.Wants(1) {
		reshaped(1, c.mul(dy, hat))
	}
	if c.Wants(2) {
		reshaped(2, dy)
	}
	if c.In(1) == nil {
		return dy
	}
	return c.mul(dy, c.reshape(c.In(1), shape))
}

// gradLayerNorm covers LayerNormalization and, without centering, RMSNormalization.
func gradLayerNorm(center bool) func(*Gradient) error {
	return func(c *Gradient) error {
		x := c.In(0)
		var axes []int
		for i := c.axis(-1); i < len(c.Shape(x)); i++ {
			axes = append(axes, i)
		}
		s := c.standardize(x, axes, attrFloat(c.Attrs(), "epsilon", 1e-5), center)
		g := c.affine(s.hat, c.Dy(), c.Shape(c.In(1)))
		if c.Wants(0) {
			c.Set(0, s.back(c, g))
		}
		return nil
	}
}

// channelShape is the shape that puts one number per channel beside x.
func channelShape(x []int) []int {
	s := make([]int, len(x))
	for i := range s {
		s[i] = 1
	}
	s[1] = x[1]
	return s
}

// gradGroupNorm covers InstanceNormalization, where every channel is a group.
func gradGroupNorm(c *Gradient) error {
	x := c.In(0)
	shape := c.Shape(x)
	groups := int(c.Attrs().Int("num_groups", int64(shape[1])))
	rows := []int{shape[0], groups, volume(shape[1:]) / max(groups, 1)}
	s := c.standardize(c.reshape(x, rows), []int{2}, attrFloat(c.Attrs(), "epsilon", 1e-5), true)
	g := c.affine(c.reshape(s.hat, shape), c.Dy(), channelShape(shape))
	if c.Wants(0) {
		c.Set(0, c.reshape(s.back(c, c.reshape(g, rows)), shape))
	}
	return nil
}

// gradBatchNorm: in training the statistics are the batch's and move with it; otherwise
// they are constants, also where they could be trained.
func gradBatchNorm(c *Gradient) error {
	x, eps := c.In(0), c.Attrs().Float("epsilon", 1e-5)
	if c.Attrs().Int("training_mode", 0) != 0 {
		d := c.own("BatchNormalizationGradient", graph.Attrs{"epsilon": eps}, 3, c.Dy(), x, c.In(1))
		for i, v := range d {
			c.Set(i, v)
		}
		return nil
	}
	shape := channelShape(c.Shape(x))
	per := func(i int) *graph.Value { return c.reshape(c.In(i), shape) }
	inv := c.op("Reciprocal", c.op("Sqrt", c.shift(per(4), float64(eps))))
	hat := c.In(0)
	if c.Wants(1) {
		hat = c.mul(c.sub(x, per(3)), inv)
	}
	g := c.affine(hat, c.Dy(), shape)
	if c.Wants(0) {
		c.Set(0, c.mul(g, inv))
	}
	return nil
}

// decomposeLpNorm divides by the norm, which is kept from zero.
func decomposeLpNorm(c *Gradient) []*graph.Value {
	x := c.In(0)
	axis, name := c.axis(-1), "ReduceL2"
	if c.Attrs().Int("p", 2) == 1 {
		name = "ReduceL1"
	}
	norm := c.opWith(name, graph.Attrs{"keepdims": int64(1)}, x, c.Ints(axis))
	return []*graph.Value{c.div(x, c.op("Max", norm, c.Number(math.SmallestNonzeroFloat32, x)))}
}

func decomposeMeanVariance(c *Gradient) []*graph.Value {
	axes := []int{0, 2, 3}
	if a := c.Attrs().Ints("axes"); a != nil {
		axes = nil
		for _, v := range a {
			i, err := ResolveAxis(v, len(c.Shape(c.In(0))))
			if err != nil {
				c.Fail("%w", err)
			}
			axes = append(axes, i)
		}
	}
	d := c.sub(c.In(0), c.mean(c.In(0), axes...))
	return []*graph.Value{c.div(d, c.shift(c.op("Sqrt", c.mean(c.square(d), axes...)), 1e-9))}
}

// decomposeSkipNorm adds, then normalizes. beta and bias are input numbers, -1 for none.
func decomposeSkipNorm(beta, bias int, rms bool) func(c *Gradient) []*graph.Value {
	return func(c *Gradient) []*graph.Value {
		sum := c.add(c.In(0), c.In(1))
		if b := c.In(bias); b != nil {
			sum = c.add(sum, b)
		}
		a := graph.Attrs{"epsilon": c.Attrs().Float("epsilon", 1e-12)}
		out := make([]*graph.Value, 4)
		out[3] = sum
		switch {
		case rms:
			out[0] = c.opWith("RMSNormalization", a, sum, c.In(2))
		case beta >= 0 && c.In(beta) != nil:
			out[0] = c.opWith("LayerNormalization", a, sum, c.In(2), c.In(beta))
		default:
			out[0] = c.opWith("LayerNormalization", a, sum, c.In(2))
		}
		return out
	}
}
