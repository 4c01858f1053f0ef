package engine

import (
	"slices"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// place says whose memory a buffer is.
type place uint8

const (
	inArena  place = iota // the session's arena, at an offset chosen by the planner
	inConst               // the plan's
	inInput               // the caller's input tensor
	inOutput              // the caller's output tensor
	inHeap                // a value made at run time: size known then, or no tensor at all
)

// buffer is storage for one or several tensors that live at the same time.
type buffer struct {
	place  place
	size   int    // bytes
	index  int    // number of the input, output or heap slot
	data   []byte // inConst
	name   string // of the value it was made for
	offset int    // in the arena, once planned
	host   *buffer

	first, last int // steps that touch it first and last
}

// root returns the buffer whose storage b uses: another one where a step works in place.
func (b *buffer) root() *buffer {
	for b.host != nil {
		b = b.host
	}
	return b
}

// ref says where a tensor lies: a buffer and how indices map to elements. Transposed,
// sliced and broadcast tensors are refs with other strides into the same buffer.
// Types below a byte and values in heap slots have no strides and are always whole.
type ref struct {
	dtype   tensor.DType
	biased  bool // int8 stored as uint8 with 128 added
	shape   []int
	strides []int // elements; nil in heap slots
	buf     *buffer
	off     int // bytes
}

func (r *ref) elem() int { return r.dtype.Bits() / 8 }

func (r *ref) len() int {
	n := 1
	for _, d := range r.shape {
		n *= d
	}
	return n
}

// span returns the bytes from the first element to the end of the last one.
func (r *ref) span() int {
	if r.elem() == 0 {
		return r.dtype.Bytes(r.len())
	}
	last := 0
	for i, d := range r.shape {
		if d == 0 {
			return 0
		}
		last += (d - 1) * r.strides[i]
	}
	return (last + 1) * r.elem()
}

// plain reports whether the elements lie densely in row-major order.
func (r *ref) plain() bool {
	if r.buf.place == inHeap {
		return true
	}
	n := 1
	for i := len(r.shape) - 1; i >= 0; i-- {
		if r.shape[i] != 1 && r.strides[i] != n {
			return false
		}
		n *= r.shape[i]
	}
	return true
}

// dense reports whether the elements lie without gaps or overlap in some order.
func (r *ref) dense() bool {
	if r.buf.place == inHeap {
		return true
	}
	n := 1
	for _, i := range r.order() {
		if r.strides[i] != n {
			return false
		}
		n *= r.shape[i]
	}
	return true
}

// order returns the dimensions of more than one element, from the innermost in memory
// to the outermost.
func (r *ref) order() []int {
	var o []int
	for i := len(r.shape) - 1; i >= 0; i-- {
		if r.shape[i] != 1 {
			o = append(o, i)
		}
	}
	slices.SortStableFunc(o, func(a, b int) int { return r.strides[a] - r.strides[b] })
	return o
}

// channelsLast returns the elements from one position to the next when the tensor
// [N, C, spatial...] has its channels side by side and its positions evenly spaced.
func (r *ref) channelsLast() (pixel int, ok bool) {
	if len(r.shape) < 2 || r.strides == nil {
		return 0, false
	}
	c := r.shape[1]
	if c != 1 && r.strides[1] != 1 {
		return 0, false
	}
	pixel, n := 0, 1
	for k := len(r.shape) - 1; k >= 0; k-- {
		i := k
		if i == 1 {
			continue
		}
		if r.shape[i] == 1 {
			continue
		}
		if pixel == 0 {
			pixel = r.strides[i]
			if pixel < c || pixel%n != 0 {
				return 0, false
			}
			pixel /= n
		}
		if r.strides[i] != pixel*n {
			return 0, false
		}
		n *= r.shape[i]
	}
	return max(pixel, c), true
}

// channelsLastStrides returns the strides of a [N, C, spatial...] tensor whose
// positions lie pixel elements apart.
func channelsLastStrides(shape []int, pixel int) []int {
	s := make([]int, len(shape))
	n := pixel
	for i := len(shape) - 1; i >= 2; i-- {
		s[i] = n
		n *= shape[i]
	}
	s[0] = n
	if len(shape) > 1 {
		s[1] = 1
	}
	return s
}

// same reports whether two refs show the same elements in the same way.
func (r *ref) same(o *ref) bool {
	if r.buf != o.buf || r.off != o.off || r.biased != o.biased || r.dtype != o.dtype || !slices.Equal(r.shape, o.shape) {
		return false
	}
	for i := range r.strides {
		if r.shape[i] != 1 && r.strides[i] != o.strides[i] {
			return false
		}
	}
	return true
}

// view returns r with another shape and strides, off elements further on.
func (r *ref) view(shape, strides []int, off int) *ref {
	v := *r
	v.shape, v.strides, v.off = shape, strides, r.off+off*r.elem()
	return &v
}

// bytes returns the storage that r spans in this session.
func (s *Session) bytes(r *ref) []byte {
	n := r.span()
	switch b := r.buf; b.place {
	case inArena:
		at := b.offset + r.off
		return s.arena[at : at+n : at+n]
	case inConst:
		return b.data[r.off : r.off+n : r.off+n]
	case inInput:
		return s.inputs[b.index][r.off : r.off+n : r.off+n]
	case inOutput:
		return s.outputs[b.index][r.off : r.off+n : r.off+n]
	}
	t, ok := s.heap[r.buf.index].(*tensor.Tensor)
	if !ok {
		return nil
	}
	return t.Bytes()
}

func (s *Session) f32(r *ref) []float32 { return sliceOf[float32](s.bytes(r)) }

func (s *Session) i32(r *ref) []int32 { return sliceOf[int32](s.bytes(r)) }

// sliceOf views bytes as elements. Buffers are aligned to at least the element size.
func sliceOf[T tensor.Element](b []byte) []T {
	var zero T
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

// value returns what r holds as an operator value. Tensors outside the heap are views
// of the session's memory, good until the buffer is used again.
func (s *Session) value(r *ref) (op.Value, error) {
	if r == nil {
		return nil, nil
	}
	if r.buf.place == inHeap {
		return s.heap[r.buf.index], nil
	}
	return tensor.FromBytes(r.dtype, r.shape, s.bytes(r))
}
