package main

import "fmt"

func init() {
	outputs["u8_slices_gen_arm64.s"] = func(a *asm) {
		slicesNEON(a)
		addRowsNEON(a)
	}
}

// slicesNEON emits what runs over whole blocks of 16 elements.
//
//	R0          numbers
//	R1, R2, R3  destination and operands
//	R4          elements left
//	V24 …       numbers in every lane
func slicesNEON(a *asm) {
	start := func(name string, args ...string) {
		a.text(name, 8*len(args))
		for i, arg := range args {
			a.ins("MOVD %s+%d(FP), R%s", arg[:len(arg)-1], 8*i, arg[len(arg)-1:])
		}
	}
	numbers := func(at vreg, t lanes, fields ...string) {
		for _, f := range fields {
			a.ins("MOVWU %s(R0), R5", f)
			a.ins("VDUP R5, %s", at.in(t))
			at++
		}
	}
	loop := func(label string, body func()) {
		a.ins("PCALIGN $16")
		a.at(label)
		body()
		a.ins("SUBS $16, R4, R4")
		a.ins("BNE %s", label)
		a.ins("RET")
	}

	start("binaryU8NEON", "p0", "dst1", "a2", "b3", "n4")
	numbers(24, b16, "preparedAdd_aZero", "preparedAdd_bZero")
	numbers(26, s4, "preparedAdd_aMult", "preparedAdd_bMult")
	finish := finishU8{zero: 28, lo: 29, hi: 30}
	numbers(28, s4, "preparedAdd_zero", "preparedAdd_lo", "preparedAdd_hi")
	operands := func() {
		a.ins("FMOVQ.P 16(R2), F0")
		a.ins("FMOVQ.P 16(R3), F1")
		a.do(usubl(b8, 2, 0, 24), usubl(b8, 4, 1, 25), usubl(b16, 3, 0, 24), usubl(b16, 5, 1, 25))
	}
	a.ins("MOVWU preparedAdd_product(R0), R5")
	a.ins("CBNZ R5, product")
	loop("sum", func() {
		operands()
		for i := range vreg(2) {
			for j, t := range []lanes{h4, h8} {
				a.do(sxtl(t, 16+2*i+vreg(j), 2+i), sxtl(t, 20+2*i+vreg(j), 4+i))
			}
		}
		for i := range vreg(8) {
			a.do(scvtf(16+i, 16+i))
		}
		for i := range vreg(8) {
			a.do(fmul(16+i, 16+i, 26+i/4))
		}
		for i := range vreg(4) {
			a.do(fadd(16+i, 16+i, 20+i))
		}
		finish.store(a)
	})
	loop("product", func() {
		operands()
		for i := range vreg(2) {
			a.do(smull(h4, 16+2*i, 2+i, 4+i), smull(h8, 17+2*i, 2+i, 4+i))
		}
		for i := range vreg(4) {
			a.do(scvtf(16+i, 16+i))
		}
		for i := range vreg(4) {
			a.do(fmul(16+i, 16+i, 26))
		}
		finish.store(a)
	})

	// The bounds arrive less the zero point.
	start("quantizeU8NEON", "p0", "dst1", "src2", "n4")
	a.ins("MOVWU (R0), R5")
	a.ins("VDUP R5, %s", vreg(24).in(s4))
	a.ins("MOVWU 12(R0), R6")
	a.ins("VDUP R6, %s", vreg(28).in(h8))
	for i := range 2 {
		a.ins("FMOVS %d(R0), F0", 4+4*i)
		a.ins("FCVTZSSW F0, R5")
		a.ins("ADD R6, R5, R5")
		a.ins("VDUP R5, %s", vreg(29+i).in(b16))
	}
	loop("quantize", func() {
		for i := range 2 {
			a.ins("FLDPQ.P 32(R2), (F%d, F%d)", 16+2*i, 17+2*i)
		}
		for i := range vreg(4) {
			a.do(fdiv(16+i, 16+i, 24))
		}
		finish.store(a)
	})

	start("dequantizeU8NEON", "p0", "dst1", "src2", "n4")
	a.ins("MOVWU (R0), R5")
	a.ins("VDUP R5, %s", vreg(24).in(s4))
	a.ins("MOVWU 4(R0), R5")
	a.ins("VDUP R5, %s", vreg(25).in(b16))
	loop("dequantize", func() {
		a.ins("FMOVQ.P 16(R2), F0")
		a.do(usubl(b8, 2, 0, 25), usubl(b16, 3, 0, 25))
		a.do(sxtl(h4, 16, 2), sxtl(h8, 17, 2), sxtl(h4, 18, 3), sxtl(h8, 19, 3))
		for i := range vreg(4) {
			a.do(scvtf(16+i, 16+i))
		}
		for i := range vreg(4) {
			a.do(fmul(16+i, 16+i, 24))
		}
		for i := range 2 {
			a.ins("FSTPQ.P (F%d, F%d), 32(R1)", 16+2*i, 17+2*i)
		}
	})

	start("maxU8NEON", "dst1", "src2", "n4")
	loop("greater", func() {
		a.ins("FMOVQ (R1), F0")
		a.ins("FMOVQ.P 16(R2), F1")
		a.do(umax(b16, 0, 0, 1))
		a.ins("FMOVQ.P F0, 16(R1)")
	})

	start("accumulateU8NEON", "sum1", "src2", "n4")
	loop("accumulate", func() {
		a.ins("FMOVQ.P 16(R2), F0")
		for i := range 2 {
			a.ins("FLDPQ %d(R1), (F%d, F%d)", 32*i, 16+2*i, 17+2*i)
		}
		a.do(uxtl(b8, 2, 0), uxtl(b16, 3, 0))
		a.do(uaddw(h4, 16, 16, 2), uaddw(h8, 17, 17, 2), uaddw(h4, 18, 18, 3), uaddw(h8, 19, 19, 3))
		for i := range 2 {
			a.ins("FSTPQ.P (F%d, F%d), 32(R1)", 16+2*i, 17+2*i)
		}
	})

	// V0 … V3 the least of each lane, V4 … V7 the greatest; comparisons with NaN
	// are false.
	start("rangeF32NEON", "r0", "src2", "n4")
	for i, bits := range []uint32{0x7f800000, 0xff800000} {
		a.ins("MOVD $%#x, R5", bits)
		for j := range 4 {
			a.ins("VDUP R5, %s", vreg(4*i+j).in(s4))
		}
	}
	a.at("range")
	for i := range 2 {
		a.ins("FLDPQ.P 32(R2), (F%d, F%d)", 16+2*i, 17+2*i)
	}
	for i := range vreg(4) {
		a.do(fcmgt(20+i, i, 16+i), fcmgt(24+i, 16+i, 4+i))
	}
	for i := range vreg(4) {
		a.do(bit(i, 16+i, 20+i), bit(4+i, 16+i, 24+i))
	}
	a.ins("SUBS $16, R4, R4")
	a.ins("BNE range")
	for i := range vreg(4) {
		a.do(storeQQ(2*i, 2*i+1, fmt.Sprintf("%d(R0)", 32*i)))
	}
	a.ins("RET")

	// V0 … V15 the table, a quarter of it looked up at a time: an index beyond a
	// quarter leaves the byte as it is.
	start("lookupU8NEON", "table0", "dst1", "src2", "n4")
	for i := range vreg(8) {
		a.do(loadQQ(fmt.Sprintf("%d(R0)", 32*i), 2*i, 2*i+1))
	}
	a.do(native("VMOVI $64, %s", vreg(16).in(b16)))
	loop("lookup", func() {
		a.ins("FMOVQ.P 16(R2), F17")
		a.do(tbl4(18, 0, 17))
		for i := vreg(4); i < 16; i += 4 {
			a.do(sub(b16, 17, 17, 16), tbx4(18, i, 17))
		}
		a.ins("FMOVQ.P F18, 16(R1)")
	})
}

// finishU8 turns the floats of V16 … V19 into sixteen bytes, by the rule of
// requant.go; its fields are the registers of the numbers: the zero point in
// lanes of 16 bits, the bounds in bytes.
type finishU8 struct{ zero, lo, hi vreg }

func (f finishU8) store(a *asm) {
	for i := range vreg(4) {
		a.do(fcvtns(16+i, 16+i))
	}
	a.do(sqxtn(h4, 16, 16), sqxtn(h4, 18, 18), sqxtn(h8, 16, 17), sqxtn(h8, 18, 19))
	a.do(sqadd(h8, 16, 16, f.zero), sqadd(h8, 18, 18, f.zero))
	a.do(sqxtun(b8, 16, 16), sqxtun(b16, 16, 18))
	a.do(umax(b16, 16, 16, f.lo), umin(b16, 16, 16, f.hi))
	a.ins("FMOVQ.P F16, 16(R1)")
}

// addRowsNEON emits the sums of rows of bytes.
//
//	R0, R1, R2  sums, rows, rows left
//	R3, R4      bytes from row to row, bytes of a row
//	R5, R6      place in the row, bytes left
func addRowsNEON(a *asm) {
	a.text("addRowsU8NEON", 40)
	for i, arg := range []string{"sums", "src", "rows", "stride", "n"} {
		a.ins("MOVD %s+%d(FP), R%d", arg, 8*i, i)
	}
	a.at("row")
	a.ins("MOVD R1, R5")
	a.do(zero(0))
	a.ins("SUBS $16, R4, R6")
	a.ins("BLT tail")
	a.at("loop")
	a.ins("FMOVQ.P 16(R5), F1")
	a.do(uaddlp(b16, 1, 1), uadalp(h8, 0, 1))
	a.ins("SUBS $16, R6, R6")
	a.ins("BGE loop")
	a.at("tail")
	a.do(addv(s4, 0, 0))
	a.ins("VMOV %s, R7", vreg(0).lane(s4, 0))
	a.ins("ADDS $16, R6, R6")
	a.ins("BEQ next")
	a.at("byte")
	a.ins("MOVBU.P 1(R5), R8")
	a.ins("ADD R8, R7, R7")
	a.ins("SUBS $1, R6, R6")
	a.ins("BNE byte")
	a.at("next")
	a.ins("MOVWU (R0), R8")
	a.ins("ADD R8, R7, R7")
	a.ins("MOVW.P R7, 4(R0)")
	a.ins("ADD R3, R1, R1")
	a.ins("SUBS $1, R2, R2")
	a.ins("BNE row")
	a.ins("RET")
}
