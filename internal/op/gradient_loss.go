package op

import "github.com/edgewise-ml/edgewise/internal/graph"

// gradLoss is the rule of the classification losses; labels and weights get no gradient.
func gradLoss(name string) func(*Gradient) error {
	return func(c *Gradient) error {
		if !c.Wants(0) {
			return nil
		}
		if len(c.dy) > 1 && c.dy[1] != nil {
			c.Fail("a loss that depends on output log_prob has no gradient")
		}
		in := []*graph.Value{c.Dy(), c.In(0), c.In(1)}
		if c.In(2) != nil {
			in = append(in, c.In(2))
		}
		c.Set(0, c.own(name, c.Attrs(), 1, in...)[0])
		return nil
	}
}

// gradQuantize lets the gradient through rounding as if it were not there (the
// straight-through estimator of Bengio et al. 2013), within the range of the integers.
// It arrives as a real number for every integer.
func gradQuantize(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	x, scale := c.In(0), c.scales()
	lo, hi := c.Out(0).Type.DType.IntRange()
	q := c.div(x, scale)
	if z := c.In(2); z != nil {
		q = c.add(q, c.perScale(c.cast(z, x.Type.DType)))
	}
	inside := c.op("And", c.above(q, float64(lo)-0.5), c.below(q, float64(hi)+0.5))
	c.Set(0, c.keep(inside, c.div(c.Dy(), scale)))
	return nil
}

func gradDequantize(c *Gradient) error {
	if c.Wants(0) {
		c.Set(0, c.mul(c.Dy(), c.scales()))
	}
	return nil
}

// scales returns the scales of a QuantizeLinear or DequantizeLinear, shaped to broadcast.
func (c *Gradient) scales() *graph.Value { return c.perScale(c.In(1)) }

// perScale shapes one number, or one per index of the axis, to broadcast beside input 0.
func (c *Gradient) perScale(v *graph.Value) *graph.Value {
	shape := c.Shape(c.In(0))
	if c.Attrs().Int("block_size", 0) != 0 {
		c.Fail("quantization by blocks has no gradient")
	}
	if volume(c.Shape(v)) == 1 {
		return c.reshape(v, []int{})
	}
	s := make([]int, len(shape))
	for i := range s {
		s[i] = 1
	}
	s[c.axis(1)] = volume(c.Shape(v))
	return c.reshape(v, s)
}

// gradFakeQuantize: Esser et al. 2020, "Learned Step Size Quantization", equations 2 and 3
// and section 2.2.
func gradFakeQuantize(c *Gradient) error {
	in := append([]*graph.Value{c.Dy()}, c.node.Inputs...)
	d := c.own("FakeQuantizeGradient", c.Attrs(), 2, in...)
	c.Set(0, d[0])
	c.Set(1, d[1])
	return nil
}
