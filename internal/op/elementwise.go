package op

import (
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// This file evaluates functions element by element. Real arithmetic is done in float64
// and rounded once to the element type, which for float32 is at least as exact as any
// float32 library; integers wrap as they do in C.

// unaryOp defines an operator that applies f to every element of a floating-point tensor.
func unaryOp(name string, f func(float64) float64) Def {
	return Def{Name: name, In: "X", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: func(e *Eval) error {
		e.mapFloat(0, f)
		return nil
	}}
}

// mapFloat sets output 0 to f of every element of input i.
func (e *Eval) mapFloat(i int, f func(float64) float64) {
	x := e.float(i)
	apply(e.Result(0, x.DType(), x.Shape()...), x, f)
}

// apply sets the elements of out to f of those of x.
func apply(out, x *tensor.Tensor, f func(float64) float64) {
	if x.DType() == tensor.Float32 && out.DType() == tensor.Float32 {
		dst := out.F32()
		for i, v := range x.F32() {
			dst[i] = float32(f(float64(v)))
		}
		return
	}
	for i := range x.Len() {
		out.SetFloat(i, f(x.Float(i)))
	}
}

// float returns input i, failing unless it is floating point.
func (e *Eval) float(i int) *tensor.Tensor {
	t := e.T(i)
	if t == nil || !t.DType().IsFloat() {
		e.Fail("input %s is %v, want floating point", e.inputName(i), t)
	}
	return t
}

// number returns input i, failing unless it holds real numbers.
func (e *Eval) number(i int) *tensor.Tensor {
	t := e.T(i)
	if t == nil || !t.DType().IsFloat() && !t.DType().IsInt() {
		e.Fail("input %s is %v, want numbers", e.inputName(i), t)
	}
	return t
}

// scalar returns input i, which must hold one real number, or def when it is absent.
func (e *Eval) scalar(i int, def float64) float64 {
	if !e.Has(i) {
		return def
	}
	t := e.T(i)
	if t.Len() != 1 {
		e.Fail("input %s must hold one number, it is %v", e.inputName(i), t)
	}
	return t.Float(0)
}

// scratch returns n zeros to accumulate in, failing the evaluation when they would take
// more than MaxEvalBytes.
func (e *Eval) scratch(shape ...int) []float64 {
	n, err := tensor.NumElements(shape)
	if err != nil || n > MaxEvalBytes/8 {
		e.Fail("%v numbers to accumulate in would be over the limit of %d bytes", shape, int64(MaxEvalBytes))
	}
	return make([]float64, n)
}

// arithmetic is a function of two numbers, given for each way of computing.
type arithmetic struct {
	float  func(a, b float64) float64
	signed func(a, b int64) int64
	// unsigned is nil where the bits of the signed result are right.
	unsigned func(a, b uint64) uint64
}

// combine returns f of a and b under broadcasting; both have the same element type.
func (e *Eval) combine(f arithmetic, a, b *tensor.Tensor) *tensor.Tensor {
	if a.DType() != b.DType() {
		e.Fail("operands differ in type: %v and %v", a, b)
	}
	shape, err := BroadcastShape(a.Shape(), b.Shape())
	if err != nil {
		e.Fail("%w", err)
	}
	out := e.Make(a.DType(), shape)
	each := func(set func(i, ia, ib int)) {
		ia, ib := newBroadcastIndex(a.Shape(), shape), newBroadcastIndex(b.Shape(), shape)
		for i := range out.Len() {
			set(i, ia.next(), ib.next())
		}
	}
	switch d := a.DType(); {
	case d == tensor.Float32:
		zipF32(out.F32(), a, b, shape, f.float)
	case d.IsFloat():
		each(func(i, ia, ib int) { out.SetFloat(i, f.float(a.Float(ia), b.Float(ib))) })
	case d.IsInt() && f.unsigned != nil && !d.IsSigned():
		each(func(i, ia, ib int) { out.SetInt(i, int64(f.unsigned(uint64(a.Int(ia)), uint64(b.Int(ib))))) })
	case d.IsInt() && f.signed != nil:
		each(func(i, ia, ib int) { out.SetInt(i, f.signed(a.Int(ia), b.Int(ib))) })
	default:
		e.Fail("element type %v is not supported", d)
	}
	return out
}

// zipF32 walks the operands without index arithmetic in the two usual cases: equal
// shapes, and one operand of a single element.
func zipF32(out []float32, a, b *tensor.Tensor, shape []int, f func(a, b float64) float64) {
	x, y := a.F32(), b.F32()
	sameA, sameB := slices.Equal(a.Shape(), shape), slices.Equal(b.Shape(), shape)
	switch {
	case sameA && sameB:
		for i := range out {
			out[i] = float32(f(float64(x[i]), float64(y[i])))
		}
	case sameA && len(y) == 1:
		for i := range out {
			out[i] = float32(f(float64(x[i]), float64(y[0])))
		}
	default:
		ia, ib := newBroadcastIndex(a.Shape(), shape), newBroadcastIndex(b.Shape(), shape)
		for i := range out {
			out[i] = float32(f(float64(x[ia.next()]), float64(y[ib.next()])))
		}
	}
}

// mustBroadcast fails unless p broadcasts to the shape of x, leaving x as it is.
func (e *Eval) mustBroadcast(p, x *tensor.Tensor) {
	full, err := BroadcastShape(p.Shape(), x.Shape())
	if err != nil || !slices.Equal(full, x.Shape()) {
		e.Fail("%v does not broadcast to %v", p, x)
	}
}

// binaryOp defines an operator on two operands of one type.
func binaryOp(name string, f arithmetic) Def {
	return Def{Name: name, In: "A B", Out: "C", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: func(e *Eval) error {
		e.Set(0, e.combine(f, e.number(0), e.number(1)))
		return nil
	}}
}

// variadicOp defines an operator that folds f over one or more operands of one type.
func variadicOp(name, inputs string, f arithmetic) Def {
	return Def{Name: name, In: inputs + "+", Out: "Y", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: func(e *Eval) error {
		e.Set(0, e.fold(f))
		return nil
	}}
}

func (e *Eval) fold(f arithmetic) *tensor.Tensor {
	acc := e.number(0)
	for i := 1; i < len(e.In); i++ {
		acc = e.combine(f, acc, e.number(i))
	}
	return acc
}
