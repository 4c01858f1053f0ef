package session

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
)

// npyTypes maps a port's dtype to its .npy descr. The floats that NumPy lacks
// travel as unsigned integers of their width; the dtype says what they are.
var npyTypes = map[string]string{
	"float32": "f4", "float64": "f8", "float16": "f2", "bfloat16": "u2",
	"int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
	"uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8",
	"bool": "b1", "complex64": "c8", "complex128": "c16",
	"float8e4m3fn": "u1", "float8e4m3fnuz": "u1", "float8e5m2": "u1", "float8e5m2fnuz": "u1",
}

// NewArray returns an array of the dtype that views data.
func NewArray(dtype string, shape []int64, data []byte) (*npz.Array, error) {
	d, ok := npyTypes[dtype]
	if !ok {
		return nil, fmt.Errorf("dtype %s cannot be written to npz", dtype)
	}
	return &npz.Array{DType: d, Shape: shape, Data: data}, nil
}

// CheckType reports whether the array's elements are those of the port.
func CheckType(p Port, a *npz.Array) error {
	want, ok := npyTypes[p.DType]
	if !ok {
		return fmt.Errorf("input %q: dtype %s cannot be read from npz", p.Name, p.DType)
	}
	if a.DType != want {
		return fmt.Errorf("input %q: dtype %s given, %s (%s) expected", p.Name, a.DType, want, p.DType)
	}
	return nil
}
