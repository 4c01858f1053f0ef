package main

func init() {
	outputs["pack_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			p := packF32{a, v}
			a.text("packRowsF32"+level, 8)
			p.rows()
			a.text("packColumnsF32"+level, 8)
			p.columns()
		}
		laneMask(a)
	}
}

// packF32 emits the copy of a matrix, times a factor, into one panel of two vectors a row.
//
// Register plan: DI arguments, SI source, R8 destination, R13 bytes from row to row of
// the source, CX rows of the panel left; masks in K1 and K2, or Y14 and Y15.
type packF32 struct {
	*asm
	vec vector
}

func (p packF32) start() {
	p.ins("MOVQ args+0(FP), DI")
	p.ins("MOVQ packF32_src(DI), SI")
	p.ins("MOVQ packF32_dst(DI), R8")
	p.ins("MOVQ packF32_step(DI), R13")
	p.ins("MOVQ packF32_k(DI), CX")
}

// rows emits the copy of CX rows of up to two vectors, zeros after their end.
func (p packF32) rows() {
	p.start()
	p.ins("MOVQ packF32_n(DI), AX")
	if p.vec == zmm {
		p.ins("MOVQ $-1, DX")
		p.ins("BZHIQ AX, DX, DX")
		p.ins("KMOVW DX, K1")
		p.ins("SHRQ $16, DX")
		p.ins("KMOVW DX, K2")
		p.ins("VBROADCASTSS packF32_scale(DI), Z2")
	} else {
		p.ins("LEAQ laneMask<>+64(SB), DX")
		p.ins("SHLQ $2, AX")
		p.ins("SUBQ AX, DX")
		p.ins("VMOVUPS (DX), Y14")
		p.ins("VMOVUPS 32(DX), Y15")
		p.ins("VBROADCASTSS packF32_scale(DI), Y2")
	}
	loop := p.label("loop")
	p.at(loop)
	for i := range 2 {
		at := i * p.vec.bytes()
		if p.vec == zmm {
			p.ins("VMULPS.Z %d(SI), Z2, K%d, Z%d", at, i+1, i)
		} else {
			p.ins("VMASKMOVPS %d(SI), Y%d, Y%d", at, 14+i, i)
			p.ins("VMULPS Y2, Y%[1]d, Y%[1]d", i)
		}
	}
	for i := range 2 {
		p.ins("VMOVUPS %s, %d(R8)", p.vec.r(i), i*p.vec.bytes())
	}
	p.ins("ADDQ R13, SI")
	p.ins("ADDQ $%d, R8", 2*p.vec.bytes())
	p.ins("SUBQ $1, CX")
	p.ins("JNE %s", loop)
	p.ins("VZEROUPPER")
	p.ins("RET")
}

// columns emits the transposed copy of n ≤ lanes rows of the source into one vector of
// each panel row. Vectors beyond n repeat the last row.
func (p packF32) columns() {
	n := p.vec.lanes
	p.start()
	p.ins("MOVQ packF32_n(DI), R10")
	block, whole, next, done := p.label("block"), p.label("whole"), p.label("next"), p.label("done")
	p.at(block)
	p.ins("MOVQ SI, R9")
	// The mask of this block of k.
	p.ins("MOVQ $%d, AX", n)
	p.ins("CMPQ CX, AX")
	p.ins("CMOVQLT CX, AX")
	if p.vec == zmm {
		p.ins("MOVQ $-1, DX")
		p.ins("BZHIQ AX, DX, DX")
		p.ins("KMOVW DX, K1")
	} else {
		p.ins("LEAQ laneMask<>+64(SB), DX")
		p.ins("SHLQ $2, AX")
		p.ins("SUBQ AX, DX")
		p.ins("VMOVUPS (DX), Y15")
	}
	for i := range n {
		if i > 0 {
			p.ins("LEAQ (R9)(R13*1), R11")
			p.ins("CMPQ R10, $%d", i)
			p.ins("CMOVQGT R11, R9")
		}
		if p.vec == zmm {
			p.ins("VMOVUPS.Z (R9), K1, Z%d", i)
		} else {
			p.ins("VMASKMOVPS (R9), Y15, Y%d", i)
		}
	}
	p.transpose()
	scale := "packF32_scales(DI)"
	out := func(k int) {
		p.ins("VMULPS %s, %[2]s, %[2]s", scale, p.vec.r(p.from(k)))
		p.ins("VMOVUPS %s, %d(R8)", p.vec.r(p.from(k)), 2*k*p.vec.bytes())
	}
	p.ins("CMPQ CX, $%d", n)
	p.ins("JGE %s", whole)
	for k := range n - 1 {
		out(k)
		p.ins("CMPQ CX, $%d", k+1)
		p.ins("JEQ %s", done)
	}
	p.at(whole)
	for k := range n {
		out(k)
	}
	p.at(next)
	p.ins("ADDQ $%d, SI", p.vec.bytes())
	p.ins("ADDQ $%d, R8", 2*n*p.vec.bytes())
	p.ins("SUBQ $%d, CX", n)
	p.ins("JGT %s", block)
	p.at(done)
	p.ins("VZEROUPPER")
	p.ins("RET")
}

// from returns the register in which transpose leaves column k.
func (p packF32) from(k int) int {
	if p.vec == zmm {
		return k
	}
	return k + 8
}

// transpose emits the transposition of the square of the first registers.
func (p packF32) transpose() {
	three := func(op string, b, a, to int) { p.ins("%s %s, %s, %s", op, p.vec.r(b), p.vec.r(a), p.vec.r(to)) }
	if p.vec == ymm {
		for i := 0; i < 8; i += 2 { // pairs of rows
			three("VUNPCKLPS", i+1, i, 8+i)
			three("VUNPCKHPS", i+1, i, 9+i)
		}
		for g := 0; g < 8; g += 4 { // register g+j holds four rows at k = j and 4+j
			three("VUNPCKLPD", 8+g+2, 8+g, g)
			three("VUNPCKHPD", 8+g+2, 8+g, g+1)
			three("VUNPCKLPD", 8+g+3, 8+g+1, g+2)
			three("VUNPCKHPD", 8+g+3, 8+g+1, g+3)
		}
		for j := range 4 {
			three("VPERM2F128 $0x20,", 4+j, j, 8+j)
			three("VPERM2F128 $0x31,", 4+j, j, 12+j)
		}
		return
	}
	for i := 0; i < 16; i += 2 {
		three("VUNPCKLPS", i+1, i, 16+i)
		three("VUNPCKHPS", i+1, i, 17+i)
	}
	for g := 0; g < 16; g += 4 { // register g+j, lane L: four rows at k = 4L+j
		three("VUNPCKLPD", 16+g+2, 16+g, g)
		three("VUNPCKHPD", 16+g+2, 16+g, g+1)
		three("VUNPCKLPD", 16+g+3, 16+g+1, g+2)
		three("VUNPCKHPD", 16+g+3, 16+g+1, g+3)
	}
	for j := range 4 { // lanes of registers j, 4+j, 8+j, 12+j become rows k = 4L+j
		three("VSHUFF32X4 $0x44,", 4+j, j, 16)
		three("VSHUFF32X4 $0xee,", 4+j, j, 17)
		three("VSHUFF32X4 $0x44,", 12+j, 8+j, 18)
		three("VSHUFF32X4 $0xee,", 12+j, 8+j, 19)
		three("VSHUFF32X4 $0x88,", 18, 16, j)
		three("VSHUFF32X4 $0xdd,", 18, 16, 4+j)
		three("VSHUFF32X4 $0x88,", 19, 17, 8+j)
		three("VSHUFF32X4 $0xdd,", 19, 17, 12+j)
	}
}
