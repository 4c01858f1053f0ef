package kernel

import (
	"encoding/binary"
	"unsafe"
)

// u8RowSource says where the rows of a quantized product come from.
//
// A pointwise convolution reads pixels in place. One whose output rows are long
// copies KernelH image rows into scratch, borders added: a row of the product is
// then KernelH segments of KernelW·InC values, each output pixel StrideW pixels
// further on, and nothing is copied per pixel. Short output rows of short
// segments copy the image rows too, and from them each pixel's window in words.
// Everything else gathers the window of each pixel. Wide kernels copy always,
// since they need 16 bits.
type u8RowSource uint8

const (
	u8InPlace u8RowSource = iota
	u8Lines
	u8Windows
	u8Gathered
)

const (
	widenSlack = 32 // bytes that widenU8 may read beyond its source
	lineSlack  = 64 // bytes after a line that padding k to a group or a copy in words may read
	shortSeg   = 64 // windows of few values cost more to gather than low tiles lose
)

// chooseSource decides how rows are made and thereby the order of k.
func (c *u8ConvGemm) chooseSource() {
	s, g := c.shape, c.full.group()
	cg := s.InC / s.Groups
	pointwise := s.KernelH == 1 && s.KernelW == 1 && s.PadTop == 0 && s.PadLeft == 0 &&
		(s.OutH-1)*s.StrideH < s.InH && (s.OutW-1)*s.StrideW < s.InW
	even := pointwise && s.StrideH == 1 && s.StrideW == 1 && s.OutH == s.InH && s.OutW == s.InW
	wholeTiles := s.OutW%c.full.mr == 0 || s.OutW%c.full.mr == c.full.mr/2 || s.OutW >= 2*c.full.mr
	segs := 1
	c.source, c.segLen = u8Gathered, s.KernelH*s.KernelW*cg
	switch {
	case pointwise && !c.full.wide:
		c.source, c.flat = u8InPlace, even
	case pointwise:
		c.packed = even && s.Groups == 1 && s.InStride == s.InC && s.InC%g == 0
	case s.Groups == 1 && s.DilationW == 1 && (wholeTiles || s.OutW >= 7 && s.KernelW*s.InC <= shortSeg):
		c.source, segs, c.segLen = u8Lines, s.KernelH, s.KernelW*s.InC
	case s.Groups == 1 && s.DilationW == 1 && s.KernelW*s.InC <= shortSeg:
		c.source = u8Windows
	}
	if c.source == u8Lines || c.source == u8Windows {
		cols := max(s.PadLeft+s.InW, (s.OutW-1)*s.StrideW+s.KernelW)
		c.line = (cols*s.InC + lineSlack + 63) &^ 63
	}
	c.segPad = (c.segLen + g - 1) / g * g
	for i := range segs {
		c.segs = append(c.segs, u8Segment{i * s.DilationH * c.line * c.full.elem(), c.segPad / g})
	}
}

// runBlock computes some columns of one group for pixels m0 ≤ m < m1.
func (c *u8ConvGemm) runBlock(out *u8Output, src []uint8, scratch []byte, m0, m1 int, panels []u8Panel) {
	if len(panels) == 0 {
		return
	}
	s := c.shape
	group := panels[0].group
	var lines []uint8 // with u8Lines and u8Windows: those of output row top on
	var wide unsafe.Pointer
	var top int
	for m := m0; m < m1; {
		b, y, x := c.pixel(m)
		n := min(m1-m, c.maxRows)
		if c.source == u8Lines || c.source == u8InPlace && !c.flat {
			n = min(n, s.OutW-x)
		}
		switch c.source {
		case u8InPlace:
			base := ((b*s.InH+y*s.StrideH)*s.InW+x*s.StrideW)*s.InStride + group*(s.InC/s.Groups)
			// Padding k to a group must not read past the tensor.
			if base+(n-1)*s.StrideW*s.InStride+c.segPad <= len(src) {
				c.rows(out, scratch, m, n, unsafe.Pointer(&src[base]), s.StrideW*s.InStride, panels)
				m += n
				continue
			}
		case u8Lines:
			if lines == nil || x == 0 && y == 0 {
				lines, top = c.lines(out.inZero, src, scratch, b, y, min((m1-m)/s.OutW, s.OutH-y)), y
				wide, _ = c.widen(lines, scratch)
			}
			elem := c.full.elem()
			at := unsafe.Add(wide, ((y-top)*s.StrideH*c.line+x*s.StrideW*s.InC)*elem)
			c.rows(out, scratch, m, n, at, s.StrideW*s.InC*elem, panels)
			m += n
			continue
		case u8Windows:
			if lines == nil || x == 0 && y == 0 {
				lines, top = c.lines(out.inZero, src, scratch, b, y, min((m1-m)/s.OutW, s.OutH-y)), y
			}
			n = min(n, (s.OutH-y)*s.OutW-x)
		}
		rows := scratch[c.atRows : c.atRows+c.segPad*n]
		if from := m * c.segPad; c.packed && from+len(rows)+widenSlack <= len(src) {
			rows = src[from : from+len(rows)]
		} else if c.source == u8Windows {
			c.windows(scratch[c.atRows:c.atRows+len(rows)+8], lines, y-top, x, n)
		} else {
			c.gather(out.inZero, src, rows, m, n, group)
		}
		a, elem := c.widen(rows, scratch)
		c.rows(out, scratch, m, n, a, c.segPad*elem, panels)
		m += n
	}
}

func (c *u8ConvGemm) pixel(m int) (b, y, x int) {
	s := c.shape
	return m / (s.OutW * s.OutH), m / s.OutW % s.OutH, m % s.OutW
}

// widen returns rows as the kernel takes them, and the bytes of an element.
func (c *u8ConvGemm) widen(rows []uint8, scratch []byte) (a unsafe.Pointer, elem int) {
	if !c.full.wide {
		return unsafe.Pointer(unsafe.SliceData(rows)), 1
	}
	wide := scratch[c.atWide : c.atWide+2*len(rows)]
	widenU8(c.full, wide, rows)
	return unsafe.Pointer(unsafe.SliceData(wide)), 2
}

// lineCount returns the image rows under n output rows.
func (c *u8ConvGemm) lineCount(n int) int {
	return (n-1)*c.shape.StrideH + (c.shape.KernelH-1)*c.shape.DilationH + 1
}

// lines copies the image rows under n output rows from y of image b on into scratch.
func (c *u8ConvGemm) lines(zero uint8, src, scratch []byte, b, y, n int) []uint8 {
	s := c.shape
	all := scratch[c.atLines : c.atLines+c.lineCount(n)*c.line]
	for i := range c.lineCount(n) {
		line := all[i*c.line : (i+1)*c.line]
		iy := y*s.StrideH - s.PadTop + i
		if iy < 0 || iy >= s.InH {
			fill(line, zero)
			continue
		}
		from, to := (b*s.InH+iy)*s.InW*s.InStride, s.PadLeft*s.InC
		fill(line[:to], zero)
		fill(line[to+s.InW*s.InC:], zero)
		if s.InStride == s.InC {
			copy(line[to:to+s.InW*s.InC], src[from:])
			continue
		}
		for range s.InW {
			copy(line[to:to+s.InC], src[from:])
			to += s.InC
			from += s.InStride
		}
	}
	return all
}

// windows copies the windows of n pixels from x of output row y on, counted
// from the top of the lines, into dst. Words overlap: each window is finished by
// what follows it, eight bytes after the last may change, and the padding of k
// holds any values, which meet zero weights.
func (c *u8ConvGemm) windows(dst, lines []uint8, y, x, n int) {
	s := c.shape
	run, down := s.KernelW*s.InC, s.DilationH*c.line
	for r := range n {
		at, from := r*c.segPad, y*s.StrideH*c.line+x*s.StrideW*s.InC
		for range s.KernelH {
			for i := 0; i < run; i += 8 {
				binary.LittleEndian.PutUint64(dst[at+i:], binary.LittleEndian.Uint64(lines[from+i:]))
			}
			at += run
			from += down
		}
		if x++; x == s.OutW {
			x = 0
			y++
		}
	}
}

// gather copies the windows of n pixels from m on into dst, the border filled
// with the zero point.
func (c *u8ConvGemm) gather(zero uint8, src, dst []uint8, m, n, group int) {
	s := c.shape
	cg := s.InC / s.Groups
	run := s.KernelW * cg
	joined := s.DilationW == 1 && s.InStride == cg
	b, y, x := c.pixel(m)
	for r := range n {
		row := dst[r*c.segPad : (r+1)*c.segPad]
		left := x*s.StrideW - s.PadLeft
		inside := joined && left >= 0 && left+s.KernelW <= s.InW
		for kh := range s.KernelH {
			line := row[:run]
			row = row[run:]
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
		clear(row) // the padding of k meets zero weights
		if x++; x == s.OutW {
			x = 0
			if y++; y == s.OutH {
				y = 0
				b++
			}
		}
	}
}
