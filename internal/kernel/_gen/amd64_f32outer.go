package main

func init() {
	outputs["outer_f32_gen_amd64.s"] = func(a *asm) {
		outerF32{a, zmm}.emit("outerF32AVX512")
		outerF32{a, ymm}.emit("outerF32AVX2")
	}
}

// outerF32 emits c += Σ a[k]ᵀ·b[k], sums of outer products of rows of 16 values with rows of
// 16 or 32: so many rows of c at a time that the sums of two vectors, or of one, stay in
// registers.
//
// Register plan: DI arguments, SI and DX rows of a and b at hand, R8 and R9 their steps, CX
// rows left; R10 c, R11 bytes from row to row of c, R12 the row of c at hand; BX bytes of
// columns done, AX bytes of columns. Sums are V0 …; then two vectors of b and two values.
type outerF32 struct {
	*asm
	vec vector
}

func (o outerF32) emit(name string) {
	o.text(name, 8)
	o.ins("MOVQ args+0(FP), DI")
	o.ins("MOVQ outerF32_aStep(DI), R8")
	o.ins("MOVQ outerF32_bStep(DI), R9")
	o.ins("MOVQ outerF32_ldc(DI), R11")
	o.ins("MOVQ outerF32_cols(DI), AX")
	o.ins("SHLQ $2, AX")
	o.ins("XORQ BX, BX")
	block, done := o.label("block"), o.label("done")
	o.at(block)
	o.ins("CMPQ BX, AX")
	o.ins("JGE %s", done)
	if o.vec == zmm {
		narrow, next := o.label("narrow"), o.label("next")
		o.ins("LEAQ 64(BX), CX")
		o.ins("CMPQ CX, AX")
		o.ins("JGE %s", narrow)
		o.rows(8, 2)
		o.ins("ADDQ $128, BX")
		o.ins("JMP %s", next)
		o.at(narrow)
		o.rows(16, 1)
		o.ins("ADDQ $64, BX")
		o.at(next)
	} else {
		o.rows(4, 2)
		o.ins("ADDQ $64, BX")
	}
	o.ins("JMP %s", block)
	o.at(done)
	o.ins("VZEROUPPER")
	o.ins("RET")
}

// rows emits the sums of 16 rows, some at a time.
func (o outerF32) rows(rows, vecs int) {
	v := o.vec
	sum := func(r, i int) string { return v.r(r*vecs + i) }
	b := func(i int) string { return v.r(v.regs - 2 + i) }
	for from := 0; from < 16; from += rows {
		o.ins("MOVQ outerF32_c(DI), R10")
		o.ins("ADDQ BX, R10")
		for range from {
			o.ins("ADDQ R11, R10")
		}
		o.ins("MOVQ R10, R12")
		for r := range rows {
			for i := range vecs {
				o.ins("VMOVUPS %d(R12), %s", i*v.bytes(), sum(r, i))
			}
			o.ins("ADDQ R11, R12")
		}
		o.ins("MOVQ outerF32_a(DI), SI")
		o.ins("MOVQ outerF32_b(DI), DX")
		o.ins("ADDQ BX, DX")
		o.ins("MOVQ outerF32_k(DI), CX")
		loop := o.label("loop")
		o.ins("PCALIGN $32")
		o.at(loop)
		for i := range vecs {
			o.ins("VMOVUPS %d(DX), %s", i*v.bytes(), b(i))
		}
		for r := range rows {
			if vecs == 1 {
				o.ins("VFMADD231PS.BCST %d(SI), %s, %s", 4*(from+r), b(0), sum(r, 0))
				continue
			}
			x := v.r(v.regs - 4 + r%2)
			o.ins("VBROADCASTSS %d(SI), %s", 4*(from+r), x)
			for i := range vecs {
				o.ins("VFMADD231PS %s, %s, %s", b(i), x, sum(r, i))
			}
		}
		o.ins("ADDQ R8, SI")
		o.ins("ADDQ R9, DX")
		o.ins("SUBQ $1, CX")
		o.ins("JNE %s", loop)
		for r := range rows {
			for i := range vecs {
				o.ins("VMOVUPS %s, %d(R10)", sum(r, i), i*v.bytes())
			}
			o.ins("ADDQ R11, R10")
		}
	}
}
