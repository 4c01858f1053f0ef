package main

func init() {
	outputs["nbits_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			a.text("unpackF32"+level, 8)
			unpackF32(a, v)
		}
		a.raw("\nDATA nibble<>+0(SB)/4, $15\nGLOBL nibble<>(SB), RODATA, $4\n")
	}
}

// unpackF32 emits the expansion of blocks of integers of 4 or 8 bits to float32, each
// vector of columns with its own scale and addend.
//
// Register plan: DI arguments, SI source, R8 destination, R9 bytes from row to row there,
// BX blocks left, DX steps of a block, CX steps left; V14 the mask of the low bits, V12
// and V13 scale and addend of the block.
func unpackF32(a *asm, v vector) {
	a.ins("MOVQ args+0(FP), DI")
	a.ins("MOVQ unpackF32_src(DI), SI")
	a.ins("MOVQ unpackF32_dst(DI), R8")
	a.ins("MOVQ unpackF32_step(DI), R9")
	a.ins("MOVQ unpackF32_blocks(DI), BX")
	a.ins("MOVQ unpackF32_block(DI), DX")
	a.ins("VPBROADCASTD nibble<>(SB), %s", v.r(14))
	and := map[vector]string{zmm: "VPANDD", ymm: "VPAND"}[v]
	bytes, done := a.label("bytes"), a.label("done")
	a.ins("CMPQ unpackF32_bits(DI), $4")
	a.ins("JNE %s", bytes)
	block := func(loops int, body func()) {
		next, loop := a.label("next"), a.label("loop")
		a.at(next)
		a.ins("VMOVUPS (SI), %s", v.r(12))
		a.ins("VMOVUPS %d(SI), %s", v.bytes(), v.r(13))
		a.ins("ADDQ $%d, SI", 2*v.bytes())
		a.ins("MOVQ DX, CX")
		a.at(loop)
		body()
		a.ins("SUBQ $%d, CX", loops)
		a.ins("JNE %s", loop)
		a.ins("SUBQ $1, BX")
		a.ins("JNE %s", next)
	}
	finish := func(rows int) {
		for i := range rows {
			a.ins("VCVTDQ2PS %[1]s, %[1]s", v.r(i))
			a.ins("VFMADD213PS %s, %s, %s", v.r(13), v.r(12), v.r(i))
		}
		for i := range rows {
			a.ins("VMOVUPS %s, (R8)", v.r(i))
			a.ins("ADDQ R9, R8")
		}
	}
	block(4, func() {
		for i := 0; i < 4; i += 2 {
			a.ins("VPMOVZXBD %d(SI), %s", i/2*v.lanes, v.r(i))
			a.ins("VPSRLD $4, %s, %s", v.r(i), v.r(i+1))
			a.ins("%s %s, %s, %s", and, v.r(14), v.r(i), v.r(i))
		}
		a.ins("ADDQ $%d, SI", 2*v.lanes)
		finish(4)
	})
	a.ins("JMP %s", done)
	a.at(bytes)
	block(4, func() {
		for i := range 4 {
			a.ins("VPMOVZXBD %d(SI), %s", i*v.lanes, v.r(i))
		}
		a.ins("ADDQ $%d, SI", 4*v.lanes)
		finish(4)
	})
	a.at(done)
	a.ins("VZEROUPPER")
	a.ins("RET")
}
