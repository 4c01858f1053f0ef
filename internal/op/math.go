package op

import (
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

// mathOps are the functions of one number and the element-wise arithmetic.
func mathOps() []Def {
	add, mul := binaryOp("Add", arithmetic{addFloat, addInt, nil}), binaryOp("Mul", arithmetic{
		func(a, b float64) float64 { return a * b }, func(a, b int64) int64 { return a * b }, nil})
	add.Quant.Kind, mul.Quant.Kind = QuantElementwise, QuantElementwise
	defs := []Def{
		unaryOp("Floor", math.Floor),
		unaryOp("Ceil", math.Ceil),
		unaryOp("Round", math.RoundToEven),
		unaryOp("Sqrt", math.Sqrt),
		unaryOp("Reciprocal", func(x float64) float64 { return 1 / x }),
		unaryOp("Exp", math.Exp),
		unaryOp("Log", math.Log),
		unaryOp("Erf", math.Erf),
		unaryOp("Sin", math.Sin),
		unaryOp("Cos", math.Cos),
		unaryOp("Tan", math.Tan),
		unaryOp("Asin", math.Asin),
		unaryOp("Acos", math.Acos),
		unaryOp("Atan", math.Atan),
		unaryOp("Sinh", math.Sinh),
		unaryOp("Cosh", math.Cosh),
		unaryOp("Asinh", math.Asinh),
		unaryOp("Acosh", math.Acosh),
		unaryOp("Atanh", math.Atanh),
		signed("Abs", math.Abs, func(x int64) int64 { return max(x, -x) }),
		signed("Neg", func(x float64) float64 { return -x }, func(x int64) int64 { return -x }),
		signed("Sign", signFloat, func(x int64) int64 {
			switch {
			case x > 0:
				return 1
			case x < 0:
				return -1
			}
			return 0
		}),
		{Name: "IsNaN", In: "X", Out: "Y", Elementwise: true, Infer: inferBool, Eval: evalIsNaN},
		{Name: "IsInf", In: "X", Out: "Y", Attrs: "detect_negative:int detect_positive:int", Elementwise: true, Infer: inferBool, Eval: evalIsInf},
		add,
		binaryOp("Sub", arithmetic{func(a, b float64) float64 { return a - b }, func(a, b int64) int64 { return a - b }, nil}),
		mul,
		{Name: "Div", In: "A B", Out: "C", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: evalDiv},
		{Name: "Mod", In: "A B", Out: "C", Attrs: "fmod:int", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: evalMod},
		{Name: "Pow", In: "X Y", Out: "Z", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: evalPow},
		variadicOp("Max", "data_0", arithmetic{maxOf[float64], maxOf[int64], maxOf[uint64]}),
		variadicOp("Min", "data_0", arithmetic{minOf[float64], minOf[int64], minOf[uint64]}),
		variadicOp("Sum", "data_0", arithmetic{addFloat, addInt, nil}),
		{Name: "Mean", In: "data_0+", Out: "mean", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: evalMean},
		{Name: "BitCast", In: "input", Out: "output", Attrs: "to:int!", Infer: inferBitCast, Eval: evalBitCast},
		{Name: "Clip", In: "input min? max?", Out: "output", Elementwise: true, Infer: inferLike(0), Eval: evalClip, Quant: Quant{Kind: QuantElementwise}},
	}
	return defs
}

func addFloat(a, b float64) float64 { return a + b }
func addInt(a, b int64) int64       { return a + b }

// maxOf and minOf give NaN when either side is NaN.
func maxOf[T float64 | int64 | uint64](a, b T) T { return max(a, b) }
func minOf[T float64 | int64 | uint64](a, b T) T { return min(a, b) }

func signFloat(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return x // zero of either sign, and NaN
}

// signed defines a function of one number that keeps the element type, integers
// included.
func signed(name string, f func(float64) float64, g func(int64) int64) Def {
	return Def{Name: name, In: "X", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: func(e *Eval) error {
		x := e.number(0)
		out := e.Result(0, x.DType(), x.Shape()...)
		switch {
		case x.DType().IsFloat():
			apply(out, x, f)
		case x.DType() == tensor.Uint64: // Int would show large values as negative
			for i, v := range tensor.Data[uint64](x) {
				switch {
				case name == "Neg":
					v = -v
				case name == "Sign":
					v = min(v, 1)
				}
				tensor.Data[uint64](out)[i] = v
			}
		default:
			for i := range x.Len() {
				out.SetInt(i, g(x.Int(i)))
			}
		}
		return nil
	}}
}

func inferBool(c *Infer) error {
	c.SetTensor(0, tensor.Bool, c.Shape(0))
	return nil
}

func evalIsNaN(e *Eval) error {
	e.test(math.IsNaN)
	return nil
}

func evalIsInf(e *Eval) error {
	neg, pos := e.Attrs().Int("detect_negative", 1) != 0, e.Attrs().Int("detect_positive", 1) != 0
	e.test(func(x float64) bool { return pos && math.IsInf(x, 1) || neg && math.IsInf(x, -1) })
	return nil
}

func (e *Eval) test(f func(float64) bool) {
	x := e.float(0)
	out := tensor.Data[bool](e.Result(0, tensor.Bool, x.Shape()...))
	for i := range out {
		out[i] = f(x.Float(i))
	}
}

// evalDiv truncates the quotient of integers toward zero, as C does.
func evalDiv(e *Eval) error {
	e.refuseZeroDivisor()
	e.Set(0, e.combine(arithmetic{
		func(a, b float64) float64 { return a / b },
		func(a, b int64) int64 { return a / b },
		func(a, b uint64) uint64 { return a / b },
	}, e.number(0), e.number(1)))
	return nil
}

func (e *Eval) refuseZeroDivisor() {
	b := e.number(1)
	if b.DType().IsFloat() {
		return
	}
	for i := range b.Len() {
		if b.Int(i) == 0 {
			e.Fail("integer division by zero (element %d of input %s)", i, e.inputName(1))
		}
	}
}

// evalMod has the sign of the divisor (Python) or, with fmod, of the dividend (C).
func evalMod(e *Eval) error {
	e.refuseZeroDivisor()
	f := arithmetic{
		func(a, b float64) float64 {
			r := math.Mod(a, b)
			if r != 0 && (r < 0) != (b < 0) {
				r += b
			}
			return r
		},
		func(a, b int64) int64 {
			r := a % b
			if r != 0 && (r < 0) != (b < 0) {
				r += b
			}
			return r
		},
		func(a, b uint64) uint64 { return a % b },
	}
	if e.Attrs().Int("fmod", 0) != 0 {
		f.float = math.Mod
		f.signed = func(a, b int64) int64 { return a % b }
	}
	e.Set(0, e.combine(f, e.number(0), e.number(1)))
	return nil
}

// evalPow gives the type of the base; the exponent may have another. A power of
// integers with a non-negative exponent is exact modulo the width of the type.
func evalPow(e *Eval) error {
	x, y := e.number(0), e.number(1)
	if x.DType() == tensor.Float32 && y.DType() == tensor.Float32 {
		e.Set(0, e.combine(arithmetic{float: math.Pow}, x, y))
		return nil
	}
	e.pairwise(x.DType(), func(out *tensor.Tensor, i, ia, ib int) {
		switch {
		case x.DType().IsInt() && y.DType().IsInt() && (y.Int(ib) >= 0 || y.DType() == tensor.Uint64):
			out.SetInt(i, powInt(x.Int(ia), uint64(y.Int(ib))))
		default:
			out.SetFloat(i, math.Pow(x.Float(ia), y.Float(ib)))
		}
	})
	return nil
}

func powInt(base int64, exp uint64) int64 {
	r := int64(1)
	for ; exp > 0; exp >>= 1 {
		if exp&1 != 0 {
			r *= base
		}
		base *= base
	}
	return r
}

func evalMean(e *Eval) error {
	sum := e.fold(arithmetic{float: addFloat})
	n := float64(len(e.In))
	apply(e.Result(0, sum.DType(), sum.Shape()...), sum, func(x float64) float64 { return x / n })
	return nil
}

// evalClip is min(max(x, lo), hi): where lo > hi the result is hi. NaN stays.
func evalClip(e *Eval) error {
	x := e.number(0)
	for i := 1; i <= 2; i++ {
		if e.Has(i) && (e.T(i).Len() != 1 || e.T(i).DType() != x.DType()) {
			e.Fail("input %s is %v, want one %v", e.inputName(i), e.T(i), x.DType())
		}
	}
	y := x
	if e.Has(1) {
		lo, _ := e.T(1).Reshape()
		y = e.combine(arithmetic{maxOf[float64], maxOf[int64], maxOf[uint64]}, y, lo)
	}
	if e.Has(2) {
		hi, _ := e.T(2).Reshape()
		y = e.combine(arithmetic{minOf[float64], minOf[int64], minOf[uint64]}, y, hi)
	}
	e.Set(0, y)
	return nil
}

func inferBitCast(c *Infer) error {
	c.SetTensor(0, tensor.DType(c.Attrs().Int("to", 0)), c.Shape(0))
	return nil
}

// evalBitCast reinterprets the storage as another type of the same width.
func evalBitCast(e *Eval) error {
	out, err := e.T(0).WithDType(tensor.DType(e.Attrs().Int("to", 0)))
	if err != nil {
		return err
	}
	e.Set(0, out)
	return nil
}
