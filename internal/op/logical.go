package op

import (
	"math/bits"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// logicalOps are comparisons and operations on truth values and bits.
func logicalOps() []Def {
	return []Def{
		logical("And", func(a, b bool) bool { return a && b }),
		logical("Or", func(a, b bool) bool { return a || b }),
		logical("Xor", func(a, b bool) bool { return a != b }),
		{Name: "Not", In: "X", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: evalNot},
		compare("Less", func(c int) bool { return c == -1 }),
		compare("LessOrEqual", func(c int) bool { return c == -1 || c == 0 }),
		compare("Greater", func(c int) bool { return c == 1 }),
		compare("GreaterOrEqual", func(c int) bool { return c == 1 || c == 0 }),
		compare("Equal", func(c int) bool { return c == 0 }),
		bitwise("BitwiseAnd", func(a, b int64) int64 { return a & b }),
		bitwise("BitwiseOr", func(a, b int64) int64 { return a | b }),
		bitwise("BitwiseXor", func(a, b int64) int64 { return a ^ b }),
		{Name: "BitwiseNot", In: "X", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: evalBitwiseNot},
		{Name: "BitShift", In: "X Y", Out: "Z", Attrs: "direction:string!", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: evalBitShift},
		{Name: "BitCount", In: "X", Out: "Y", Elementwise: true, Infer: inferLike(0), Eval: evalBitCount},
		{Name: "Where", In: "condition X Y", Out: "output", Elementwise: true, Infer: inferWhere, Eval: evalWhere},
	}
}

// inferLike gives every output the type of input i.
func inferLike(i int) func(*Infer) error {
	return func(c *Infer) error {
		for k := range c.Node.Outputs {
			c.Set(k, c.Type(i))
		}
		return nil
	}
}

// inferBroadcast gives output 0 the broadcast shape of all inputs, with element type d
// or, when d is Invalid, that of input 0.
func inferBroadcast(d tensor.DType) func(*Infer) error {
	return func(c *Infer) error {
		shapes := make([]graph.Shape, len(c.Node.Inputs))
		for i := range shapes {
			shapes[i] = c.Shape(i)
		}
		s, err := BroadcastDims(shapes...)
		if err != nil {
			return err
		}
		dt := d
		if dt == tensor.Invalid {
			dt = c.DType(0)
		}
		c.SetTensor(0, dt, s)
		return nil
	}
}

// pairwise calls f with the indices of every pair of elements of inputs 0 and 1 under
// broadcasting, and returns output 0, which has element type d.
func (e *Eval) pairwise(d tensor.DType, f func(out *tensor.Tensor, i, ia, ib int)) {
	a, b := e.T(0), e.T(1)
	shape, err := BroadcastShape(a.Shape(), b.Shape())
	if err != nil {
		e.Fail("%w", err)
	}
	out := e.Result(0, d, shape...)
	ia, ib := newBroadcastIndex(a.Shape(), shape), newBroadcastIndex(b.Shape(), shape)
	for i := range out.Len() {
		f(out, i, ia.next(), ib.next())
	}
}

// sameType fails unless inputs a and b have one element type.
func (e *Eval) sameType(a, b int) {
	if x, y := e.T(a), e.T(b); x.DType() != y.DType() {
		e.Fail("inputs %s and %s differ in type: %v and %v", e.inputName(a), e.inputName(b), x, y)
	}
}

// bools returns input i, which must hold truth values.
func (e *Eval) bools(i int) []bool {
	if t := e.T(i); t.DType() != tensor.Bool {
		e.Fail("input %s is %v, want bool", e.inputName(i), t)
	}
	return tensor.Data[bool](e.T(i))
}

func logical(name string, f func(a, b bool) bool) Def {
	return Def{Name: name, In: "A B", Out: "C", Elementwise: true, Infer: inferBroadcast(tensor.Bool), Eval: func(e *Eval) error {
		a, b := e.bools(0), e.bools(1)
		e.pairwise(tensor.Bool, func(out *tensor.Tensor, i, ia, ib int) {
			tensor.Data[bool](out)[i] = f(a[ia], b[ib])
		})
		return nil
	}}
}

func evalNot(e *Eval) error {
	x := e.bools(0)
	out := tensor.Data[bool](e.Result(0, tensor.Bool, e.T(0).Shape()...))
	for i, v := range x {
		out[i] = !v
	}
	return nil
}

// compare defines a comparison; f sees -1, 0, 1, or 2 when one side is NaN.
func compare(name string, f func(order int) bool) Def {
	return Def{Name: name, In: "A B", Out: "C", Elementwise: true, Infer: inferBroadcast(tensor.Bool), Eval: func(e *Eval) error {
		e.sameType(0, 1)
		a, b := e.T(0), e.T(1)
		order := orderOf(a, b)
		e.pairwise(tensor.Bool, func(out *tensor.Tensor, i, ia, ib int) {
			tensor.Data[bool](out)[i] = f(order(ia, ib))
		})
		return nil
	}}
}

func orderOf(a, b *tensor.Tensor) func(i, j int) int {
	three := func(less, equal, greater bool) int {
		switch {
		case less:
			return -1
		case equal:
			return 0
		case greater:
			return 1
		}
		return 2
	}
	switch {
	case a.DType() == tensor.String:
		return func(i, j int) int {
			x, y := a.Strings()[i], b.Strings()[j]
			return three(x < y, x == y, x > y)
		}
	case a.DType() == tensor.Uint64:
		return func(i, j int) int {
			x, y := uint64(a.Int(i)), uint64(b.Int(j))
			return three(x < y, x == y, x > y)
		}
	case a.DType().IsFloat():
		return func(i, j int) int {
			x, y := a.Float(i), b.Float(j)
			return three(x < y, x == y, x > y)
		}
	}
	return func(i, j int) int {
		x, y := a.Int(i), b.Int(j)
		return three(x < y, x == y, x > y)
	}
}

func bitwise(name string, f func(a, b int64) int64) Def {
	return Def{Name: name, In: "A B", Out: "C", Elementwise: true, Infer: inferBroadcast(tensor.Invalid), Eval: func(e *Eval) error {
		e.sameType(0, 1)
		a, b := e.T(0), e.T(1)
		e.pairwise(a.DType(), func(out *tensor.Tensor, i, ia, ib int) {
			out.SetInt(i, f(a.Int(ia), b.Int(ib)))
		})
		return nil
	}}
}

func evalBitwiseNot(e *Eval) error {
	x := e.T(0)
	out := e.Result(0, x.DType(), x.Shape()...)
	for i := range x.Len() {
		out.SetInt(i, ^x.Int(i))
	}
	return nil
}

func evalBitShift(e *Eval) error {
	e.sameType(0, 1)
	a, b := e.T(0), e.T(1)
	left := e.Attrs().String("direction", "") == "LEFT"
	e.pairwise(a.DType(), func(out *tensor.Tensor, i, ia, ib int) {
		x, n := uint64(a.Int(ia)), uint64(b.Int(ib))
		if left {
			x <<= n
		} else {
			x >>= n
		}
		out.SetInt(i, int64(x))
	})
	return nil
}

func evalBitCount(e *Eval) error {
	x := e.T(0)
	out := e.Result(0, x.DType(), x.Shape()...)
	mask := ^uint64(0) >> (64 - x.DType().Bits())
	for i := range x.Len() {
		out.SetInt(i, int64(bits.OnesCount64(uint64(x.Int(i))&mask)))
	}
	return nil
}

func inferWhere(c *Infer) error {
	s, err := BroadcastDims(c.Shape(0), c.Shape(1), c.Shape(2))
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(1), s)
	return nil
}

func evalWhere(e *Eval) error {
	e.sameType(1, 2)
	cond, x, y := e.T(0), e.T(1), e.T(2)
	shape, err := BroadcastShape(cond.Shape(), x.Shape(), y.Shape())
	if err != nil {
		return err
	}
	out := e.Result(0, x.DType(), shape...)
	take := e.bools(0)
	if x.DType() == tensor.Float32 && selectF32(out.F32(), take, x.F32(), y.F32()) {
		return nil
	}
	ic, ix, iy := newBroadcastIndex(cond.Shape(), shape), newBroadcastIndex(x.Shape(), shape), newBroadcastIndex(y.Shape(), shape)
	for i := range out.Len() {
		c, a, b := ic.next(), ix.next(), iy.next()
		if take[c] {
			copyElement(out, i, x, a)
		} else {
			copyElement(out, i, y, b)
		}
	}
	return nil
}

// selectF32 is Where of operands of the whole shape or of one element, as dropout and its
// gradient have them, by which a training step passes over whole activations. It reports
// whether they are such.
func selectF32(out []float32, take []bool, x, y []float32) bool {
	whole := func(n int) bool { return n == len(out) || n == 1 }
	if len(take) != len(out) || !whole(len(x)) || !whole(len(y)) {
		return false
	}
	for i, first := range take {
		v, at := y, i
		if first {
			v = x
		}
		if len(v) == 1 {
			at = 0
		}
		out[i] = v[at]
	}
	return true
}

// copyElement copies one element between tensors of the same type, strings included.
func copyElement(dst *tensor.Tensor, i int, src *tensor.Tensor, j int) {
	switch bits := src.DType().Bits(); bits {
	case 0:
		dst.Strings()[i] = src.Strings()[j]
	case 2, 4:
		if src.DType() == tensor.Float4E2M1 {
			dst.SetFloat(i, src.Float(j))
		} else {
			dst.SetInt(i, src.Int(j))
		}
	default:
		n := bits / 8
		copy(dst.Bytes()[i*n:(i+1)*n], src.Bytes()[j*n:])
	}
}
