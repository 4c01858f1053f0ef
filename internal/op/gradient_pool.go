package op

import "github.com/edgewise-ml/edgewise/internal/graph"

func gradMaxPool(c *Gradient) error {
	if c.Wants(0) {
		a := c.Attrs().Clone()
		delete(a, "storage_order")
		c.Set(0, c.own("MaxPoolGradient", a, 1, c.Dy(), c.In(0))[0])
	}
	return nil
}

func gradAveragePool(c *Gradient) error {
	if c.Wants(0) {
		a := c.Attrs().Clone()
		a["input_shape"] = ints64(c.Shape(c.In(0)))
		c.Set(0, c.own("AveragePoolGradient", a, 1, c.Dy())[0])
	}
	return nil
}

// gradGlobalAverage spreads the gradient evenly over the plane.
func gradGlobalAverage(c *Gradient) error {
	if c.Wants(0) {
		shape := c.Shape(c.In(0))
		c.Set(0, c.expand(c.scale(c.Dy(), 1/float64(max(volume(shape[2:]), 1))), shape))
	}
	return nil
}

func gradGlobalMax(c *Gradient) error {
	if c.Wants(0) {
		x := c.In(0)
		var axes []int
		for i := 2; i < len(c.Shape(x)); i++ {
			axes = append(axes, i)
		}
		c.Set(0, c.mul(c.Dy(), shareOfEqual(c, x, c.Out(0), axes, 0)))
	}
	return nil
}

// gradResize is the adjoint of the interpolation: every output element gives its gradient
// back to the elements it was made of, with the same weights.
func gradResize(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	a := c.Attrs().Clone()
	if a == nil {
		a = graph.Attrs{}
	}
	a["input_shape"] = ints64(c.Shape(c.In(0)))
	in := []*graph.Value{c.Dy()}
	for i := 1; i <= 3; i++ {
		in = append(in, c.In(i))
	}
	c.Set(0, c.own("ResizeGradient", a, 1, in...)[0])
	return nil
}
