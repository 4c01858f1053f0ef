package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// qlinearOps are the linear operators on quantized tensors. All requantize by one rule,
// which kernels follow bit for bit: see requantize.
func qlinearOps() []Def {
	const ms = graph.DomainMicrosoft
	return []Def{
		{Name: "QLinearConv", In: "x x_scale x_zero_point w w_scale w_zero_point y_scale y_zero_point B?", Out: "y",
			Attrs: convAttrs, Infer: func(c *Infer) error { return inferConvAs(c, 3, c.DType(7)) }, Eval: evalQLinearConv, MACs: convMACs(3)},
		{Name: "QLinearMatMul", In: "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point", Out: "y",
			Infer: inferQLinearMatMul, Eval: evalQLinearMatMul, MACs: qlinearMatMulMACs},
		{Name: "QGemm", Domain: ms, In: "A a_scale a_zero_point B b_scale b_zero_point C? y_scale? y_zero_point?", Out: "Y",
			Attrs: "alpha:float transA:int transB:int", Infer: inferQGemm, Eval: evalQGemm, MACs: gemmMACs},
		{Name: "DynamicQuantizeMatMul", Domain: ms, In: "A B b_scale b_zero_point? bias?", Out: "Y",
			Infer: inferMatMul(0, 1, tensor.Float32), Eval: evalDynamicQuantizeMatMul, MACs: matmulMACs},
		{Name: "MatMulIntegerToFloat", Domain: ms, In: "A B a_scale b_scale a_zero_point? b_zero_point? bias?", Out: "Y",
			Infer: inferMatMulIntegerToFloat, Eval: evalMatMulIntegerToFloat, MACs: matmulMACs},
	}
}

// Multiplier returns the factor from an accumulator to output steps, x·w/y with a
// float32 rounding after each operation. ONNX Runtime does the same; a factor that is
// closer to the quotient turns other ties, and deep networks amplify each of them.
func Multiplier(x, w, y float64) float32 { return float32(float32(x)*float32(w)) / float32(y) }

// requantize turns an int32 accumulator into an integer of type d: the product with the
// multiplier in float32, clamped to the range that zero leaves, rounded half to even.
func requantize(acc int32, mult float32, d tensor.DType, zero int64) int64 {
	return clampRound(float32(acc)*mult, d, zero)
}

// clampRound is the last step of every requantization.
func clampRound(v float32, d tensor.DType, zero int64) int64 {
	lo, hi := d.IntRange()
	return saturated(d, min(max(v, float32(lo-zero)), float32(hi-zero)), float64(zero))
}

// quantized is the scale and zero point of one tensor, from a node's inputs.
type quantized struct {
	scale float32
	zero  int64
	dtype tensor.DType // of the zero point, or def where there is none
}

// quantized reads the inputs scale and zero, each of one element.
func (e *Eval) quantized(scale, zero int, def tensor.DType) quantized {
	q := quantized{scale: float32(e.scalar(scale, 1)), dtype: def}
	if e.Has(zero) {
		q.zero, q.dtype = int64(e.scalar(zero, 0)), e.T(zero).DType()
	}
	return q
}

// perChannel reads input i as one scale for all channels or one for each.
func (e *Eval) perChannel(i, channels int) func(c int) float64 {
	s := e.T(i).Floats()
	switch len(s) {
	case 1:
		return func(int) float64 { return s[0] }
	case channels:
		return func(c int) float64 { return s[c] }
	}
	e.Fail("input %s is %v, want one value or %d", e.inputName(i), e.T(i), channels)
	return nil
}

func evalQLinearConv(e *Eval) error {

	x, y := e.quantized(1, 2, tensor.Invalid), e.quantized(6, 7, tensor.Invalid)
	c, acc := e.integerConv(0, 3, 2, 5, func(channels int) []float64 { return e.bias(8, channels) })
	w := e.perChannel(4, c.cout)
	out := e.Result(0, y.dtype, c.shape...)
	plane := volume(c.out)
	for m := range c.cout {
		mult := Multiplier(float64(x.scale), w(m), float64(y.scale))
		for n := range c.batch {
			at := (n*c.cout + m) * plane
			for i := at; i < at+plane; i++ {
				out.SetInt(i, requantize(int32(int64(acc[i])), mult, y.dtype, y.zero))
			}
		}
	}
	return nil
}

func inferQLinearMatMul(c *Infer) error {
	return inferMatMul(0, 3, c.DType(7))(c)
}

func qlinearMatMulMACs(c *Infer) int64 {
	_, k, err := productDims(c.Shape(0), c.Shape(3))
	if err != nil || !k.Known() {
		return 0
	}
	return c.outputs() * int64(k.Size)
}

// evalQLinearMatMul takes scales and zero points per tensor, per row of a and y, and per
// column of b. 8-bit floats go through the same formula without an integer.
func evalQLinearMatMul(e *Eval) error {
	p := e.product(e.T(0).Shape(), e.T(3).Shape())
	acc := p.run(e.centred(0, 2, false), e.centred(3, 5, true))
	full := append(append([]int{}, p.batch...), p.m, p.n)
	sa, sb := e.matrixParam(1, full, false), e.matrixParam(4, full, true)
	sy, zy := e.matrixParam(6, full, false), e.matrixParam(7, full, false)
	d := e.T(7).DType()
	out := e.Result(0, d, p.out...)
	for i, v := range acc {
		mult, zero := Multiplier(sa(), sb(), sy()), zy()
		if d.IsInt() {
			out.SetInt(i, requantize(int32(int64(v)), mult, d, int64(zero)))
		} else {
			putQuantized(out, i, float32(v)*mult, zero, true)
		}
	}
	return nil
}

func inferQGemm(c *Infer) error {
	s, err := gemmDims(c, 3)
	if err != nil {
		return err
	}
	d := tensor.Float32
	if c.Has(7) {
		if d = c.DType(0); c.Has(8) {
			d = c.DType(8)
		}
	}
	c.SetTensor(0, d, s)
	return nil
}

// evalQGemm is alpha·A'·B' + C with C int32 in steps of alpha·a_scale·b_scale. Without
// y_scale the result is real.
func evalQGemm(e *Eval) error {
	a, b := e.T(0), e.T(3)
	if !a.DType().IsInt() || !b.DType().IsInt() {
		e.Fail("operands %v and %v are not integers", a, b)
	}
	if b.Rank() != 2 {
		e.Fail("input %s must be a matrix, it is %v", e.inputName(3), b)
	}
	n := b.Dim(-1)
	if e.Attrs().Int("transB", 0) != 0 {
		n = b.Dim(0)
	}
	var zb func(int) float64
	if e.Has(5) {
		zb = e.perChannel(5, n)
	}
	p, acc := e.gemm(a, b, e.scalar(2, 0), zb)
	if e.Has(6) {
		c := e.matrixParam(6, p.out, true)
		for i := range acc {
			acc[i] += c()
		}
	}
	alpha, sa, sb := attrFloat(e.Attrs(), "alpha", 1), e.scalar(1, 1), e.perChannel(4, n)
	if !e.Has(7) {
		for i := range acc {
			acc[i] = float64(float32(acc[i]) * Multiplier(alpha*sa, sb(i%n), 1))
		}
		e.store(0, tensor.Float32, acc, p.out...)
		return nil
	}
	q := e.quantized(7, 8, a.DType())
	out := e.Result(0, q.dtype, p.out...)
	for i, v := range acc {
		out.SetInt(i, requantize(int32(int64(v)), Multiplier(alpha*sa, sb(i%n), float64(q.scale)), q.dtype, q.zero))
	}
	return nil
}

func inferMatMulIntegerToFloat(c *Infer) error {
	return inferMatMul(0, 1, c.DType(2))(c)
}

func evalMatMulIntegerToFloat(e *Eval) error {
	acc, shape := e.integerProduct(0, 1, 4, 5)
	p := e.product(e.T(0).Shape(), e.T(1).Shape())
	full := append(append([]int{}, p.batch...), p.m, p.n)
	sa, sb := e.matrixParam(2, full, false), e.matrixParam(3, full, true)
	for i := range acc {
		acc[i] *= sa() * sb()
	}
	e.addBias(acc, full, 6)
	e.store(0, e.T(2).DType(), acc, shape...)
	return nil
}

// addBias adds input i, one number per column, when it is present.
func (e *Eval) addBias(acc []float64, shape []int, i int) {
	if e.Has(i) {
		bias := e.matrixParam(i, shape, true)
		for k := range acc {
			acc[k] += bias()
		}
	}
}

// evalDynamicQuantizeMatMul quantizes A by its own range first.
func evalDynamicQuantizeMatMul(e *Eval) error {
	a, b := e.float(0), e.T(1)
	if !b.DType().IsInt() {
		return fmt.Errorf("B is %v, want integers", b)
	}
	scale, zero := dynamicScale(a)
	x := make([]float64, a.Len())
	for i := range x {
		x[i] = float64(saturated(tensor.Uint8, float32(a.Float(i))/scale, float64(zero))) - float64(zero)
	}
	p := e.product(a.Shape(), b.Shape())
	acc := p.run(x, e.centred(1, 3, true))
	full := append(append([]int{}, p.batch...), p.m, p.n)
	sb := e.matrixParam(2, full, true)
	for i := range acc {
		acc[i] *= float64(scale) * sb()
	}
	e.addBias(acc, full, 4)
	e.store(0, tensor.Float32, acc, p.out...)
	return nil
}
