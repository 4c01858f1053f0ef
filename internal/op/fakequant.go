package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const fakeAttrs = "axis:int bits:int signed:int narrow:int"

// maxFakeBits bounds the integers of FakeQuantize. Integer biases have 31 bits: with 32 the
// products that are added to them could run over.
const maxFakeBits = 31

// fakeQuantize defines the round trip of QuantizeLinear and DequantizeLinear in floating
// point, for training: y = (clamp(round(x/scale) + zero_point) - zero_point)·scale, with
// integers of 2 to 31 bits, signed unless signed is 0; narrow leaves the lowest signed one
// out. scale and zero_point hold one number, or one for each index of axis.
func fakeQuantize() Def {
	return Def{Name: "FakeQuantize", Domain: graph.DomainEdgewise, In: "x scale zero_point?", Out: "y", Attrs: fakeAttrs,
		Infer: inferLike(0), Eval: evalFakeQuantize}
}

// Grid is the integers that a FakeQuantize node rounds to.
type Grid struct {
	Lo, Hi int64
	DType  tensor.DType // that holds them: uint8, int8 or int32
}

// FakeGrid returns the grid of a node with the given attributes.
func FakeGrid(a graph.Attrs) (Grid, error) {
	bits := a.Int("bits", 8)
	if bits < 2 || bits > maxFakeBits {
		return Grid{}, fmt.Errorf("bits=%d is not within 2..%d", bits, maxFakeBits)
	}
	d := tensor.Int8
	if bits > 8 {
		d = tensor.Int32
	}
	if a.Int("signed", 1) == 0 {
		if bits <= 8 {
			d = tensor.Uint8
		}
		return Grid{0, 1<<bits - 1, d}, nil
	}
	g := Grid{-1 << (bits - 1), 1<<(bits-1) - 1, d}
	if a.Int("narrow", 0) != 0 {
		g.Lo++
	}
	return g, nil
}

// FakeLevels returns the integers that FakeQuantize with the given attributes rounds x to;
// zero may be nil.
func FakeLevels(a graph.Attrs, x, scale, zero *tensor.Tensor) (*tensor.Tensor, error) {
	f, err := newFake(a, x, scale, zero)
	if err != nil {
		return nil, err
	}
	out, err := tensor.Make(f.DType, x.Shape())
	if err != nil {
		return nil, err
	}
	for i := range x.Len() {
		k := f.at(i)
		q, _ := f.level(x.Float(i), k)
		out.SetInt(i, int64(q+f.zero[k]))
	}
	return out, nil
}

// fake is how one node quantizes.
type fake struct {
	Grid
	scale, zero []float64
	at          func(i int) int
}

func newFake(a graph.Attrs, x, scale, zero *tensor.Tensor) (*fake, error) {
	g, err := FakeGrid(a)
	if err != nil {
		return nil, err
	}
	f := &fake{Grid: g, scale: scale.Floats()}
	f.zero = make([]float64, len(f.scale))
	if zero != nil {
		if f.zero = zero.Floats(); len(f.zero) != len(f.scale) {
			return nil, fmt.Errorf("zero point %v does not fit scale %v", zero, scale)
		}
	}
	f.at, err = scaleIndex(graph.Attrs{"axis": a.Int("axis", 1)}, x.Shape(), scale.Shape())
	return f, err
}

// fake reads the scale at input i and the zero point after it, for x.
func (e *Eval) fake(x *tensor.Tensor, i int) *fake {
	var zero *tensor.Tensor
	if e.Has(i + 1) {
		zero = e.T(i + 1)
	}
	f, err := newFake(e.Attrs(), x, e.float(i), zero)
	if err != nil {
		e.Fail("%w", err)
	}
	return f
}

// level returns the integer of x, less its zero point, and whether x lies inside the
// range. The quotient is rounded to float32 first, as the integer kernels see it.
func (f *fake) level(x float64, k int) (q float64, inside bool) {
	v := math.RoundToEven(float64(float32(x)/float32(f.scale[k]))) + f.zero[k]
	lo, hi := float64(f.Lo), float64(f.Hi)
	return min(max(v, lo), hi) - f.zero[k], v >= lo && v <= hi
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
// outside dX = 0 and the share is the level; the sum is multiplied by 1/√(elements·hi). What
// rounds to a number of the range lies inside, so that the largest weight still moves.
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
	g := 1 / math.Sqrt(float64(x.Len())/float64(len(ds))*float64(f.Hi))
	for k := range ds {
		ds[k] *= g
	}
	e.store(1, e.T(2).DType(), ds, e.T(2).Shape()...)
	return nil
}
