package kernel

import (
	"fmt"
	"slices"
	"unsafe"
)

// A Move copies elements between two tensors of one shape whose memory is ordered
// differently: every change of layout, slice, broadcast and transposition is one.
//
// The dimensions are sorted so that the innermost is that of the destination, and
// neighbours that step alike are joined. Where the source runs along another dimension,
// the two form a plane that is transposed in tiles. A unit is one index of the outermost
// dimension.
type Move struct {
	elem     int
	flip     bool
	dims     []int
	dst, src []int // steps in elements
	units    int
	swap     bool // the last two dimensions are a plane to be transposed
}

var _ Op = (*Move)(nil)

// NewMove prepares a copy of elements of elem bytes: 1, 2, 4, 8 or 16. dst and src are the
// steps along each dimension of shape, in elements; those of dst reach no element twice,
// those of src may be 0. flip adds 128 to every byte, as OffsetU8 does; only elements of one
// byte can be flipped.
func NewMove(elem int, flip bool, shape, dst, src []int) *Move {
	switch elem {
	case 1, 2, 4, 8, 16:
	default:
		panic(fmt.Sprintf("kernel: cannot move elements of %d bytes", elem))
	}
	if flip && elem != 1 || len(dst) != len(shape) || len(src) != len(shape) {
		panic(fmt.Sprintf("kernel: cannot move %v from steps %v to %v with elements of %d bytes, flipped: %v", shape, src, dst, elem, flip))
	}
	m := &Move{elem: elem, flip: flip}
	m.order(shape, dst, src)
	if n := len(m.dims); n >= 2 && m.src[n-1] != 1 && m.dst[n-1] == 1 {
		m.findPlane()
	}
	m.cut()
	m.units = m.dims[0]
	if slices.Contains(m.dims, 0) {
		m.units = 0
	}
	return m
}

// order sorts the dimensions of more than one element by the steps of the destination and
// joins neighbours.
func (m *Move) order(shape, dst, src []int) {
	var order []int // outermost first
	for i, n := range shape {
		if n != 1 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return dst[b] - dst[a] })
	for _, i := range order {
		d, s, n := dst[i], src[i], shape[i]
		if last := len(m.dims) - 1; last >= 0 && m.dst[last] == d*n && m.src[last] == s*n {
			m.dims[last] *= n
			m.dst[last], m.src[last] = d, s
			continue
		}
		m.dims, m.dst, m.src = append(m.dims, n), append(m.dst, d), append(m.src, s)
	}
	if len(m.dims) == 0 {
		m.dims, m.dst, m.src = []int{1}, []int{1}, []int{1}
	}
}

// findPlane brings the dimension along which the source runs next to the innermost.
func (m *Move) findPlane() {
	last := len(m.dims) - 1
	for k := range last {
		if m.src[k] != 1 || m.dims[k] <= 1 {
			continue
		}
		m.swap = true
		for _, v := range [][]int{m.dims, m.dst, m.src} {
			n := v[k]
			copy(v[k:], v[k+1:last])
			v[last-1] = n
		}
		return
	}
}

const (
	// thinPlane is how many columns or rows are copied side by side rather than in tiles:
	// the channels of an image on its way in.
	thinPlane = 4

	// tileRows are written across in turn, so that their lines stay in cache until all of
	// them is used.
	tileRows = 64
)

// cut divides a single loop or plane into pieces for the workers.
func (m *Move) cut() {
	if n := len(m.dims); n > 2 || n == 2 && !m.swap {
		return
	}
	n, piece := m.dims[0], 4096
	if m.swap && m.dims[1] > thinPlane {
		piece = tileRows
		if n < 8*tileRows {
			piece = tileRows / 4
		}
	}
	if n <= piece {
		m.dims, m.dst, m.src = slices.Insert(m.dims, 0, 1), slices.Insert(m.dst, 0, 0), slices.Insert(m.src, 0, 0)
		return
	}
	for piece > 1 && n%piece != 0 {
		piece--
	}
	m.dims[0] = piece
	m.dims = slices.Insert(m.dims, 0, n/piece)
	m.dst, m.src = slices.Insert(m.dst, 0, m.dst[0]*piece), slices.Insert(m.src, 0, m.src[0]*piece)
}

// Name implements Op.
func (m *Move) Name() string {
	kind := "copy"
	if m.swap {
		kind = "transpose"
	}
	return fmt.Sprintf("%s x%d", kind, 8*m.elem)
}

// Units implements Op.
func (m *Move) Units() int { return m.units }

// ScratchBytes implements Op.
func (m *Move) ScratchBytes() int { return 0 }

// Run copies units lo ≤ u < hi. The slices start at the first element of each tensor, at a
// multiple of the element size but for 16 bytes, where 8 do, and do not overlap.
func (m *Move) Run(dst, src []byte, lo, hi int) {
	if lo >= hi {
		return
	}
	switch m.elem {
	case 1:
		runMove(m, dst, src, lo, hi)
	case 2:
		runMove(m, elements[uint16](dst), elements[uint16](src), lo, hi)
	case 4:
		runMove(m, elements[uint32](dst), elements[uint32](src), lo, hi)
	case 8:
		runMove(m, elements[uint64](dst), elements[uint64](src), lo, hi)
	case 16:
		runMove(m, elements[[2]uint64](dst), elements[[2]uint64](src), lo, hi)
	}
}

func elements[E any](b []byte) []E {
	var zero E
	return unsafe.Slice((*E)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(zero)))
}

func runMove[E any](m *Move, dst, src []E, lo, hi int) {
	for u := lo; u < hi; u++ {
		nest(m, dst, src, 1, u*m.dst[0], u*m.src[0])
	}
}

// nest runs the loops from dimension k on.
func nest[E any](m *Move, dst, src []E, k, d, s int) {
	last := len(m.dims) - 1
	switch {
	case k == last:
		row(m, dst, src, d, s)
	case m.swap && k == last-1:
		plane(dst[d:], src[s:], m.dims[k], m.dims[last], m.dst[k], m.src[last])
		if m.flip {
			for i := range m.dims[k] {
				flip(dst[d+i*m.dst[k]:][:m.dims[last]])
			}
		}
	default:
		for range m.dims[k] {
			nest(m, dst, src, k+1, d, s)
			d += m.dst[k]
			s += m.src[k]
		}
	}
}

// row copies the innermost dimension.
func row[E any](m *Move, dst, src []E, d, s int) {
	last := len(m.dims) - 1
	n, ds, ss := m.dims[last], m.dst[last], m.src[last]
	switch {
	case ds == 1 && ss == 1:
		if b, ok := any(dst).([]byte); ok && m.flip {
			OffsetU8(b[d:d+n], any(src).([]byte)[s:s+n])
			return
		}
		copy(dst[d:d+n], src[s:s+n])
	case ds == 1 && ss == 0:
		v := src[s]
		out := dst[d : d+n]
		for i := range out {
			out[i] = v
		}
	default:
		for i := range n {
			dst[d+i*ds] = src[s+i*ss]
		}
	}
	if m.flip {
		if ds == 1 {
			flip(dst[d : d+n])
			return
		}
		for i := range n {
			flip(dst[d+i*ds:][:1])
		}
	}
}

// flip changes biased bytes to plain ones and back.
func flip[E any](v []E) {
	if b, ok := any(v).([]byte); ok {
		OffsetU8(b, b)
	}
}

// Transpose stores the rows×cols matrix src as cols×rows.
func Transpose[E any](dst, src []E, rows, cols int) { plane(dst, src, cols, rows, rows, cols) }

// plane copies rows×cols elements; a destination row is contiguous, and so is a source
// column. ldd and lds are the elements from one to the next.
func plane[E any](dst, src []E, rows, cols, ldd, lds int) {
	switch {
	case rows == 0 || cols == 0:
		return
	case cols == 3 && ldd == 3:
		a, b, c := src[:rows], src[lds:lds+rows], src[2*lds:2*lds+rows]
		dst = dst[:3*rows]
		for i, v := range a {
			dst[0], dst[1], dst[2] = v, b[i], c[i]
			dst = dst[3:]
		}
		return
	case cols <= thinPlane:
		for j := range cols {
			move1(dst[j:], src[j*lds:j*lds+rows], ldd)
		}
		return
	case rows <= thinPlane:
		for i := range rows {
			out := dst[i*ldd : i*ldd+cols]
			for j := range out {
				out[j] = src[j*lds+i]
			}
		}
		return
	}
	for r := 0; r < rows; r += tileRows {
		n := min(tileRows, rows-r)
		c := 0
		for ; c+4 <= cols; c += 4 {
			at := src[c*lds+r:]
			move4(dst[r*ldd+c:], at[:n], at[lds:], at[2*lds:], at[3*lds:], ldd)
		}
		for ; c < cols; c++ {
			move1(dst[r*ldd+c:], src[c*lds+r:][:n], ldd)
		}
	}
}

// move1 moves a column of values to rows step apart; move4 moves columns of one length
// side by side.
func move1[E any](dst, a []E, step int) {
	for i, v := range a {
		dst[i*step] = v
	}
}

func move4[E any](dst, a, b, c, d []E, step int) {
	b, c, d = b[:len(a)], c[:len(a)], d[:len(a)]
	for i, v := range a {
		row := dst[i*step:][:4]
		row[0], row[1], row[2], row[3] = v, b[i], c[i], d[i]
	}
}
