package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// u8ConvGemm runs a convolution as a matrix product: rows are output pixels, k
// runs over the kernel window, columns are output channels.
//
// Rows come from one of three places. A pointwise convolution reads pixels in
// place. One with few input channels reads each kernel row as a run of
// KernelW·InC bytes in place (a segment), away from the border. Everything
// else, and all wide kernels, gathers a block of rows into scratch first.
type u8ConvGemm struct {
	shape        *ConvShape
	quant        *QuantConv
	full, narrow *u8Gemm
	panels       []u8Panel // of all groups
	perGroup     int       // panels in a group

	segLen  int   // bytes of k in a segment, before padding to groups
	segPad  int   // the same padded, in k
	segOff  []int // of rows read in place
	dense   []int // of gathered rows
	direct  bool  // rows can be read in place
	flat    bool  // consecutive pixels are evenly spaced across image rows
	packed  bool  // rows of k stand one after the other, for widening in place
	rowBlk  int   // pixels in a unit
	mBlocks int
	nBlocks int // parts that the panels of a group are divided into

	scratch                                u8Scratch
	atGather, atWide, atSum, atTile, atDyn int
}

// u8Panel is the packed weights of some columns with what belongs to them, in
// the kernel's column order.
type u8Panel struct {
	kern      *u8Gemm
	group     int
	col, cols int // within all output channels
	b         []byte
	start     []int32 // bias with the input zero point's share
	colSum    []int32 // Σ(w - WeightZero), the zero point's factor
	bias      []int32
	colZero   []int32 // -WeightZero
	mult      []float32
}

const (
	u8BlockBytes   = 16 << 10 // rows of a unit: they stay in the nearest cache beside a panel
	u8MaxSegLen    = 64       // longer windows are gathered
	u8MinSegPixels = 16
	u8MaxTiles     = 32 // in a call of assembly
)

func newU8ConvGemm(l cpu.Level, s ConvShape, w []int8, q *QuantConv, asm bool) *u8ConvGemm {
	c := &u8ConvGemm{shape: &s, quant: q}
	c.full, c.narrow = selectU8Gemm(l, asm)
	cg, ng := s.InC/s.Groups, s.OutC/s.Groups
	c.segLen = s.KernelH * s.KernelW * cg
	segs := 1
	pointwise := s.KernelH == 1 && s.KernelW == 1 && s.PadTop == 0 && s.PadLeft == 0 && (s.OutH-1)*s.StrideH < s.InH && (s.OutW-1)*s.StrideW < s.InW
	switch {
	case c.full.wide:
		c.packed = pointwise && s.Groups == 1 && s.StrideH == 1 && s.StrideW == 1 && s.OutH == s.InH && s.OutW == s.InW &&
			s.InStride == s.InC && s.InC%2 == 0
	case pointwise:
		c.direct, c.flat = true, s.StrideH == 1 && s.StrideW == 1 && s.OutH == s.InH && s.OutW == s.InW
	case s.Groups == 1 && s.DilationW == 1 && s.InStride == s.InC && s.KernelW*s.InC <= u8MaxSegLen &&
		len(q.WeightZero) == 0 && s.OutW >= u8MinSegPixels:
		c.direct, segs, c.segLen = true, s.KernelH, s.KernelW*s.InC
	}
	g := c.full.group()
	c.segPad = (c.segLen + g - 1) / g * g
	elem := 4 / g
	for i := range segs {
		c.segOff = append(c.segOff, i*s.DilationH*s.InW*s.InStride)
		c.dense = append(c.dense, i*c.segPad*elem)
	}
	for grp := range s.Groups {
		for n := 0; n < ng; {
			k := c.full
			if ng-n <= c.narrow.nr {
				k = c.narrow
			}
			p := u8Panel{kern: k, group: grp, col: grp*ng + n, cols: min(k.nr, ng-n)}
			c.pack(&p, w)
			c.panels = append(c.panels, p)
			n += p.cols
		}
	}
	c.perGroup = len(c.panels) / s.Groups
	c.block()
	return c
}

// block chooses the units and lays out scratch.
func (c *u8ConvGemm) block() {
	s, mr := c.shape, c.full.mr
	m := s.Batch * s.OutH * s.OutW
	rowBytes := c.segPad * len(c.segOff) * (4 / c.full.group())
	c.rowBlk = min(max(u8BlockBytes/rowBytes/mr, 1), 8) * mr
	// Enough units to share, but tiles stay whole.
	for c.rowBlk > mr && (m+c.rowBlk-1)/c.rowBlk < 8 {
		c.rowBlk -= mr
	}
	if c.direct && len(c.segOff) > 1 {
		c.rowBlk = max(c.rowBlk/s.OutW, 1) * s.OutW
	}
	c.mBlocks = (m + c.rowBlk - 1) / c.rowBlk
	c.nBlocks = 1
	if c.mBlocks < 4 {
		c.nBlocks = min(c.perGroup, (8+c.mBlocks-1)/c.mBlocks)
	}
	rows := min(c.rowBlk, m)
	c.atGather = c.scratch.take(rows*c.segPad*len(c.segOff) + 64)
	if c.full.wide {
		c.atWide = c.scratch.take(rows*rowBytes + 64)
	}
	if c.quant.WeightZero != nil {
		c.atSum = c.scratch.take(4 * rows)
	}
	c.atTile = c.scratch.take(4 * (rows + mr) * c.full.nr)
	c.atDyn = c.scratch.take(3 * 4 * c.full.nr)
}

// pack fills a panel from weights [OutC][KernelH][KernelW][InC/Groups].
func (c *u8ConvGemm) pack(p *u8Panel, w []int8) {
	k, q := p.kern, c.quant
	g, nr, segs := k.group(), k.nr, len(c.segOff)
	p.b = alignedBytes(segs * c.segPad / g * nr * 4)
	p.start, p.colSum = aligned[int32](nr), aligned[int32](nr)
	p.bias, p.colZero, p.mult = aligned[int32](nr), aligned[int32](nr), aligned[float32](nr)
	wide := unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(p.b))), len(p.b)/2)
	kAll := segs * c.segLen
	for pos := range nr {
		j := k.column(pos)
		if j >= p.cols {
			continue
		}
		n := p.col + j
		row := w[n*kAll : (n+1)*kAll]
		wz := channel(q.WeightZero, n)
		var sum int32
		for i, v := range row {
			at := i/c.segLen*c.segPad + i%c.segLen
			at = (at/g*nr+pos)*g + at%g
			if k.wide {
				wide[at] = int16(v)
			} else {
				p.b[at] = uint8(v)
			}
			sum += int32(v) - wz
		}
		p.colSum[pos], p.bias[pos] = sum, channel(q.Bias, n)
		p.start[pos] = p.bias[pos] - int32(q.InZero)*sum
		p.colZero[pos], p.mult[pos] = -wz, q.multiplier(n)
	}
}

func (c *u8ConvGemm) units() int { return c.mBlocks * c.nBlocks }

func (c *u8ConvGemm) run(out *u8Output, src []uint8, scratch []byte, lo, hi int) {
	s := c.shape
	m := s.Batch * s.OutH * s.OutW
	for u := lo; u < hi; u++ {
		mb, nb := u/c.nBlocks, u%c.nBlocks
		m0 := mb * c.rowBlk
		m1 := min(m0+c.rowBlk, m)
		p0, p1 := nb*c.perGroup/c.nBlocks, (nb+1)*c.perGroup/c.nBlocks
		for g := range s.Groups {
			c.runBlock(out, src, scratch, m0, m1, c.panels[g*c.perGroup+p0:g*c.perGroup+p1])
		}
		if nb := c.panels[p0:p1]; len(nb) > 0 {
			if s.Groups == 1 {
				out.finish(s, m0, m1-m0, nb[0].col, nb[len(nb)-1].col+nb[len(nb)-1].cols)
				continue
			}
			for g := range s.Groups {
				ps := c.panels[g*c.perGroup+p0 : g*c.perGroup+p1]
				out.finish(s, m0, m1-m0, ps[0].col, ps[len(ps)-1].col+ps[len(ps)-1].cols)
			}
		}
	}
}

// runBlock computes some columns of one group for pixels m0 ≤ m < m1.
func (c *u8ConvGemm) runBlock(out *u8Output, src []uint8, scratch []byte, m0, m1 int, panels []u8Panel) {
	if len(panels) == 0 {
		return
	}
	s := c.shape
	for m := m0; m < m1; {
		n, inPlace := m1-m, false
		if c.direct {
			n, inPlace = c.stretch(m, m1)
			n = min(n, u8MaxTiles*c.full.mr)
		}
		base := 0
		if inPlace {
			var y, x, b int
			b, y, x = c.pixel(m)
			base = ((b*s.InH+y*s.StrideH-s.PadTop)*s.InW+x*s.StrideW-s.PadLeft)*s.InStride + panels[0].group*(s.InC/s.Groups)
			end := base + (n-1)*s.StrideW*s.InStride + c.segOff[len(c.segOff)-1] + c.segPad
			if end > len(src) {
				inPlace = false // padding k to a group would read past the tensor
			}
		}
		if inPlace {
			c.rows(out, scratch, m, n, unsafe.Pointer(&src[base]), s.StrideW*s.InStride, c.segOff, panels)
		} else {
			n = min(n, min(c.rowBlk, s.Batch*s.OutH*s.OutW))
			row := c.segPad * len(c.dense)
			rows := scratch[c.atGather : c.atGather+row*n]
			if from := m * row; c.packed && from+row*n+widenSlack <= len(src) {
				rows = src[from : from+row*n]
			} else {
				c.gather(out.inZero, src, rows, m, n, panels[0].group)
			}
			if c.full.wide {
				wide := scratch[c.atWide : c.atWide+2*row*n]
				widenU8(c.full, wide, rows)
				rows, row = wide, 2*row
			}
			c.rows(out, scratch, m, n, unsafe.Pointer(unsafe.SliceData(rows)), row, c.dense, panels)
		}
		m += n
	}
}

func (c *u8ConvGemm) pixel(m int) (b, y, x int) {
	s := c.shape
	return m / (s.OutW * s.OutH), m / s.OutW % s.OutH, m % s.OutW
}

// stretch returns how many pixels from m on are evenly spaced, and whether all
// their windows lie inside the image.
func (c *u8ConvGemm) stretch(m, m1 int) (n int, inside bool) {
	if c.flat {
		return m1 - m, true
	}
	s := c.shape
	_, y, x := c.pixel(m)
	n = min(m1-m, s.OutW-x)
	top := y*s.StrideH - s.PadTop
	if top < 0 || top+(s.KernelH-1)*s.DilationH >= s.InH {
		return n, false
	}
	left := x*s.StrideW - s.PadLeft
	if left < 0 { // up to the first window inside
		return min(n, (-left+s.StrideW-1)/s.StrideW), false
	}
	room := s.InW - 1 - (s.KernelW-1)*s.DilationW - left
	if room < 0 {
		return n, false
	}
	return min(n, room/s.StrideW+1), true
}

// rows runs every panel over n rows from a on.
func (c *u8ConvGemm) rows(out *u8Output, scratch []byte, m, n int, a unsafe.Pointer, aStride int, segOff []int, panels []u8Panel) {
	s, q := c.shape, c.quant
	var args u8GemmArgs
	args.aStride, args.segs = aStride, len(segOff)
	args.segOff = unsafe.Pointer(unsafe.SliceData(segOff))
	args.groups = c.segPad / c.full.group()
	args.setOutput(q.OutZero, q.Lo, q.Hi)
	if q.WeightZero != nil {
		sums := int32s(scratch[c.atSum:], n)
		for r := range sums {
			row := unsafe.Add(a, r*aStride)
			if c.full.wide {
				sums[r] = sumOf(unsafe.Slice((*uint16)(row), c.segLen))
			} else {
				sums[r] = sumOf(unsafe.Slice((*uint8)(row), c.segLen))
			}
		}
		args.rowSum = unsafe.Pointer(unsafe.SliceData(sums))
	}
	rowSum := args.rowSum
	tile := int32s(scratch[c.atTile:], n*c.full.nr)
	for i := range panels {
		p := &panels[i]
		args.a, args.b, args.rowSum = a, unsafe.Pointer(unsafe.SliceData(p.b)), rowSum
		args.start, args.colZero = unsafe.Pointer(unsafe.SliceData(p.start)), unsafe.Pointer(unsafe.SliceData(p.colZero))
		if out.inZero != q.InZero {
			dyn := int32s(scratch[c.atDyn:], p.kern.nr)
			for j := range dyn {
				dyn[j] = p.bias[j] - int32(out.inZero)*p.colSum[j]
			}
			args.start = unsafe.Pointer(unsafe.SliceData(dyn))
		}
		args.cols, args.mask = p.cols, 1<<p.cols-1
		at := m*s.OutStride + p.col
		direct := !p.kern.whole || p.cols == p.kern.nr
		switch {
		case out.u8 != nil && direct:
			args.mult = unsafe.Pointer(unsafe.SliceData(p.mult))
			args.dst, args.dstRow = unsafe.Pointer(&out.u8[at]), s.OutStride
			p.kern.tiles(&args, n)
		case out.u8 != nil:
			args.mult = unsafe.Pointer(unsafe.SliceData(p.mult))
			args.dst, args.dstRow = unsafe.Pointer(unsafe.SliceData(tile)), p.kern.nr
			p.kern.tiles(&args, n)
			narrow := scratch[c.atTile:]
			for r := range n {
				copy(out.u8[at+r*s.OutStride:at+r*s.OutStride+p.cols], narrow[r*p.kern.nr:])
			}
		case out.i32 != nil && direct:
			args.mult = nil
			args.dst, args.dstRow = unsafe.Pointer(&out.i32[at]), 4*s.OutStride
			p.kern.tiles(&args, n)
		default:
			args.mult = nil
			if out.f32 != nil {
				fm := float32s(scratch[c.atDyn+4*c.full.nr:], p.kern.nr)
				fb := float32s(scratch[c.atDyn+8*c.full.nr:], p.kern.nr)
				clear(fb)
				for j := range p.cols {
					fm[j] = channel(out.mult, p.col+j)
				}
				if out.bias != nil {
					copy(fb, out.bias[p.col:p.col+p.cols])
				}
				args.floatMult, args.floatBias = unsafe.Pointer(unsafe.SliceData(fm)), unsafe.Pointer(unsafe.SliceData(fb))
				if direct {
					args.dst, args.dstRow = unsafe.Pointer(&out.f32[at]), 4*s.OutStride
					p.kern.tiles(&args, n)
					continue
				}
			}
			args.dst, args.dstRow = unsafe.Pointer(unsafe.SliceData(tile)), 4*p.kern.nr
			p.kern.tiles(&args, n)
			for r := range n {
				to := at + r*s.OutStride
				if out.f32 != nil {
					copy(out.f32[to:to+p.cols], float32s(scratch[c.atTile+4*r*p.kern.nr:], p.cols))
				} else {
					copy(out.i32[to:to+p.cols], tile[r*p.kern.nr:])
				}
			}
		}
	}
}

// tiles runs the kernel over n rows with the tallest tiles that fit. The kernel
// may change the fields that it counts with.
func (k *u8Gemm) tiles(a *u8GemmArgs, n int) {
	src, sum, dst := a.a, a.rowSum, a.dst
	done := 0
	for i, h := range k.rows {
		t := n / h
		if back := h - n; t == 0 && (back > 2 || back > done) {
			continue
		} else if t == 0 {
			// A tile that overlaps the one before by a row or two costs less than
			// several low ones.
			src, dst = unsafe.Add(src, -back*a.aStride), unsafe.Add(dst, -back*a.dstRow)
			if sum != nil {
				sum = unsafe.Add(sum, -4*back)
			}
			n, t = h, 1
		}
		a.a, a.rowSum, a.dst, a.tiles = src, sum, dst, t
		k.run(i, a)
		n -= t * h
		done += t * h
		if n == 0 {
			return
		}
		src = unsafe.Add(src, t*h*a.aStride)
		dst = unsafe.Add(dst, t*h*a.dstRow)
		if sum != nil {
			sum = unsafe.Add(sum, 4*t*h)
		}
	}
}

// widenSlack is how many bytes widenU8 may read beyond its source.
const widenSlack = 32

// gather copies the windows of n pixels from m on into dst, the border filled
// with the zero point.
func (c *u8ConvGemm) gather(zero uint8, src, dst []uint8, m, n, group int) {
	s := c.shape
	cg := s.InC / s.Groups
	pitch := c.segPad * len(c.dense)
	perSeg := s.KernelH / len(c.dense) // kernel rows in a segment
	run := s.KernelW * cg
	joined := s.DilationW == 1 && s.InStride == cg
	b, y, x := c.pixel(m)
	for r := range n {
		row := dst[r*pitch : (r+1)*pitch]
		left := x*s.StrideW - s.PadLeft
		inside := joined && left >= 0 && left+s.KernelW <= s.InW
		at, inSeg := 0, 0
		for kh := range s.KernelH {
			line := row[at : at+run]
			at += run
			if inSeg++; inSeg == perSeg {
				// The padding of k meets zero weights; cleared so that row sums are exact.
				inSeg = 0
				for ; at%c.segPad != 0; at++ {
					row[at] = 0
				}
			}
			iy := y*s.StrideH - s.PadTop + kh*s.DilationH
			if iy < 0 || iy >= s.InH {
				fill(line, zero)
				continue
			}
			pix := (b*s.InH+iy)*s.InW + left
			if inside {
				copy(line, src[pix*cg:pix*cg+run])
				continue
			}
			for kw := range s.KernelW {
				tap := line[kw*cg : (kw+1)*cg]
				if ix := left + kw*s.DilationW; ix < 0 || ix >= s.InW {
					fill(tap, zero)
				} else {
					from := (pix+kw*s.DilationW)*s.InStride + group*cg
					copy(tap, src[from:from+cg])
				}
			}
		}
		if x++; x == s.OutW {
			x = 0
			if y++; y == s.OutH {
				y = 0
				b++
			}
		}
	}
}

func fill(p []uint8, v uint8) {
	for i := range p {
		p[i] = v
	}
}

func sumOf[T uint8 | uint16](p []T) int32 {
	var s int32
	for _, v := range p {
		s += int32(v)
	}
	return s
}

// int32s views the first n int32 of 4-aligned scratch.
func int32s(b []byte, n int) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b[:4*n]))), n)
}

// float32s views the first n float32 of 4-aligned scratch.
func float32s(b []byte, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(b[:4*n]))), n)
}

// aligned returns n zeroed elements at a 64-byte boundary.
func aligned[T int32 | float32](n int) []T {
	b := alignedBytes(4 * n)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

// alignedBytes returns n zeroed bytes at a 64-byte boundary.
func alignedBytes(n int) []byte {
	b := make([]byte, n+63)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & 63
	return b[skip : skip+n : skip+n]
}
