package op

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// castOps convert between element types.
func castOps() []Def {
	return []Def{
		{Name: "Cast", In: "input", Out: "output", Attrs: "to:int! saturate:int round_mode:string", Elementwise: true, Infer: inferCast, Eval: evalCast},
		{Name: "CastLike", In: "input target_type", Out: "output", Attrs: "saturate:int round_mode:string", Infer: inferCastLike, Eval: evalCastLike},
	}
}

// dtypeAttr reads an attribute that holds a TensorProto.DataType.
func dtypeAttr(v int64) (tensor.DType, error) {
	if v <= 0 || v > 255 || !tensor.DType(v).Valid() {
		return tensor.Invalid, fmt.Errorf("%d is not an element type", v)
	}
	return tensor.DType(v), nil
}

func inferCast(c *Infer) error {
	d, err := dtypeAttr(c.Attrs().Int("to", 0))
	if err != nil {
		return fmt.Errorf("attribute to: %w", err)
	}
	c.SetTensor(0, d, c.Shape(0))
	return nil
}

func inferCastLike(c *Infer) error {
	c.SetTensor(0, c.DType(1), c.Shape(0))
	return nil
}

func evalCast(e *Eval) error {
	d, err := dtypeAttr(e.Attrs().Int("to", 0))
	if err != nil {
		return fmt.Errorf("attribute to: %w", err)
	}
	return e.cast(d)
}

func evalCastLike(e *Eval) error { return e.cast(e.T(1).DType()) }

// cast converts input 0 to d by the rules of ONNX Cast. What the standard leaves
// undefined, a float outside the range of an integer type, saturates at 32 and 64 bits;
// narrower and unsigned types keep the low bits.
func (e *Eval) cast(d tensor.DType) error {
	x := e.T(0)
	if x.DType() == d {
		e.Set(0, x)
		return nil
	}
	if d.IsComplex() || x.DType().IsComplex() {
		return fmt.Errorf("cannot cast %v to %v: complex types have no conversion", x, d)
	}
	out := e.Result(0, d, x.Shape()...)
	saturate := e.Attrs().Bool("saturate", true)
	mode := e.Attrs().String("round_mode", "up")
	switch {
	case x.DType() == tensor.String:
		for i, s := range x.Strings() {
			if err := parseElement(out, i, s); err != nil {
				return err
			}
		}
	case d == tensor.String:
		for i := range out.Strings() {
			out.Strings()[i] = formatElement(x, i)
		}
	case d == tensor.Float8E8M0:
		if mode != "up" && mode != "down" && mode != "nearest" {
			return fmt.Errorf("round_mode %q is not one of up, down, nearest", mode)
		}
		for i := range x.Len() {
			out.Bytes()[i] = castE8M0(x.Float(i), mode, saturate)
		}
	case d.IsFloat() && d.Bits() == 8:
		for i := range x.Len() {
			out.Bytes()[i] = tensor.Float8FromFloat32(d, float32(x.Float(i)), saturate)
		}
	case d.IsInt() && x.DType().IsFloat():
		for i := range x.Len() {
			out.SetInt(i, truncate(x.Float(i), d))
		}
	case d == tensor.Float32 && x.DType() == tensor.Int64:
		for i, v := range x.I64() {
			out.F32()[i] = float32(v) // through float64 it would be rounded twice
		}
	case d.IsInt() || d == tensor.Bool && !x.DType().IsFloat():
		for i := range x.Len() {
			out.SetInt(i, x.Int(i))
		}
	default:
		for i := range x.Len() {
			out.SetFloat(i, x.Float(i))
		}
	}
	return nil
}

// truncate converts a float to an integer toward zero; NaN becomes 0.
func truncate(v float64, d tensor.DType) int64 {
	if v != v {
		return 0
	}
	lo, hi := d.IntRange()
	switch {
	case d == tensor.Uint64 && v >= 1<<63:
		if v >= 1<<64 {
			return -1 // all bits set
		}
		return int64(uint64(v))
	case d != tensor.Int32:
		lo, hi = math.MinInt64, math.MaxInt64
	}
	// Beyond 2^63 the conversion itself is not defined.
	switch {
	case v >= float64(hi):
		return hi
	case v <= float64(lo):
		return lo
	}
	return int64(v)
}

// castE8M0 rounds |v| to a power of two between 2^-127 and 2^127, whose exponent plus
// 127 is the code; 0xff is NaN. Without saturate what lies outside becomes NaN.
func castE8M0(v float64, mode string, saturate bool) byte {
	const nan, largest = 0xff, 0xfe
	v = math.Abs(v)
	switch {
	case v != v:
		return nan
	case math.IsInf(v, 0) && saturate:
		return largest
	case math.IsInf(v, 0):
		return nan
	}
	code := -1
	if v > 0 {
		frac, exp := math.Frexp(v) // v = frac·2^exp, frac in [0.5, 1)
		code = exp - 1 + 127
		if mode == "up" && frac > 0.5 || mode == "nearest" && frac >= 0.75 {
			code++
		}
	}
	if code < 0 || code > largest {
		if !saturate {
			return nan
		}
		code = min(max(code, 0), largest)
	}
	return byte(code)
}

// parseElement stores the number that s spells.
func parseElement(t *tensor.Tensor, i int, s string) error {
	s = strings.TrimSpace(s)
	if t.DType().IsInt() || t.DType() == tensor.Bool {
		if v, err := strconv.ParseInt(s, 10, 64); err == nil {
			t.SetInt(i, v)
			return nil
		}
		if v, err := strconv.ParseUint(s, 10, 64); err == nil {
			t.SetInt(i, int64(v))
			return nil
		}
	}
	bits := 64
	if t.DType() == tensor.Float32 {
		bits = 32
	}
	v, err := strconv.ParseFloat(s, bits)
	if err != nil && !math.IsInf(v, 0) {
		return fmt.Errorf("string %q is not a number", s)
	}
	if t.DType().IsInt() {
		t.SetInt(i, truncate(v, t.DType()))
	} else {
		t.SetFloat(i, v)
	}
	return nil
}

// formatElement spells element i in the shortest form that reads back the same.
func formatElement(t *tensor.Tensor, i int) string {
	switch d := t.DType(); {
	case d == tensor.Bool:
		if t.Int(i) != 0 {
			return "True"
		}
		return "False"
	case d == tensor.Uint64:
		return strconv.FormatUint(uint64(t.Int(i)), 10)
	case d.IsInt():
		return strconv.FormatInt(t.Int(i), 10)
	}
	v := t.Float(i)
	switch {
	case v != v:
		return "NaN"
	case math.IsInf(v, 1):
		return "INF"
	case math.IsInf(v, -1):
		return "-INF"
	}
	bits := 32
	if t.DType() == tensor.Float64 {
		bits = 64
	}
	form := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e16) {
		form = 'e'
	}
	return strconv.FormatFloat(v, form, -1, bits)
}
