package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// move copies elements between two tensors of one shape whose memory is ordered
// differently: every layout change, slice, broadcast and transpose that is not a mere
// view is one. int8 elements change between biased and plain on the way.
//
// The dimensions are sorted so that the innermost is that of the destination, and
// neighbours that step alike are joined. A unit is one index of the outermost.
type move struct {
	elem     int
	flip     bool
	dims     []int
	dst, src []int // strides in elements
	units    int
	swap     bool // the source runs along another dimension than the destination
}

func newMove(dst, src *ref) *move {
	m := &move{elem: dst.elem(), flip: dst.biased != src.biased}
	order := dst.order() // innermost first
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		d, s, n := dst.strides[i], src.strides[i], dst.shape[i]
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
	if n := len(m.dims); n >= 2 && m.src[n-1] != 1 && m.dst[n-1] == 1 {
		// Bring the dimension along which the source runs next to the innermost.
		for k := range n - 1 {
			if m.src[k] == 1 && m.dims[k] > 1 {
				m.swap = true
				for j := k; j < n-2; j++ {
					m.dims[j], m.dims[j+1] = m.dims[j+1], m.dims[j]
					m.dst[j], m.dst[j+1] = m.dst[j+1], m.dst[j]
					m.src[j], m.src[j+1] = m.src[j+1], m.src[j]
				}
				break
			}
		}
	}
	if len(m.dims) == 1 || m.swap && len(m.dims) == 2 {
		// Only one loop or one transposition: cut it into pieces for the workers.
		piece := 4096
		if m.swap && m.dims[1] > thin {
			piece = 16
		}
		if n := m.dims[0]; n > piece {
			for piece > 1 && n%piece != 0 {
				piece--
			}
			m.dims = append([]int{n / piece}, m.dims...)
			m.dims[1] = piece
			m.dst = append([]int{m.dst[0] * piece}, m.dst...)
			m.src = append([]int{m.src[0] * piece}, m.src...)
		} else {
			m.dims, m.dst, m.src = append([]int{1}, m.dims...), append([]int{0}, m.dst...), append([]int{0}, m.src...)
		}
	}
	m.units = m.dims[0]
	for _, n := range m.dims {
		if n == 0 {
			m.units = 0
		}
	}
	return m
}

func (m *move) name() string {
	kind := "copy"
	if m.swap {
		kind = "transpose"
	}
	return fmt.Sprintf("%s x%d", kind, 8*m.elem)
}

// run copies units lo ≤ u < hi. The slices start at the first element of each tensor.
func (m *move) run(dst, src []byte, lo, hi int) {
	if lo >= hi {
		return
	}
	switch m.elem {
	case 1:
		runMove(m, dst, src, lo, hi)
	case 2:
		runMove(m, sliceOf[uint16](dst), sliceOf[uint16](src), lo, hi)
	case 4:
		runMove(m, sliceOf[uint32](dst), sliceOf[uint32](src), lo, hi)
	case 8:
		runMove(m, sliceOf[uint64](dst), sliceOf[uint64](src), lo, hi)
	case 16:
		runMove(m, sliceOf[complex128](dst), sliceOf[complex128](src), lo, hi)
	default:
		panic(fmt.Sprintf("engine: cannot move elements of %d bytes", m.elem))
	}
}

func runMove[T tensor.Element](m *move, dst, src []T, lo, hi int) {
	for u := lo; u < hi; u++ {
		nest(m, dst, src, 1, u*m.dst[0], u*m.src[0])
	}
}

// nest runs the loops from dimension k on.
func nest[T tensor.Element](m *move, dst, src []T, k, d, s int) {
	last := len(m.dims) - 1
	switch {
	case k == last:
		row(m, dst, src, d, s)
	case m.swap && k == last-1:
		transposeTile(dst[d:], src[s:], m.dims[k], m.dims[last], m.dst[k], m.src[last])
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
func row[T tensor.Element](m *move, dst, src []T, d, s int) {
	last := len(m.dims) - 1
	n, ds, ss := m.dims[last], m.dst[last], m.src[last]
	switch {
	case ds == 1 && ss == 1:
		if b, ok := any(dst).([]byte); ok && m.flip {
			kernel.OffsetU8(b[d:d+n], any(src).([]byte)[s:s+n])
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
func flip[T tensor.Element](v []T) {
	if b, ok := any(v).([]byte); ok {
		kernel.OffsetU8(b, b)
	}
}

// thin is how many columns are copied side by side rather than in tiles: the channels
// of an image on its way in.
const thin = 4

// transposeTile copies rows×cols elements; a destination row is contiguous, and so is
// a source column.
func transposeTile[T tensor.Element](dst, src []T, rows, cols, ldd, lds int) {
	const tile = 16
	switch {
	case cols == 3 && ldd == 3:
		a, b, c := src[:rows], src[lds:lds+rows], src[2*lds:2*lds+rows]
		dst = dst[:3*rows]
		for i, v := range a {
			dst[0], dst[1], dst[2] = v, b[i], c[i]
			dst = dst[3:]
		}
		return
	case cols <= thin:
		for j := range cols {
			for i, v := range src[j*lds : j*lds+rows] {
				dst[i*ldd+j] = v
			}
		}
		return
	case rows <= thin:
		for i := range rows {
			out := dst[i*ldd : i*ldd+cols]
			for j := range out {
				out[j] = src[j*lds+i]
			}
		}
		return
	}
	for j0 := 0; j0 < cols; j0 += tile {
		j1 := min(j0+tile, cols)
		for i0 := 0; i0 < rows; i0 += tile {
			i1 := min(i0+tile, rows)
			for i := i0; i < i1; i++ {
				out := dst[i*ldd+j0 : i*ldd+j1]
				in := src[j0*lds+i:]
				for j := range out {
					out[j] = in[j*lds]
				}
			}
		}
	}
}
