package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// exact is the activation of one value in double precision, where that differs
// from working in single.
func (a Act) exact(v float32) float64 {
	x := float64(v)
	switch a.Kind {
	case ActSigmoid:
		return 1 / (1 + math.Exp(-x))
	case ActTanh:
		return math.Tanh(x)
	case ActSiLU:
		return x / (1 + math.Exp(-x))
	case ActGelu:
		return x / 2 * math.Erfc(-x/math.Sqrt2)
	case ActGeluTanh:
		return x / (1 + math.Exp(-2*math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
	case ActElu:
		if v < 0 {
			return float64(a.Alpha) * math.Expm1(x)
		}
	case ActSoftplus:
		return softplus(x)
	case ActMish:
		return x * math.Tanh(softplus(x))
	case ActExp:
		return math.Exp(x)
	case ActAbs:
		return math.Abs(x)
	case ActLog, ActErf, ActSqrt, ActRound, ActFloor, ActCeil:
		return wideFunctions[a.Kind](x)
	case ActClamp:
		return math.Min(math.Max(x, float64(a.Lo)), float64(a.Hi))
	case ActLeakyRelu:
		if v < 0 {
			return float64(a.Alpha) * x
		}
	case ActHardSigmoid:
		return math.Min(math.Max(float64(a.Alpha)*x+float64(a.Beta), 0), 1)
	case ActHardSwish:
		return x * math.Min(math.Max(x/6+0.5, 0), 1)
	}
	return x
}

// gated tells the functions of which tiny factors become 0.
func (a Act) gated() bool {
	return a.Kind == ActSigmoid || a.Kind == ActSiLU || a.Kind == ActGelu || a.Kind == ActGeluTanh
}

func testActs() []Act {
	return []Act{{}, {Kind: ActClamp, Lo: -1, Hi: 6}, {Kind: ActLeakyRelu, Alpha: 0.2}, {Kind: ActSigmoid}, {Kind: ActTanh},
		{Kind: ActHardSigmoid, Alpha: 0.2, Beta: 0.5}, {Kind: ActHardSwish}, {Kind: ActSiLU}, {Kind: ActGelu}, {Kind: ActGeluTanh},
		{Kind: ActElu, Alpha: 1.5}, {Kind: ActSoftplus}, {Kind: ActMish}, {Kind: ActExp},
		{Kind: ActLog}, {Kind: ActErf}, {Kind: ActSqrt}, {Kind: ActAbs}, {Kind: ActRound}, {Kind: ActFloor}, {Kind: ActCeil}}
}

func TestActPrecision(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	var src []float32
	for range 20000 {
		src = append(src, float32(r.NormFloat64()*3), float32(r.NormFloat64()*1e-3), float32((r.Float64()-0.5)*250))
	}
	// The whole range, by its bits.
	for b := uint64(0); b < 1<<32; b += 30_011 {
		if x := math.Float32frombits(uint32(b)); x == x {
			src = append(src, x)
		}
	}
	src = append(src, 0, float32(math.Inf(1)), float32(math.Inf(-1)), 88.7, 88.8, -87.4, -103.9, -104.1, 1e30, -1e30, 1e-42, 0.625, -0.625, 1, 1.0000001, 0.99999994, 1e-30, 1e-38, 3e38, 0.5, 1.5, -2.5, 8388609)
	for _, l := range cpu.Levels() {
		for _, a := range testActs() {
			dst := make([]float32, len(src))
			a.Apply(l, dst, src)
			worst, where := 0.0, float32(0)
			for i, x := range src {
				want := a.exact(x)
				if math.IsNaN(want) || math.IsInf(float64(x), 0) && a.Kind >= ActSiLU && a.Kind <= ActMish {
					if a.Kind > ActMish && !math.IsNaN(float64(dst[i])) {
						t.Errorf("%v %v(%g) = %g, want no number", l, a.Kind, x, dst[i])
					}
					continue // infinity times zero
				}
				got := float64(dst[i])
				if math.Abs(want) > math.MaxFloat32 {
					if got != math.Copysign(math.Inf(1), want) && math.Abs(want) > 3.4029e38 {
						t.Errorf("%v %v(%g) = %g, want infinity", l, a.Kind, x, got)
					}
					continue
				}
				// The unit in the last place of the result; for those bounded
				// relatively, 2e-6 counts as 4 of them.
				ulp := math.Max(math.Abs(want)*0x1p-23, 0x1p-149)
				if a.Kind >= ActGelu && a.Kind <= ActMish || a.Kind == ActErf {
					ulp = math.Max(math.Abs(want), math.Min(math.Abs(float64(x)), 1e-3))*5e-7 + 0x1p-126
				}
				if a.Kind == ActHardSigmoid || a.Kind == ActHardSwish {
					ulp = 0x1p-24 * (1 + math.Abs(float64(x)))
				}
				if small := math.Abs(want) < 0x1p-126*math.Max(1, math.Abs(float64(x))); small && got == 0 && a.gated() {
					continue
				}
				if e := math.Abs(got-want) / ulp; !(e <= worst) {
					worst, where = e, x
				}
			}
			if !(worst <= 4) {
				t.Errorf("%v %v: error %.3g at %g", l, a.Kind, worst, where)
			}
		}
	}
}

func TestActTailsAndNaN(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	for _, l := range cpu.Levels() {
		for _, a := range testActs() {
			for n := range 70 {
				src := normals(r, n)
				if n > 0 {
					src[n/2] = float32(math.NaN())
				}
				want := make([]float32, n)
				a.Apply(cpu.Generic, want, src)
				dst := append(make([]float32, n), 7)
				a.Apply(l, dst[:n], src)
				if dst[n] != 7 {
					t.Fatalf("%v %v: wrote beyond %d values", l, a.Kind, n)
				}
				for i := range n {
					if src[i] != src[i] {
						if dst[i] == dst[i] {
							t.Fatalf("%v %v(NaN) = %g", l, a.Kind, dst[i])
						}
					} else if want[i] != want[i] && dst[i] != dst[i] {
						continue
					} else if d := math.Abs(float64(dst[i] - want[i])); !(d <= 1e-6*(1+math.Abs(float64(want[i])))) {
						t.Fatalf("%v %v(%g) = %g, portable %g", l, a.Kind, src[i], dst[i], want[i])
					}
				}
				a.Apply(l, src, src)
				for i := range src {
					if src[i] == src[i] && src[i] != dst[i] {
						t.Fatalf("%v %v: in place %g, else %g", l, a.Kind, src[i], dst[i])
					}
				}
			}
		}
	}
}
