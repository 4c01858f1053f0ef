package tensor

import (
	"fmt"
	"math"
)

// This file reads and writes single elements of any type. It is the slow, general
// door: reference code uses it where a loop per type would hide the idea.

// Float returns element i as float64. Integers and booleans convert; complex types
// and strings panic.
func (t *Tensor) Float(i int) float64 {
	switch t.dtype {
	case Float32:
		return float64(Data[float32](t)[i])
	case Float64:
		return Data[float64](t)[i]
	case Float16:
		return float64(Float16ToFloat32(Data[uint16](t)[i]))
	case BFloat16:
		return float64(BFloat16ToFloat32(Data[uint16](t)[i]))
	case Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0:
		return float64(float8ToFloat32(t.dtype, t.data[i]))
	case Float4E2M1:
		return float64(float4Values[t.bitsAt(i, 4)])
	case Uint64:
		return float64(Data[uint64](t)[i])
	}
	return float64(t.Int(i))
}

// Int returns element i as int64. Floats are truncated toward zero; Uint64 wraps.
func (t *Tensor) Int(i int) int64 {
	switch t.dtype {
	case Int8:
		return int64(int8(t.data[i]))
	case Uint8:
		return int64(t.data[i])
	case Bool:
		if t.data[i] != 0 {
			return 1
		}
		return 0
	case Int16:
		return int64(Data[int16](t)[i])
	case Uint16:
		return int64(Data[uint16](t)[i])
	case Int32:
		return int64(Data[int32](t)[i])
	case Uint32:
		return int64(Data[uint32](t)[i])
	case Int64:
		return Data[int64](t)[i]
	case Uint64:
		return int64(Data[uint64](t)[i])
	case Uint4:
		return int64(t.bitsAt(i, 4))
	case Int4:
		return int64(int8(t.bitsAt(i, 4)<<4) >> 4)
	case Uint2:
		return int64(t.bitsAt(i, 2))
	case Int2:
		return int64(int8(t.bitsAt(i, 2)<<6) >> 6)
	}
	if t.dtype.IsFloat() {
		return int64(t.Float(i))
	}
	panic(fmt.Sprintf("tensor: no integer value in a %v element", t.dtype))
}

func (t *Tensor) bitsAt(i, width int) byte {
	per := 8 / width
	return t.data[i/per] >> (uint(i%per) * uint(width)) & (1<<uint(width) - 1)
}

func (t *Tensor) setBits(i, width int, v byte) {
	per := 8 / width
	shift := uint(i%per) * uint(width)
	mask := byte(1<<uint(width)-1) << shift
	t.data[i/per] = t.data[i/per]&^mask | v<<shift&mask
}

// SetInt stores v into element i, keeping the low bits as a C cast does. Floats are
// rounded to nearest; Bool stores v != 0.
func (t *Tensor) SetInt(i int, v int64) {
	switch t.dtype {
	case Int8, Uint8:
		t.data[i] = byte(v)
	case Bool:
		t.data[i] = 0
		if v != 0 {
			t.data[i] = 1
		}
	case Int16, Uint16:
		Data[uint16](t)[i] = uint16(v)
	case Int32, Uint32:
		Data[uint32](t)[i] = uint32(v)
	case Int64, Uint64:
		Data[uint64](t)[i] = uint64(v)
	case Int4, Uint4:
		t.setBits(i, 4, byte(v))
	case Int2, Uint2:
		t.setBits(i, 2, byte(v))
	default:
		t.SetFloat(i, float64(v))
	}
}

// SetFloat stores v into element i. Float types round to nearest even and saturate
// where the type has no infinity (the 8- and 4-bit ones); integers truncate toward zero.
func (t *Tensor) SetFloat(i int, v float64) {
	switch t.dtype {
	case Float32:
		Data[float32](t)[i] = float32(v)
	case Float64:
		Data[float64](t)[i] = v
	case Float16:
		Data[uint16](t)[i] = Float16FromFloat64(v)
	case BFloat16:
		Data[uint16](t)[i] = BFloat16FromFloat32(float32(v))
	case Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0:
		t.data[i] = Float8FromFloat32(t.dtype, float32(v), true)
	case Float4E2M1:
		t.setBits(i, 4, Float4FromFloat32(float32(v)))
	case Uint64:
		if v >= 1<<63 {
			Data[uint64](t)[i] = uint64(v)
		} else {
			Data[uint64](t)[i] = uint64(int64(v))
		}
	case Bool:
		t.data[i] = 0
		if v != 0 {
			t.data[i] = 1
		}
	default:
		if !t.dtype.IsInt() {
			panic(fmt.Sprintf("tensor: cannot store a number in a %v element", t.dtype))
		}
		t.SetInt(i, int64(v))
	}
}

// Floats returns all elements as float64, in a new slice.
func (t *Tensor) Floats() []float64 {
	out := make([]float64, t.Len())
	if t.dtype == Float32 {
		for i, v := range t.F32() {
			out[i] = float64(v)
		}
		return out
	}
	for i := range out {
		out[i] = t.Float(i)
	}
	return out
}

// Ints returns all elements as int64, in a new slice.
func (t *Tensor) Ints() []int64 {
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = t.Int(i)
	}
	return out
}

// CloseTo reports whether a and b have equal type and shape and every pair of elements
// satisfies |a-b| <= atol + rtol*|b|, NaN being equal to NaN. It returns the largest
// absolute and relative difference seen.
func CloseTo(a, b *Tensor, atol, rtol float64) (ok bool, maxAbs, maxRel float64) {
	if a.dtype != b.dtype || len(a.shape) != len(b.shape) {
		return false, math.Inf(1), math.Inf(1)
	}
	for i := range a.shape {
		if a.shape[i] != b.shape[i] {
			return false, math.Inf(1), math.Inf(1)
		}
	}
	if a.dtype == String {
		for i := range a.strs {
			if a.strs[i] != b.strs[i] {
				return false, math.Inf(1), math.Inf(1)
			}
		}
		return true, 0, 0
	}
	ok = true
	get := func(t *Tensor, i int) float64 { return t.Float(i) }
	n := a.Len()
	if a.dtype.IsComplex() {
		n *= 2
		get = complexPart
	}
	for i := range n {
		x, y := get(a, i), get(b, i)
		if x == y || math.IsNaN(x) && math.IsNaN(y) {
			continue
		}
		d := math.Abs(x - y)
		if math.IsNaN(d) {
			d = math.Inf(1)
		}
		maxAbs = max(maxAbs, d)
		if y != 0 {
			maxRel = max(maxRel, d/math.Abs(y))
		}
		if !(d <= atol+rtol*math.Abs(y)) {
			ok = false
		}
	}
	return ok, maxAbs, maxRel
}

func complexPart(t *Tensor, i int) float64 {
	if t.dtype == Complex64 {
		c := Data[complex64](t)[i/2]
		if i%2 == 0 {
			return float64(real(c))
		}
		return float64(imag(c))
	}
	c := Data[complex128](t)[i/2]
	if i%2 == 0 {
		return real(c)
	}
	return imag(c)
}
