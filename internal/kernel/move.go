package kernel

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A Move copies elements between two tensors of one shape whose memory is ordered
// differently: every change of layout, slice, broadcast and transposition is one.
//
// The dimensions are sorted so that the innermost is that of the destination, and
// neighbours that step alike are joined. Where the source runs along another dimension,
// the two form a plane that is transposed in tiles; where the innermost dimension is short,
// the one around it is run along instead. A unit is a piece of the outermost dimension.
type Move struct {
	level    cpu.Level
	elem     int
	flip     bool
	dims     []int
	dst, src []int // steps in elements
	piece    int   // indices of the outermost dimension in a unit
	units    int
	swap     bool // the last two dimensions are a plane to be transposed
	thin     bool // the last dimension is short
}

var _ Op = (*Move)(nil)

// NewMove prepares a copy of elements of elem bytes, 1, 2, 4, 8 or 16, for the kernels of a
// level. dst and src are the
// steps along each dimension of shape, in elements; those of dst reach no element twice,
// those of src may be 0. flip adds 128 to every byte, as OffsetU8 does; only elements of one
// byte can be flipped.
func NewMove(l cpu.Level, elem int, flip bool, shape, dst, src []int) *Move {
	switch elem {
	case 1, 2, 4, 8, 16:
	default:
		panic(fmt.Sprintf("kernel: cannot move elements of %d bytes", elem))
	}
	if flip && elem != 1 || len(dst) != len(shape) || len(src) != len(shape) {
		panic(fmt.Sprintf("kernel: cannot move %v from steps %v to %v with elements of %d bytes, flipped: %v", shape, src, dst, elem, flip))
	}
	m := &Move{level: l, elem: elem, flip: flip}
	m.order(shape, dst, src)
	if n := len(m.dims); n >= 2 && m.src[n-1] != 1 && m.dst[n-1] == 1 {
		m.findPlane()
	}
	if n := len(m.dims); n >= 2 && !m.swap && m.dims[n-1] <= thinRow && m.dims[n-2] > m.dims[n-1] {
		m.thin = true
	}
	m.cut()
	m.units = (m.dims[0] + m.piece - 1) / m.piece
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

	// thinRow is the longest innermost dimension that is not run along.
	thinRow = 8

	// tileRows are written across in turn, so that their lines stay in cache until all of
	// them is used.
	tileRows = 64
)

// cut decides how much of the outermost dimension is a unit: one index, or more where
// that is less than a few thousand elements.
func (m *Move) cut() {
	const least = 4096
	inner := 1
	for _, d := range m.dims[1:] {
		inner *= max(d, 1)
	}
	m.piece = max(1, least/inner)
	if m.swap && len(m.dims) == 2 && m.dims[1] > thinPlane {
		// Whole tiles.
		m.piece = tileRows
		if m.dims[0] < 8*tileRows {
			m.piece = tileRows / 4
		}
	}
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
		from := u * m.piece
		nest(m, dst, src, 0, min(m.piece, m.dims[0]-from), from*m.dst[0], from*m.src[0])
	}
}

// nest runs the loops from dimension k on, of which n indices are wanted.
func nest[E any](m *Move, dst, src []E, k, n, d, s int) {
	last := len(m.dims) - 1
	switch {
	case k == last:
		run(dst, src, n, d, s, m.dst[k], m.src[k], m.flip)
	case m.swap && k == last-1:
		cols, ldd, lds := m.dims[last], m.dst[k], m.src[last]
		rows, left := 0, 0
		if m.elem == 4 {
			_, _ = dst[d+(n-1)*ldd+cols-1], src[s+(cols-1)*lds+n-1]
			rows, left = planeArch(m.level, unsafe.Pointer(&dst[d]), unsafe.Pointer(&src[s]), n, cols, ldd, lds)
		}
		// What is left: columns on the right, then rows below.
		if left < cols {
			plane(dst[d+left:], src[s+left*lds:], rows, cols-left, ldd, lds)
		}
		if rows < n {
			plane(dst[d+rows*ldd:], src[s+rows:], n-rows, cols, ldd, lds)
		}
		if m.flip {
			for i := range n {
				flip(dst[d+i*m.dst[k]:][:m.dims[last]])
			}
		}
	case m.thin && k == last-1:
		for range m.dims[last] {
			run(dst, src, n, d, s, m.dst[k], m.src[k], m.flip)
			d += m.dst[last]
			s += m.src[last]
		}
	default:
		for range n {
			nest(m, dst, src, k+1, m.dims[k+1], d, s)
			d += m.dst[k]
			s += m.src[k]
		}
	}
}

// run copies n elements, ds and ss steps from one to the next.
func run[E any](dst, src []E, n, d, s, ds, ss int, flipped bool) {
	switch {
	case n == 0:
		return
	case ds == 1 && ss == 1:
		if b, ok := any(dst).([]byte); ok && flipped {
			OffsetU8(b[d:d+n], any(src).([]byte)[s:s+n])
			return
		}
		copy(dst[d:d+n], src[s:s+n])
		return
	case ds == 1 && ss == 0:
		v := src[s]
		out := dst[d : d+n]
		for i := range out {
			out[i] = v
		}
	case ds == 1:
		out, in := dst[d:d+n], src[s:s+(n-1)*ss+1]
		at := 0
		for i := range out {
			out[i] = in[at]
			at += ss
		}
	case ss == 1:
		out := dst[d : d+(n-1)*ds+1]
		at := 0
		for _, v := range src[s : s+n] {
			out[at] = v
			at += ds
		}
	default:
		out, in := dst[d:d+(n-1)*ds+1], src[s:s+(n-1)*ss+1]
		to, from := 0, 0
		for range n {
			out[to] = in[from]
			to += ds
			from += ss
		}
	}
	if !flipped {
		return
	}
	if ds == 1 {
		flip(dst[d : d+n])
		return
	}
	for i := range n {
		flip(dst[d+i*ds:][:1])
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
