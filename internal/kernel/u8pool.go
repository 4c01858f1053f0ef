package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// PoolU8 is a prepared pooling of unsigned bytes over NHWC, an Op whose units
// are rows of the output.
//
// An average is requantized from its exact sum:
//
//	v = float32(Σx - n·InZero) * float32(InScale / (OutScale·n))
//
// with n the number of pixels averaged, then as requant.go says. A maximum is
// taken among the bytes of the image and then moved to the output's scale.
type PoolU8 struct {
	shape   ConvShape
	pool    QuantPool
	kind    string
	level   cpu.Level
	table   *[256]uint8 // of a maximum; nil where it changes nothing
	scratch int
}

// QuantPool describes the quantization of a pooling and what it computes.
type QuantPool struct {
	Max          bool
	CountInclude bool // an average divides by the whole window, borders included
	InZero       uint8
	InScale      float64
	OutScale     float64 // the quotient with InScale is taken in binary64
	OutZero      uint8
	Lo, Hi       uint8
}

var _ Op = (*PoolU8)(nil)

// maxWindow keeps the sum of a window within int32.
const maxWindow = 1 << 23

// NewPoolU8 prepares a pooling. Of the shape OutC must equal InC and Groups is
// not looked at; a global pooling is a window of the whole image.
func NewPoolU8(l cpu.Level, s ConvShape, q QuantPool) (*PoolU8, error) {
	s.Groups = 1
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.InC != s.OutC {
		return nil, fmt.Errorf("quantized pool: %d input and %d output channels differ", s.InC, s.OutC)
	}
	if !(q.InScale > 0) || !(q.OutScale > 0) || !finite(float32(q.InScale/q.OutScale)) {
		return nil, errors.New("quantized pool: the scales are not positive numbers")
	}
	if q.Lo > q.Hi {
		return nil, fmt.Errorf("quantized pool: bounds %d..%d are empty", q.Lo, q.Hi)
	}
	if s.KernelH*s.KernelW > maxWindow {
		return nil, fmt.Errorf("quantized pool: window %d×%d has more than %d pixels", s.KernelH, s.KernelW, maxWindow)
	}
	p := &PoolU8{shape: s, pool: q, kind: "avgpool", level: l, scratch: 4 * s.InC}
	if q.Max {
		p.kind, p.scratch = "maxpool", 2*p.line()
		if r := (Requant{float32(q.InScale / q.OutScale), q.OutZero, q.Lo, q.Hi}); r != (Requant{1, q.InZero, 0, 255}) {
			p.table = RequantTable(q.InZero, r)
		}
	}
	return p, nil
}

// Name implements Op.
func (p *PoolU8) Name() string {
	return fmt.Sprintf("%s%dx%d u8", p.kind, p.shape.KernelH, p.shape.KernelW)
}

// Units implements Op.
func (p *PoolU8) Units() int { return p.shape.Batch * p.shape.OutH }

// ScratchBytes implements Op.
func (p *PoolU8) ScratchBytes() int { return p.scratch }

// Run computes output rows lo ≤ u < hi. It panics if a slice is shorter than
// the shape says.
func (p *PoolU8) Run(dst, src []uint8, scratch []byte, lo, hi int) {
	s := &p.shape
	if len(dst) < s.outLen() || len(src) < s.inLen() || len(scratch) < p.scratch {
		panic("kernel: PoolU8 slice too short for its shape")
	}
	for u := lo; u < hi; u++ {
		if p.pool.Max {
			p.maximum(dst[u*s.OutW*s.OutStride:], src, scratch, u)
			continue
		}
		for x := range s.OutW {
			out := dst[(u*s.OutW+x)*s.OutStride:]
			p.average(out[:s.OutC:s.OutC], src, int32s(scratch, s.InC), u, x)
		}
	}
}

// line returns the bytes of an image row with its borders.
func (p *PoolU8) line() int {
	s := &p.shape
	return max(s.PadLeft+s.InW, (s.OutW-1)*s.StrideW+(s.KernelW-1)*s.DilationW+1) * s.InC
}

// wideChannels is the number of channels from which a vector fills within one pixel;
// below it the maximum over a window's columns is taken for the whole line at once.
const wideChannels = 64

// maximum computes row u. It takes the greatest of the image rows first, into a line
// with borders of 0, which no byte is below; then the greatest of the columns.
func (p *PoolU8) maximum(dst, src []uint8, scratch []byte, u int) {
	s, c := &p.shape, p.shape.InC
	line := scratch[:p.line()]
	clear(line)
	inner := line[s.PadLeft*c : (s.PadLeft+s.InW)*c]
	img, y := u/s.OutH, u%s.OutH*s.StrideH-s.PadTop
	rows := 0
	for kh := range s.KernelH {
		iy := y + kh*s.DilationH
		if iy < 0 || iy >= s.InH {
			continue
		}
		rows++
		from := (img*s.InH + iy) * s.InW * s.InStride
		if s.InStride == c {
			maxU8(p.level, inner, src[from:])
			continue
		}
		for x := range s.InW {
			maxU8(p.level, inner[x*c:(x+1)*c], src[from+x*s.InStride:])
		}
	}
	whole := line
	if c < wideChannels && s.KernelW > 1 {
		whole = scratch[len(line) : 2*len(line)]
		copy(whole, line)
		for kw := 1; kw < s.KernelW; kw++ {
			ahead := line[kw*s.DilationW*c:]
			maxU8(p.level, whole[:len(ahead)], ahead)
		}
	}
	for x := range s.OutW {
		at := x * s.StrideW * c
		out := dst[x*s.OutStride:]
		out = out[:c:c]
		copy(out, whole[at:])
		if c >= wideChannels {
			for kw := 1; kw < s.KernelW; kw++ {
				maxU8(p.level, out, line[at+kw*s.DilationW*c:])
			}
		}
		if rows == 0 || s.PadLeft > 0 && !p.columns(x) || x*s.StrideW-s.PadLeft >= s.InW { // a window wholly in the border
			fill(out, p.pool.InZero)
		}
		if p.table != nil {
			LookupU8(p.level, out, out, p.table)
		}
	}
}

// columns reports whether the window of output column x meets the image.
func (p *PoolU8) columns(x int) bool {
	s := &p.shape
	for kw := range s.KernelW {
		if ix := x*s.StrideW - s.PadLeft + kw*s.DilationW; ix >= 0 && ix < s.InW {
			return true
		}
	}
	return false
}

// window calls f with the channels of every pixel of the image under the window
// of output pixel x in row u, and returns their number.
func (p *PoolU8) window(src []uint8, u, x int, f func(pix []uint8)) (n int) {
	s := &p.shape
	img, y := u/s.OutH, u%s.OutH*s.StrideH-s.PadTop
	left := x*s.StrideW - s.PadLeft
	for kh := range s.KernelH {
		iy := y + kh*s.DilationH
		if iy < 0 || iy >= s.InH {
			continue
		}
		for kw := range s.KernelW {
			ix := left + kw*s.DilationW
			if ix < 0 || ix >= s.InW {
				continue
			}
			at := ((img*s.InH+iy)*s.InW + ix) * s.InStride
			f(src[at : at+s.InC])
			n++
		}
	}
	return n
}

func (p *PoolU8) average(out, src []uint8, sum []int32, u, x int) {
	s, q := &p.shape, &p.pool
	clear(sum)
	n := p.window(src, u, x, func(pix []uint8) { accumulateU8(p.level, sum, pix) })
	count := n
	if q.CountInclude {
		count = s.KernelH * s.KernelW
	}
	r := Requant{Mult: float32(q.InScale / (q.OutScale * float64(max(count, 1)))), Zero: q.OutZero, Lo: q.Lo, Hi: q.Hi}
	shift := int32(n) * int32(q.InZero)
	for c, v := range sum {
		out[c] = r.Apply(v - shift)
	}
}

// maxU8 raises dst to src where src is greater.
//
//go:noinline
func maxU8(l cpu.Level, dst, src []uint8) {
	src = src[:len(dst)]
	done := maxU8Asm(l, unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src)), len(dst))
	for i := done; i < len(dst); i++ {
		dst[i] = max(dst[i], src[i])
	}
}

// accumulateU8 adds src to sum.
//
//go:noinline
func accumulateU8(l cpu.Level, sum []int32, src []uint8) {
	src = src[:len(sum)]
	done := accumulateU8Asm(l, unsafe.Pointer(unsafe.SliceData(sum)), unsafe.Pointer(unsafe.SliceData(src)), len(sum))
	for i := done; i < len(sum); i++ {
		sum[i] += int32(src[i])
	}
}
