package main

import "fmt"

func init() {
	outputs["rows_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			m := &mapF32{asm: a, vec: v}
			a.text("mixF32"+level, 8)
			m.mix()
			a.text("sumRowsF32"+level, 8)
			m.sumRows()
			a.text("interleave3F32"+level, 8)
			m.interleave3()
		}
		a.text("transposeF32AVX2", 8)
		(&mapF32{asm: a, vec: ymm}).transpose()
		interleaveIndices(a)
		laneMask(a)
	}
}

// mix emits, for every output pixel, w0·a + w1·b over the channels of two input pixels;
// where w1 is 0 a copy of a.
//
// Register plan: SI source, R8 destination, DX entry of the table, R10 pixels left, R9 bytes
// of the whole vectors of a pixel, CX values after them; R11 and R12 the two pixels, BX bytes
// into them.
func (m *mapF32) mix() {
	m.ins("MOVQ args+0(FP), DI")
	m.ins("MOVQ mixF32_n(DI), CX")
	m.ins("MOVQ CX, R9")
	m.ins("ANDQ $%d, CX", m.vec.lanes-1)
	m.tailMask()
	m.ins("SUBQ CX, R9")
	m.ins("SHLQ $2, R9")
	m.ins("MOVQ mixF32_dst(DI), R8")
	m.ins("MOVQ mixF32_src(DI), SI")
	m.ins("MOVQ mixF32_taps(DI), DX")
	m.ins("MOVQ mixF32_pixels(DI), R10")
	m.ins("MOVQ mixF32_dstStep(DI), R13")
	m.at("pixel")
	m.ins("MOVQ mixTap_at(DX), R11")
	m.ins("ADDQ SI, R11")
	m.ins("XORL BX, BX")
	m.ins("MOVL mixTap_w1(DX), AX")
	m.ins("TESTL AX, AX")
	m.ins("JEQ copy")
	m.ins("MOVQ mixTap_next(DX), R12")
	m.ins("ADDQ SI, R12")
	m.ins("VBROADCASTSS mixTap_w0(DX), %s", m.r(2))
	m.ins("VBROADCASTSS mixTap_w1(DX), %s", m.r(3))
	for _, both := range []bool{true, false} {
		name := "mix"
		if !both {
			name = "copy"
			m.at("copy")
		}
		value := func(tail bool) {
			m.load("R11", 0, tail)
			if both {
				m.load("R12", 1, tail)
				m.op("VMULPS %s, %s, %s", 2, 0, 0)
				m.op("VFMADD231PS %s, %s, %s", 3, 1, 0)
			}
			m.store(tail)
		}
		m.ins("CMPQ BX, R9")
		m.ins("JGE %sTail", name)
		m.at(name + "Loop")
		value(false)
		m.ins("ADDQ $%d, BX", m.vec.bytes())
		m.ins("CMPQ BX, R9")
		m.ins("JLT %sLoop", name)
		m.at(name + "Tail")
		m.ins("TESTQ CX, CX")
		m.ins("JEQ next")
		value(true)
		if both {
			m.ins("JMP next")
		}
	}
	m.at("next")
	m.ins("ADDQ R13, R8")
	m.ins("ADDQ $mixTap__size, DX")
	m.ins("DECQ R10")
	m.ins("JNE pixel")
	m.ins("VZEROUPPER")
	m.ins("RET")
}

// sumRows adds rows of values to sums, by blocks of up to eight vectors which stay in
// registers while the rows pass.
//
// Register plan: SI the block in the first row, R11 in the current one, R8 its sums, R9
// values left, R10 rows left, R12 the step of rows.
func (m *mapF32) sumRows() {
	m.ins("MOVQ args+0(FP), DI")
	m.ins("MOVQ sumRowsF32_dst(DI), R8")
	m.ins("MOVQ sumRowsF32_src(DI), SI")
	m.ins("MOVQ sumRowsF32_n(DI), R9")
	m.ins("MOVQ sumRowsF32_step(DI), R12")
	m.ins("XORL BX, BX")
	block := func(vectors int, name string) {
		bytes := m.vec.bytes()
		m.at(name)
		m.ins("CMPQ R9, $%d", vectors*m.vec.lanes)
		m.ins("JLT %sEnd", name)
		for i := range vectors {
			m.ins("VMOVUPS %d(R8), %s", i*bytes, m.r(i))
		}
		m.ins("MOVQ SI, R11")
		m.ins("MOVQ sumRowsF32_rows(DI), R10")
		m.at(name + "Row")
		for i := range vectors {
			m.ins("VADDPS %d(R11), %s, %s", i*bytes, m.r(i), m.r(i))
		}
		m.ins("ADDQ R12, R11")
		m.ins("DECQ R10")
		m.ins("JNE %sRow", name)
		for i := range vectors {
			m.ins("VMOVUPS %s, %d(R8)", m.r(i), i*bytes)
		}
		m.ins("ADDQ $%d, R8", vectors*bytes)
		m.ins("ADDQ $%d, SI", vectors*bytes)
		m.ins("SUBQ $%d, R9", vectors*m.vec.lanes)
		m.ins("JMP %s", name)
		m.at(name + "End")
	}
	block(8, "eight")
	block(2, "two")
	block(1, "one")
	m.ins("TESTQ R9, R9")
	m.ins("JEQ done")
	m.ins("MOVQ R9, CX")
	m.tailMask()
	m.ins("XORL BX, BX")
	m.load("R8", 0, true)
	m.ins("MOVQ sumRowsF32_rows(DI), R10")
	m.at("tailRow")
	m.load("SI", 1, true)
	m.op("VADDPS %s, %s, %s", 1, 0, 0)
	m.ins("ADDQ R12, SI")
	m.ins("DECQ R10")
	m.ins("JNE tailRow")
	m.store(true)
	m.at("done")
	m.ins("VZEROUPPER")
	m.ins("RET")
}

// interleave3 makes pixels of three channels out of three planes, a vector of pixels at a
// time.
func (m *mapF32) interleave3() {
	m.ins("MOVQ args+0(FP), DI")
	m.ins("MOVQ planesF32_dst(DI), R8")
	m.ins("MOVQ planesF32_src(DI), SI")
	m.ins("MOVQ planesF32_plane(DI), DX")
	m.ins("MOVQ planesF32_n(DI), CX")
	for k := range 3 {
		if m.vec == zmm {
			m.ins("VMOVUPS interleaveIndices<>+%d(SB), %s", k*128, m.r(8+2*k))
			m.ins("VMOVUPS interleaveIndices<>+%d(SB), %s", k*128+64, m.r(9+2*k))
		} else {
			m.ins("VMOVUPS interleaveIndices<>+%d(SB), %s", 384+k*32, m.r(8+k))
		}
	}
	m.at("loop")
	m.ins("VMOVUPS (SI), %s", m.r(0))
	m.ins("VMOVUPS (SI)(DX*1), %s", m.r(1))
	m.ins("VMOVUPS (SI)(DX*2), %s", m.r(2))
	for k := range 3 {
		out := 3 + k
		if m.vec == zmm {
			m.op("VMOVAPS %s, %s", 0, out)
			m.op("VPERMT2PS %s, %s, %s", 1, 8+2*k, out)
			m.op("VPERMT2PS %s, %s, %s", 2, 9+2*k, out)
		} else {
			m.op("VPERMPS %s, %s, %s", 0, 8+k, out)
			for c := 1; c <= 2; c++ {
				m.op("VPERMPS %s, %s, %s", c, 8+k, 6)
				lanes := 0
				for i := range 8 {
					if (8*k+i)%3 == c {
						lanes |= 1 << i
					}
				}
				m.ins("VBLENDPS $%d, %s, %s, %s", lanes, m.r(6), m.r(out), m.r(out))
			}
		}
		m.ins("VMOVUPS %s, %d(R8)", m.r(out), k*m.vec.bytes())
	}
	m.ins("ADDQ $%d, SI", m.vec.bytes())
	m.ins("ADDQ $%d, R8", 3*m.vec.bytes())
	m.ins("SUBQ $%d, CX", m.vec.lanes)
	m.ins("JNE loop")
	m.ins("VZEROUPPER")
	m.ins("RET")
}

// interleaveIndices are, for each of three output vectors, which lanes of the planes they
// hold: for sixteen lanes in two steps, the second keeping what the first put in place.
func interleaveIndices(a *asm) {
	a.raw("\n")
	at := 0
	word := func(lo, hi int) {
		a.raw("DATA interleaveIndices<>+%d(SB)/8, $0x%08x%08x\n", at, hi, lo)
		at += 8
	}
	for k := range 3 {
		first, second := func(i int) int {
			j := 16*k + i
			return j/3 + 16*(j%3&1)
		}, func(i int) int {
			if j := 16*k + i; j%3 == 2 {
				return 16 + j/3
			}
			return i
		}
		for _, f := range []func(int) int{first, second} {
			for i := 0; i < 16; i += 2 {
				word(f(i), f(i+1))
			}
		}
	}
	for k := range 3 {
		for i := 0; i < 8; i += 2 {
			word((8*k+i)/3, (8*k+i+1)/3)
		}
	}
	a.raw("GLOBL interleaveIndices<>(SB), RODATA, $%d\n", at)
}

// transpose turns tiles of 8×8 values: eight source columns, lds bytes apart, become the
// eight values side by side of each destination row, ldd bytes apart. The tiles follow
// each other down the rows.
func (m *mapF32) transpose() {
	m.ins("MOVQ args+0(FP), DI")
	m.ins("MOVQ tileF32_dst(DI), R8")
	m.ins("MOVQ tileF32_src(DI), SI")
	m.ins("MOVQ tileF32_ldd(DI), R9")
	m.ins("MOVQ tileF32_lds(DI), R10")
	m.ins("MOVQ tileF32_tiles(DI), CX")
	m.ins("LEAQ (R9)(R9*2), R11")
	m.ins("LEAQ (R10)(R10*2), R12")
	eight := func(base, other, step, three string) []string {
		return []string{"(" + base + ")", fmt.Sprintf("(%s)(%s*1)", base, step), fmt.Sprintf("(%s)(%s*2)", base, step), fmt.Sprintf("(%s)(%s*1)", base, three),
			"(" + other + ")", fmt.Sprintf("(%s)(%s*1)", other, step), fmt.Sprintf("(%s)(%s*2)", other, step), fmt.Sprintf("(%s)(%s*1)", other, three)}
	}
	m.at("tile")
	m.ins("LEAQ (SI)(R10*4), DX")
	m.ins("LEAQ (R8)(R9*4), BX")
	for i, at := range eight("SI", "DX", "R10", "R12") {
		m.ins("VMOVUPS %s, Y%d", at, i)
	}
	// Pairs, then fours, then halves.
	for i := range 4 {
		m.ins("VUNPCKLPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 8+2*i)
		m.ins("VUNPCKHPS Y%d, Y%d, Y%d", 2*i+1, 2*i, 9+2*i)
	}
	for i := range 2 {
		for j := range 2 {
			m.ins("VUNPCKLPD Y%d, Y%d, Y%d", 8+4*i+2+j, 8+4*i+j, 4*i+2*j)
			m.ins("VUNPCKHPD Y%d, Y%d, Y%d", 8+4*i+2+j, 8+4*i+j, 4*i+2*j+1)
		}
	}
	for i := range 4 {
		m.ins("VPERM2F128 $0x20, Y%d, Y%d, Y%d", 4+i, i, 8+i)
		m.ins("VPERM2F128 $0x31, Y%d, Y%d, Y%d", 4+i, i, 12+i)
	}
	for i, at := range eight("R8", "BX", "R9", "R11") {
		m.ins("VMOVUPS Y%d, %s", 8+i, at)
	}
	m.ins("ADDQ $32, SI")
	m.ins("LEAQ (R8)(R9*8), R8")
	m.ins("DECQ CX")
	m.ins("JNE tile")
	m.ins("VZEROUPPER")
	m.ins("RET")
}
