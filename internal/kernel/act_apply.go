package kernel

import "math"

// Apply writes the activation of every value of src to dst, which may be src.
func (a Act) Apply(dst, src []float32) {
	dst = dst[:len(src)]
	for i, x := range src {
		dst[i] = a.one(x)
	}
}

// one is the activation of one value in double precision: the reference that
// the fast paths are held to.
func (a Act) one(v float32) float32 {
	x := float64(v)
	switch a.Kind {
	case ActClamp:
		return clampF32(v, a.Lo, a.Hi)
	case ActLeakyRelu:
		if v < 0 {
			return a.Alpha * v
		}
		return v
	case ActSigmoid:
		return float32(1 / (1 + math.Exp(-x)))
	case ActTanh:
		return float32(math.Tanh(x))
	case ActHardSigmoid:
		return clampF32(a.Alpha*v+a.Beta, 0, 1)
	case ActHardSwish:
		return v * clampF32(v*(1.0/6)+0.5, 0, 1)
	case ActSiLU:
		return float32(x / (1 + math.Exp(-x)))
	case ActGelu:
		return float32(x / 2 * (1 + math.Erf(x/math.Sqrt2)))
	case ActGeluTanh:
		return float32(x / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x))))
	case ActElu:
		if v < 0 {
			return float32(float64(a.Alpha) * math.Expm1(x))
		}
		return v
	case ActSoftplus:
		return float32(softplus(x))
	case ActMish:
		return float32(x * math.Tanh(softplus(x)))
	case ActExp:
		return float32(math.Exp(x))
	}
	return v
}

// softplus is ln(1+e^x) without overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }
