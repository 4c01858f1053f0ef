package kernel

import (
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A depthwiseF32 is a sweep of a depthwise window along a row of output pixels:
//
//	dst[x][c] = clamp(bias[c] + Σ src[x·pixStep + r·rowStep + t·colStep][c]·w[r][t][c] + res[x][c])
//
// over rows r < rows and columns t < cols of taps, for x < n and c < channels.
// All of the window is inside the image: taps outside are left out by the
// caller. w is a block per lanes channels: lanes bias values, then lanes values
// per tap; wSkip bytes after the bias are left out first, and a row of taps is
// wRow bytes after the row before. Steps are in bytes. Assembly reads the
// fields by their offsets.
type depthwiseF32 struct {
	src      unsafe.Pointer
	rowStep  int
	colStep  int
	pixStep  int
	rows     int
	cols     int
	w        unsafe.Pointer
	wSkip    int
	wRow     int
	wBlock   int // bytes from block to block
	dst      unsafe.Pointer
	dstStep  int
	res      unsafe.Pointer // nil: nothing added
	resStep  int
	n        int
	channels int
	lo       float32
	hi       float32

	// What kernels that take whole lines look at besides: they compute several rows
	// of n pixels, one below the other, and up to half of a window may lie beyond
	// the ends of a row. src is the first column inside.
	lines                     int // rows of pixels
	srcLine, dstLine, resLine int // bytes from row to row of pixels
	before, after             int // columns beyond the image at the first and last pixel, ≤ kernel/2
	bodies, least, longer     int // n as bodies of least pixels, the first longer ones of one more
}

// split says how n pixels are taken: in bodies of at most most.
func (d *depthwiseF32) split(n, most int) {
	d.n, d.bodies = n, (n+most-1)/most
	d.least, d.longer = n/d.bodies, n%d.bodies
}

// depthwiseKernelF32 is a micro-kernel for depthwiseF32. One with kernel > 0
// takes only windows of kernel columns at distance 1 and stride pixels, and any
// number of rows of taps.
type depthwiseKernelF32 struct {
	name           string
	level          cpu.Level
	kernel, stride int
	lanes          int
	call           depthwiseCall
}

// depthwiseCall selects the routine in (*depthwiseF32).run.
type depthwiseCall uint8

const (
	depthwiseGo depthwiseCall = iota
	depthwiseAVX2
	depthwiseAVX512
	depthwise3S1AVX2
	depthwise3S2AVX2
	depthwise5S1AVX2
	depthwise5S2AVX2
	depthwise3S1AVX512
	depthwise3S2AVX512
	depthwise5S1AVX512
	depthwise5S2AVX512
	depthwiseNEON
	depthwise3S1NEON
	depthwise3S2NEON
	depthwise5S1NEON
	depthwise5S2NEON
	maximumGo
	maximumAVX2
	maximumAVX512
	maximumNEON
)

// body returns the most pixels that a kernel takes together, for one that takes
// whole lines, else 0.
func (k *depthwiseKernelF32) body() int {
	switch k.call {
	case depthwise3S1AVX2, depthwise3S2AVX2, depthwise5S1AVX2, depthwise5S2AVX2:
		return 4
	case depthwise3S1AVX512, depthwise3S2AVX512, depthwise5S1AVX512, depthwise5S2AVX512,
		depthwise3S1NEON, depthwise3S2NEON, depthwise5S1NEON, depthwise5S2NEON:
		return 8
	}
	return 0
}

var depthwiseKernelsF32 = append([]depthwiseKernelF32{{"f32_dw_16c_go", cpu.Generic, 0, 0, 16, depthwiseGo}}, depthwiseKernelsF32Arch...)

// columns returns how many neighbouring columns a window spans, 0 where they are no
// neighbours.
func (s *ConvShape) columns() int {
	if s.DilationW == 1 {
		return s.KernelW
	}
	return 0
}

// fits reports whether the kernel takes windows of so many columns and a stride.
func (k *depthwiseKernelF32) fits(kernel, stride int) bool {
	return k.kernel == 0 || k.kernel == kernel && k.stride == stride
}

// depthwiseKernel returns the kernel of a level for a window, 0, 0 for any.
func depthwiseKernel(l cpu.Level, kernel, stride int) *depthwiseKernelF32 {
	var fit []*depthwiseKernelF32
	for i := range depthwiseKernelsF32 {
		if k := &depthwiseKernelsF32[i]; k.fits(kernel, stride) {
			fit = append(fit, k)
		}
	}
	best := fit[pick(l, len(fit), func(i int) cpu.Level { return fit[i].level })]
	for _, k := range fit {
		if k.level == best.level && k.kernel > 0 {
			return k
		}
	}
	return best
}

// convDepthwise sweeps every output row: the pixels that one kernel takes
// together, and those at the left and right edges that it does not one by one
// with the kernel for any window. A unit is one output row; rows of a run with
// the same taps inside are given to the kernel together.
type convDepthwise struct {
	kernel *depthwiseKernelF32 // nil: not depthwise
	edge   *depthwiseKernelF32 // of the same lanes
	packed []float32
	// Output pixels in from ≤ x < to are taken together.
	from, to int
	lines    int // rows at most in one call
	run      int // pixels at most in one call
}

// One call of a depthwise kernel takes rows, or a part of one, of at most depthwiseMACs. An image of
// more than depthwiseBytes comes from further caches: there a call takes one body
// of a few rows, so that all channels of a pixel, which lie side by side, are
// read one after the other.
const (
	depthwiseMACs  = 1 << 20
	depthwiseBytes = 1 << 20
)

func (c *ConvF32) prepareDepthwise(kernel *depthwiseKernelF32, w, bias []float32, o *preparation) error {
	s, d := &c.shape, &c.dw
	d.kernel, d.edge = kernel, depthwiseKernel(kernel.level, 0, 0)
	lanes, taps := d.kernel.lanes, s.KernelH*s.KernelW
	blocks := (s.OutC + lanes - 1) / lanes
	o.placeF32(&d.packed, blocks*(taps+1)*lanes, func() { c.packDepthwise(d.packed, w, bias) })
	beyond := 0 // columns that may lie outside the image
	d.lines, d.run = 1, callPixels(s)
	if d.kernel.body() > 0 {
		beyond = s.KernelW / 2
		d.run, d.lines = s.OutW, max(1, min(s.OutH, depthwiseMACs/(s.OutW*s.OutC*taps)))
		if s.Batch*s.InH*s.InW*s.InStride*4 > depthwiseBytes {
			d.run, d.lines = d.kernel.body(), max(1, 4/(s.StrideH*s.StrideH))
		}
	}
	d.from = min(s.OutW, (max(s.PadLeft-beyond, 0)+s.StrideW-1)/s.StrideW)
	if room := s.InW - 1 - (s.KernelW-1)*s.DilationW + s.PadLeft + beyond; room >= 0 {
		d.to = min(s.OutW, room/s.StrideW+1)
	}
	d.to = max(d.to, d.from)
	c.name = fmt.Sprintf("dw%dx%d %s", s.KernelH, s.KernelW, d.kernel.name)
	return nil
}

// callPixels returns how many pixels of a row one call takes, all channels of them.
func callPixels(s *ConvShape) int {
	return max(1, depthwiseMACs/(s.OutC*s.KernelH*s.KernelW))
}

// packDepthwise packs weights into zeros.
func (c *ConvF32) packDepthwise(dst, w, bias []float32) {
	lanes, taps := c.dw.kernel.lanes, c.shape.KernelH*c.shape.KernelW
	for ch := range c.shape.OutC {
		block := dst[ch/lanes*(taps+1)*lanes:]
		if bias != nil {
			block[ch%lanes] = bias[ch]
		}
		for t := range taps {
			block[(t+1)*lanes+ch%lanes] = w[ch*taps+t]
		}
	}
}

func (c *ConvF32) runDepthwise(dst, src, res unsafe.Pointer, lo, hi int) {
	s, d := &c.shape, &c.dw
	lanes := d.kernel.lanes
	pixel := s.InStride * 4
	args := depthwiseF32{
		rowStep: s.DilationH * s.InW * pixel, colStep: s.DilationW * pixel, pixStep: s.StrideW * pixel,
		w: unsafe.Pointer(&d.packed[0]), wRow: s.KernelW * lanes * 4, wBlock: (s.KernelH*s.KernelW + 1) * lanes * 4,
		dstStep: s.OutStride * 4, resStep: s.ResStride * 4, channels: s.OutC, lo: c.lo, hi: c.hi,
		srcLine: s.StrideH * s.InW * pixel, dstLine: s.OutW * s.OutStride * 4, resLine: s.OutW * s.ResStride * 4,
	}
	for u := lo; u < hi; u += args.lines {
		image, y := u/s.OutH, u%s.OutH*s.StrideH-s.PadTop
		first, last := tapsInside(y, s.DilationH, s.KernelH, s.InH)
		args.rows, args.lines = last-first, 1
		for most := min(d.lines, hi-u, s.OutH-u%s.OutH); args.lines < most; args.lines++ {
			f, l := tapsInside(y+args.lines*s.StrideH, s.DilationH, s.KernelH, s.InH)
			if args.rows == 0 || f != first || l != last {
				break
			}
		}
		// Where no row is inside, line 0 stands in: nothing of it is read.
		line := unsafe.Add(src, image*s.InH*s.InW*pixel)
		if args.rows > 0 {
			line = unsafe.Add(line, (y+first*s.DilationH)*s.InW*pixel)
		}
		sweep := func(k *depthwiseKernelF32, line unsafe.Pointer, row, x, n int) {
			firstCol, lastCol := 0, s.KernelW
			if k == d.edge {
				firstCol, lastCol = tapsInside(x*s.StrideW-s.PadLeft, s.DilationW, s.KernelW, s.InW)
			}
			args.cols = lastCol - firstCol
			args.src = line
			if args.cols > 0 {
				args.src = unsafe.Add(line, max(0, x*s.StrideW-s.PadLeft+firstCol*s.DilationW)*pixel)
			}
			args.wSkip = (first*s.KernelW + firstCol) * lanes * 4
			args.dst = unsafe.Add(dst, (row*s.OutW+x)*s.OutStride*4)
			if res != nil {
				args.res = unsafe.Add(res, (row*s.OutW+x)*s.ResStride*4)
			}
			args.n = n
			args.run(k)
		}
		for i := range args.lines {
			below := unsafe.Add(line, i*args.srcLine)
			for x := range d.from {
				sweep(d.edge, below, u+i, x, 1)
			}
			for x := d.to; x < s.OutW; x++ {
				sweep(d.edge, below, u+i, x, 1)
			}
		}
		if d.to > d.from {
			for x := d.from; x < d.to; {
				n := min(d.to-x, d.run)
				if most := d.kernel.body(); most > 0 {
					args.before = max(0, s.PadLeft-x*s.StrideW)
					args.after = max(0, (x+n-1)*s.StrideW-s.PadLeft+s.KernelW-s.InW)
					args.split(n, most)
				}
				sweep(d.kernel, line, u, x, n)
				x += n
			}
		}
		if c.more {
			c.activate(unsafe.Add(dst, u*s.OutW*s.OutStride*4), args.lines*s.OutW, s.OutC, s.OutStride, 0)
		}
	}
}

// goDepthwiseF32 is the portable twin of every depthwise kernel.
func goDepthwiseF32(d *depthwiseF32, lanes int) {
	for c0 := 0; c0 < d.channels; c0 += lanes {
		n := min(lanes, d.channels-c0)
		block := unsafe.Add(d.w, c0/lanes*d.wBlock)
		bias := unsafe.Slice((*float32)(block), n)
		for x := range d.n {
			dst := unsafe.Slice((*float32)(unsafe.Add(d.dst, x*d.dstStep+c0*4)), n)
			var sum [64]float32
			acc := sum[:n]
			copy(acc, bias)
			for r := range d.rows {
				for t := range d.cols {
					in := unsafe.Slice((*float32)(unsafe.Add(d.src, x*d.pixStep+r*d.rowStep+t*d.colStep+c0*4)), n)
					w := unsafe.Slice((*float32)(unsafe.Add(block, lanes*4+d.wSkip+r*d.wRow+t*lanes*4)), n)
					for i := range acc {
						acc[i] += in[i] * w[i]
					}
				}
			}
			if d.res != nil {
				for i, v := range unsafe.Slice((*float32)(unsafe.Add(d.res, x*d.resStep+c0*4)), n) {
					acc[i] += v
				}
			}
			for i, v := range acc {
				dst[i] = clampF32(v, d.lo, d.hi)
			}
		}
	}
}

func init() { later(registerDepthwise) }

func registerDepthwise() {
	for i := range depthwiseKernelsF32 {
		k := &depthwiseKernelsF32[i]
		op := "dw"
		if k.kernel > 0 {
			op = fmt.Sprintf("dw%dx%ds%d", k.kernel, k.kernel, k.stride)
		}
		register(Entry{Name: k.name, Level: k.level, DType: "f32", Op: op, NR: k.lanes, Trial: k.trial})
	}
}

// trial sweeps 28 pixels of 64 channels, with 3×3 taps where any will do.
func (k *depthwiseKernelF32) trial() (func(), float64) {
	const n, channels = 28, 64
	taps, stride := max(k.kernel, 3), max(k.stride, 1)
	if k.kernel == 0 {
		taps = 3
	}
	width := (n-1)*stride + taps
	src, w, dst := alignedF32(taps*width*channels), alignedF32((taps*taps+1)*channels), alignedF32(n*channels)
	lo, hi, _ := Act{}.clamp()
	d := &depthwiseF32{src: unsafe.Pointer(&src[0]), rowStep: width * channels * 4, colStep: channels * 4, pixStep: stride * channels * 4,
		rows: taps, cols: taps, w: unsafe.Pointer(&w[0]), wRow: taps * k.lanes * 4, wBlock: (taps*taps + 1) * k.lanes * 4,
		dst: unsafe.Pointer(&dst[0]), dstStep: channels * 4, n: n, channels: channels, lo: lo, hi: hi, lines: 1}
	if most := k.body(); most > 0 {
		d.split(n, most)
	}
	return func() { d.run(k) }, 2 * n * channels * float64(taps*taps)
}
