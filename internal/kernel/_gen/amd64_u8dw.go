package main

func init() {
	outputs["u8_dw_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, {"Y", 8, 32}, xmm} {
			size := map[string]string{"Z": "64", "Y": "32", "X": "16"}[v.reg]
			dwU8{vec: v, vnni: true}.taps(a, "tapsU8x"+size+"VNNI")
			dwU8{vec: v, vnni: true}.sweep(a, "sweepU8x"+size+"VNNI")
			dwU8{vec: v}.taps(a, "tapsU8x"+size+"AVX512")
		}
		dwU8{vec: ymm, vnni: true, whole: true}.taps(a, "tapsU8x32AVXVNNI")
		dwU8{vec: ymm, whole: true}.taps(a, "tapsU8x32AVX2")
	}
}

// dwU8 emits the kernels over one block of channels, four channels a lane and
// vector: after interleaving, vector q holds channels 4q … 4q+3 of each 16.
type dwU8 struct {
	vec   vector
	vnni  bool
	whole bool // AVX2: no masks
	open  bool // all channels of the block: no masks needed
	twice bool // every weight is the sum of two
}

func (d dwU8) load(a *asm, mem, r string) {
	if d.whole {
		a.ins("VMOVDQU %s, %s", mem, r)
	} else if d.open {
		a.ins("VMOVDQU8 %s, %s", mem, r)
	} else {
		a.ins("VMOVDQU8.Z %s, K1, %s", mem, r)
	}
}

func (d dwU8) loadVec(a *asm, mem, r string) {
	if d.whole {
		a.ins("VMOVDQU %s, %s", mem, r)
	} else {
		a.ins("VMOVDQU32 %s, %s", mem, r)
	}
}

func (d dwU8) clear(a *asm, r string) {
	if d.whole {
		a.ins("VPXOR %s, %s, %s", r, r, r)
	} else {
		a.ins("VPXORD %s, %s, %s", r, r, r)
	}
}

// interleave joins the bytes of rows r[0], r[1] (t: two free) and z, so that
// lanes hold a b c d of one channel after the other; the four results are
// returned. r[2] and r[3] may be one zero vector.
func (d dwU8) interleave(a *asm, r [4]string, t [4]string) [4]string {
	a.ins("VPUNPCKLBW %s, %s, %s", r[1], r[0], t[0])
	a.ins("VPUNPCKHBW %s, %s, %s", r[1], r[0], t[1])
	a.ins("VPUNPCKLBW %s, %s, %s", r[3], r[2], t[2])
	a.ins("VPUNPCKHBW %s, %s, %s", r[3], r[2], t[3])
	a.ins("VPUNPCKLWD %s, %s, %s", t[2], t[0], r[0])
	a.ins("VPUNPCKHWD %s, %s, %s", t[2], t[0], t[0])
	a.ins("VPUNPCKLWD %s, %s, %s", t[3], t[1], r[1])
	a.ins("VPUNPCKHWD %s, %s, %s", t[3], t[1], t[1])
	return [4]string{r[0], t[0], r[1], t[1]}
}

// finish requantizes the four sums into the first; BX holds the multipliers.
func (d dwU8) finish(a *asm, args string, acc [4]string, t [3]string) {
	for i, s := range acc {
		a.ins("VCVTDQ2PS %s, %s", s, s)
		a.ins("VMULPS %d(BX), %s, %s", i*d.vec.bytes(), s, s)
		a.ins("VCVTPS2DQ %s, %s", s, s)
	}
	a.ins("VPACKSSDW %s, %s, %s", acc[1], acc[0], acc[0])
	a.ins("VPACKSSDW %s, %s, %s", acc[3], acc[2], acc[2])
	bare, packed := a.label("bare"), a.label("packed")
	a.ins("CMPQ %s_bare(DI), $0", args)
	a.ins("JNE %s", bare)
	a.ins("VPBROADCASTD %s_zero(DI), %s", args, t[0])
	a.ins("VPBROADCASTD %s_lo(DI), %s", args, t[1])
	a.ins("VPBROADCASTD %s_hi(DI), %s", args, t[2])
	a.ins("VPADDSW %s, %s, %s", t[0], acc[0], acc[0])
	a.ins("VPADDSW %s, %s, %s", t[0], acc[2], acc[2])
	a.ins("VPACKUSWB %s, %s, %s", acc[2], acc[0], acc[0])
	a.ins("VPMAXUB %s, %s, %s", t[1], acc[0], acc[0])
	a.ins("VPMINUB %s, %s, %s", t[2], acc[0], acc[0])
	a.ins("JMP %s", packed)
	a.at(bare)
	a.ins("VPACKUSWB %s, %s, %s", acc[2], acc[0], acc[0])
	a.at(packed)
	if d.whole {
		a.ins("VMOVDQU %s, (R11)", acc[0])
	} else if d.open {
		a.ins("VMOVDQU8 %s, (R11)", acc[0])
	} else {
		a.ins("VMOVDQU8 %s, K1, (R11)", acc[0])
	}
}

// taps emits the kernel over a list of taps.
//
//	DI        arguments
//	R8, R13   offset of the pixel's taps from the first's, and step
//	R11, R15  destination and step
//	R9        pixels left
//	DX, SI    next tap, next weights
//	CX        groups left
//	BX        multipliers
func (d dwU8) taps(a *asm, name string) {
	v := d.vec
	r := v.r
	a.text(name, 8)
	a.ins("MOVQ args+0(FP), DI")
	if !d.whole {
		a.ins("MOVQ u8TapArgs_mask(DI), AX")
		a.ins("KMOVQ AX, K1")
	}
	a.ins("MOVQ u8TapArgs_first(DI), R8")
	a.ins("MOVQ u8TapArgs_srcStep(DI), R13")
	a.ins("MOVQ u8TapArgs_dst(DI), R11")
	a.ins("MOVQ u8TapArgs_dstStep(DI), R15")
	a.ins("MOVQ u8TapArgs_pixels(DI), R9")
	a.ins("MOVQ u8TapArgs_mult(DI), BX")
	if !d.vnni {
		d.clear(a, r(15))
	}
	if d.whole {
		d.tapLoops(a, "")
		return
	}
	a.ins("MOVQ $%d, SI", int64(uint64(1)<<v.bytes()-1))
	a.ins("CMPQ SI, u8TapArgs_mask(DI)")
	a.ins("JNE masked")
	d.open = true
	d.tapLoops(a, "")
	a.at("masked")
	d.open = false
	d.tapLoops(a, "masked")
}

func (d dwU8) tapLoops(a *asm, what string) {
	v := d.vec
	r := v.r
	acc := [4]string{r(0), r(1), r(2), r(3)}
	a.at(what + "pixel")
	a.ins("MOVQ u8TapArgs_start(DI), AX")
	for i, s := range acc {
		d.loadVec(a, sprint("%d(AX)", i*v.bytes()), s)
	}
	a.ins("LEAQ u8TapArgs_taps(DI), DX")
	a.ins("MOVQ u8TapArgs_w(DI), SI")
	a.ins("MOVQ u8TapArgs_groups(DI), CX")
	a.at(what + "group")
	if d.vnni {
		for i := range 4 {
			a.ins("MOVQ %d(DX), AX", 8*i)
			d.load(a, "(R8)(AX*1)", r(4+i))
		}
		q := d.interleave(a, [4]string{r(4), r(5), r(6), r(7)}, [4]string{r(8), r(9), r(10), r(11)})
		for i, s := range acc {
			dotProduct(a, d.whole, sprint("%d(SI)", i*v.bytes()), q[i], s)
		}
		a.ins("ADDQ $32, DX")
	} else {
		for i := range 2 {
			a.ins("MOVQ %d(DX), AX", 8*i)
			d.load(a, "(R8)(AX*1)", r(4+i))
		}
		a.ins("VPUNPCKLBW %s, %s, %s", r(5), r(4), r(6))
		a.ins("VPUNPCKHBW %s, %s, %s", r(5), r(4), r(7))
		for i, s := range acc {
			half := map[int]string{0: "L", 1: "H"}[i%2]
			a.ins("VPUNPCK%sBW %s, %s, %s", half, r(15), r(6+i/2), r(8+i))
			a.ins("VPMADDWD %d(SI), %s, %s", i*v.bytes(), r(8+i), r(8+i))
			a.ins("VPADDD %s, %s, %s", r(8+i), s, s)
		}
		a.ins("ADDQ $16, DX")
	}
	a.ins("ADDQ $%d, SI", 4*v.bytes())
	a.ins("SUBQ $1, CX")
	a.ins("JNE %sgroup", what)
	a.ins("TESTQ BX, BX")
	a.ins("JEQ %sraw", what)
	d.finish(a, "u8TapArgs", acc, [3]string{r(4), r(5), r(6)})
	a.at(what + "next")
	a.ins("ADDQ R13, R8")
	a.ins("ADDQ R15, R11")
	a.ins("SUBQ $1, R9")
	a.ins("JNE %spixel", what)
	a.ins("VZEROUPPER")
	a.ins("RET")
	a.at(what + "raw")
	for i, s := range acc {
		for lane := range v.bytes() / 16 {
			at := 64*lane + 16*i
			switch {
			case v.reg == "X":
				a.ins("VMOVDQU32 %s, %d(R11)", s, at)
			case d.whole:
				a.ins("VEXTRACTI128 $%d, %s, %d(R11)", lane, s, at)
			default:
				a.ins("VEXTRACTI32X4 $%d, %s, %d(R11)", lane, s, at)
			}
		}
	}
	a.ins("JMP %snext", what)
}

// sweep emits the 3×3 kernel that interleaves each column of three rows once
// and adds it to every output it belongs to, for strides 1 and 2.
//
//	DI           arguments
//	R8, R9, R10  rows at the current column; R13 column step
//	CX, R12      column and width: outside 0 … width-1 is border
//	R11, R15     destination and step
//	AX           pixels left
//	DX, BX       start values, multipliers
//	SI           second weights, where there are some
//	V0 … V11     weights, four vectors a column
//	V12 … V23    the sums of up to three outputs
//	V24 …        rows and interleaved columns; V31 zero
func (d dwU8) sweep(a *asm, name string) {
	v := d.vec
	r := v.r
	a.text(name, 8)
	a.ins("MOVQ args+0(FP), DI")
	a.ins("MOVQ u8SweepArgs_mask(DI), AX")
	a.ins("KMOVQ AX, K1")
	a.ins("MOVQ u8SweepArgs_colStride(DI), R13")
	a.ins("MOVQ u8SweepArgs_col(DI), CX")
	a.ins("MOVQ u8SweepArgs_width(DI), R12")
	a.ins("MOVQ CX, AX")
	a.ins("IMULQ R13, AX")
	for i := range 3 {
		a.ins("MOVQ u8SweepArgs_rows+%d(DI), R%d", 8*i, 8+i)
		a.ins("ADDQ AX, R%d", 8+i)
	}
	a.ins("MOVQ u8SweepArgs_w(DI), SI")
	for i := range 12 {
		d.loadVec(a, sprint("%d(SI)", i*v.bytes()), r(i))
	}
	a.ins("MOVQ u8SweepArgs_start(DI), DX")
	a.ins("MOVQ u8SweepArgs_mult(DI), BX")
	a.ins("MOVQ u8SweepArgs_dst(DI), R11")
	a.ins("MOVQ u8SweepArgs_dstStep(DI), R15")
	a.ins("MOVQ u8SweepArgs_pixels(DI), AX")
	d.clear(a, r(31))

	// Masked access takes more steps inside the processor: without it where the
	// block is full.
	a.ins("MOVQ $%d, SI", int64(uint64(1)<<v.bytes()-1))
	a.ins("CMPQ SI, u8SweepArgs_mask(DI)")
	a.ins("JNE masked")
	a.ins("MOVQ u8SweepArgs_w2(DI), SI")
	a.ins("TESTQ SI, SI")
	a.ins("JNE twice")
	d.open = true
	d.sweepLoops(a, "")
	a.at("masked")
	a.ins("MOVQ u8SweepArgs_w2(DI), SI")
	a.ins("TESTQ SI, SI")
	a.ins("JNE twice")
	d.open = false
	d.sweepLoops(a, "masked")
	a.at("twice")
	d.twice = true
	d.sweepLoops(a, "twice")
}

// sweepLoops emits the loops of a sweep for both strides.
func (d dwU8) sweepLoops(a *asm, what string) {
	v := d.vec
	r := v.r
	quad := func(i int) [4]string { return [4]string{r(i), r(i + 1), r(i + 2), r(i + 3)} }
	sums := [3][4]string{quad(12), quad(16), quad(20)}
	column := [4]string{r(28), r(24), r(29), r(25)}
	var borders []func()

	next := func() {
		border, ready := a.label("border"), a.label("ready")
		a.ins("CMPQ CX, R12")
		a.ins("JCC %s", border)
		for i := range 3 {
			d.load(a, sprint("(R%d)", 8+i), r(28+i))
		}
		d.interleave(a, [4]string{r(28), r(29), r(30), r(31)}, quad(24))
		a.at(ready)
		for i := range 3 {
			a.ins("ADDQ R13, R%d", 8+i)
		}
		a.ins("ADDQ $1, CX")
		borders = append(borders, func() {
			a.at(border)
			for _, c := range column {
				a.ins("VPBROADCASTD u8SweepArgs_inZero(DI), %s", c)
			}
			a.ins("JMP %s", ready)
		})
	}
	dot := func(kx int, s [4]string) {
		for i := range 4 {
			if kx == 0 {
				d.loadVec(a, sprint("%d(DX)", i*v.bytes()), s[i])
			}
			a.ins("VPDPBUSD %s, %s, %s", r(4*kx+i), column[i], s[i])
			if d.twice {
				a.ins("VPDPBUSD %d(SI), %s, %s", (4*kx+i)*v.bytes(), column[i], s[i])
			}
		}
	}
	finish := func(s [4]string) {
		d.finish(a, "u8SweepArgs", s, [3]string{r(26), r(27), r(30)})
		a.ins("ADDQ R15, R11")
		a.ins("SUBQ $1, AX")
		a.ins("JEQ %sdone", what)
	}

	a.ins("CMPQ u8SweepArgs_stride(DI), $2")
	a.ins("JEQ %sstride2", what)
	next()
	dot(0, sums[0])
	next()
	dot(1, sums[0])
	dot(0, sums[1])
	a.ins("PCALIGN $32")
	a.at(what + "loop1")
	for i := range 3 {
		next()
		dot(2, sums[i])
		dot(1, sums[(i+1)%3])
		dot(0, sums[(i+2)%3])
		finish(sums[i])
	}
	a.ins("JMP %sloop1", what)

	a.at(what + "stride2")
	next()
	dot(0, sums[0])
	a.ins("PCALIGN $32")
	a.at(what + "loop2")
	for i := range 2 {
		next()
		dot(1, sums[i])
		next()
		dot(2, sums[i])
		dot(0, sums[1-i])
		finish(sums[i])
	}
	a.ins("JMP %sloop2", what)
	a.at(what + "done")
	a.ins("VZEROUPPER")
	a.ins("RET")
	for _, b := range borders {
		b()
	}
}
