package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// quantOps go between real numbers and their quantized forms.
func quantOps() []Def {
	q := Def{Name: "QuantizeLinear", In: "x y_scale y_zero_point?", Out: "y",
		Attrs: "axis:int block_size:int output_dtype:int precision:int saturate:int", Infer: inferQuantize, Eval: evalQuantize}
	d := Def{Name: "DequantizeLinear", In: "x x_scale x_zero_point?", Out: "y",
		Attrs: "axis:int block_size:int output_dtype:int", Infer: inferDequantize, Eval: evalDequantize}
	return []Def{q, d, q.microsoft(), d.microsoft(),
		{Name: "DynamicQuantizeLinear", In: "x", Out: "y y_scale y_zero_point", Infer: inferDynamicQuantize, Eval: evalDynamicQuantize},
	}
}

// attrDType reads an element type given by number; Invalid when absent or unknown.
func attrDType(a graph.Attrs, name string) tensor.DType {
	v := a.Int(name, 0)
	if v < 0 || v > 255 || !tensor.DType(v).Valid() {
		return tensor.Invalid
	}
	return tensor.DType(v)
}

func inferQuantize(c *Infer) error {
	d := c.DType(2)
	if !c.Has(2) {
		if d = attrDType(c.Attrs(), "output_dtype"); d == tensor.Invalid {
			d = tensor.Uint8
		}
	}
	c.SetTensor(0, d, c.Shape(0))
	return checkScale(c)
}

func inferDequantize(c *Infer) error {
	d := attrDType(c.Attrs(), "output_dtype")
	if d == tensor.Invalid {
		d = c.DType(1)
	}
	c.SetTensor(0, d, c.Shape(0))
	return checkScale(c)
}

func checkScale(c *Infer) error {
	x, ok := c.Shape(0).Static()
	s, ok2 := c.Shape(1).Static()
	if !ok || !ok2 {
		return nil
	}
	_, err := scaleIndex(c.Attrs(), x, s)
	return err
}

// scaleIndex returns which scale belongs to each element of a tensor of shape x: one for
// all, one per index along axis, or one per block of block_size along axis.
func scaleIndex(a graph.Attrs, x, scale []int) (func(i int) int, error) {
	n, err := tensor.NumElements(scale)
	if err != nil {
		return nil, err
	}
	block := a.Int("block_size", 0)
	if n == 1 && block == 0 {
		return func(int) int { return 0 }, nil
	}
	axis, err := ResolveAxis(a.Int("axis", 1), len(x))
	if err != nil {
		return nil, err
	}
	_, size, inner := splitAt(x, axis)
	if block == 0 {
		if len(scale) != 1 || n != size {
			return nil, fmt.Errorf("scale %v does not fit axis %d of %v", scale, axis, x)
		}
		return func(i int) int { return i / inner % size }, nil
	}
	if block < 0 || block > math.MaxInt32 {
		return nil, fmt.Errorf("block_size %d is not valid", block)
	}
	b := int(block)
	blocks := (size + b - 1) / b
	want := slices.Clone(x)
	want[axis] = blocks
	if !slices.Equal(scale, want) {
		return nil, fmt.Errorf("scale %v does not fit blocks of %d along axis %d of %v, want %v", scale, b, axis, x, want)
	}
	return func(i int) int { return (i/inner/size*blocks+i/inner%size/b)*inner + i%inner }, nil
}

// evalQuantize is saturate(round(x/scale) + zero), rounding half to even. The quotient is
// rounded to the type of the scale or to that of attribute precision.
func evalQuantize(e *Eval) error {
	x, scale := e.number(0), e.float(1)
	d := attrDType(e.Attrs(), "output_dtype")
	zero := e.T(2)
	switch {
	case zero != nil && d != tensor.Invalid && d != zero.DType():
		e.Fail("output_dtype %v contradicts zero point %v", d, zero)
	case zero != nil:
		d = zero.DType()
	case d == tensor.Invalid:
		d = tensor.Uint8
	}
	if zero != nil && zero.Len() != scale.Len() {
		e.Fail("zero point %v does not fit scale %v", zero, scale)
	}
	at, err := scaleIndex(e.Attrs(), x.Shape(), scale.Shape())
	if err != nil {
		return err
	}
	precision := attrDType(e.Attrs(), "precision")
	if precision == tensor.Invalid {
		precision = scale.DType()
	}
	saturate := e.Attrs().Int("saturate", 1) != 0
	out := e.Result(0, d, x.Shape()...)
	for i := range x.Len() {
		k := at(i)
		q := roundTo(precision, float32(x.Float(i))/float32(scale.Float(k)))
		z := 0.0
		if zero != nil {
			z = zero.Float(k)
		}
		putQuantized(out, i, q, z, saturate)
	}
	return nil
}

// roundTo rounds v to a 16-bit format; wider ones keep it.
func roundTo(d tensor.DType, v float32) float32 {
	switch d {
	case tensor.Float16:
		return tensor.Float16ToFloat32(tensor.Float16FromFloat32(v))
	case tensor.BFloat16:
		return tensor.BFloat16ToFloat32(tensor.BFloat16FromFloat32(v))
	}
	return v
}

// putQuantized stores round(v)+zero, saturated, into element i of out.
func putQuantized(out *tensor.Tensor, i int, v float32, zero float64, saturate bool) {
	switch d := out.DType(); {
	case d.IsInt():
		out.SetInt(i, saturated(d, v, zero))
	case d.Bits() == 8:
		out.Bytes()[i] = tensor.Float8FromFloat32(d, v+float32(zero), saturate)
	default:
		out.SetFloat(i, float64(v)+zero)
	}
}

// saturated returns round(v)+zero within the range of an integer type; NaN gives zero.
func saturated(d tensor.DType, v float32, zero float64) int64 {
	lo, hi := d.IntRange()
	if v != v {
		v = 0
	}
	q := math.RoundToEven(float64(v)) + zero
	return int64(min(max(q, float64(lo)), float64(hi)))
}

// evalDequantize is (x - zero)·scale.
func evalDequantize(e *Eval) error {
	x, scale, zero := e.number(0), e.float(1), e.T(2)
	if zero != nil && (zero.Len() != scale.Len() || zero.DType() != x.DType()) {
		e.Fail("zero point %v does not fit scale %v and input %v", zero, scale, x)
	}
	at, err := scaleIndex(e.Attrs(), x.Shape(), scale.Shape())
	if err != nil {
		return err
	}
	d := attrDType(e.Attrs(), "output_dtype")
	if d == tensor.Invalid {
		d = scale.DType()
	}
	out := e.Result(0, d, x.Shape()...)
	for i := range x.Len() {
		k := at(i)
		v := x.Float(i)
		if zero != nil {
			v -= zero.Float(k)
		}
		out.SetFloat(i, float64(float32(v)*float32(scale.Float(k))))
	}
	return nil
}

func inferDynamicQuantize(c *Infer) error {
	c.SetTensor(0, tensor.Uint8, c.Shape(0))
	c.SetTensor(1, tensor.Float32, graph.Dims())
	c.SetTensor(2, tensor.Uint8, graph.Dims())
	return nil
}

func evalDynamicQuantize(e *Eval) error {
	x := e.float(0)
	scale, zero := dynamicScale(x)
	y := e.Result(0, tensor.Uint8, x.Shape()...)
	for i := range x.Len() {
		putQuantized(y, i, float32(x.Float(i))/scale, float64(zero), true)
	}
	e.Set(1, tensor.Scalar(scale))
	e.Set(2, tensor.Scalar(zero))
	return nil
}

// dynamicScale spreads the range of x, which zero belongs to, over 0 … 255.
func dynamicScale(x *tensor.Tensor) (scale float32, zero uint8) {
	var lo, hi float32
	for i := range x.Len() {
		v := float32(x.Float(i))
		lo, hi = min(lo, v), max(hi, v)
	}
	if scale = (hi - lo) / 255; scale == 0 {
		return 1, 0
	}
	return scale, uint8(saturated(tensor.Uint8, -lo/scale, 0))
}
