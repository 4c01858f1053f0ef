package main

import (
	"fmt"
	"slices"
)

func init() {
	outputs["u8_dw_gen_arm64.s"] = func(a *asm) {
		dwNEON{dot: usdot}.taps(a, "tapsU8x16USDot")
		dwNEON{dot: usdot}.sweep(a, "sweepU8x16USDot")
		dwNEON{dot: sdot, flip: true}.taps(a, "tapsU8x16Dot")
		dwNEON{dot: sdot, flip: true}.sweep(a, "sweepU8x16Dot")
		dwNEON{}.taps(a, "tapsU8x8NEON")
		dwNEON{}.sweep(a, "sweepU8x8NEON")
	}
}

// dwNEON emits the depthwise kernels over one block of channels. With dot, a
// block is 16 channels and four taps are interleaved for one dot product; with
// flip their sign bits are turned first. Without, a block is 8 channels and each
// tap is widened to 16 bits.
type dwNEON struct {
	dot   func(d, n, m vreg) inst
	flip  bool
	twice bool // a sweep with two weights for each tap
}

// vecs returns the vectors of four channels in a block.
func (d dwNEON) vecs() int {
	if d.dot != nil {
		return 4
	}
	return 2
}

// interleave joins the bytes of the rows x, so that the four of one channel
// stand together: the results are x0, t0, x1 and t1, four channels each.
func (d dwNEON) interleave(a *asm, x, t [4]vreg) [4]vreg {
	a.do(zip1(b16, t[0], x[0], x[1]), zip2(b16, t[1], x[0], x[1]))
	a.do(zip1(b16, t[2], x[2], x[3]), zip2(b16, t[3], x[2], x[3]))
	a.do(zip1(h8, x[0], t[0], t[2]), zip2(h8, t[0], t[0], t[2]))
	a.do(zip1(h8, x[1], t[1], t[3]), zip2(h8, t[1], t[1], t[3]))
	return [4]vreg{x[0], t[0], x[1], t[1]}
}

// numberAddresses puts the addresses of the output's zero point and bounds into
// R19, R20 and R21.
func numberAddresses(a *asm, args string) {
	for i, f := range []string{"zero", "lo", "hi"} {
		a.ins("ADD $%s_%s, R0, R%d", args, f, 19+i)
	}
}

// pack requantizes sums already multiplied into the first of them. The output's
// zero point and bounds pass through t, which may be one register for several.
func (d dwNEON) pack(s []vreg, t [3]vreg) (list []inst) {
	number := func(i int) { list = append(list, native("VLD1R (R%d), [%s]", 19+i, t[i].in(s4))) }
	for _, v := range s {
		list = append(list, fcvtns(v, v))
	}
	for i := 0; i < len(s); i += 2 {
		list = append(list, sqxtn(h4, s[i], s[i]))
	}
	number(0)
	number(1)
	for i := 0; i < len(s); i += 2 {
		list = append(list, sqxtn(h8, s[i], s[i+1]))
	}
	for i := 0; i < len(s); i += 2 {
		list = append(list, sqadd(h8, s[i], s[i], t[0]))
	}
	number(2)
	list = append(list, sqxtun(b8, s[0], s[0]))
	if len(s) == 4 {
		list = append(list, sqxtun(b16, s[0], s[2]))
	}
	return append(list, umax(b16, s[0], s[0], t[1]), umin(b16, s[0], s[0], t[2]))
}

func (d dwNEON) store(v vreg, base string) inst {
	if d.dot != nil {
		return storeQ(v, base)
	}
	return storeD(v, base)
}

func (d dwNEON) load(base string, v vreg) inst {
	if d.dot != nil {
		return loadQ(base, v)
	}
	return loadD(base, v)
}

// taps emits the kernel over a list of taps, several pixels at a time: the
// weights are loaded once for all of them.
//
//	R0          arguments
//	R1, R5      bytes from pixel to pixel of the taps, offset of the current one
//	R2, R3      destination and step
//	R4          pixels left
//	R6, R7      next tap, next weights
//	R8          groups left
//	R9          multipliers
//	R10 … R13   taps of a group, or one tap of the pixels
//	V0 …        sums, pixel by pixel; V30 0x80, V31 the zero weights' tap
func (d dwNEON) taps(a *asm, name string) {
	a.text(name, 8)
	a.ins("MOVD args+0(FP), R0")
	for i, f := range []string{"srcStep", "dst", "dstStep", "pixels"} {
		a.ins("MOVD u8TapArgs_%s(R0), R%d", f, 1+i)
	}
	a.ins("MOVD u8TapArgs_first(R0), R5")
	a.ins("MOVD u8TapArgs_mult(R0), R9")
	numberAddresses(a, "u8TapArgs")
	if d.flip {
		a.do(native("VMOVI $128, %s", vreg(30).in(b16)))
	}
	many := 2
	if d.dot == nil {
		many = 4
	}
	a.ins("SUBS $%d, R4, R4", many)
	a.ins("BLT few")
	a.at("many")
	d.pixels(a, many)
	a.ins("SUBS $%d, R4, R4", many)
	a.ins("BGE many")
	a.at("few")
	a.ins("ADDS $%d, R4, R4", many)
	a.ins("BEQ done")
	a.at("one")
	d.pixels(a, 1)
	a.ins("SUBS $1, R4, R4")
	a.ins("BNE one")
	a.at("done")
	a.ins("RET")
}

// pixels emits n pixels of a list of taps.
func (d dwNEON) pixels(a *asm, n int) {
	vecs := d.vecs()
	sum := func(p, v int) vreg { return vreg(p*vecs + v) }
	a.ins("MOVD u8TapArgs_start(R0), R10")
	for p := range n {
		for v := 0; v < vecs; v += 2 {
			a.do(loadQQ(fmt.Sprintf("%d(R10)", 16*v), sum(p, v), sum(p, v+1)))
		}
	}
	a.ins("ADD $u8TapArgs_taps, R0, R6")
	a.ins("MOVD u8TapArgs_w(R0), R7")
	a.ins("MOVD u8TapArgs_groups(R0), R8")
	group := a.label("group")
	a.at(group)
	if d.dot != nil {
		d.tapGroup(a, n, sum)
	} else {
		d.tap(a, n, sum)
	}
	a.ins("SUBS $1, R8, R8")
	a.ins("BNE %s", group)

	raw, next := a.label("raw"), a.label("next")
	a.ins("CBZ R9, %s", raw)
	for v := 0; v < vecs; v += 2 {
		a.do(loadQQ(fmt.Sprintf("%d(R9)", 16*v), vreg(16+v), vreg(17+v)))
	}
	for p := range n {
		for v := range vecs {
			a.do(scvtf(sum(p, v), sum(p, v)))
		}
	}
	for p := range n {
		for v := range vecs {
			a.do(fmul(sum(p, v), sum(p, v), vreg(16+v)))
		}
	}
	for p := range n {
		var s []vreg
		for v := range vecs {
			s = append(s, sum(p, v))
		}
		a.do(d.pack(s, [3]vreg{20, 21, 22})...)
		a.do(d.store(s[0], "(R2)"))
		a.ins("ADD R3, R2, R2")
	}
	a.ins("B %s", next)
	a.at(raw)
	for p := range n {
		for v := 0; v < vecs; v += 2 {
			a.do(storeQQ(sum(p, v), sum(p, v+1), fmt.Sprintf("%d(R2)", 16*v)))
		}
		a.ins("ADD R3, R2, R2")
	}
	a.at(next)
	for range n {
		a.ins("ADD R1, R5, R5")
	}
}

// tapGroup adds four taps of n pixels.
func (d dwNEON) tapGroup(a *asm, n int, sum func(p, v int) vreg) {
	for i := range 2 {
		a.ins("LDP.P 16(R6), (R%d, R%d)", 10+2*i, 11+2*i)
	}
	for i := range 2 {
		a.ins("FLDPQ.P 32(R7), (F%d, F%d)", 24+2*i, 25+2*i)
	}
	for i := range 4 {
		a.ins("ADD R5, R%d, R%d", 10+i, 10+i)
	}
	var x, t [4]vreg
	for p := range n {
		for i := range 4 {
			x[i], t[i] = vreg(8+8*p+i), vreg(12+8*p+i)
			a.do(d.load(fmt.Sprintf("(R%d)", 10+i), x[i]))
			if p+1 < n {
				a.ins("ADD R1, R%d, R%d", 10+i, 10+i)
			}
		}
		if d.flip {
			for i := range 4 {
				a.do(eor(x[i], x[i], 30))
			}
		}
		q := d.interleave(a, x, t)
		for v := range 4 {
			a.do(d.dot(sum(p, v), q[v], vreg(24+v)))
		}
	}
}

// tap adds one tap of n pixels.
func (d dwNEON) tap(a *asm, n int, sum func(p, v int) vreg) {
	a.ins("MOVD.P 8(R6), R10")
	a.ins("FMOVQ.P 16(R7), F24")
	a.ins("ADD R5, R10, R10")
	for p := 1; p < n; p++ {
		a.ins("ADD R1, R%d, R%d", 9+p, 10+p)
	}
	for p := range n {
		a.do(d.load(fmt.Sprintf("(R%d)", 10+p), vreg(16+p)))
	}
	for p := range n {
		a.do(uxtl(b8, vreg(16+p), vreg(16+p)))
	}
	for p := range n {
		a.do(smlal(h4, sum(p, 0), vreg(16+p), 24), smlal(h8, sum(p, 1), vreg(16+p), 24))
	}
}

// sweep emits the 3×3 kernel that takes each column of three rows once and adds
// it to every output it belongs to, for strides 1 and 2.
//
//	R0              arguments
//	R1, R2          column and width: outside 0 … width-1 is border
//	R3, R4          destination and step
//	R5              pixels left
//	R6, R7, R8      rows at the current column; R9 column step
//	R10, R11        start values, multipliers
//	R12, R14        a column of the border, the second weights
//	V0 … V11        weights: four vectors a column, or three of eight channels, V0 … V8
//	V12 … V23       the sums of up to three outputs, two or four vectors from every
//	                fourth on
//	V24 …           rows and the finished column; V31 0x80
//
// Eight channels leave room for the multipliers V10 and V11, the output's numbers
// V14, V15 and V9, the start values V18 and V19, the output being
// requantized V22 and V23, and the next column V27 … V29.
func (d dwNEON) sweep(a *asm, name string) {
	a.text(name, 8)
	a.ins("MOVD args+0(FP), R0")
	for i, f := range []string{"col", "width", "dst", "dstStep", "pixels"} {
		a.ins("MOVD u8SweepArgs_%s(R0), R%d", f, 1+i)
	}
	for i, f := range []string{"colStride", "start", "mult", "w"} {
		a.ins("MOVD u8SweepArgs_%s(R0), R%d", f, 9+i)
	}
	a.ins("MUL R1, R9, R13")
	for i := range 3 {
		a.ins("MOVD (u8SweepArgs_rows+%d)(R0), R%d", 8*i, 6+i)
		a.ins("ADD R13, R%d, R%d", 6+i, 6+i)
	}
	weights := 12
	if d.dot == nil {
		weights = 9
	}
	for i := range weights {
		a.ins("FMOVQ.P 16(R12), F%d", i)
	}
	a.ins("ADD $u8SweepArgs_inZero, R0, R12")
	numberAddresses(a, "u8SweepArgs")
	if d.dot == nil {
		a.do(loadQQ("(R11)", 10, 11), loadQQ("(R10)", 18, 19))
		for i, v := range []vreg{14, 15, 9} {
			a.ins("VLD1R (R%d), [%s]", 19+i, v.in(s4))
		}
	}
	a.do(native("VMOVI $128, %s", vreg(31).in(b16)))

	a.ins("MOVD u8SweepArgs_w2(R0), R14")
	if d.dot != nil {
		a.ins("CBNZ R14, twice")
		d.loops(a, "")
		a.at("twice")
		d.twice = true
	}
	d.loops(a, "twice")
}

// loops emits the loops of a sweep for both strides. An output is requantized
// while the next one is summed, so that neither waits for itself.
func (d dwNEON) loops(a *asm, what string) {
	s := [3][]vreg{}
	for i := range s {
		s[i] = regsFrom(12+4*i, 12+4*i+d.vecs())
	}
	var after []func() // code out of the way
	next := func() { after = append(after, d.column(a)) }
	counted := func(s []vreg) {
		last := a.label(what + "last")
		a.ins("SUBS $1, R5, R5")
		a.ins("BEQ %s", last)
		after = append(after, func() {
			a.at(last)
			a.do(d.finish(s)...)
			a.ins("RET")
		})
	}
	if d.dot == nil {
		after = append(after, d.fetch(a, []vreg{27, 28, 29}))
	}
	a.ins("MOVD u8SweepArgs_stride(R0), R13")
	a.ins("CMP $2, R13")
	a.ins("BEQ %sstride2", what)
	next()
	a.do(d.add(0, s[0])...)
	next()
	a.do(d.add(1, s[0])...)
	a.do(d.add(0, s[1])...)
	next()
	a.do(d.add(2, s[0])...)
	a.do(d.add(1, s[1])...)
	a.do(d.add(0, s[2])...)
	counted(s[0])
	a.at(what + "loop1")
	for _, i := range []int{1, 2, 0} {
		done := s[(i+2)%3]
		finish := d.finish(done)
		next()
		if d.dot == nil {
			a.do(finish[:2]...) // the sums are free
			a.do(interleave(d.weave(d.add(2, s[i]), d.add(1, s[(i+1)%3]), d.add(0, done)), finish[2:], 2)...)
		} else {
			a.do(interleave(d.weave(d.add(2, s[i]), d.add(1, s[(i+1)%3])), finish, 0)...)
			a.do(d.add(0, done)...)
		}
		counted(s[i])
	}
	a.ins("B %sloop1", what)

	a.at(what + "stride2")
	next()
	a.do(d.add(0, s[0])...)
	next()
	a.do(d.add(1, s[0])...)
	next()
	a.do(d.add(2, s[0])...)
	a.do(d.add(0, s[1])...)
	counted(s[0])
	a.at(what + "loop2")
	for _, i := range []int{1, 0} {
		done := s[1-i]
		finish := d.finish(done)
		next()
		if d.dot == nil {
			a.do(finish[:2]...)
			a.do(interleave(d.add(1, s[i]), finish[2:6], 2)...)
			next()
			a.do(interleave(d.weave(d.add(2, s[i]), d.add(0, done)), finish[6:], 0)...)
		} else {
			a.do(interleave(d.add(1, s[i]), finish, 0)...)
			next()
			a.do(d.weave(d.add(2, s[i]), d.add(0, done))...)
		}
		counted(s[i])
	}
	a.ins("B %sloop2", what)
	for _, f := range after {
		f()
	}
}

// rows are the registers of a column: of d.dot in the order of channels.
func (d dwNEON) rows() []vreg {
	if d.dot != nil {
		return []vreg{28, 24, 29, 25}
	}
	return []vreg{24, 25, 26}
}

// column takes the next column and returns what emits the code for the border.
// Without d.dot there are registers to load the one after it early.
func (d dwNEON) column(a *asm) (border func()) {
	if d.dot == nil {
		for i, r := range d.rows() {
			a.do(uxtl(b8, r, 27+vreg(i)))
		}
		return d.fetch(a, []vreg{27, 28, 29})
	}
	border = d.fetch(a, []vreg{28, 29, 30})
	if d.flip {
		for i := range vreg(3) {
			a.do(eor(28+i, 28+i, 31))
		}
	}
	// The fourth tap has no weight: any bytes do.
	a.do(zip1(b16, 24, 28, 29), zip2(b16, 25, 28, 29), zip1(b16, 26, 30, 31), zip2(b16, 27, 30, 31))
	a.do(zip1(h8, 28, 24, 26), zip2(h8, 24, 24, 26), zip1(h8, 29, 25, 27), zip2(h8, 25, 25, 27))
	return border
}

// fetch loads the bytes of the next column.
func (d dwNEON) fetch(a *asm, to []vreg) (border func()) {
	outside, ready := a.label("border"), a.label("ready")
	a.ins("CMP R2, R1")
	a.ins("BHS %s", outside) // negative columns are large unsigned
	for i, r := range to {
		a.do(d.load(fmt.Sprintf("(R%d)", 6+i), r))
	}
	a.at(ready)
	for i := range 3 {
		a.ins("ADD R9, R%d, R%d", 6+i, 6+i)
	}
	a.ins("ADD $1, R1, R1")
	return func() {
		a.at(outside)
		for _, r := range to {
			a.ins("VLD1R (R12), [%s]", r.in(s4))
		}
		a.ins("B %s", ready)
	}
}

// add adds the current column, as column kx of the window, to the sums s of an
// output; the first one starts them.
func (d dwNEON) add(kx int, s []vreg) (list []inst) {
	switch {
	case kx == 0 && d.dot == nil:
		list = append(list, move(18, s[0]), move(19, s[1]))
	case kx == 0:
		for i := 0; i < len(s); i += 2 {
			list = append(list, loadQQ(fmt.Sprintf("%d(R10)", 16*i), s[i], s[i+1]))
		}
	}
	for i, r := range d.rows() {
		if d.dot == nil {
			w := vreg(3*kx + i)
			list = append(list, smlal(h4, s[0], r, w), smlal(h8, s[1], r, w))
			continue
		}
		list = append(list, d.dot(s[i], r, vreg(4*kx+i)))
		if d.twice {
			list = append(list, loadQ(fmt.Sprintf("%d(R14)", 64*kx+16*i), 30), d.dot(s[i], r, 30))
		}
	}
	return list
}

// weave takes two instructions of each list in turn. Lists of second weights,
// which pass through one register, stay whole.
func (d dwNEON) weave(lists ...[]inst) (out []inst) {
	if d.twice {
		return slices.Concat(lists...)
	}
	for i := 0; ; i += 2 {
		n := len(out)
		for _, l := range lists {
			out = append(out, l[min(i, len(l)):min(i+2, len(l))]...)
		}
		if len(out) == n {
			return out
		}
	}
}

// finish requantizes and stores the sums of an output.
func (d dwNEON) finish(s []vreg) (list []inst) {
	if d.dot == nil {
		return []inst{scvtf(22, s[0]), scvtf(23, s[1]), fmul(22, 22, 10), fmul(23, 23, 11), fcvtns(22, 22), fcvtns(23, 23),
			sqxtn(h4, 22, 22), sqxtn(h8, 22, 23), sqadd(h8, 22, 22, 14), sqxtun(b8, 22, 22), umax(b16, 22, 22, 15), umin(b16, 22, 22, 9),
			d.store(22, "(R3)"), native("ADD R4, R3, R3")}
	}
	for _, v := range s {
		list = append(list, scvtf(v, v))
	}
	t := [3]vreg{26, 27, 26}
	for i := 0; i < len(s); i += 2 {
		list = append(list, loadQQ(fmt.Sprintf("%d(R11)", 16*i), t[0], t[1]), fmul(s[i], s[i], t[0]), fmul(s[i+1], s[i+1], t[1]))
	}
	list = append(list, d.pack(s, t)...)
	return append(list, d.store(s[0], "(R3)"), native("ADD R4, R3, R3"))
}
