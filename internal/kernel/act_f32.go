package kernel

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Apply writes the activation of every value of src to dst, which may be src
// and must be as long. A NaN stays a NaN. ActPRelu takes slices of whole rows of
// channels.
//
// Against the exact function of the f32 argument, e^x, ln x, sigmoid, tanh and
// SiLU stay within 4 units in the last place, Gelu, Elu, Softplus, Mish and erf within
// 2e-6 of the result. A sigmoid below 2^-126 is 0, and so is the gate of SiLU and Gelu.
// The others are exact but for the rounding of each operation written in ActKind.
func (a Act) Apply(l cpu.Level, dst, src []float32) {
	if len(dst) != len(src) {
		panic("kernel: activation of slices of different lengths")
	}
	if len(src) == 0 {
		return
	}
	if a.Kind == ActPRelu {
		PRelu.Apply(l, dst, src, a.Slope)
		return
	}
	if !a.applyArch(l, dst, src) {
		a.applyGo(dst, src)
	}
}

// applyGo is the portable twin: the same polynomials as in assembly.
func (a Act) applyGo(dst, src []float32) {
	switch a.Kind {
	case ActNone:
		copy(dst, src)
	case ActClamp:
		for i, x := range src {
			dst[i] = clampF32(x, a.Lo, a.Hi)
		}
	case ActLeakyRelu:
		for i, x := range src {
			if x < 0 {
				x *= a.Alpha
			}
			dst[i] = x
		}
	case ActPRelu:
		PRelu.applyGo(dst, src, a.Slope)
	case ActSigmoid:
		for i, x := range src {
			dst[i] = sigmoidF32(x)
		}
	case ActTanh:
		for i, x := range src {
			dst[i] = tanhF32(x)
		}
	case ActHardSigmoid:
		for i, x := range src {
			dst[i] = clampF32(a.Alpha*x+a.Beta, 0, 1)
		}
	case ActHardSwish:
		for i, x := range src {
			dst[i] = x * clampF32(x*(1.0/6)+0.5, 0, 1)
		}
	case ActSiLU:
		for i, x := range src {
			dst[i] = x * sigmoidF32(x)
		}
	case ActGelu:
		for i, x := range src {
			dst[i] = geluF32(x)
		}
	case ActGeluTanh:
		for i, x := range src {
			// 1+tanh u is 2·sigmoid(2u).
			dst[i] = x * sigmoidF32(x*(1.5957691216057308+0.07135481282052605*x*x))
		}
	case ActElu:
		for i, x := range src {
			if x < 0 {
				x = a.Alpha * float32(math.Expm1(float64(x)))
			}
			dst[i] = x
		}
	case ActSoftplus:
		for i, x := range src {
			dst[i] = float32(softplus(float64(x)))
		}
	case ActMish:
		for i, x := range src {
			dst[i] = float32(float64(x) * math.Tanh(softplus(float64(x))))
		}
	case ActExp:
		for i, x := range src {
			dst[i] = expF32(x)
		}
	case ActAbs:
		for i, x := range src {
			dst[i] = abs32(x)
		}
	default:
		f := wideFunctions[a.Kind]
		for i, x := range src {
			dst[i] = float32(f(float64(x)))
		}
	}
}

// wideFunctions are the functions that the portable code computes in double precision.
var wideFunctions = map[ActKind]func(float64) float64{ActLog: math.Log, ActErf: math.Erf, ActSqrt: math.Sqrt,
	ActRound: math.RoundToEven, ActFloor: math.Floor, ActCeil: math.Ceil}

// softplus is ln(1+e^x) without overflow.
func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// Constants of expF32. ln 2 is split so that n·expLn2Hi is exact; the
// polynomial is the least-squares fit of (e^r-1-r)/r² on |r| ≤ ln(2)/2 that the
// Cephes library uses for its expf.
const (
	expLog2E = 1.44269504088896341
	expLn2Hi = 0.693359375
	expLn2Lo = -2.12194440e-4
	expC5    = 1.9875691500e-4
	expC4    = 1.3981999507e-3
	expC3    = 8.3334519073e-3
	expC2    = 4.1665795894e-2
	expC1    = 1.6666665459e-1
	expC0    = 5.0000001201e-1
	expMin   = -104 // e^x rounds to 0 below
	expMax   = 89   // e^x is infinite above

	expNormal = -87.33654 // e^x is no normal number below
)

// expF32 is e^x: 2^n·e^r with n the integer nearest to x/ln 2.
func expF32(x float32) float32 {
	if x != x {
		return x
	}
	x = clampF32(x, expMin, expMax)
	n := float32(math.RoundToEven(float64(x * expLog2E)))
	r := x - n*expLn2Hi - n*expLn2Lo
	p := float32(expC5)
	p = p*r + expC4
	p = p*r + expC3
	p = p*r + expC2
	p = p*r + expC1
	p = p*r + expC0
	p = p*r + 1
	p = p*r + 1
	// In two steps, as 2^n alone may be no normal number.
	half := int32(n) >> 1
	return p * pow2(half) * pow2(int32(n)-half)
}

// pow2 is 2^n for -126 ≤ n ≤ 127.
func pow2(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

// smallExpF32 is e^x for x ≤ 0, but 0 where that is no normal number: such numbers slow
// down whatever computes with them.
func smallExpF32(x float32) float32 {
	if x < expNormal {
		return 0
	}
	return expF32(x)
}

// sigmoidF32 is 1/(1+e^-x), computed from e^-|x| so that nothing overflows.
func sigmoidF32(x float32) float32 {
	e := smallExpF32(-abs32(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

// Constants of tanhF32: the odd polynomial of Cephes' tanhf below tanhSmall.
const (
	tanhSmall = 0.625
	tanhC4    = -5.70498872745e-3
	tanhC3    = 2.06390887954e-2
	tanhC2    = -5.37397155531e-2
	tanhC1    = 1.33314422036e-1
	tanhC0    = -3.33332819422e-1
)

// tanhF32 is tanh x: 1-2/(1+e^2|x|) with the sign of x, or near zero, where
// that would cancel, x + x³·P(x²).
func tanhF32(x float32) float32 {
	if z := abs32(x); !(z < tanhSmall) {
		t := 1 - 2/(1+expF32(2*z))
		return math.Float32frombits(math.Float32bits(t) | math.Float32bits(x)&(1<<31))
	}
	s := x * x
	p := float32(tanhC4)
	p = p*s + tanhC3
	p = p*s + tanhC2
	p = p*s + tanhC1
	p = p*s + tanhC0
	return p*s*x + x
}

// Constants of erfcF32, Chebyshev coefficients of Press et al., Numerical
// Recipes in C, section 6.2, with relative error below 1.2e-7.
const (
	erfcC0 = -1.26551223
	erfcC1 = 1.00002368
	erfcC2 = 0.37409196
	erfcC3 = 0.09678418
	erfcC4 = -0.18628806
	erfcC5 = 0.27886807
	erfcC6 = -1.13520398
	erfcC7 = 1.48851587
	erfcC8 = -0.82215223
	erfcC9 = 0.17087277
)

// erfcF32 is the complementary error function for z ≥ 0:
// t·e^(P(t)-z²) with t = 1/(1+z/2).
func erfcF32(z float32) float32 {
	t := 1 / (1 + 0.5*z)
	p := float32(erfcC9)
	p = p*t + erfcC8
	p = p*t + erfcC7
	p = p*t + erfcC6
	p = p*t + erfcC5
	p = p*t + erfcC4
	p = p*t + erfcC3
	p = p*t + erfcC2
	p = p*t + erfcC1
	p = p*t + erfcC0
	return t * smallExpF32(p-z*z)
}

// geluF32 is x·Φ(x). The lower tail is taken from erfc, so it keeps its
// relative precision.
func geluF32(x float32) float32 {
	h := 0.5 * erfcF32(abs32(x)*(1/math.Sqrt2))
	if x >= 0 {
		h = 1 - h
	}
	return x * h
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
