package kernel

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"
)

// convGemm is a convolution as a matrix product. A row of the product is an
// output pixel; its values are the pixel's window, read from the image in place
// by segments. Rows of taps above or below the image are left out. Only a tile
// whose window crosses the left or right edge is copied, with zeros beyond the
// edge, into a strip of scratch, which the same micro-kernel then reads.
//
// A unit is one tile of rows by one block of columns; blocks are the slow index,
// so the weights of a block stay in the second cache while the tiles pass. Each
// call also fetches a share of what comes next: a processor by itself reads
// further caches too late to keep up with the multiply-adds.
type convGemm struct {
	tile   *gemmTileF32
	packed []float32 // [group][panel]
	k, n   int       // depth and columns of one group

	flat   bool // rows run through all pixels of all images
	rowLen int  // pixels in a run of rows: an output row, or all
	outRow int  // elements from a run to the next where the output is written
	perRow int  // tiles in a run
	least  int  // rows of a tile, one more …
	longer int  // … in the first tiles of a run
	tiles  int  // tiles in all
	blocks int  // blocks of columns, over all groups
	block  int  // columns in a block

	off, stripOff   []int // segment offsets in bytes
	segK, stripSegK int
	perKH           int // segments of one row of taps
	stripPerKH      int
	stripLen        int // values of a whole strip
	stripPitch      int // values of a row of the strip
}

// blockBytes is how much packed weight one block of columns may hold: a part
// of a common second cache, and well below 100 µs of work for one tile.
const blockBytes = 512 << 10

// Where the whole input stays in the second cache, blocks of streamBytes do: the
// next one is fetched while the tiles of one pass.
const (
	residentBytes = 512 << 10
	streamBytes   = 96 << 10
)

func (c *ConvF32) prepareGemm(tile *gemmTileF32, w, bias []float32, o *preparation) error {
	s, g := &c.shape, &c.gemm
	g.tile = tile
	groupC := s.InC / s.Groups
	g.k, g.n = s.KernelH*s.KernelW*groupC, s.OutC/s.Groups

	unpadded := s.PadTop == 0 && s.PadLeft == 0 && (s.OutH-1)*s.StrideH < s.InH && (s.OutW-1)*s.StrideW < s.InW
	g.flat = s.KernelH == 1 && s.KernelW == 1 && unpadded &&
		s.StrideH == 1 && s.StrideW == 1 && s.OutH == s.InH && s.OutW == s.InW
	g.rowLen, g.tiles = s.OutW, s.Batch*s.OutH
	if o.outRow > 0 {
		g.flat = false
	}
	if g.flat {
		g.rowLen, g.tiles = s.Batch*s.OutH*s.OutW, 1
	}
	if g.outRow = o.outRow; g.outRow == 0 {
		g.outRow = g.rowLen * s.OutStride
	}
	g.perRow = (g.rowLen + g.tile.mr - 1) / g.tile.mr
	g.tiles *= g.perRow
	g.least, g.longer = g.rowLen/g.perRow, g.rowLen%g.perRow

	perPanel := g.tile.panelLen(g.k) * 4
	limit := blockBytes
	if s.Batch*s.InH*s.InW*s.InStride*4 <= residentBytes {
		limit = streamBytes
	}
	panels := max(1, min(g.tile.panels(g.n), limit/perPanel))
	if g.tiles == 1 {
		// One tile of rows: the columns are all there is to share.
		panels = max(1, min(panels, g.tile.panels(g.n)/16))
	}
	g.block = panels * g.tile.nr
	g.blocks = s.Groups * ((g.n + g.block - 1) / g.block)

	// Offsets of the segments, in the image and in a strip.
	dense := s.DilationW == 1
	g.segK, g.perKH = groupC, s.KernelW
	if dense && s.InStride == groupC {
		g.segK, g.perKH = s.KernelW*groupC, 1
	}
	g.stripSegK, g.stripPerKH = groupC, s.KernelW
	if dense {
		g.stripSegK, g.stripPerKH = s.KernelW*groupC, 1
	}
	width := (min(g.tile.mr, g.rowLen)-1)*s.StrideW + (s.KernelW-1)*s.DilationW + 1
	g.stripPitch = width * groupC
	if !productWithin(maxScratch/4, s.KernelH, width, groupC) {
		return fmt.Errorf("conv f32: window of %d×%d with strides %d×%d and dilations %d×%d is too large",
			s.KernelH, s.KernelW, s.StrideH, s.StrideW, s.DilationH, s.DilationW)
	}
	if !(s.KernelH == 1 && s.KernelW == 1 && unpadded) {
		g.stripLen = s.KernelH * g.stripPitch
	}
	for kh := range s.KernelH {
		for i := range g.perKH {
			g.off = append(g.off, 4*(kh*s.DilationH*s.InW+i*s.DilationW)*s.InStride)
		}
		for i := range g.stripPerKH {
			g.stripOff = append(g.stripOff, 4*(kh*g.stripPitch+i*s.DilationW*groupC))
		}
	}

	size := g.tile.panels(g.n) * g.tile.panelLen(g.k)
	if !productWithin(maxElements, s.Groups, size) {
		return errors.New("conv f32: the packed weights have too many elements")
	}
	o.placeF32(&g.packed, s.Groups*size, func() { c.packGemm(g.packed, w, bias, o) })
	c.name = fmt.Sprintf("conv%dx%d %s", s.KernelH, s.KernelW, g.tile.name)
	return nil
}

// packGemm packs the weights of all groups.
func (c *ConvF32) packGemm(dst, w, bias []float32, o *preparation) {
	g := &c.gemm
	for i := range c.shape.Groups {
		size := len(dst) / c.shape.Groups
		var b []float32
		if bias != nil {
			b = bias[i*g.n : (i+1)*g.n]
		}
		c.packGroup(dst[i*size:(i+1)*size], w[i*g.n*g.k:(i+1)*g.n*g.k], b, o)
	}
}

// packGroup packs the weights of one group from the order in which they are given.
func (c *ConvF32) packGroup(dst, w, bias []float32, o *preparation) {
	g, taps := &c.gemm, c.shape.KernelH*c.shape.KernelW
	switch {
	case o.columns && taps == 1:
		g.tile.pack(dst, w, bias, g.n, g.k, 1, g.n)
	case !o.channelsFirst || taps == 1 || taps == g.k:
		g.tile.pack(dst, w, bias, g.n, g.k, g.k, 1)
	default:
		// One panel at a time, so that a copy of the weights stays small.
		nr, size := g.tile.nr, g.tile.panelLen(g.k)
		columns := make([]float32, nr*g.k)
		for j := 0; j < g.n; j += nr {
			n := min(nr, g.n-j)
			for i := range n {
				Transpose(columns[i*g.k:(i+1)*g.k], w[(j+i)*g.k:(j+i+1)*g.k], g.k/taps, taps)
			}
			var b []float32
			if bias != nil {
				b = bias[j : j+n]
			}
			g.tile.pack(dst[j/nr*size:][:size], columns, b, n, g.k, g.k, 1)
		}
	}
}

func (c *ConvF32) runGemm(dst, src, res unsafe.Pointer, strip []float32, lo, hi int) {
	s, g := &c.shape, &c.gemm
	groupC := s.InC / s.Groups
	perGroup := g.blocks / s.Groups
	panelLen := g.tile.panelLen(g.k)
	args := gemmF32{
		lda: s.StrideW * s.InStride * 4, panel: panelLen * 4,
		ldc: s.OutStride * 4, ldres: s.ResStride * 4, lo: c.lo, hi: c.hi,
	}
	for u := lo; u < hi; {
		block := u / g.tiles
		group, j0 := block/perGroup, block%perGroup*g.block
		channel := group*g.n + j0
		args.cols = min(g.block, g.n-j0)
		args.b = unsafe.Pointer(&g.packed[(group*g.tile.panels(g.n)+j0/g.tile.nr)*panelLen])
		blockLen := g.block / g.tile.nr * panelLen * 4
		for end := min(hi, (block+1)*g.tiles); u < end; {
			run := u % g.tiles / g.perRow
			line := imageLine{}
			if g.flat {
				args.off, args.segs, args.segK = &g.off[0], 1, g.segK
			} else {
				line = s.line(run)
			}
			// Tiles of one run have nearly equal numbers of rows.
			t := u % g.perRow
			for stop := min(end, u-t+g.perRow); u < stop; u, t = u+1, t+1 {
				x0 := t*g.least + min(t, g.longer)
				x1 := x0 + g.least
				if t < g.longer {
					x1++
				}
				args.rows = x1 - x0
				pixel := run*g.rowLen + x0
				args.c = unsafe.Add(dst, (run*g.outRow+x0*s.OutStride+channel)*4)
				if res != nil {
					args.res = unsafe.Add(res, (pixel*s.ResStride+channel)*4)
				}
				if g.flat {
					args.a = unsafe.Add(src, (pixel*s.InStride+group*groupC)*4)
				} else {
					c.window(&args, src, strip, line, x0, x1, group*groupC)
				}
				// First the calls fetch the next block, then rows of the next tile.
				if i, of := u%g.tiles, args.fetches(); i < of {
					args.ahead = uintptr(args.b) + uintptr(blockLen+i*blockLen/of)
				} else {
					args.ahead = uintptr(args.a) + uintptr(args.rows*args.lda)
				}
				args.run(g.tile)
				if c.more {
					c.activate(args.c, args.rows, args.cols, s.OutStride, channel)
				}
			}
		}
	}
}

// An imageLine says where the window of a row of output pixels lies.
type imageLine struct {
	y           int // input row of the first tap inside, counted over all images
	first, last int // the rows of taps inside
}

// line returns the place of output row run, counted over all images.
func (s *ConvShape) line(run int) imageLine {
	y := run%s.OutH*s.StrideH - s.PadTop
	first, last := tapsInside(y, s.DilationH, s.KernelH, s.InH)
	return imageLine{run/s.OutH*s.InH + y + first*s.DilationH, first, last}
}

// window points a at the windows of output pixels x0 ≤ x < x1 of a row, in the
// image or, at its left and right edges, in the strip.
func (c *ConvF32) window(a *gemmF32, src unsafe.Pointer, strip []float32, l imageLine, x0, x1, channel int) {
	s, g := &c.shape, &c.gemm
	groupC := s.InC / s.Groups
	first, last := l.first, l.last
	a.bSkip = first * s.KernelW * groupC * g.tile.nr * 4

	left := x0*s.StrideW - s.PadLeft
	width := (x1-x0-1)*s.StrideW + (s.KernelW-1)*s.DilationW + 1
	if first == last {
		// No tap is inside. Nothing is read through a, but it must point somewhere.
		a.a, a.off, a.segs, a.segK = src, &g.off[0], 0, g.segK
		return
	}
	if left >= 0 && left+width <= s.InW {
		at := (l.y*s.InW+left)*s.InStride + channel
		a.a = unsafe.Add(src, at*4)
		// The first segment inside the image has offset 0 by starting there.
		a.lda, a.off, a.segs, a.segK = s.StrideW*s.InStride*4, &g.off[0], (last-first)*g.perKH, g.segK
		return
	}
	from, to := min(max(-left, 0), width), max(min(s.InW-left, width), 0)
	to = max(to, from)
	for kh := first; kh < last; kh++ {
		line := strip[(kh-first)*g.stripPitch:][:width*groupC]
		clear(line[:from*groupC])
		clear(line[to*groupC:])
		if from == to {
			continue
		}
		at := ((l.y+(kh-first)*s.DilationH)*s.InW+left)*s.InStride + channel
		if s.InStride == groupC {
			copy(line[from*groupC:to*groupC], unsafe.Slice((*float32)(unsafe.Add(src, (at+from*groupC)*4)), (to-from)*groupC))
			continue
		}
		for x := from; x < to; x++ {
			copy(line[x*groupC:(x+1)*groupC], unsafe.Slice((*float32)(unsafe.Add(src, (at+x*s.InStride)*4)), groupC))
		}
	}
	a.a = unsafe.Pointer(&strip[0])
	a.lda, a.off, a.segs, a.segK = s.StrideW*groupC*4, &g.stripOff[0], (last-first)*g.stripPerKH, g.stripSegK
}

// tapsInside returns the range of taps whose position start + tap·dilation is
// inside 0 … size-1; an empty range is 0, 0.
func tapsInside(start, dilation, taps, size int) (first, last int) {
	if start < 0 {
		first = (-start + dilation - 1) / dilation
	}
	if start < size {
		last = min(taps, (size-1-start)/dilation+1)
	}
	if first >= last {
		return 0, 0
	}
	return first, last
}

// alignedF32 returns n zero values that start on a cache line.
func alignedF32(n int) []float32 {
	b := make([]float32, n+15)
	skip := int(-uintptr(unsafe.Pointer(&b[0]))%64) / 4
	return slices.Clip(b[skip : skip+n])
}
