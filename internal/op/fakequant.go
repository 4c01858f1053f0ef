package op

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const fakeAttrs = "axis:int bits:int signed:int narrow:int"

// fakeQuantize defines the round trip of QuantizeLinear and DequantizeLinear in floating
// point, for training: y = (clamp(round(x/scale) + zero_point) - zero_point)·scale, with
// integers of 2 to 8 bits, signed unless signed is 0; narrow leaves the lowest signed one
// out. scale and zero_point hold one number, or one for each index of axis.
func fakeQuantize() Def {
	return Def{Name: "FakeQuantize", Domain: graph.DomainEdgewise, In: "x scale zero_point?", Out: "y", Attrs: fakeAttrs,
		Infer: inferLike(0), Eval: evalFakeQuantize}
}

// fake is how one node quantizes.
type fake struct {
	lo, hi      float64
	scale, zero []float64
	at          func(i int) int
}

// fake reads the scale at input i and the zero point after it, for x.
func (e *Eval) fake(x *tensor.Tensor, i int) fake {
	a := e.Attrs()
	bits := a.Int("bits", 8)
	if bits < 2 || bits > 8 {
		e.Fail("bits=%d is not within 2..8", bits)
	}
	f := fake{lo: 0, hi: float64(int64(1)<<bits - 1), scale: e.float(i).Floats()}
	if a.Int("signed", 1) != 0 {
		f.lo, f.hi = -float64(int64(1)<<(bits-1)), float64(int64(1)<<(bits-1)-1)
		if a.Int("narrow", 0) != 0 {
			f.lo++
		}
	}
	f.zero = make([]float64, len(f.scale))
	if e.Has(i + 1) {
		if f.zero = e.T(i + 1).Floats(); len(f.zero) != len(f.scale) {
			e.Fail("zero point %v does not fit scale %v", e.T(i+1), e.T(i))
		}
	}
	var err error
	if f.at, err = scaleIndex(graph.Attrs{"axis": a.Int("axis", 1)}, x.Shape(), e.T(i).Shape()); err != nil {
		e.Fail("%w", err)
	}
	return f
}

// level returns the integer of x, less its zero point, and whether x lies inside the
// range. The quotient is rounded to float32 first, as the integer kernels see it.
func (f *fake) level(x float64, k int) (q float64, inside bool) {
	v := math.RoundToEven(float64(float32(x)/float32(f.scale[k]))) + f.zero[k]
	return min(max(v, f.lo), f.hi) - f.zero[k], v >= f.lo && v <= f.hi
}

func evalFakeQuantize(e *Eval) error {
	x := e.float(0)
	f := e.fake(x, 1)
	out := e.Result(0, x.DType(), x.Shape()...)
	for i := range x.Len() {
		k := f.at(i)
		q, _ := f.level(x.Float(i), k)
		out.SetFloat(i, q*f.scale[k])
	}
	return nil
}

func inferFakeQuantizeGradient(c *Infer) error {
	c.Set(0, c.Type(1))
	c.Set(1, c.Type(2))
	return nil
}

// evalFakeQuantizeGradient: inside the range dX = dY and the scale's share is level - x/scale,
// outside dX = 0 and the share is the level; the sum is multiplied by 1/√(elements·hi).
func evalFakeQuantizeGradient(e *Eval) error {
	dy, x := e.float(0), e.float(1)
	f := e.fake(x, 2)
	if !slices.Equal(dy.Shape(), x.Shape()) {
		e.Fail("gradient %v and input %v differ in shape", dy, x)
	}
	dx, ds := e.Result(0, x.DType(), x.Shape()...), make([]float64, len(f.scale))
	for i := range x.Len() {
		k := f.at(i)
		q, inside := f.level(x.Float(i), k)
		if inside {
			dx.SetFloat(i, dy.Float(i))
			q -= x.Float(i) / f.scale[k]
		}
		ds[k] += dy.Float(i) * q
	}
	g := 1 / math.Sqrt(float64(x.Len())/float64(len(ds))*f.hi)
	for k := range ds {
		ds[k] *= g
	}
	e.store(1, e.T(2).DType(), ds, e.T(2).Shape()...)
	return nil
}
