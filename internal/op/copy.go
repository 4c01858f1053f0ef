package op

import "github.com/edgewise-ml/edgewise/tensor"

// This file moves elements between tensors of one type without looking at them: most
// operators on shapes and indices are a choice of where each element comes from.

// copyRun copies n consecutive elements, from src[j:] to dst[i:].
func copyRun(dst *tensor.Tensor, i int, src *tensor.Tensor, j, n int) {
	switch bits := src.DType().Bits(); bits {
	case 0:
		copy(dst.Strings()[i:i+n], src.Strings()[j:j+n])
	case 2, 4:
		for k := range n {
			copyElement(dst, i+k, src, j+k)
		}
	default:
		w := bits / 8
		copy(dst.Bytes()[i*w:(i+n)*w], src.Bytes()[j*w:(j+n)*w])
	}
}

// copyStrided fills dst, seen as a row-major array of the given shape, with the elements
// of src at "at" plus the inner product of index and stride. Strides may be zero or
// negative.
func copyStrided(dst, src *tensor.Tensor, shape, stride []int, at int) {
	if dst.Len() == 0 {
		return
	}
	if len(shape) == 0 {
		copyElement(dst, 0, src, at)
		return
	}
	last := len(shape) - 1
	run, step := shape[last], stride[last]
	rows := newStrided(shape[:last], stride[:last], at)
	for i := 0; i < dst.Len(); i += run {
		j := rows.next()
		if step == 1 {
			copyRun(dst, i, src, j, run)
			continue
		}
		for k := range run {
			copyElement(dst, i+k, src, j+k*step)
		}
	}
}

// newStrided walks shape in row-major order and yields "at" plus the inner product of
// index and stride.
func newStrided(shape, stride []int, at int) *broadcastIndex {
	return &broadcastIndex{shape: shape, idx: make([]int, len(shape)), stride: stride, at: at}
}

// fill stores the one element of v everywhere in dst.
func fill(dst, v *tensor.Tensor) {
	for i := range dst.Len() {
		copyElement(dst, i, v, 0)
	}
}

// sizeOf multiplies sizes; the empty product is 1.
func sizeOf(sizes []int) int {
	n := 1
	for _, d := range sizes {
		n *= d
	}
	return n
}
