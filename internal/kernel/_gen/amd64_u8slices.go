package main

import "fmt"

func sprint(format string, args ...any) string { return fmt.Sprintf(format, args...) }

func init() {
	outputs["u8_slices_gen_amd64.s"] = func(a *asm) {
		binaryU8(a)
		quantizeU8(a)
		slicesAVX2(a)
		addRows(a)
		a.table("u8Transpose4Y", 4, 0, 4, 1, 5, 2, 6, 3, 7)
		widenU8(a, "widenU8AVX512", zmm)
		widenU8(a, "widenU8AVX2", ymm)
		maxU8(a)
		accumulateU8(a)
		dequantizeU8(a)
		lookupU8(a)
		scaleI32(a)
		rangeF32(a)
		peakU8(a, "peakU8VNNI", zmm, 24)
		peakU8(a, "peakU8AVXVNNI", ymm, 12)
		a.table("u8Transpose4", 4, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
	}
}

// blocks emits a loop over CX bytes, 64 a turn with the last turn masked: K1
// has a bit for each byte, K2 … K5 for each 16 of them. The body moves the
// pointers itself.
func blocks(a *asm, what string, body func(masked bool)) {
	loop, tail, end := a.label(what), a.label(what+"tail"), a.label(what+"end")
	a.ins("SUBQ $64, CX")
	a.ins("JLT %s", tail)
	a.at(loop)
	body(false)
	a.ins("SUBQ $64, CX")
	a.ins("JGE %s", loop)
	a.at(tail)
	a.ins("ADDQ $64, CX")
	a.ins("JEQ %s", end)
	a.ins("MOVQ $-1, AX")
	a.ins("BZHIQ CX, AX, AX")
	a.ins("KMOVQ AX, K1")
	for i := range 4 {
		a.ins("KMOVW AX, K%d", 2+i)
		a.ins("SHRQ $16, AX")
	}
	body(true)
	a.at(end)
	a.ins("VZEROUPPER")
	a.ins("RET")
}

// part emits an instruction on one 16th-lane part of a block, masked if asked.
func part(a *asm, op string, masked bool, i int, src, dst string, z bool) {
	switch {
	case !masked:
		a.ins("%s %s, %s", op, src, dst)
	case z:
		a.ins("%s.Z %s, K%d, %s", op, src, 2+i, dst)
	default:
		a.ins("%s %s, K%d, %s", op, src, 2+i, dst)
	}
}

func storeBytes(a *asm, masked bool, r string) {
	if masked {
		a.ins("VMOVDQU8 %s, K1, (DI)", r)
	} else {
		a.ins("VMOVDQU8 %s, (DI)", r)
	}
}

// binaryU8 emits the quantized sum and product of two slices.
//
//	R8 numbers; DI, SI, DX destination and operands; CX bytes left
//	Z0 … Z3 first operand and result, Z4 … Z7 second
//	Z16 … zero points, multipliers, output zero, bounds, order
func binaryU8(a *asm) {
	a.text("binaryU8AVX512", 40)
	a.ins("MOVQ p+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ a+16(FP), SI")
	a.ins("MOVQ b+24(FP), DX")
	a.ins("MOVQ n+32(FP), CX")
	for i, f := range []string{"aZero", "bZero", "aMult", "bMult", "zero", "lo", "hi"} {
		a.ins("VPBROADCASTD preparedAdd_%s(R8), Z%d", f, 16+i)
	}
	a.ins("VMOVDQU32 u8Transpose4<>(SB), Z23")
	body := func(masked, product bool) {
		for i := range 4 {
			part(a, "VPMOVZXBD", masked, i, sprint("%d(SI)", 16*i), sprint("Z%d", i), true)
			part(a, "VPMOVZXBD", masked, i, sprint("%d(DX)", 16*i), sprint("Z%d", 4+i), true)
			a.ins("VPSUBD Z16, Z%d, Z%d", i, i)
			a.ins("VPSUBD Z17, Z%d, Z%d", 4+i, 4+i)
			if product {
				a.ins("VPMULLD Z%d, Z%d, Z%d", 4+i, i, i)
				a.ins("VCVTDQ2PS Z%d, Z%d", i, i)
				a.ins("VMULPS Z18, Z%d, Z%d", i, i)
			} else {
				a.ins("VCVTDQ2PS Z%d, Z%d", i, i)
				a.ins("VCVTDQ2PS Z%d, Z%d", 4+i, 4+i)
				a.ins("VMULPS Z18, Z%d, Z%d", i, i)
				a.ins("VMULPS Z19, Z%d, Z%d", 4+i, 4+i)
				a.ins("VADDPS Z%d, Z%d, Z%d", 4+i, i, i)
			}
			a.ins("VCVTPS2DQ Z%d, Z%d", i, i)
		}
		a.ins("VPACKSSDW Z1, Z0, Z0")
		a.ins("VPACKSSDW Z3, Z2, Z2")
		a.ins("VPADDSW Z20, Z0, Z0")
		a.ins("VPADDSW Z20, Z2, Z2")
		a.ins("VPACKUSWB Z2, Z0, Z0")
		a.ins("VPMAXUB Z21, Z0, Z0")
		a.ins("VPMINUB Z22, Z0, Z0")
		a.ins("VPERMD Z0, Z23, Z0")
		storeBytes(a, masked, "Z0")
		for _, r := range []string{"DI", "SI", "DX"} {
			a.ins("ADDQ $64, %s", r)
		}
	}
	a.ins("CMPL preparedAdd_product(R8), $0")
	a.ins("JNE product")
	blocks(a, "sum", func(m bool) { body(m, false) })
	a.at("product")
	blocks(a, "mul", func(m bool) { body(m, true) })
}

// quotient emits the whole number nearest to x / scale into q; x is lost. The
// lower bound of x is applied already. The product with the reciprocal is
// corrected by what it leaves of x, which gives a quotient next to the true one,
// and once more, which rounds as a division does: P. Markstein, Computation of
// elementary functions on the IBM RISC System/6000 processor, theorem 8.
//
//	v c … c+3  scale, reciprocal, bounds of x
func quotient(a *asm, v string, c int, x, q string) {
	r := func(i int) string { return sprint("%s%d", v, c+i) }
	a.ins("VMINPS %s, %s, %s", r(3), x, x)
	a.ins("VMULPS %s, %s, %s", r(1), x, q)
	for range 2 {
		left := v + "14" // free in both register plans
		a.ins("VMOVAPS %s, %s", x, left)
		a.ins("VFNMADD231PS %s, %s, %s", r(0), q, left)
		a.ins("VFMADD231PS %s, %s, %s", r(1), left, q)
	}
	a.ins("VCVTPS2DQ %s, %s", q, q)
}

// quantizeU8 emits floats to bytes.
func quantizeU8(a *asm) {
	a.text("quantizeU8AVX512", 32)
	a.ins("MOVQ p+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ src+16(FP), SI")
	a.ins("MOVQ n+24(FP), CX")
	for i := range 7 {
		a.ins("VPBROADCASTD %d(R8), Z%d", 4*i, 16+i)
	}
	a.ins("VMOVDQU32 u8Transpose4<>(SB), Z23")
	blocks(a, "block", func(masked bool) {
		for i := range 4 {
			x := sprint("Z%d", i)
			part(a, "VMOVUPS", masked, i, sprint("%d(SI)", 64*i), x, true)
			a.ins("VCMPPS $7, %s, %s, K7", x, x)
			a.ins("VMAXPS.Z Z18, %s, K7, %s", x, x)
			quotient(a, "Z", 16, x, sprint("Z%d", 4+i))
		}
		a.ins("VPACKSSDW Z5, Z4, Z4")
		a.ins("VPACKSSDW Z7, Z6, Z6")
		a.ins("VPADDSW Z20, Z4, Z4")
		a.ins("VPADDSW Z20, Z6, Z6")
		a.ins("VPACKUSWB Z6, Z4, Z4")
		a.ins("VPMAXUB Z21, Z4, Z4")
		a.ins("VPMINUB Z22, Z4, Z4")
		a.ins("VPERMD Z4, Z23, Z4")
		storeBytes(a, masked, "Z4")
		a.ins("ADDQ $256, SI")
		a.ins("ADDQ $64, DI")
	})
}

// widenU8 emits bytes to 16 bits, whole vectors at a time.
func widenU8(a *asm, name string, v vector) {
	a.text(name, 24)
	a.ins("MOVQ dst+0(FP), DI")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ n+16(FP), CX")
	a.at("loop")
	a.ins("VPMOVZXBW (SI), %s", v.r(0))
	if v.reg == "Z" {
		a.ins("VMOVDQU32 %s, (DI)", v.r(0))
	} else {
		a.ins("VMOVDQU %s, (DI)", v.r(0))
	}
	a.ins("ADDQ $%d, SI", v.bytes()/2)
	a.ins("ADDQ $%d, DI", v.bytes())
	a.ins("SUBQ $%d, CX", v.bytes()/2)
	a.ins("JGT loop")
	a.ins("VZEROUPPER")
	a.ins("RET")
}

func maxU8(a *asm) {
	a.text("maxU8AVX512", 24)
	a.ins("MOVQ dst+0(FP), DI")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ n+16(FP), CX")
	blocks(a, "block", func(masked bool) {
		if masked {
			a.ins("VMOVDQU8.Z (SI), K1, Z0")
			a.ins("VMOVDQU8.Z (DI), K1, Z1")
			a.ins("VPMAXUB Z1, Z0, Z0")
		} else {
			a.ins("VMOVDQU8 (SI), Z0")
			a.ins("VPMAXUB (DI), Z0, Z0")
		}
		storeBytes(a, masked, "Z0")
		a.ins("ADDQ $64, SI")
		a.ins("ADDQ $64, DI")
	})
}

func accumulateU8(a *asm) {
	a.text("accumulateU8AVX512", 24)
	a.ins("MOVQ sum+0(FP), DI")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ n+16(FP), CX")
	blocks(a, "block", func(masked bool) {
		for i := range 4 {
			r := sprint("Z%d", i)
			part(a, "VPMOVZXBD", masked, i, sprint("%d(SI)", 16*i), r, true)
			if masked {
				a.ins("VMOVDQU32.Z %d(DI), K%d, Z4", 64*i, 2+i)
				a.ins("VPADDD Z4, %s, %s", r, r)
			} else {
				a.ins("VPADDD %d(DI), %s, %s", 64*i, r, r)
			}
			part(a, "VMOVDQU32", masked, i, r, sprint("%d(DI)", 64*i), false)
		}
		a.ins("ADDQ $64, SI")
		a.ins("ADDQ $256, DI")
	})
}

// peakU8 emits a loop of nothing but independent dot products in registers.
func peakU8(a *asm, name string, v vector, sums int) {
	a.text(name, 8)
	a.ins("MOVQ n+0(FP), CX")
	for i := range sums + 1 {
		a.ins("VXORPS %s, %s, %s", v.r(i), v.r(i), v.r(i))
	}
	a.at("loop")
	for i := range sums {
		dotProduct(a, v.reg == "Y", v.r(sums), v.r(sums), v.r(i))
	}
	a.ins("SUBQ $1, CX")
	a.ins("JNE loop")
	a.ins("VZEROUPPER")
	a.ins("RET")
}

// dequantizeU8 emits bytes to floats.
func dequantizeU8(a *asm) {
	a.text("dequantizeU8AVX512", 32)
	a.ins("MOVQ p+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ src+16(FP), SI")
	a.ins("MOVQ n+24(FP), CX")
	a.ins("VPBROADCASTD (R8), Z16")  // scale
	a.ins("VPBROADCASTD 4(R8), Z17") // zero point
	blocks(a, "block", func(masked bool) {
		for i := range 4 {
			r := sprint("Z%d", i)
			part(a, "VPMOVZXBD", masked, i, sprint("%d(SI)", 16*i), r, true)
			a.ins("VPSUBD Z17, %s, %s", r, r)
			a.ins("VCVTDQ2PS %s, %s", r, r)
			a.ins("VMULPS Z16, %s, %s", r, r)
			part(a, "VMOVUPS", masked, i, r, sprint("%d(DI)", 64*i), false)
		}
		a.ins("ADDQ $64, SI")
		a.ins("ADDQ $256, DI")
	})
}

// lookupU8 emits table[src]: two permutations of 128 bytes each, of which the
// top bit of the index chooses one. It needs AVX-512 VBMI.
func lookupU8(a *asm) {
	a.text("lookupU8VBMI", 32)
	a.ins("MOVQ table+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ src+16(FP), SI")
	a.ins("MOVQ n+24(FP), CX")
	for i := range 4 {
		a.ins("VMOVDQU8 %d(R8), Z%d", 64*i, 16+i)
	}
	blocks(a, "block", func(masked bool) {
		if masked {
			a.ins("VMOVDQU8.Z (SI), K1, Z0")
		} else {
			a.ins("VMOVDQU8 (SI), Z0")
		}
		a.ins("VPMOVB2M Z0, K7")
		a.ins("VMOVDQA64 Z0, Z1")
		a.ins("VPERMI2B Z17, Z16, Z0")
		a.ins("VPERMI2B Z19, Z18, Z1")
		a.ins("VMOVDQU8 Z1, K7, Z0")
		storeBytes(a, masked, "Z0")
		a.ins("ADDQ $64, SI")
		a.ins("ADDQ $64, DI")
	})
}

// scaleI32 emits whole numbers to floats, times one vector and plus another.
func scaleI32(a *asm) {
	for _, v := range []vector{zmm, ymm} {
		a.text("scaleI32"+map[string]string{"Z": "AVX512", "Y": "AVX2"}[v.reg], 40)
		for i, arg := range []string{"dst", "acc", "mult", "bias", "n"} {
			a.ins("MOVQ %s+%d(FP), %s", arg, 8*i, []string{"DI", "SI", "R8", "R9", "CX"}[i])
		}
		r := v.r(0)
		a.at("loop")
		masked := v.reg == "Z"
		if masked { // every turn: rows are short
			a.ins("MOVQ $-1, AX")
			a.ins("BZHIQ CX, AX, AX")
			a.ins("KMOVQ AX, K1")
			a.ins("VCVTDQ2PS.Z (SI), K1, %s", r)
			a.ins("VMULPS.Z (R8), %s, K1, %s", r, r)
			a.ins("VADDPS.Z (R9), %s, K1, %s", r, r)
			a.ins("VMOVUPS %s, K1, (DI)", r)
		} else {
			a.ins("VCVTDQ2PS (SI), %s", r)
			a.ins("VMULPS (R8), %s, %s", r, r)
			a.ins("VADDPS (R9), %s, %s", r, r)
			a.ins("VMOVUPS %s, (DI)", r)
		}
		for _, p := range []string{"DI", "SI", "R8", "R9"} {
			a.ins("ADDQ $%d, %s", v.bytes(), p)
		}
		a.ins("SUBQ $%d, CX", v.lanes)
		a.ins("JGT loop")
		a.ins("VZEROUPPER")
		a.ins("RET")
	}
}

// rangeF32 emits the least and greatest in each of 16 lanes of a multiple of 64
// floats. The order of operands makes a comparison with NaN keep the old value.
func rangeF32(a *asm) {
	a.text("rangeF32AVX512", 24)
	a.ins("MOVQ r+0(FP), R8")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ n+16(FP), CX")
	a.ins("MOVL $0x7F800000, AX")
	a.ins("VPBROADCASTD AX, Z0")
	a.ins("MOVL $0xFF800000, AX")
	a.ins("VPBROADCASTD AX, Z4")
	for i := 1; i < 4; i++ {
		a.ins("VMOVAPS Z0, Z%d", i)
		a.ins("VMOVAPS Z4, Z%d", 4+i)
	}
	a.at("loop")
	for i := range 4 {
		a.ins("VMOVUPS %d(SI), Z%d", 64*i, 8+i)
		a.ins("VMINPS Z%d, Z%d, Z%d", i, 8+i, i)
		a.ins("VMAXPS Z%d, Z%d, Z%d", 4+i, 8+i, 4+i)
	}
	a.ins("ADDQ $256, SI")
	a.ins("SUBQ $64, CX")
	a.ins("JNE loop")
	for i := 1; i < 4; i++ {
		a.ins("VMINPS Z%d, Z0, Z0", i)
		a.ins("VMAXPS Z%d, Z4, Z4", 4+i)
	}
	a.ins("VMOVUPS Z0, (R8)")
	a.ins("VMOVUPS Z4, 64(R8)")
	a.ins("VZEROUPPER")
	a.ins("RET")
}

// slicesAVX2 emits the slice kernels for AVX2. They take whole blocks of 32
// elements and leave the rest to portable code.
func slicesAVX2(a *asm) {
	loop := func(label string, body func(), moves ...string) {
		a.at(label)
		body()
		for _, m := range moves {
			a.ins("ADDQ %s", m)
		}
		a.ins("SUBQ $32, CX")
		a.ins("JNE %s", label)
		a.ins("VZEROUPPER")
		a.ins("RET")
	}
	// Four vectors of eight whole numbers in Y0 … Y3 become 32 bytes at DI: zero
	// point in Y10, bounds in Y11 and Y12, order in Y13.
	pack := func() {
		a.ins("VPACKSSDW Y1, Y0, Y0")
		a.ins("VPACKSSDW Y3, Y2, Y2")
		a.ins("VPADDSW Y10, Y0, Y0")
		a.ins("VPADDSW Y10, Y2, Y2")
		a.ins("VPACKUSWB Y2, Y0, Y0")
		a.ins("VPMAXUB Y11, Y0, Y0")
		a.ins("VPMINUB Y12, Y0, Y0")
		a.ins("VPERMD Y0, Y13, Y0")
		a.ins("VMOVDQU Y0, (DI)")
	}

	a.text("binaryU8AVX2", 40)
	a.ins("MOVQ p+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ a+16(FP), SI")
	a.ins("MOVQ b+24(FP), DX")
	a.ins("MOVQ n+32(FP), CX")
	for i, f := range []string{"aZero", "bZero", "aMult", "bMult", "zero", "lo", "hi"} {
		a.ins("VPBROADCASTD preparedAdd_%s(R8), Y%d", f, 6+i)
	}
	a.ins("VMOVDQU u8Transpose4Y<>(SB), Y13")
	operands := func(i int) {
		a.ins("VPMOVZXBD %d(SI), Y%d", 8*i, i)
		a.ins("VPMOVZXBD %d(DX), Y4", 8*i)
		a.ins("VPSUBD Y6, Y%d, Y%d", i, i)
		a.ins("VPSUBD Y7, Y4, Y4")
	}
	a.ins("CMPL preparedAdd_product(R8), $0")
	a.ins("JNE product")
	loop("sum", func() {
		for i := range 4 {
			operands(i)
			a.ins("VCVTDQ2PS Y%d, Y%d", i, i)
			a.ins("VCVTDQ2PS Y4, Y4")
			a.ins("VMULPS Y8, Y%d, Y%d", i, i)
			a.ins("VMULPS Y9, Y4, Y4")
			a.ins("VADDPS Y4, Y%d, Y%d", i, i)
			a.ins("VCVTPS2DQ Y%d, Y%d", i, i)
		}
		pack()
	}, "$32, DI", "$32, SI", "$32, DX")
	loop("product", func() {
		for i := range 4 {
			operands(i)
			a.ins("VPMULLD Y4, Y%d, Y%d", i, i)
			a.ins("VCVTDQ2PS Y%d, Y%d", i, i)
			a.ins("VMULPS Y8, Y%d, Y%d", i, i)
			a.ins("VCVTPS2DQ Y%d, Y%d", i, i)
		}
		pack()
	}, "$32, DI", "$32, SI", "$32, DX")

	a.text("quantizeU8AVX2", 32)
	a.ins("MOVQ p+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ src+16(FP), SI")
	a.ins("MOVQ n+24(FP), CX")
	for i := range 4 {
		a.ins("VPBROADCASTD %d(R8), Y%d", 4*i, 6+i)
	}
	for i := range 3 {
		a.ins("VPBROADCASTD %d(R8), Y%d", 16+4*i, 10+i)
	}
	a.ins("VMOVDQU u8Transpose4Y<>(SB), Y13")
	loop("loop", func() {
		for i := range 4 {
			x := "Y4"
			a.ins("VMOVUPS %d(SI), %s", 32*i, x)
			a.ins("VCMPPS $7, %s, %s, Y5", x, x)
			a.ins("VANDPS Y5, %s, %s", x, x)
			a.ins("VMAXPS Y8, %s, %s", x, x)
			quotient(a, "Y", 6, x, sprint("Y%d", i))
		}
		pack()
	}, "$32, DI", "$128, SI")

	a.text("dequantizeU8AVX2", 32)
	a.ins("MOVQ p+0(FP), R8")
	a.ins("MOVQ dst+8(FP), DI")
	a.ins("MOVQ src+16(FP), SI")
	a.ins("MOVQ n+24(FP), CX")
	a.ins("VPBROADCASTD (R8), Y6")  // scale
	a.ins("VPBROADCASTD 4(R8), Y7") // zero point
	loop("loop", func() {
		for i := range 4 {
			a.ins("VPMOVZXBD %d(SI), Y%d", 8*i, i)
			a.ins("VPSUBD Y7, Y%d, Y%d", i, i)
			a.ins("VCVTDQ2PS Y%d, Y%d", i, i)
			a.ins("VMULPS Y6, Y%d, Y%d", i, i)
			a.ins("VMOVUPS Y%d, %d(DI)", i, 32*i)
		}
	}, "$128, DI", "$32, SI")

	a.text("maxU8AVX2", 24)
	a.ins("MOVQ dst+0(FP), DI")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ n+16(FP), CX")
	loop("loop", func() {
		a.ins("VMOVDQU (SI), Y0")
		a.ins("VPMAXUB (DI), Y0, Y0")
		a.ins("VMOVDQU Y0, (DI)")
	}, "$32, DI", "$32, SI")

	a.text("accumulateU8AVX2", 24)
	a.ins("MOVQ sum+0(FP), DI")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ n+16(FP), CX")
	loop("loop", func() {
		for i := range 4 {
			a.ins("VPMOVZXBD %d(SI), Y%d", 8*i, i)
			a.ins("VPADDD %d(DI), Y%d, Y%d", 32*i, i, i)
			a.ins("VMOVDQU Y%d, %d(DI)", i, 32*i)
		}
	}, "$128, DI", "$32, SI")
}

// addRows emits sums of rows, one row after another.
//
//	DI next sum; SI row, DX bytes between rows, R8 rows left; BX place in the row,
//	CX bytes left; R9 bytes of a row
func addRows(a *asm) {
	a.text("addRowsU8AVX2", 40)
	a.ins("MOVQ sums+0(FP), DI")
	a.ins("MOVQ src+8(FP), SI")
	a.ins("MOVQ rows+16(FP), R8")
	a.ins("MOVQ stride+24(FP), DX")
	a.ins("MOVQ n+32(FP), R9")
	a.ins("VPXOR Y1, Y1, Y1")
	a.at("row")
	a.ins("MOVQ SI, BX")
	a.ins("MOVQ R9, CX")
	a.ins("VPXOR Y0, Y0, Y0")
	a.ins("SUBQ $32, CX")
	a.ins("JLT rest")
	a.at("loop")
	a.ins("VPSADBW (BX), Y1, Y2")
	a.ins("VPADDQ Y2, Y0, Y0")
	a.ins("ADDQ $32, BX")
	a.ins("SUBQ $32, CX")
	a.ins("JGE loop")
	a.at("rest")
	a.ins("VEXTRACTI128 $1, Y0, X2")
	a.ins("VPADDQ X2, X0, X0")
	a.ins("VPSRLDQ $8, X0, X2")
	a.ins("VPADDQ X2, X0, X0")
	a.ins("VMOVD X0, AX")
	a.ins("ADDQ $32, CX")
	a.ins("JEQ summed")
	a.at("single")
	a.ins("MOVBLZX (BX), R10")
	a.ins("ADDL R10, AX")
	a.ins("ADDQ $1, BX")
	a.ins("SUBQ $1, CX")
	a.ins("JNE single")
	a.at("summed")
	a.ins("ADDL AX, (DI)")
	a.ins("ADDQ $4, DI")
	a.ins("ADDQ DX, SI")
	a.ins("SUBQ $1, R8")
	a.ins("JNE row")
	a.ins("VZEROUPPER")
	a.ins("RET")
}
