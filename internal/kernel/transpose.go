package kernel

import (
	"errors"
	"fmt"
	"unsafe"
)

// A Transpose is a prepared permutation of the dimensions of a dense tensor,
// for elements of 1, 2, 4 or 8 bytes.
//
// Dimensions of size 1 are dropped and those that stay together are merged.
// What remains is walked so that the last input dimension and the last output
// dimension form a plane, moved in square tiles; where they are one dimension,
// whole runs are copied. A unit is one position in the other dimensions, or a
// band of a plane's rows.
type Transpose struct {
	size  int   // bytes of an element
	dims  []int // output dimensions but those of the plane
	from  []int // input step of each, in elements
	to    []int // output step of each
	rows  int   // of the plane: the last input dimension …
	cols  int   // … and the last output dimension
	rowTo int   // output step from row to row
	colAt int   // input step from column to column; 1: runs of cols elements
	band  int   // rows of a unit
	bands int
	outer int
	total int
}

// bandElements is about how many elements a unit moves.
const bandElements = 16 << 10

// NewTranspose prepares dst[i_perm[0]]…[i_perm[n-1]] = src[i_0]…[i_n-1]: output
// dimension d is input dimension perm[d], as ONNX has it.
func NewTranspose(dims, perm []int, elementBytes int) (*Transpose, error) {
	switch elementBytes {
	case 1, 2, 4, 8:
	default:
		return nil, fmt.Errorf("transpose: elements of %d bytes, want 1, 2, 4 or 8", elementBytes)
	}
	if len(dims) != len(perm) {
		return nil, fmt.Errorf("transpose: permutation %v of %d dimensions", perm, len(dims))
	}
	seen := make([]bool, len(dims))
	for _, p := range perm {
		if p < 0 || p >= len(dims) || seen[p] {
			return nil, fmt.Errorf("transpose: %v is no permutation of %d dimensions", perm, len(dims))
		}
		seen[p] = true
	}
	for _, d := range dims {
		if d < 0 {
			return nil, fmt.Errorf("transpose: dimensions %v are negative", dims)
		}
	}
	if !productWithin(maxElements, dims...) {
		return nil, errors.New("transpose: the tensor has too many elements")
	}
	t := &Transpose{size: elementBytes, total: 1}
	for _, d := range dims {
		t.total *= d
	}
	if t.total > 0 {
		t.plan(dims, perm)
	}
	return t, nil
}

func (t *Transpose) plan(dims, perm []int) {
	// Input steps, then output dimensions without ones and with neighbours merged.
	step := make([]int, len(dims))
	n := 1
	for i := len(dims) - 1; i >= 0; i-- {
		step[i], n = n, n*dims[i]
	}
	var out, from []int
	for _, p := range perm {
		if dims[p] == 1 {
			continue
		}
		if k := len(out) - 1; k >= 0 && from[k] == step[p]*dims[p] {
			out[k], from[k] = out[k]*dims[p], step[p]
			continue
		}
		out, from = append(out, dims[p]), append(from, step[p])
	}
	if len(out) == 0 {
		out, from = []int{1}, []int{1}
	}
	to := make([]int, len(out))
	n = 1
	for i := len(out) - 1; i >= 0; i-- {
		to[i], n = n, n*out[i]
	}
	last := len(out) - 1
	t.cols, t.colAt, t.rows, t.rowTo = out[last], from[last], 1, 0
	plane := -1 // the output dimension that is the last of the input
	for i := range last {
		if from[i] == 1 {
			plane = i
			t.rows, t.rowTo = out[i], to[i]
		}
	}
	t.outer = 1
	for i := range last {
		if i != plane {
			t.dims, t.from, t.to = append(t.dims, out[i]), append(t.from, from[i]), append(t.to, to[i])
			t.outer *= out[i]
		}
	}
	t.band = min(t.rows, max(16, bandElements/t.cols))
	t.bands = (t.rows + t.band - 1) / t.band
}

// Name names the operator.
func (t *Transpose) Name() string {
	return fmt.Sprintf("transpose %d×%d of %d bytes", t.rows, t.cols, t.size)
}

// Units returns the number of independent units of work.
func (t *Transpose) Units() int { return t.outer * t.bands }

// ScratchBytes returns 0: no scratch is needed.
func (t *Transpose) ScratchBytes() int { return 0 }

// Run moves units lo ≤ u < hi of src to dst, which may not overlap. Both hold
// the whole tensor and start at a multiple of the element size.
func (t *Transpose) Run(dst, src []byte, lo, hi int) {
	if t.total == 0 {
		return
	}
	_, _ = dst[t.total*t.size-1], src[t.total*t.size-1]
	d, s := unsafe.Pointer(&dst[0]), unsafe.Pointer(&src[0])
	switch t.size {
	case 1:
		transpose(t, unsafe.Slice((*uint8)(d), t.total), unsafe.Slice((*uint8)(s), t.total), lo, hi)
	case 2:
		transpose(t, unsafe.Slice((*uint16)(d), t.total), unsafe.Slice((*uint16)(s), t.total), lo, hi)
	case 4:
		transpose(t, unsafe.Slice((*uint32)(d), t.total), unsafe.Slice((*uint32)(s), t.total), lo, hi)
	case 8:
		transpose(t, unsafe.Slice((*uint64)(d), t.total), unsafe.Slice((*uint64)(s), t.total), lo, hi)
	}
}

func transpose[E any](t *Transpose, dst, src []E, lo, hi int) {
	for u := lo; u < hi; u++ {
		at, to := 0, 0
		for i, rest := len(t.dims)-1, u/t.bands; i >= 0; i-- {
			at, to, rest = at+rest%t.dims[i]*t.from[i], to+rest%t.dims[i]*t.to[i], rest/t.dims[i]
		}
		r0 := u % t.bands * t.band
		r1 := min(r0+t.band, t.rows)
		if t.colAt == 1 {
			copy(dst[to:to+t.cols], src[at:])
			continue
		}
		if t.rows <= 8 {
			for r := r0; r < r1; r++ {
				gather(dst[to+r*t.rowTo:][:t.cols], src[at+r:], t.colAt)
			}
			continue
		}
		// Tiles keep the lines that are written across in cache until all of
		// them is used.
		const tile = 64
		for r := r0; r < r1; r += tile {
			rows := min(tile, r1-r)
			for c := 0; c < t.cols; c += 4 {
				at, to := at+r+c*t.colAt, to+r*t.rowTo+c
				switch t.cols - c {
				case 1:
					move1(dst[to:], src[at:at+rows], t.rowTo)
				case 2:
					move1(dst[to:], src[at:at+rows], t.rowTo)
					move1(dst[to+1:], src[at+t.colAt:][:rows], t.rowTo)
				case 3:
					move3(dst[to:], src[at:at+rows], src[at+t.colAt:], src[at+2*t.colAt:], t.rowTo)
				default:
					move4(dst[to:], src[at:at+rows], src[at+t.colAt:], src[at+2*t.colAt:], src[at+3*t.colAt:], t.rowTo)
				}
			}
		}
	}
}

// gather moves values that lie step apart.
func gather[E any](dst, src []E, step int) {
	_ = src[(len(dst)-1)*step]
	p := 0
	for i := range dst {
		dst[i] = src[p]
		p += step
	}
}

// move1 moves a column of values to rows step apart; move3 and move4 move
// columns of one length side by side.
func move1[E any](dst, a []E, step int) {
	for i, v := range a {
		dst[i*step] = v
	}
}

func move3[E any](dst, a, b, c []E, step int) {
	b, c = b[:len(a)], c[:len(a)]
	for i, v := range a {
		row := dst[i*step:][:3]
		row[0], row[1], row[2] = v, b[i], c[i]
	}
}

func move4[E any](dst, a, b, c, d []E, step int) {
	b, c, d = b[:len(a)], c[:len(a)], d[:len(a)]
	for i, v := range a {
		row := dst[i*step:][:4]
		row[0], row[1], row[2], row[3] = v, b[i], c[i], d[i]
	}
}
