package op

import (
	"math"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// slope is a derivative as derivative takes it; most need only the input or the output.
type slope func(c *Gradient, x, y *graph.Value) *graph.Value

func slopeSigmoid(c *Gradient, _, y *graph.Value) *graph.Value {
	return c.mul(y, c.sub(c.Number(1, y), y))
}

func slopeTanh(c *Gradient, _, y *graph.Value) *graph.Value {
	return c.sub(c.Number(1, y), c.square(y))
}

// slopeSwish: of x·s with s = sigmoid(alpha·x).
func slopeSwish(alpha float64) slope {
	return func(c *Gradient, x, _ *graph.Value) *graph.Value {
		s := c.op("Sigmoid", c.scale(x, alpha))
		return c.add(s, c.mul(c.scale(x, alpha), slopeSigmoid(c, nil, s)))
	}
}

// slopeGelu is Φ(x) + x·φ(x) of the normal distribution.
func slopeGelu(c *Gradient, x, _ *graph.Value) *graph.Value {
	cumulative := c.scale(c.shift(c.op("Erf", c.scale(x, 1/math.Sqrt2)), 1), 0.5)
	density := c.scale(c.op("Exp", c.scale(c.square(x), -0.5)), 1/math.Sqrt(2*math.Pi))
	return c.add(cumulative, c.mul(x, density))
}

func slopeGeluTanh(c *Gradient, x, _ *graph.Value) *graph.Value {
	a := math.Sqrt(2 / math.Pi)
	square := c.square(x)
	t := c.op("Tanh", c.mul(c.scale(x, a), c.shift(c.scale(square, 0.044715), 1)))
	inner := c.scale(c.shift(c.scale(square, 3*0.044715), 1), a)
	return c.add(c.scale(c.shift(t, 1), 0.5), c.mul(c.scale(x, 0.5), c.mul(slopeTanh(c, nil, t), inner)))
}

// slopeMish: of x·tanh(softplus(x)).
func slopeMish(c *Gradient, x, _ *graph.Value) *graph.Value {
	t := c.op("Tanh", c.op("Softplus", x))
	return c.add(t, c.mul(c.mul(x, slopeTanh(c, nil, t)), c.op("Sigmoid", x)))
}

// slopeHardSwish is 0 below -3, 1 above 3 and x/3 + 1/2 between.
func slopeHardSwish(c *Gradient, x, _ *graph.Value) *graph.Value {
	ramp := c.shift(c.scale(x, 1.0/3), 0.5)
	return c.where(c.above(x, 3), c.Number(1, x), c.keep(c.above(x, -3), ramp))
}

// activationSlopes are the derivatives of the activations, which attributes shape.
var activationSlopes = sync.OnceValue(func() map[string]func(a graph.Attrs) slope {
	return map[string]func(a graph.Attrs) slope{
		"Sigmoid": func(graph.Attrs) slope { return slopeSigmoid },
		"Tanh":    func(graph.Attrs) slope { return slopeTanh },
		"HardSigmoid": func(a graph.Attrs) slope {
			alpha := attrFloat(a, "alpha", 0.2)
			return func(c *Gradient, _, y *graph.Value) *graph.Value {
				return c.keep(c.op("And", c.above(y, 0), c.below(y, 1)), c.Number(alpha, y))
			}
		},
		"LeakyRelu": func(a graph.Attrs) slope {
			alpha := attrFloat(a, "alpha", 0.01)
			return func(c *Gradient, x, _ *graph.Value) *graph.Value {
				return c.where(c.below(x, 0), c.Number(alpha, x), c.Number(1, x))
			}
		},
		"Elu": func(a graph.Attrs) slope {
			alpha := attrFloat(a, "alpha", 1)
			return func(c *Gradient, x, y *graph.Value) *graph.Value {
				return c.where(c.below(x, 0), c.shift(y, alpha), c.Number(1, x))
			}
		},
		"Celu": func(a graph.Attrs) slope {
			alpha := attrFloat(a, "alpha", 1)
			return func(c *Gradient, x, _ *graph.Value) *graph.Value {
				return c.where(c.below(x, 0), c.op("Exp", c.scale(x, 1/alpha)), c.Number(1, x))
			}
		},
		"Selu": func(a graph.Attrs) slope {
			alpha, gamma := attrFloat(a, "alpha", 1.67326319217681884765625), attrFloat(a, "gamma", 1.05070102214813232421875)
			return func(c *Gradient, x, y *graph.Value) *graph.Value {
				return c.where(c.below(x, 0), c.shift(y, gamma*alpha), c.Number(gamma, x))
			}
		},
		"ThresholdedRelu": func(a graph.Attrs) slope {
			alpha := attrFloat(a, "alpha", 1)
			return func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.keep(c.above(x, alpha), c.Number(1, x)) }
		},
		"HardSwish": func(graph.Attrs) slope { return slopeHardSwish },
		"Swish":     func(a graph.Attrs) slope { return slopeSwish(attrFloat(a, "alpha", 1)) },
		"QuickGelu": func(a graph.Attrs) slope { return slopeSwish(attrFloat(a, "alpha", 1.702)) },
		"Softplus": func(graph.Attrs) slope {
			return func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.op("Sigmoid", x) }
		},
		"Softsign": func(graph.Attrs) slope {
			return func(c *Gradient, x, _ *graph.Value) *graph.Value {
				return c.op("Reciprocal", c.square(c.shift(c.op("Abs", x), 1)))
			}
		},
		"Mish": func(graph.Attrs) slope { return slopeMish },
		"Gelu": func(a graph.Attrs) slope {
			if a.String("approximate", "none") == "tanh" {
				return slopeGeluTanh
			}
			return slopeGelu
		},
	}
})

// functionSlopes are the derivatives of the functions of one number.
var functionSlopes = sync.OnceValue(func() map[string]slope {
	return map[string]slope{
		"Sqrt":       func(c *Gradient, _, y *graph.Value) *graph.Value { return c.div(c.Number(0.5, y), y) },
		"Reciprocal": func(c *Gradient, _, y *graph.Value) *graph.Value { return c.neg(c.square(y)) },
		"Exp":        func(_ *Gradient, _, y *graph.Value) *graph.Value { return y },
		"Log":        func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.op("Reciprocal", x) },
		"Erf": func(c *Gradient, x, _ *graph.Value) *graph.Value {
			return c.scale(c.op("Exp", c.neg(c.square(x))), 2/math.Sqrt(math.Pi))
		},
		"Sin":  func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.op("Cos", x) },
		"Cos":  func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.neg(c.op("Sin", x)) },
		"Tan":  func(c *Gradient, _, y *graph.Value) *graph.Value { return c.shift(c.square(y), 1) },
		"Asin": func(c *Gradient, x, _ *graph.Value) *graph.Value { return inverseRoot(c, -1, 1, x) },
		"Acos": func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.neg(inverseRoot(c, -1, 1, x)) },
		"Atan": func(c *Gradient, x, _ *graph.Value) *graph.Value {
			return c.op("Reciprocal", c.shift(c.square(x), 1))
		},
		"Sinh":  func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.op("Cosh", x) },
		"Cosh":  func(c *Gradient, x, _ *graph.Value) *graph.Value { return c.op("Sinh", x) },
		"Asinh": func(c *Gradient, x, _ *graph.Value) *graph.Value { return inverseRoot(c, 1, 1, x) },
		"Acosh": func(c *Gradient, x, _ *graph.Value) *graph.Value { return inverseRoot(c, 1, -1, x) },
		"Atanh": func(c *Gradient, x, _ *graph.Value) *graph.Value {
			return c.op("Reciprocal", c.sub(c.Number(1, x), c.square(x)))
		},
	}
})

// inverseRoot is 1/√(a·x² + b).
func inverseRoot(c *Gradient, a, b float64, x *graph.Value) *graph.Value {
	return c.op("Reciprocal", c.op("Sqrt", c.shift(c.scale(c.square(x), a), b)))
}

func gradSigned(name string) func(*Gradient) error {
	return func(c *Gradient) error {
		switch {
		case !c.Wants(0) || name == "Sign":
		case name == "Abs":
			c.Set(0, c.mul(c.Dy(), c.op("Sign", c.In(0))))
		default:
			c.Set(0, c.neg(c.Dy()))
		}
		return nil
	}
}

func gradAdd(c *Gradient) error {
	for i := range c.node.Inputs {
		c.SetBroadcast(i, c.Dy)
	}
	return nil
}

func gradSub(c *Gradient) error {
	c.SetBroadcast(0, c.Dy)
	c.SetBroadcast(1, func() *graph.Value { return c.neg(c.Dy()) })
	return nil
}

func gradMul(c *Gradient) error {
	for i := range 2 {
		c.SetBroadcast(i, func() *graph.Value { return c.mul(c.Dy(), c.In(1-i)) })
	}
	return nil
}

func gradDiv(c *Gradient) error {
	c.SetBroadcast(0, func() *graph.Value { return c.div(c.Dy(), c.In(1)) })
	c.SetBroadcast(1, func() *graph.Value { return c.neg(c.div(c.mul(c.Dy(), c.Out(0)), c.In(1))) })
	return nil
}

// gradMod: the quotient, rounded, does not move.
func gradMod(c *Gradient) error {
	c.SetBroadcast(0, c.Dy)
	c.SetBroadcast(1, func() *graph.Value {
		quotient := c.op("Round", c.div(c.sub(c.In(0), c.Out(0)), c.In(1)))
		return c.neg(c.mul(c.Dy(), quotient))
	})
	return nil
}

// gradPow leaves the logarithm of bases that are not positive out: no real function is
// differentiable by the exponent there.
func gradPow(c *Gradient) error {
	x, y := c.In(0), c.In(1)
	c.SetBroadcast(0, func() *graph.Value {
		return c.mul(c.Dy(), c.mul(y, c.op("Pow", x, c.shift(y, -1))))
	})
	c.SetBroadcast(1, func() *graph.Value {
		positive := c.above(x, 0)
		log := c.op("Log", c.where(positive, x, c.Number(1, x)))
		return c.mul(c.Dy(), c.mul(c.Out(0), log))
	})
	return nil
}

// gradExtreme shares the gradient of a Max or Min among the inputs that reach it.
func gradExtreme(c *Gradient) error {
	y := c.Out(0)
	one, zero := c.Number(1, y), c.Number(0, y)
	reached := make([]*graph.Value, len(c.node.Inputs))
	var count *graph.Value
	for i, x := range c.node.Inputs {
		reached[i] = c.where(c.op("Equal", x, y), one, zero)
		if count == nil {
			count = reached[i]
		} else {
			count = c.add(count, reached[i])
		}
	}
	for i := range reached {
		c.SetBroadcast(i, func() *graph.Value { return c.mul(c.Dy(), c.div(reached[i], count)) })
	}
	return nil
}

func gradMeanOf(c *Gradient) error {
	for i := range c.node.Inputs {
		c.SetBroadcast(i, func() *graph.Value { return c.scale(c.Dy(), 1/float64(len(c.node.Inputs))) })
	}
	return nil
}

// gradClip takes the output, which what follows needs anyway. The bounds get no gradient:
// they are constants of the network.
func gradClip(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	c.Set(0, c.own("ClipGradient", nil, 1, c.Dy(), c.Out(0), c.In(1), c.In(2))[0])
	return nil
}

func gradWhere(c *Gradient) error {
	c.SetBroadcast(1, func() *graph.Value { return c.keep(c.In(0), c.Dy()) })
	c.SetBroadcast(2, func() *graph.Value { return c.where(c.In(0), c.Number(0, c.Dy()), c.Dy()) })
	return nil
}

// gradCast returns to the type of the input; through integers nothing passes.
func gradCast(c *Gradient) error {
	if from, to := c.In(0).Type.DType, c.Out(0).Type.DType; c.Wants(0) && from.IsFloat() && to.IsFloat() {
		c.Set(0, c.cast(c.Dy(), from))
	}
	return nil
}

func (c *Gradient) cast(v *graph.Value, to tensor.DType) *graph.Value {
	if v.Type.DType == to {
		return v
	}
	return c.opWith("Cast", graph.Attrs{"to": int64(to)}, v)
}

func gradIdentity(c *Gradient) error {
	if c.Wants(0) {
		c.Set(0, c.Dy())
	}
	return nil
}

func gradRelu(c *Gradient) error {
	if c.Wants(0) {
		c.Set(0, c.own("ReluGradient", nil, 1, c.Dy(), c.Out(0))[0])
	}
	return nil
}

func gradShrink(c *Gradient) error {
	if c.Wants(0) {
		beyond := c.above(c.op("Abs", c.In(0)), attrFloat(c.Attrs(), "lambd", 0.5))
		c.Set(0, c.keep(beyond, c.Dy()))
	}
	return nil
}

func gradPRelu(c *Gradient) error {
	x, slope := c.In(0), c.In(1)
	negative := c.below(x, 0)
	if c.Wants(0) {
		c.Set(0, c.where(negative, c.mul(c.Dy(), slope), c.Dy()))
	}
	c.SetBroadcast(1, func() *graph.Value { return c.keep(negative, c.mul(c.Dy(), x)) })
	return nil
}

// gradSwiGLU: the output is A·sigmoid(alpha·A)·B.
func gradSwiGLU(c *Gradient) error {
	a, b, alpha := c.In(0), c.In(1), attrFloat(c.Attrs(), "alpha", 1)
	if c.Wants(0) {
		c.Set(0, c.mul(c.mul(c.Dy(), b), slopeSwish(alpha)(c, a, nil)))
	}
	if c.Wants(1) {
		c.Set(1, c.mul(c.Dy(), c.mul(a, c.op("Sigmoid", c.scale(a, alpha)))))
	}
	return nil
}

// gradBiasThen is the rule of an activation of X + bias, the bias being optional.
func gradBiasThen(d slope) func(*Gradient) error {
	return func(c *Gradient) error {
		x := c.In(0)
		if b := c.In(1); b != nil {
			x = c.add(x, b)
		}
		dx := c.mul(c.Dy(), d(c, x, nil))
		c.Set(0, dx)
		c.SetBroadcast(1, func() *graph.Value { return dx })
		return nil
	}
}

// gradDropout passes what was kept, scaled as the output was. The mask has to be an
// output of the node; evaluation passes everything.
func gradDropout(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	if t := c.In(2); t == nil || c.known(2).Int(0) == 0 {
		c.Set(0, c.Dy())
		return nil
	}
	if c.Out(1) == nil {
		c.Fail("the node does not give its mask")
	}
	ratio := 0.5
	if c.In(1) != nil {
		ratio = c.known(1).Float(0)
	}
	c.Set(0, c.scale(c.keep(c.Out(1), c.Dy()), 1/(1-ratio)))
	return nil
}
