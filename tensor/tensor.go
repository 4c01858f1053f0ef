// Package tensor holds dense, row-major arrays of the element types that neural
// networks use, with storage aligned for vector instructions, and reads and writes
// them as npy and npz files.
//
// A Tensor is a plain value holder: it owns no device and knows no operator. Storage
// is little-endian, as are all targets Edgewise builds for, so weights mapped from a
// file are used where they lie.
package tensor

import (
	"fmt"
	"math"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"unsafe"
)

// Alignment is the guaranteed alignment in bytes of storage made by this package.
const Alignment = 64

// MaxElements bounds the element count of one tensor, so that counting the bytes of a
// shape from a hostile file cannot overflow an int.
const MaxElements = math.MaxInt / 32

// Tensor is a dense row-major array. The zero value is not usable; use New, Make or one
// of the From functions. Tensors are read concurrently without locks; whoever writes
// must be alone.
type Tensor struct {
	dtype DType
	shape []int
	data  []byte   // packed elements; empty for String
	strs  []string // elements of a String tensor
}

// NumElements returns the product of shape, or an error when a size is negative or
// the product is above MaxElements.
func NumElements(shape []int) (int, error) {
	n := uint64(1)
	zero := false
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative size", shape)
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > MaxElements {
			return 0, fmt.Errorf("shape %v has too many elements", shape)
		}
		n = lo
	}
	if zero {
		return 0, nil
	}
	return int(n), nil
}

// AlignedBytes returns n zeroed bytes that start at a multiple of Alignment.
func AlignedBytes(n int) []byte {
	if n == 0 {
		return nil
	}
	buf := make([]byte, n+Alignment-1)
	largePages(buf)
	off := int(-uintptr(unsafe.Pointer(unsafe.SliceData(buf))) & (Alignment - 1))
	return buf[off : off+n : off+n]
}

// New returns a zeroed tensor. It panics when the shape is not valid: use Make for
// shapes that come from outside.
func New(dtype DType, shape ...int) *Tensor {
	t, err := Make(dtype, shape)
	if err != nil {
		panic("tensor: " + err.Error())
	}
	return t
}

// Make returns a zeroed tensor, or an error for an unknown type or an invalid shape.
func Make(dtype DType, shape []int) (*Tensor, error) {
	if !dtype.Valid() {
		return nil, fmt.Errorf("cannot make a tensor of type %v", dtype)
	}
	n, err := NumElements(shape)
	if err != nil {
		return nil, err
	}
	t := &Tensor{dtype: dtype, shape: slices.Clone(shape)}
	if dtype == String {
		t.strs = make([]string, n)
	} else {
		t.data = AlignedBytes(dtype.Bytes(n))
	}
	return t, nil
}

// loadsAnywhere reports whether the machine loads elements from any address, so that
// weights inside a file can be used where they lie.
const loadsAnywhere = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// FromBytes wraps raw little-endian storage without copying. The length must be exact;
// where the storage is not aligned to the element size and the machine minds, it is
// copied once.
func FromBytes(dtype DType, shape []int, data []byte) (*Tensor, error) {
	if !dtype.Valid() || dtype == String {
		return nil, fmt.Errorf("cannot view bytes as %v", dtype)
	}
	n, err := NumElements(shape)
	if err != nil {
		return nil, err
	}
	if want := dtype.Bytes(n); len(data) != want {
		return nil, fmt.Errorf("%v%v needs %d bytes, got %d", dtype, shape, want, len(data))
	}
	if size := uintptr(dtype.Bits() / 8); size > 1 && len(data) > 0 && !loadsAnywhere {
		align := min(size, 8)
		if uintptr(unsafe.Pointer(unsafe.SliceData(data)))%align != 0 {
			c := AlignedBytes(len(data))
			copy(c, data)
			data = c
		}
	}
	return &Tensor{dtype: dtype, shape: slices.Clone(shape), data: data}, nil
}

// Hollow returns a tensor that has a type and a shape but no storage, for programs that
// keep the contents elsewhere in another form. Its Bytes are empty, and reading an element
// panics.
func Hollow(dtype DType, shape []int) (*Tensor, error) {
	if !dtype.Valid() || dtype == String {
		return nil, fmt.Errorf("cannot make a hollow tensor of type %v", dtype)
	}
	if _, err := NumElements(shape); err != nil {
		return nil, err
	}
	return &Tensor{dtype: dtype, shape: slices.Clone(shape)}, nil
}

// Hollow reports whether the tensor lacks the storage that its shape calls for.
func (t *Tensor) Hollow() bool { return t.dtype != String && len(t.data) == 0 && t.Len() > 0 }

// Element is the set of Go types that store a tensor element directly.
type Element interface {
	~float32 | ~float64 | ~int8 | ~uint8 | ~int16 | ~uint16 | ~int32 | ~uint32 | ~int64 | ~uint64 |
		~bool | ~complex64 | ~complex128
}

// Of wraps values without copying. The element type follows from T. It panics
// when the shape does not hold len(values) elements.
func Of[T Element](values []T, shape ...int) *Tensor {
	var zero T
	var dt DType
	switch any(zero).(type) {
	case float32:
		dt = Float32
	case float64:
		dt = Float64
	case int8:
		dt = Int8
	case uint8:
		dt = Uint8
	case int16:
		dt = Int16
	case uint16:
		dt = Uint16
	case int32:
		dt = Int32
	case uint32:
		dt = Uint32
	case int64:
		dt = Int64
	case uint64:
		dt = Uint64
	case bool:
		dt = Bool
	case complex64:
		dt = Complex64
	case complex128:
		dt = Complex128
	default:
		panic(fmt.Sprintf("tensor: no element type for %T", zero))
	}
	t, err := FromBytes(dt, shape, bytesOf(values))
	if err != nil {
		panic("tensor: " + err.Error())
	}
	return t
}

// OfStrings wraps values as a String tensor.
func OfStrings(values []string, shape ...int) *Tensor {
	n, err := NumElements(shape)
	if err != nil || n != len(values) {
		panic(fmt.Sprintf("tensor: %d strings do not fill shape %v", len(values), shape))
	}
	return &Tensor{dtype: String, shape: slices.Clone(shape), strs: values}
}

// Scalar returns a rank-0 tensor.
func Scalar[T Element](v T) *Tensor { return Of([]T{v}) }

func bytesOf[T Element](v []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(zero)))
}

// Data returns the elements as a slice that shares storage. The size of T must be the
// element size (Float16 and BFloat16 as uint16, one-byte floats as uint8, Bool as bool
// or uint8); otherwise it panics. Sub-byte types have no such slice: use Int, Float
// or Bytes.
func Data[T Element](t *Tensor) []T {
	var zero T
	if t.dtype.Bits() != 8*int(unsafe.Sizeof(zero)) {
		panic(fmt.Sprintf("tensor: %v elements cannot be viewed as %T", t.dtype, zero))
	}
	if len(t.data) == 0 {
		return []T{}
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(t.data))), len(t.data)/int(unsafe.Sizeof(zero)))
}

// F32 is Data[float32].
func (t *Tensor) F32() []float32 { t.must(Float32); return Data[float32](t) }

// I64 is Data[int64].
func (t *Tensor) I64() []int64 { t.must(Int64); return Data[int64](t) }

// Strings returns the elements of a String tensor, sharing storage.
func (t *Tensor) Strings() []string { t.must(String); return t.strs }

func (t *Tensor) must(d DType) {
	if t.dtype != d {
		panic(fmt.Sprintf("tensor: is %v, not %v", t.dtype, d))
	}
}

// DType returns the element type.
func (t *Tensor) DType() DType { return t.dtype }

// Shape returns the sizes, outermost first. The caller must not change it.
func (t *Tensor) Shape() []int { return t.shape }

// Rank returns the number of dimensions.
func (t *Tensor) Rank() int { return len(t.shape) }

// Dim returns size i; negative i counts from the end.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.shape)
	}
	return t.shape[i]
}

// Len returns the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// Bytes returns the packed storage; it is shared, and nil for String tensors.
func (t *Tensor) Bytes() []byte { return t.data }

// SizeBytes returns the size of the storage; for strings, of their bytes.
func (t *Tensor) SizeBytes() int {
	if t.dtype == String {
		n := 0
		for _, s := range t.strs {
			n += len(s)
		}
		return n
	}
	return len(t.data)
}

// Reshape returns a tensor with another shape over the same storage.
func (t *Tensor) Reshape(shape ...int) (*Tensor, error) {
	n, err := NumElements(shape)
	if err != nil {
		return nil, err
	}
	if n != t.Len() {
		return nil, fmt.Errorf("cannot reshape %v to %v", t.shape, shape)
	}
	c := *t
	c.shape = slices.Clone(shape)
	return &c, nil
}

// WithDType reinterprets the storage as another type of the same width.
func (t *Tensor) WithDType(d DType) (*Tensor, error) {
	if d.Bits() != t.dtype.Bits() || d == String || t.dtype == String {
		return nil, fmt.Errorf("cannot view %v as %v", t.dtype, d)
	}
	c := *t
	c.dtype = d
	return &c, nil
}

// Clone returns a copy with storage of its own.
func (t *Tensor) Clone() *Tensor {
	c := &Tensor{dtype: t.dtype, shape: slices.Clone(t.shape)}
	if t.dtype == String {
		c.strs = slices.Clone(t.strs)
		return c
	}
	c.data = AlignedBytes(len(t.data))
	copy(c.data, t.data)
	return c
}

// Strides returns row-major strides in elements for shape.
func Strides(shape []int) []int {
	s := make([]int, len(shape))
	n := 1
	for i := len(shape) - 1; i >= 0; i-- {
		s[i] = n
		n *= shape[i]
	}
	return s
}

// String describes the tensor as in "float32[1x3x224x224]".
func (t *Tensor) String() string { return t.dtype.String() + FormatShape(t.shape) }

// FormatShape formats shape as in "[1x3x224x224]".
func FormatShape(shape []int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i, d := range shape {
		if i > 0 {
			b.WriteByte('x')
		}
		fmt.Fprint(&b, d)
	}
	b.WriteByte(']')
	return b.String()
}
