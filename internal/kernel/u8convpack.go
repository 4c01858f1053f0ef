package kernel

import (
	"encoding/binary"
	"slices"
	"unsafe"
)

// pack fills a panel from weights [OutC][KernelH][KernelW][InC/Groups]; sums are
// those of sumWeights.
//
// A weight with a zero point of its own may need nine bits. Kernels of 16-bit
// weights hold it; for those of eight bits the panel gets what fits, and the rest
// in groups of k that the rows pass a second time: networks have a few such
// weights. Where they have many, the bytes are packed as they are and the zero
// point is multiplied by the sum of each row.
func (c *u8ConvGemm) pack(p *u8Panel, w []int8, sums []int32) {
	k, q := p.kern, c.quant
	nr, n := k.nr, len(c.segs)*c.segPad/k.group()
	p.segs, p.b = c.segs, alignedBytes(n*nr*k.groupBytes())
	p.start, p.bias = aligned[int32](nr), aligned[int32](nr)
	p.colSum, p.mult = aligned[int32](nr), aligned[float32](nr)
	for pos := range nr {
		if j := k.column(pos); j < p.cols {
			ch := p.col + j
			p.colSum[pos], p.bias[pos], p.mult[pos] = sums[ch], channel(q.Bias, ch)+k.offset()*sums[ch], q.multiplier(ch)
			p.start[pos] = p.bias[pos] - int32(q.InZero)*sums[ch]
		}
	}
	rest := c.packColumns(p, w, q.WeightZero)
	if len(rest) == 0 || c.packRest(p, rest, max(4, n/4)) {
		return
	}
	clear(p.b)
	c.packColumns(p, w, nil)
	p.colZero = aligned[int32](nr)
	for pos := range nr {
		if j := k.column(pos); j < p.cols {
			z := channel(q.WeightZero, p.col+j)
			p.colZero[pos] = -z
			more := k.offset() * z * int32(len(c.segs)*c.segLen)
			p.bias[pos] += more
			p.start[pos] += more
		}
	}
}

// u8Rest is what is left of a weight that does not fit the panel.
type u8Rest struct {
	group int // of k, across segments
	at    int // byte within the group's nr columns
	left  int32
}

// packColumns stores the weights less their zero points, column by column.
func (c *u8ConvGemm) packColumns(p *u8Panel, w []int8, zero []int32) (rest []u8Rest) {
	k := p.kern
	groups, all := c.segPad/k.group(), len(c.segs)*c.segLen
	words := unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(p.b))), len(p.b)/4)
	octets := unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(p.b))), len(p.b)/8)
	for pos := range k.nr {
		j := k.column(pos)
		if j >= p.cols {
			continue
		}
		row, z := w[(p.col+j)*all:(p.col+j+1)*all], channel(zero, p.col+j)
		for s := range c.segs {
			at, from := s*groups*k.nr+pos, row[s*c.segLen:(s+1)*c.segLen]
			switch {
			case k.wide:
				packPairs(words[at:], k.nr, from, z)
			case z != 0:
				to := p.b[at*k.groupBytes():]
				rest = k.packShifted(to, from, z, rest, u8Rest{group: s * groups, at: pos * k.groupBytes()})
			case k.deep:
				packOctets(octets[at:], k.nr, from)
			default:
				packQuads(words[at:], k.nr, from)
			}
		}
	}
	return rest
}

// packQuads stores four weights in every nr-th word.
func packQuads(to []uint32, nr int, w []int8) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w))
	at := 0
	for ; len(b) >= 4; b = b[4:] {
		to[at] = binary.LittleEndian.Uint32(b)
		at += nr
	}
	for i, v := range b {
		to[at] |= uint32(v) << (8 * i)
	}
}

// packOctets stores eight weights in every nr-th word.
func packOctets(to []uint64, nr int, w []int8) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w))
	at := 0
	for ; len(b) >= 8; b = b[8:] {
		to[at] = binary.LittleEndian.Uint64(b)
		at += nr
	}
	for i, v := range b {
		to[at] |= uint64(v) << (8 * i)
	}
}

// packShifted stores w - zero as far as eight bits hold it and appends to rest
// what they do not; first is the place of the first weight.
func (k *u8Gemm) packShifted(to []byte, w []int8, zero int32, rest []u8Rest, first u8Rest) []u8Rest {
	g, size, least := k.group(), k.nr*k.groupBytes(), k.least()
	for i, v := range w {
		e := int32(v) - zero
		fits := min(max(e, least), 127)
		to[i/g*size+i%g] = uint8(fits)
		if fits != e {
			rest = append(rest, u8Rest{first.group + i/g, first.at + i%g, e - fits})
		}
	}
	return rest
}

// packPairs stores two weights of 16 bits, zero taken off, in every nr-th word.
func packPairs(to []uint32, nr int, w []int8, zero int32) {
	at := 0
	for ; len(w) >= 2; w = w[2:] {
		to[at] = uint32(uint16(int32(w[0])-zero)) | uint32(int32(w[1])-zero)<<16
		at += nr
	}
	if len(w) == 1 {
		to[at] = uint32(uint16(int32(w[0]) - zero))
	}
}

// packRest appends groups of k to the panel until nothing is left, or reports
// that this takes more than limit of them.
func (c *u8ConvGemm) packRest(p *u8Panel, rest []u8Rest, limit int) bool {
	slices.SortStableFunc(rest, func(a, b u8Rest) int { return a.group - b.group })
	k := p.kern
	size, groups := k.nr*k.groupBytes(), c.segPad/k.group()
	var more []byte
	var segs []u8Segment
	first, last := 0, -1 // where the groups added for the last one begin
	for _, r := range rest {
		if r.group != last {
			first, last = len(more), r.group
		}
		for at := first; r.left != 0; at += size {
			if at == len(more) {
				if len(segs) == limit {
					return false
				}
				more = append(more, make([]byte, size)...)
				segs = append(segs, u8Segment{c.segs[r.group/groups].off + r.group%groups*k.groupBytes(), 1})
			}
			v := min(max(r.left, k.least()), 127)
			more[at+r.at] = uint8(v)
			r.left -= v
		}
	}
	b := alignedBytes(len(p.b) + len(more))
	copy(b[copy(b, p.b):], more)
	p.b, p.segs = b, append(slices.Clone(c.segs), segs...)
	return true
}

// sumWeights returns Σ(w - WeightZero) of every output channel.
func (q *QuantConv) sumWeights(w []int8, channels int) []int32 {
	sums := make([]int32, channels)
	k := len(w) / channels
	for n := range sums {
		sums[n] = sumI8(w[n*k:(n+1)*k]) - int32(k)*channel(q.WeightZero, n)
	}
	return sums
}

// sumI8 adds values eight at a time, in lanes of 16 bits.
func sumI8(w []int8) (sum int32) {
	const low = 0x00FF00FF00FF00FF
	b := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), len(w))
	for len(b) >= 8 {
		n := min(len(b)/8, 64) // lanes hold 128 bytes of 255 each
		var lanes uint64
		for range n {
			x := binary.LittleEndian.Uint64(b) ^ 0x8080808080808080
			lanes += x&low + x>>8&low
			b = b[8:]
		}
		for ; lanes != 0; lanes >>= 16 {
			sum += int32(lanes & 0xFFFF)
		}
		sum -= int32(n) * 8 * 128
	}
	for _, v := range b {
		sum += int32(int8(v))
	}
	return sum
}
