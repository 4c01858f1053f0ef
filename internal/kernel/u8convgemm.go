package kernel

import (
	"encoding/binary"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// u8ConvGemm runs a convolution as a matrix product: rows are output pixels, k
// runs over the kernel window, columns are output channels. Where the rows come
// from is said in u8convrows.go.
type u8ConvGemm struct {
	shape        *ConvShape
	quant        *QuantConv
	fit          []*u8Gemm // kernels that may be used
	full, narrow *u8Gemm
	panels       []u8Panel // of all groups
	perGroup     int       // panels in a group

	source  u8RowSource
	flat    bool        // in place: consecutive pixels are evenly spaced across image rows
	packed  bool        // gathered: rows of k stand one after the other already
	segLen  int         // k of a segment, before padding to groups
	segPad  int         // the same padded
	segs    []u8Segment // of a row
	sums    bool        // some panel needs the sums of rows
	line    int         // bytes of a line, where image rows are copied
	rowBlk  int         // pixels in a unit
	maxRows int         // pixels whose rows are prepared at a time
	mBlocks int
	nBlocks int // parts that the panels of a group are divided into

	scratch                                       u8Scratch
	atLines, atRows, atWide, atSum, atTile, atDyn int
}

// u8Panel is the packed weights of some columns with what belongs to them, in
// the kernel's column order.
type u8Panel struct {
	kern      *u8Gemm
	group     int
	col, cols int // within all output channels
	segs      []u8Segment
	b         []byte
	start     []int32 // bias with the input zero point's share
	colSum    []int32 // Σ(w - WeightZero), the zero point's factor
	bias      []int32
	colZero   []int32 // -WeightZero where b does not account for it; else nil
	mult      []float32
}

const (
	u8BlockBytes = 16 << 10  // rows of a unit: they stay in the nearest cache beside a panel
	u8BlockRows  = 112       // at most, in whole tiles
	u8SharedWork = 1 << 20   // products below which a convolution is done before another core has begun
	u8CallK      = 16 << 10  // tiles times k of a call of assembly, which bounds its time
	u8PanelBytes = 768 << 10 // panels of a unit: they stay in the second cache while the rows pass
)

func newU8ConvGemm(l cpu.Level, s ConvShape, w []int8, q *QuantConv, asm bool, choice string) (*u8ConvGemm, error) {
	c := &u8ConvGemm{shape: &s, quant: q, fit: fitU8Gemm(l, w, asm)}
	var err error
	if c.full, c.narrow, err = chooseU8Gemm(c.fit, choice); err != nil {
		return nil, err
	}
	c.chooseSource()
	ng := s.OutC / s.Groups
	sums := q.sumWeights(w, s.OutC)
	for grp := range s.Groups {
		for n := 0; n < ng; {
			// Where the columns do not fill wide panels, narrow ones come first.
			k := c.full
			if rest := (ng - n) % k.nr; rest > 0 && rest <= c.narrow.nr {
				k = c.narrow
			}
			p := u8Panel{kern: k, group: grp, col: grp*ng + n, cols: min(k.nr, ng-n)}
			c.pack(&p, w, sums)
			c.sums = c.sums || p.colZero != nil
			c.panels = append(c.panels, p)
			n += p.cols
		}
	}
	c.perGroup = len(c.panels) / s.Groups
	c.block()
	return c, nil
}

// block chooses the units and lays out scratch.
func (c *u8ConvGemm) block() {
	s, mr := c.shape, c.full.mr
	m := s.Batch * s.OutH * s.OutW
	elem := c.full.elem()
	k := c.segPad * len(c.segs)
	c.rowBlk = min(max(u8BlockBytes/(k*elem)/mr, 1), u8BlockRows/mr) * mr
	// Enough units to share where that can pay, but tiles stay whole.
	for m*k*s.OutC > u8SharedWork && c.rowBlk > mr && (m+c.rowBlk-1)/c.rowBlk < 8 {
		c.rowBlk -= mr
	}
	if c.line > 0 {
		c.rowBlk = max(c.rowBlk/s.OutW, 1) * s.OutW
	}
	c.maxRows = min(c.rowBlk, max(u8CallK/k, 1)*mr, m)
	c.mBlocks = (m + c.rowBlk - 1) / c.rowBlk
	c.nBlocks = (c.perGroup*k*elem*c.full.nr + u8PanelBytes - 1) / u8PanelBytes
	// Parts of the panels each make the rows again.
	if c.mBlocks < 4 && (c.source == u8InPlace || m*k*s.OutC > u8SharedWork) {
		c.nBlocks = max(c.nBlocks, (8+c.mBlocks-1)/c.mBlocks)
	}
	c.nBlocks = min(c.nBlocks, c.perGroup)
	bytes, lines := c.maxRows*k, 0
	if c.line > 0 {
		lines = c.lineCount(min(c.rowBlk/s.OutW, s.OutH)) * c.line
		c.atLines = c.scratch.take(lines + 64)
	}
	if c.source == u8Lines {
		bytes = lines
	} else {
		c.atRows = c.scratch.take(bytes + 64)
	}
	if c.full.wide {
		c.atWide = c.scratch.take(2*bytes + 64)
	}
	if c.sums {
		c.atSum = c.scratch.take(4 * c.maxRows)
	}
	c.atTile = c.scratch.take(4 * c.maxRows * c.full.nr)
	c.atDyn = c.scratch.take(3 * 4 * c.full.nr)
}

func (c *u8ConvGemm) units() int { return c.mBlocks * c.nBlocks }

func (c *u8ConvGemm) run(out *u8Output, src []uint8, scratch []byte, lo, hi int) {
	s := c.shape
	m := s.Batch * s.OutH * s.OutW
	for u := lo; u < hi; u++ {
		mb, nb := u%c.mBlocks, u/c.mBlocks
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

// rows runs every panel over n rows from a on.
func (c *u8ConvGemm) rows(out *u8Output, scratch []byte, m, n int, a unsafe.Pointer, aStride int, panels []u8Panel) {
	s, q := c.shape, c.quant
	var args u8GemmArgs
	args.aStride = aStride
	args.setOutput(q.OutZero, q.Lo, q.Hi)
	var rowSum unsafe.Pointer
	if c.sums {
		sums := int32s(scratch[c.atSum:], n)
		clear(sums)
		for _, s := range c.segs {
			c.full.addRows(sums, unsafe.Add(a, s.off), aStride, c.segLen)
		}
		rowSum = unsafe.Pointer(unsafe.SliceData(sums))
	}
	elem := 4 // bytes of an output value
	if out.u8 != nil {
		elem = 1
	}
	for i := range panels {
		p := &panels[i]
		args.a, args.b = a, unsafe.Pointer(unsafe.SliceData(p.b))
		args.segs, args.segN = unsafe.Pointer(unsafe.SliceData(p.segs)), len(p.segs)
		args.ahead = 0
		if i+1 < len(panels) {
			args.ahead = int(uintptr(unsafe.Pointer(unsafe.SliceData(panels[i+1].b))) - uintptr(args.b))
		}
		args.start, args.rowSum, args.colZero = unsafe.Pointer(unsafe.SliceData(p.start)), nil, nil
		if p.colZero != nil {
			args.rowSum, args.colZero = rowSum, unsafe.Pointer(unsafe.SliceData(p.colZero))
		}
		if out.inZero != q.InZero {
			args.start = p.startFor(out.inZero, int32s(scratch[c.atDyn:], p.kern.nr))
		}
		args.cols, args.mask = p.cols, 1<<p.cols-1
		at := m*s.OutStride + p.col
		switch {
		case out.u8 != nil:
			args.mult, args.dst = unsafe.Pointer(unsafe.SliceData(p.mult)), unsafe.Pointer(&out.u8[at])
		case out.i32 != nil:
			args.dst = unsafe.Pointer(&out.i32[at])
		default:
			args.dst = unsafe.Pointer(&out.f32[at])
			c.setFloat(&args, out, p, scratch)
		}
		args.dstRow = elem * s.OutStride
		if !p.kern.whole || p.cols == p.kern.nr {
			p.kern.tiles(&args, n)
			continue
		}
		// A kernel that stores all its columns does so in scratch.
		pitch := elem * p.kern.nr
		args.dst, args.dstRow = unsafe.Pointer(&scratch[c.atTile]), pitch
		p.kern.tiles(&args, n)
		for r := range n {
			tile := scratch[c.atTile+r*pitch : c.atTile+(r+1)*pitch]
			switch to := at + r*s.OutStride; {
			case out.u8 != nil:
				copy(out.u8[to:to+p.cols], tile)
			case out.i32 != nil:
				copy(out.i32[to:to+p.cols], int32s(tile, p.cols))
			default:
				copy(out.f32[to:to+p.cols], float32s(tile, p.cols))
			}
		}
	}
}

// startFor fills dyn with the start values for another input zero point.
func (p *u8Panel) startFor(inZero uint8, dyn []int32) unsafe.Pointer {
	for j := range dyn {
		dyn[j] = p.bias[j] - int32(inZero)*p.colSum[j]
	}
	return unsafe.Pointer(unsafe.SliceData(dyn))
}

// setFloat puts a panel's multipliers and biases for float output into scratch.
func (c *u8ConvGemm) setFloat(args *u8GemmArgs, out *u8Output, p *u8Panel, scratch []byte) {
	mult := float32s(scratch[c.atDyn+4*c.full.nr:], p.kern.nr)
	bias := float32s(scratch[c.atDyn+8*c.full.nr:], p.kern.nr)
	clear(bias)
	for j := range p.cols {
		mult[j] = channel(out.mult, p.col+j)
	}
	if out.bias != nil {
		copy(bias, out.bias[p.col:p.col+p.cols])
	}
	args.floatMult, args.floatBias = unsafe.Pointer(unsafe.SliceData(mult)), unsafe.Pointer(unsafe.SliceData(bias))
}

// addRows adds the n values of each row to its sum.
//
//go:noinline
func (k *u8Gemm) addRows(sums []int32, a unsafe.Pointer, stride, n int) {
	if k.asm >= 0 {
		addRowsAsm(unsafe.Pointer(unsafe.SliceData(sums)), a, len(sums), stride, n)
		return
	}
	for r := range sums {
		for _, v := range unsafe.Slice((*uint8)(unsafe.Add(a, r*stride)), n) {
			sums[r] += int32(v)
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

func fill(p []uint8, v uint8) {
	const words = 128 // bytes stored in words, the rest copied from them
	if len(p) < 8 {
		for i := range p {
			p[i] = v
		}
		return
	}
	w := uint64(v) * 0x0101010101010101
	for i := 0; i < min(len(p)-8, words); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], w)
	}
	binary.LittleEndian.PutUint64(p[len(p)-8:], w)
	for n := words; n < len(p); n *= 2 {
		copy(p[n:], p[:n])
	}
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
