package kernel

import (
	"slices"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// u8ConvDepthwise runs a convolution in which each output channel reads one
// input channel: channel n reads n/(OutC/InC).
//
// A unit is a row of the output. Each pixel is read through a list of pointers
// to its taps, those in the border pointing to a row of zero points; where that
// does not do, the taps are first gathered into scratch. A 3×3 kernel of stride
// 1 or 2 sweeps along whole rows instead.
type u8ConvDepthwise struct {
	shape  *ConvShape
	quant  *QuantConv
	blocks []u8DwBlock
	border []byte // a row of zero points; nil where taps are always gathered
	taps   bool   // some block does not sweep
	multip int
	slot   int // bytes of a gathered tap

	scratch                   u8Scratch
	atTaps, atStore, atBorder int
}

// u8DwBlock is one block of channels, packed in the kernel's order.
type u8DwBlock struct {
	kern                *u8Depthwise
	col, cols           int
	sweep, twice        bool  // sweeps; with two weights for each tap
	tapAt               []int // index of the tap in each slot of a group, -1 for padding
	w                   []byte
	start, bias, tapSum []int32
	mult                []float32
}

// newU8ConvDepthwise returns nil where the window has too many taps.
func newU8ConvDepthwise(l cpu.Level, s ConvShape, w []int8, q *QuantConv, asm bool) *u8ConvDepthwise {
	d := &u8ConvDepthwise{shape: &s, quant: q, multip: s.OutC / s.InC}
	sweep := d.multip == 1 && s.KernelH == 3 && s.KernelW == 3 && s.DilationH == 1 && s.DilationW == 1 && s.StrideW <= 2
	for col := 0; col < s.OutC; {
		k := selectU8Depthwise(l, s.OutC-col, asm)
		b := u8DwBlock{kern: k, col: col, cols: min(k.block(), s.OutC-col)}
		if k.whole && s.OutC >= k.block() { // the last block overlaps the one before
			b.col, b.cols = min(col, s.OutC-k.block()), k.block()
		}
		if !d.arrange(&b, w, sweep && k.sweep && !(k.whole && b.cols < k.block())) {
			return nil
		}
		if n := len(d.blocks); n > 0 && slices.Equal(b.tapAt, d.blocks[n-1].tapAt) {
			b.tapAt = d.blocks[n-1].tapAt
		}
		d.pack(&b, w)
		d.taps = d.taps || !b.sweep
		d.blocks = append(d.blocks, b)
		d.slot = max(d.slot, k.block())
		col = b.col + b.cols
	}
	if d.multip == 1 {
		d.border = alignedBytes(s.InW*s.InStride + 64)
		fill(d.border, q.InZero)
	}
	if d.border != nil && q.Mult == nil { // the zero point comes at run time
		d.atBorder = d.scratch.take(len(d.border))
	}
	d.atTaps = d.scratch.take(u8MaxTaps * d.slot)
	d.atStore = d.scratch.take(4 * (u8TapBuffer + 1) * d.slot)
	return d
}

// arrange chooses the taps of a block and their order, or reports that they are
// too many. A weight that does not fit eight bits less its zero point is the sum
// of several: its tap comes again.
func (d *u8ConvDepthwise) arrange(b *u8DwBlock, w []int8, sweep bool) bool {
	taps, group := d.shape.KernelH*d.shape.KernelW, b.kern.group()
	var again []int
	parts := 1
	for t := 0; t < taps && !b.kern.wide; t++ {
		n := 1
		for c := b.col; c < b.col+b.cols; c++ {
			e := int(w[c*taps+t]) - int(channel(d.quant.WeightZero, c))
			n = max(n, (e+126)/127, (-e+127)/128)
		}
		for range n - 1 {
			again = append(again, t)
		}
		parts = max(parts, n)
	}
	if b.sweep, b.twice = sweep && parts <= 2, parts == 2; b.sweep {
		for range parts {
			for kx := range 3 { // a group is a column of the window, so that it can be kept from pixel to pixel
				b.tapAt = append(b.tapAt, kx, 3+kx, 6+kx)
				if group == 4 {
					b.tapAt = append(b.tapAt, -1)
				}
			}
		}
		return true
	}
	for t := range taps {
		b.tapAt = append(b.tapAt, t)
	}
	b.tapAt = append(b.tapAt, again...)
	for len(b.tapAt)%group != 0 {
		b.tapAt = append(b.tapAt, -1)
	}
	return len(b.tapAt) <= u8MaxTaps
}

// pack fills a block from weights [OutC][taps].
func (d *u8ConvDepthwise) pack(b *u8DwBlock, w []int8) {
	k, q, taps := b.kern, d.quant, d.shape.KernelH*d.shape.KernelW
	n, g := k.block(), k.group()
	b.w = alignedBytes(len(b.tapAt) / g * n * k.groupBytes())
	wide := unsafe.Slice((*int16)(unsafe.Pointer(unsafe.SliceData(b.w))), len(b.w)/2)
	b.start, b.bias, b.tapSum, b.mult = aligned[int32](n), aligned[int32](n), aligned[int32](n), aligned[float32](n)
	left := make([]int32, taps) // what is still to be placed of each weight
	for p := range n {
		if k.channelAt(p) >= b.cols {
			continue
		}
		c := b.col + k.channelAt(p)
		for t := range taps {
			left[t] = int32(w[c*taps+t]) - channel(q.WeightZero, c)
			b.tapSum[p] += left[t]
		}
		for i, t := range b.tapAt {
			if t < 0 {
				continue
			}
			if k.wide {
				wide[(i/g*n+p)*g+i%g] = int16(left[t])
				continue
			}
			v := min(max(left[t], -128), 127)
			left[t] -= v
			b.w[(i/g*n+p)*g+i%g] = uint8(v)
		}
		b.bias[p] = channel(q.Bias, c) + k.offset()*b.tapSum[p]
		b.start[p] = b.bias[p] - int32(q.InZero)*b.tapSum[p]
		b.mult[p] = q.multiplier(c)
	}
}

func (d *u8ConvDepthwise) name() string {
	if d.blocks[0].sweep {
		return d.blocks[0].kern.name + " sweep"
	}
	return d.blocks[0].kern.name
}

func (d *u8ConvDepthwise) units() int { return d.shape.Batch * d.shape.OutH }

func (d *u8ConvDepthwise) run(out *u8Output, src []uint8, scratch []byte, lo, hi int) {
	s := d.shape
	border := d.border
	if out.inZero != d.quant.InZero && border != nil {
		if border = nil; d.quant.Mult == nil {
			border = scratch[d.atBorder : d.atBorder+len(d.border)]
			fill(border, out.inZero)
		}
	}
	for u := lo; u < hi; u++ {
		if d.taps || out.u8 == nil {
			d.tapRow(out, src, border, scratch, u)
		}
		for i := range d.blocks {
			if b := &d.blocks[i]; b.sweep && out.u8 != nil {
				d.sweepRow(out, src, b, u)
			}
		}
		out.finish(s, u*s.OutW, s.OutW, 0, s.OutC)
	}
}

// sweepRow computes one block of channels of output row u by the sweep.
func (d *u8ConvDepthwise) sweepRow(out *u8Output, src []uint8, b *u8DwBlock, u int) {
	s, q := d.shape, d.quant
	var a u8SweepArgs
	img, y := u/s.OutH, u%s.OutH*s.StrideH-s.PadTop
	for i := range a.rows {
		if iy := y + i; iy < 0 || iy >= s.InH {
			a.rows[i] = unsafe.Pointer(&d.border[b.col])
		} else {
			a.rows[i] = unsafe.Pointer(&src[(img*s.InH+iy)*s.InW*s.InStride+b.col])
		}
	}
	a.colStride, a.col, a.width, a.stride = s.InStride, -s.PadLeft, s.InW, s.StrideW
	a.w, a.start = unsafe.Pointer(unsafe.SliceData(b.w)), unsafe.Pointer(unsafe.SliceData(b.start))
	if b.twice {
		a.w2 = unsafe.Pointer(&b.w[len(b.w)/2])
	}
	a.mult = unsafe.Pointer(unsafe.SliceData(b.mult))
	a.dstStep = s.OutStride
	a.mask = 1<<b.cols - 1
	a.zero, a.lo, a.hi = uint32(q.OutZero)*0x10001, uint32(q.Lo)*0x01010101, uint32(q.Hi)*0x01010101
	a.inZero = uint32(q.InZero) * 0x01010101
	a.bare = bareOutput(q.OutZero, q.Lo, q.Hi)
	for x := 0; x < s.OutW; x += maxSweep {
		a.dst = unsafe.Pointer(&out.u8[(u*s.OutW+x)*s.OutStride+b.col])
		a.pixels = min(maxSweep, s.OutW-x)
		a.col = x*s.StrideW - s.PadLeft
		b.kern.runSweep(&a)
	}
}

const (
	maxSweep    = 1024 // pixels of one call of assembly
	u8TapBuffer = 16   // pixels that pass through scratch at a time
)

// tapRow computes output row u by tap lists: all blocks, or those that do not
// sweep. Blocks that take the same taps share the list, each beginning at its own
// channels.
func (d *u8ConvDepthwise) tapRow(out *u8Output, src, border []uint8, scratch []byte, u int) {
	s, q := d.shape, d.quant
	var a u8TapArgs
	a.zero, a.lo, a.hi = uint32(q.OutZero)*0x10001, uint32(q.Lo)*0x01010101, uint32(q.Hi)*0x01010101
	a.bare = bareOutput(q.OutZero, q.Lo, q.Hi)
	a.srcStep = s.StrideW * s.InStride
	r := tapRun{img: u / s.OutH, y: u%s.OutH*s.StrideH - s.PadTop}
	for x := 0; x < s.OutW; x += r.pixels {
		r.left, r.out, r.pixels = x*s.StrideW-s.PadLeft, u*s.OutW+x, 1
		if room := s.InW - 1 - (s.KernelW-1)*s.DilationW - r.left; r.left >= 0 && room >= 0 {
			r.pixels = min(s.OutW-x, room/s.StrideW+1, maxSweep)
		}
		var listed []int // the taps that a holds
		for i := range d.blocks {
			b := &d.blocks[i]
			if b.sweep && out.u8 != nil {
				continue
			}
			if border != nil && (listed == nil || &listed[0] != &b.tapAt[0]) {
				d.point(&a, src, border, b.tapAt, &r)
				listed = b.tapAt
			}
			if !d.tapBlock(&a, out, src, scratch, b, &r, border != nil) {
				listed = nil
			}
		}
	}
}

// A tapRun is a run of output pixels whose taps are all inside the image, or all
// at the same places outside.
type tapRun struct {
	img, y, left int // image, and place of the first pixel's first tap
	out, pixels  int // first output pixel, number
	last         int // the furthest of the first pixel's taps in the source
}

// tapBlock computes a run of pixels of a block and reports whether the taps that
// a holds are still those of the run.
func (d *u8ConvDepthwise) tapBlock(a *u8TapArgs, out *u8Output, src []uint8, scratch []byte, b *u8DwBlock, r *tapRun, pointed bool) bool {
	k, n := b.kern, b.kern.block()
	a.groups = len(b.tapAt) / k.group()
	a.w, a.start, a.mult = unsafe.Pointer(unsafe.SliceData(b.w)), unsafe.Pointer(unsafe.SliceData(b.start)), nil
	a.cols, a.mask = b.cols, 1<<b.cols-1
	var mult, bias [64]float32 // for float output
	switch {
	case out.u8 != nil:
		a.mult = unsafe.Pointer(unsafe.SliceData(b.mult))
	case out.f32 != nil:
		for j := range b.cols {
			mult[j] = channel(out.mult, b.col+j)
		}
		if out.bias != nil {
			copy(bias[:], out.bias[b.col:b.col+b.cols])
		}
	}
	store := int32s(scratch[d.atStore:], u8TapBuffer*n)
	if out.inZero != d.quant.InZero {
		start := int32s(scratch[d.atStore+4*len(store):], n)
		for p := range start {
			start[p] = b.bias[p] - int32(out.inZero)*b.tapSum[p]
		}
		a.start = unsafe.Pointer(unsafe.SliceData(start))
	}
	direct := 0 // pixels that can be read in place
	if pointed {
		direct = r.pixels
		if k.whole {
			direct = min(direct, max((len(src)-r.last-b.col-n+a.srcStep)/a.srcStep, 0))
		}
	}
	buffered := out.u8 == nil || k.whole && b.cols < n
	for x := 0; x < r.pixels; x += a.pixels {
		if x < direct {
			a.pixels, a.first = direct-x, b.col+x*a.srcStep
		} else {
			a.pixels, a.first = 1, 0
			d.gather(a, out.inZero, src, scratch[d.atTaps:], b, r, x)
		}
		at := (r.out+x)*d.shape.OutStride + b.col
		if !buffered {
			a.dst, a.dstStep = unsafe.Pointer(&out.u8[at]), d.shape.OutStride
			k.runTaps(a)
			continue
		}
		a.pixels = min(a.pixels, u8TapBuffer)
		a.dst, a.dstStep = unsafe.Pointer(unsafe.SliceData(store)), n
		if out.u8 == nil {
			a.dstStep = 4 * n
		}
		k.runTaps(a)
		for i := range a.pixels {
			to := at + i*d.shape.OutStride
			switch acc := store[i*n:]; {
			case out.u8 != nil:
				copy(out.u8[to:to+b.cols], scratch[d.atStore+i*n:])
			case out.i32 != nil:
				copy(out.i32[to:to+b.cols], acc)
			default:
				scaleI32(k.level, out.f32[to:to+b.cols], acc[:b.cols], mult[:], bias[:])
			}
		}
	}
	return direct == r.pixels
}

// point sets the taps of a run, channel 0 of its first pixel.
func (d *u8ConvDepthwise) point(a *u8TapArgs, src, border []uint8, tapAt []int, r *tapRun) {
	s := d.shape
	r.last = 0
	for i, t := range tapAt {
		t = max(t, 0)
		iy, ix := r.y+t/s.KernelW*s.DilationH, r.left+t%s.KernelW*s.DilationW
		if iy < 0 || iy >= s.InH || ix < 0 || ix >= s.InW {
			a.taps[i] = unsafe.Pointer(&border[0])
			continue
		}
		at := ((r.img*s.InH+iy)*s.InW + ix) * s.InStride
		a.taps[i], r.last = unsafe.Pointer(&src[at]), max(r.last, at)
	}
}

// gather copies the taps of pixel x of a run into scratch, a slot after the other.
func (d *u8ConvDepthwise) gather(a *u8TapArgs, zero uint8, src []uint8, taps []byte, b *u8DwBlock, r *tapRun, x int) {
	s := d.shape
	for i, t := range b.tapAt {
		t = max(t, 0)
		slot := taps[i*d.slot : i*d.slot+b.cols]
		a.taps[i] = unsafe.Pointer(unsafe.SliceData(slot))
		iy, ix := r.y+t/s.KernelW*s.DilationH, r.left+x*s.StrideW+t%s.KernelW*s.DilationW
		if iy < 0 || iy >= s.InH || ix < 0 || ix >= s.InW {
			fill(slot, zero)
			continue
		}
		pix := src[((r.img*s.InH+iy)*s.InW+ix)*s.InStride:]
		if d.multip == 1 {
			copy(slot, pix[b.col:b.col+b.cols])
			continue
		}
		for j := range slot {
			slot[j] = pix[(b.col+j)/d.multip]
		}
	}
}
