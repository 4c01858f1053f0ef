package op

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// activationOps are the element-wise nonlinearities. Those with a known range say so:
// their quantized output needs no calibration.
func activationOps() []Def {
	defs := []Def{
		activation("Sigmoid", "", func(graph.Attrs) func(float64) float64 { return sigmoid }).ranged(0, 1),
		activation("Tanh", "", func(graph.Attrs) func(float64) float64 { return math.Tanh }).ranged(-1, 1),
		activation("HardSigmoid", "alpha:float beta:float", func(a graph.Attrs) func(float64) float64 {
			return hardSigmoid(attrFloat(a, "alpha", 0.2), attrFloat(a, "beta", 0.5))
		}).ranged(0, 1),
		activation("LeakyRelu", "alpha:float", func(a graph.Attrs) func(float64) float64 {
			return leakyRelu(attrFloat(a, "alpha", 0.01))
		}),
		activation("Elu", "alpha:float", func(a graph.Attrs) func(float64) float64 { return elu(attrFloat(a, "alpha", 1)) }),
		activation("Celu", "alpha:float", func(a graph.Attrs) func(float64) float64 {
			alpha := attrFloat(a, "alpha", 1)
			return func(x float64) float64 { return max(0, x) + min(0, alpha*math.Expm1(x/alpha)) }
		}),
		activation("Selu", "alpha:float gamma:float", func(a graph.Attrs) func(float64) float64 {
			f, gamma := elu(attrFloat(a, "alpha", 1.67326319217681884765625)), attrFloat(a, "gamma", 1.05070102214813232421875)
			return func(x float64) float64 { return gamma * f(x) }
		}),
		activation("ThresholdedRelu", "alpha:float", func(a graph.Attrs) func(float64) float64 {
			alpha := attrFloat(a, "alpha", 1)
			return func(x float64) float64 {
				if x > alpha {
					return x
				}
				return 0
			}
		}),
		activation("HardSwish", "", func(graph.Attrs) func(float64) float64 {
			gate := hardSigmoid(1.0/6, 0.5)
			return func(x float64) float64 { return x * gate(x) }
		}),
		activation("Swish", "alpha:float", func(a graph.Attrs) func(float64) float64 { return swish(attrFloat(a, "alpha", 1)) }),
		activation("Softplus", "", func(graph.Attrs) func(float64) float64 { return softplus }),
		activation("Softsign", "", func(graph.Attrs) func(float64) float64 {
			return func(x float64) float64 { return x / (1 + math.Abs(x)) }
		}),
		activation("Mish", "", func(graph.Attrs) func(float64) float64 {
			return func(x float64) float64 { return x * math.Tanh(softplus(x)) }
		}),
		activation("Gelu", "approximate:string", func(a graph.Attrs) func(float64) float64 {
			if a.String("approximate", "none") == "tanh" {
				return geluTanh
			}
			return gelu
		}),
		activation("Gelu", "", func(graph.Attrs) func(float64) float64 { return gelu }).microsoft(),
		activation("QuickGelu", "alpha:float", func(a graph.Attrs) func(float64) float64 {
			return swish(attrFloat(a, "alpha", 1.702))
		}).microsoft(),
		{Name: "Relu", In: "X", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: evalRelu, Quant: Quant{Kind: QuantElementwise}},
		{Name: "Shrink", In: "input", Out: "output", Attrs: "bias:float lambd:float", Elementwise: true, Infer: inferLike(0), Eval: evalShrink},
		{Name: "PRelu", In: "X slope", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: evalPRelu},
		{Name: "SwiGLU", In: "A B", Out: "Y", Attrs: "alpha:float", Infer: inferLike(0), Eval: evalSwiGLU},
		{Name: "BiasGelu", Domain: graph.DomainMicrosoft, In: "A B", Out: "C", Infer: inferLike(0), Eval: biasThen(gelu)},
		{Name: "FastGelu", Domain: graph.DomainMicrosoft, In: "X bias?", Out: "Y", Infer: inferLike(0), Eval: biasThen(geluTanh)},
	}
	return defs
}

// activation defines a function of one floating-point number that attributes shape.
// Between integers it is a table of 256 entries.
func activation(name, attrs string, f func(graph.Attrs) func(float64) float64) Def {
	return Def{Name: name, In: "X", Out: "Y", Attrs: attrs, Elementwise: true, Infer: inferLike(0), Quant: Quant{Kind: QuantElementwise},
		Eval: func(e *Eval) error {
			e.mapFloat(0, f(e.Attrs()))
			return nil
		}}
}

func (d Def) ranged(lo, hi float32) Def {
	d.Quant.Lo, d.Quant.Hi = lo, hi
	return d
}

func (d Def) microsoft() Def {
	d.Domain = graph.DomainMicrosoft
	return d
}

func attrFloat(a graph.Attrs, name string, def float32) float64 { return float64(a.Float(name, def)) }

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func hardSigmoid(alpha, beta float64) func(float64) float64 {
	return func(x float64) float64 { return max(0, min(1, alpha*x+beta)) }
}

func leakyRelu(alpha float64) func(float64) float64 {
	return func(x float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}
}

func elu(alpha float64) func(float64) float64 {
	return func(x float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}
}

func swish(alpha float64) func(float64) float64 {
	return func(x float64) float64 { return x * sigmoid(alpha*x) }
}

// softplus is log(1 + exp(x)) without overflow.
func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func gelu(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }

// geluTanh is the approximation of Hendrycks and Gimpel, "Gaussian Error Linear Units".
func geluTanh(x float64) float64 {
	return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
}

func evalRelu(e *Eval) error {
	x := e.number(0)
	out := e.Result(0, x.DType(), x.Shape()...)
	if x.DType().IsFloat() {
		apply(out, x, func(v float64) float64 { return max(v, 0) })
		return nil
	}
	for i := range x.Len() {
		out.SetInt(i, max(x.Int(i), 0))
	}
	return nil
}

func evalShrink(e *Eval) error {
	x := e.number(0)
	bias, lambda := attrFloat(e.Attrs(), "bias", 0), attrFloat(e.Attrs(), "lambd", 0.5)
	apply(e.Result(0, x.DType(), x.Shape()...), x, func(v float64) float64 {
		switch {
		case v < -lambda:
			return v + bias
		case v > lambda:
			return v - bias
		}
		return 0
	})
	return nil
}

// evalPRelu broadcasts slope to X, never X to slope.
func evalPRelu(e *Eval) error {
	x, slope := e.number(0), e.number(1)
	f := arithmetic{
		float: func(v, s float64) float64 {
			if v < 0 {
				return v * s
			}
			return v
		},
		signed: func(v, s int64) int64 {
			if v < 0 {
				return v * s
			}
			return v
		},
		unsigned: func(v, _ uint64) uint64 { return v },
	}
	e.mustBroadcast(slope, x)
	e.Set(0, e.combine(f, x, slope))
	return nil
}

func evalSwiGLU(e *Eval) error {
	a, b := e.float(0), e.float(1)
	if a.String() != b.String() {
		e.Fail("gate %v and value %v differ", a, b)
	}
	gate := swish(attrFloat(e.Attrs(), "alpha", 1))
	e.Set(0, e.combine(arithmetic{float: func(x, y float64) float64 { return gate(x) * y }}, a, b))
	return nil
}

// biasThen evaluates f(x + bias), bias being optional and broadcast from the right.
func biasThen(f func(float64) float64) func(*Eval) error {
	return func(e *Eval) error {
		x := e.float(0)
		if e.Has(1) {
			e.mustBroadcast(e.T(1), x)
			x = e.combine(arithmetic{float: addFloat}, x, e.float(1))
		}
		apply(e.Result(0, x.DType(), x.Shape()...), x, f)
		return nil
	}
}
