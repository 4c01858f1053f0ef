package main

import "fmt"

func init() {
	outputs["rows_f32_gen_arm64.s"] = func(a *asm) {
		a.text("mixF32NEON", 8)
		mixNEON(a)
		a.text("sumRowsF32NEON", 8)
		sumRowsNEON(a)
		a.text("interleave3F32NEON", 8)
		interleave3NEON(a)
		a.text("transposeF32NEON", 8)
		transposeNEON(a)
	}
}

// mixNEON emits, for every output pixel, w0·a + w1·b over the channels of two input
// pixels; where w1 is 0 a copy of a.
//
// Register plan: R1 source, R2 destination, R3 entry of the table, R4 pixels left, R5
// channels, R6 the step of the destination; R7 and R8 the two pixels, R9 the output, R10
// channels left; V4 and V5 the weights.
func mixNEON(a *asm) {
	a.ins("MOVD args+0(FP), R0")
	for i, field := range []string{"src", "dst", "taps", "pixels", "n", "dstStep"} {
		a.ins("MOVD mixF32_%s(R0), R%d", field, 1+i)
	}
	a.at("pixel")
	a.ins("MOVD mixTap_at(R3), R7")
	a.ins("ADD R1, R7")
	a.ins("MOVD R2, R9")
	a.ins("MOVD R5, R10")
	a.ins("ADD $mixTap_w0, R3, R16")
	a.do(loadDup("R16", 4))
	a.ins("ADD $mixTap_w1, R3, R16")
	a.do(loadDup("R16", 5))
	a.ins("MOVWU (R16), R17")
	a.ins("CBZ R17, copy")
	a.ins("MOVD mixTap_next(R3), R8")
	a.ins("ADD R1, R8")
	for _, both := range []bool{true, false} {
		name := map[bool]string{true: "mix", false: "copy"}[both]
		// One load, step and store of so many vectors or of one value.
		part := func(size string, n, vectors int, load func(ptr string, i int, to vreg) inst, store func(i int) inst) {
			a.at(name + size)
			a.ins("SUBS $%d, R10", n)
			a.ins("BLT %s%send", name, size)
			for i := range vectors {
				a.do(load("R7", i, vreg(i)))
				if both {
					a.do(load("R8", i, vreg(2+i)))
				}
			}
			a.ins("ADD $%d, R7", 4*n)
			if both {
				a.ins("ADD $%d, R8", 4*n)
				for i := range vreg(vectors) {
					a.do(fmul(i, i, 4))
				}
				for i := range vreg(vectors) {
					a.do(fmla(i, 2+i, 5))
				}
			}
			for i := range vectors {
				a.do(store(i))
			}
			a.ins("ADD $%d, R9", 4*n)
			a.ins("B %s%s", name, size)
			a.at(name + size + "end")
			a.ins("ADDS $%d, R10", n)
		}
		if !both {
			a.at("copy")
		}
		whole := func(ptr string, i int, to vreg) inst { return loadQ(fmt.Sprintf("%d(%s)", 16*i, ptr), to) }
		storeWhole := func(i int) inst { return storeQ(vreg(i), fmt.Sprintf("%d(R9)", 16*i)) }
		part("two", 8, 2, whole, storeWhole)
		part("one", 4, 1, whole, storeWhole)
		part("value", 1, 1, func(ptr string, i int, to vreg) inst { return loadS("("+ptr+")", to) }, func(i int) inst { return storeS(vreg(i), "(R9)") })
		if both {
			a.ins("B next")
		}
	}
	a.at("next")
	a.ins("ADD R6, R2")
	a.ins("ADD $mixTap__size, R3")
	a.ins("SUBS $1, R4")
	a.ins("BNE pixel")
	a.ins("RET")
}

// sumRowsNEON adds rows of values to sums, by blocks of up to eight vectors which stay in
// registers while the rows pass.
//
// Register plan: R1 the sums of a block, R2 the block in the first row, R7 in the current
// one, R3 rows, R4 values left, R5 the step of rows, R6 rows left.
func sumRowsNEON(a *asm) {
	a.ins("MOVD args+0(FP), R0")
	for i, field := range []string{"dst", "src", "rows", "n", "step"} {
		a.ins("MOVD sumRowsF32_%s(R0), R%d", field, 1+i)
	}
	block := func(name string, n, vectors int, load func(ptr string, i int, to vreg) inst, store func(i int) inst) {
		a.at(name)
		a.ins("SUBS $%d, R4", n)
		a.ins("BLT %send", name)
		for i := range vectors {
			a.do(load("R1", i, vreg(i)))
		}
		a.ins("MOVD R2, R7")
		a.ins("MOVD R3, R6")
		a.at(name + "row")
		for i := range vectors {
			a.do(load("R7", i, vreg(8+i)))
		}
		a.ins("ADD R5, R7")
		for i := range vreg(vectors) {
			a.do(fadd(i, i, 8+i))
		}
		a.ins("SUBS $1, R6")
		a.ins("BNE %srow", name)
		for i := range vectors {
			a.do(store(i))
		}
		a.ins("ADD $%d, R1", 4*n)
		a.ins("ADD $%d, R2", 4*n)
		a.ins("B %s", name)
		a.at(name + "end")
		a.ins("ADDS $%d, R4", n)
	}
	whole := func(ptr string, i int, to vreg) inst { return loadQ(fmt.Sprintf("%d(%s)", 16*i, ptr), to) }
	storeWhole := func(i int) inst { return storeQ(vreg(i), fmt.Sprintf("%d(R1)", 16*i)) }
	block("eight", 32, 8, whole, storeWhole)
	block("one", 4, 1, whole, storeWhole)
	block("value", 1, 1, func(ptr string, i int, to vreg) inst { return loadS("("+ptr+")", to) }, func(i int) inst { return storeS(vreg(i), "(R1)") })
	a.ins("RET")
}

// interleave3NEON makes pixels of three channels out of three planes, four pixels at a
// time.
func interleave3NEON(a *asm) {
	a.ins("MOVD args+0(FP), R0")
	a.ins("MOVD planesF32_dst(R0), R1")
	a.ins("MOVD planesF32_src(R0), R2")
	a.ins("MOVD planesF32_plane(R0), R3")
	a.ins("MOVD planesF32_n(R0), R4")
	a.ins("ADD R3, R2, R5")
	a.ins("ADD R3, R5, R6")
	a.at("loop")
	a.ins("FMOVQ.P 16(R2), F0")
	a.ins("FMOVQ.P 16(R5), F1")
	a.ins("FMOVQ.P 16(R6), F2")
	a.ins("VST3.P [V0.S4, V1.S4, V2.S4], 48(R1)")
	a.ins("SUBS $4, R4")
	a.ins("BNE loop")
	a.ins("RET")
}

// transposeNEON turns a column of tiles of 4×4 values.
func transposeNEON(a *asm) {
	a.ins("MOVD args+0(FP), R0")
	a.ins("MOVD tileF32_dst(R0), R1")
	a.ins("MOVD tileF32_src(R0), R2")
	a.ins("MOVD tileF32_ldd(R0), R3")
	a.ins("MOVD tileF32_lds(R0), R4")
	a.ins("MOVD tileF32_tiles(R0), R5")
	a.ins("ADD R4, R2, R6")
	a.ins("ADD R4, R6, R7")
	a.ins("ADD R4, R7, R8")
	a.at("loop")
	for i, from := range []int{2, 6, 7, 8} {
		a.ins("FMOVQ.P 16(R%d), F%d", from, i)
	}
	a.do(zip1(s4, 4, 0, 1), zip1(s4, 5, 2, 3), zip2(s4, 6, 0, 1), zip2(s4, 7, 2, 3))
	a.do(zip1(d2, 0, 4, 5), zip2(d2, 1, 4, 5), zip1(d2, 2, 6, 7), zip2(d2, 3, 6, 7))
	for i := range vreg(4) {
		a.do(storeQ(i, "(R1)"))
		a.ins("ADD R3, R1")
	}
	a.ins("SUBS $1, R5")
	a.ins("BNE loop")
	a.ins("RET")
}
