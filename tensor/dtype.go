package tensor

import "fmt"

// DType is an element type. The values are those of onnx.TensorProto.DataType, so
// that readers and writers need no table of their own.
type DType uint8

// Element types. The sub-byte ones are packed, first element in the low bits.
const (
	Invalid        DType = 0
	Float32        DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Float64        DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24
	Uint2          DType = 25
	Int2           DType = 26
)

type dtypeInfo struct {
	name string
	bits int
}

var dtypes = [...]dtypeInfo{
	Invalid:        {"invalid", 0},
	Float32:        {"float32", 32},
	Uint8:          {"uint8", 8},
	Int8:           {"int8", 8},
	Uint16:         {"uint16", 16},
	Int16:          {"int16", 16},
	Int32:          {"int32", 32},
	Int64:          {"int64", 64},
	String:         {"string", 0},
	Bool:           {"bool", 8},
	Float16:        {"float16", 16},
	Float64:        {"float64", 64},
	Uint32:         {"uint32", 32},
	Uint64:         {"uint64", 64},
	Complex64:      {"complex64", 64},
	Complex128:     {"complex128", 128},
	BFloat16:       {"bfloat16", 16},
	Float8E4M3FN:   {"float8e4m3fn", 8},
	Float8E4M3FNUZ: {"float8e4m3fnuz", 8},
	Float8E5M2:     {"float8e5m2", 8},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 8},
	Uint4:          {"uint4", 4},
	Int4:           {"int4", 4},
	Float4E2M1:     {"float4e2m1", 4},
	Float8E8M0:     {"float8e8m0", 8},
	Uint2:          {"uint2", 2},
	Int2:           {"int2", 2},
}

// DTypes lists every valid element type in ascending order.
func DTypes() []DType {
	out := make([]DType, 0, len(dtypes)-1)
	for d := Float32; int(d) < len(dtypes); d++ {
		out = append(out, d)
	}
	return out
}

// Valid reports whether d is a known element type.
func (d DType) Valid() bool { return d != Invalid && int(d) < len(dtypes) }

// String returns the lower-case name, as in "float32".
func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// ParseDType is the inverse of String.
func ParseDType(s string) (DType, error) {
	for d, info := range dtypes {
		if info.name == s && d != 0 {
			return DType(d), nil
		}
	}
	return Invalid, fmt.Errorf("unknown element type %q", s)
}

// Bits returns the storage bits of one element, 0 for String.
func (d DType) Bits() int {
	if int(d) < len(dtypes) {
		return dtypes[d].bits
	}
	return 0
}

// Bytes returns the storage of n packed elements, n at most MaxElements.
func (d DType) Bytes(n int) int {
	bits := d.Bits()
	if bits >= 8 {
		return n * (bits / 8) // counting bits would overflow
	}
	return (n*bits + 7) / 8
}

// IsFloat reports whether d is a real floating-point type of any width.
func (d DType) IsFloat() bool {
	switch d {
	case Float16, Float32, Float64, BFloat16, Float4E2M1, Float8E8M0,
		Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ:
		return true
	}
	return false
}

// IsInt reports whether d is a signed or unsigned integer of any width (not Bool).
func (d DType) IsInt() bool {
	switch d {
	case Int2, Int4, Int8, Int16, Int32, Int64, Uint2, Uint4, Uint8, Uint16, Uint32, Uint64:
		return true
	}
	return false
}

// IsSigned reports whether d is a signed integer.
func (d DType) IsSigned() bool {
	switch d {
	case Int2, Int4, Int8, Int16, Int32, Int64:
		return true
	}
	return false
}

// IsComplex reports whether d is complex.
func (d DType) IsComplex() bool { return d == Complex64 || d == Complex128 }

// IntRange returns the least and greatest value of an integer type. For Uint64
// the maximum is cut to that of int64.
func (d DType) IntRange() (lo, hi int64) {
	bits := uint(d.Bits())
	switch {
	case !d.IsInt():
		return 0, 0
	case d == Uint64:
		return 0, 1<<63 - 1
	case d.IsSigned():
		return -1 << (bits - 1), 1<<(bits-1) - 1
	}
	return 0, 1<<bits - 1
}
