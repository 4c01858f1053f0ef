package main

func init() {
	outputs["batchnorm_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			b := &batchNormF32{&channelsF32{asm: a, vec: v}}
			b.sum("normSumF32" + level)
			b.square("normSquareF32" + level)
			b.clamp("normClampF32" + level)
			for _, gated := range []bool{false, true} {
				name := map[bool]string{true: "Gated"}[gated]
				b.sums("norm"+name+"SumsF32"+level, gated)
				b.affine("norm"+name+"AffineF32"+level, gated)
			}
		}
		laneMask(a)
	}
}

// batchNormF32 emits loops over rows that walk each row from end to end, so that memory is
// read in order; the numbers of the channels come from the nearest cache.
//
// Register plan: DI arguments, SI and DX rows of a and b, R8 of dst, R9 … R13 numbers of the
// channels, BX bytes done of the row, CX bytes of whole vectors of a row, AX rows left. V0 …
// V7 values, V8 and V9 the bounds; the mask of a partial vector is K1 or Y15.
type batchNormF32 struct{ *channelsF32 }

// rows emits body for every vector of every row; fields are loaded into R9 and on.
func (b *batchNormF32) rows(name string, fields []string, bounds bool, body func(tail bool)) {
	b.text(name, 8)
	b.ins("MOVQ args+0(FP), DI")
	for i, f := range append([]string{"a", "b", "dst"}, fields...) {
		b.ins("MOVQ normF32_%s(DI), %s", f, []string{"SI", "DX", "R8", "R9", "R10", "R11", "R12", "R13"}[i])
	}
	if bounds {
		b.ins("VBROADCASTSS normF32_lo(DI), %s", b.r(8))
		b.ins("VBROADCASTSS normF32_hi(DI), %s", b.r(9))
	}
	whole := b.label("whole")
	b.ins("MOVQ normF32_n(DI), CX")
	b.ins("ANDQ $%d, CX", b.vec.lanes-1)
	b.ins("JEQ %s", whole)
	if b.vec == zmm {
		b.ins("MOVQ $-1, AX")
		b.ins("BZHIQ CX, AX, AX")
		b.ins("KMOVW AX, K1")
	} else {
		b.ins("LEAQ laneMask<>+64(SB), AX")
		b.ins("SHLQ $2, CX")
		b.ins("SUBQ CX, AX")
		b.ins("VMOVUPS (AX), Y15")
	}
	b.at(whole)
	b.ins("MOVQ normF32_n(DI), CX")
	b.ins("ANDQ $%d, CX", -b.vec.lanes)
	b.ins("SHLQ $2, CX")
	b.ins("MOVQ normF32_rows(DI), AX")
	row, loop, tail, next := b.label("row"), b.label("loop"), b.label("tail"), b.label("next")
	b.at(row)
	b.ins("XORL BX, BX")
	b.ins("CMPQ BX, CX")
	b.ins("JGE %s", tail)
	b.at(loop)
	body(false)
	b.ins("ADDQ $%d, BX", b.vec.bytes())
	b.ins("CMPQ BX, CX")
	b.ins("JLT %s", loop)
	b.at(tail)
	b.ins("TESTQ $%d, normF32_n(DI)", b.vec.lanes-1)
	b.ins("JEQ %s", next)
	body(true)
	b.at(next)
	b.ins("ADDQ normF32_aStep(DI), SI")
	b.ins("ADDQ normF32_bStep(DI), DX")
	b.ins("ADDQ normF32_dstStep(DI), R8")
	b.ins("DECQ AX")
	b.ins("JNE %s", row)
	b.ins("VZEROUPPER")
	b.ins("RET")
}

func (b *batchNormF32) get(from string, to int, tail bool) {
	switch {
	case !tail:
		b.ins("VMOVUPS (%s)(BX*1), %s", from, b.r(to))
	case b.vec == zmm:
		b.ins("VMOVUPS.Z (%s)(BX*1), K1, %s", from, b.r(to))
	default:
		b.ins("VMASKMOVPS (%s)(BX*1), Y15, %s", from, b.r(to))
	}
}

func (b *batchNormF32) put(to string, from int, tail bool) {
	switch {
	case !tail:
		b.ins("VMOVUPS %s, (%s)(BX*1)", b.r(from), to)
	case b.vec == zmm:
		b.ins("VMOVUPS %s, K1, (%s)(BX*1)", b.r(from), to)
	default:
		b.ins("VMASKMOVPS %s, Y15, (%s)(BX*1)", b.r(from), to)
	}
}

// sum emits sum += Σ a.
func (b *batchNormF32) sum(name string) {
	b.rows(name, []string{"sum"}, false, func(tail bool) {
		b.get("SI", 0, tail)
		b.get("R9", 1, tail)
		b.ins("VADDPS %s, %s, %s", b.r(0), b.r(1), b.r(1))
		b.put("R9", 1, tail)
	})
}

// square emits sum += Σ (a-q)².
func (b *batchNormF32) square(name string) {
	b.rows(name, []string{"sum", "q"}, false, func(tail bool) {
		b.get("SI", 0, tail)
		b.get("R9", 1, tail)
		b.get("R10", 2, tail)
		b.ins("VSUBPS %s, %s, %s", b.r(2), b.r(0), b.r(0))
		b.ins("VFMADD231PS %s, %s, %s", b.r(0), b.r(0), b.r(1))
		b.put("R9", 1, tail)
	})
}

// clamp emits dst = min(max(a·m + t, lo), hi); a NaN stays.
func (b *batchNormF32) clamp(name string) {
	b.rows(name, []string{"m", "t"}, true, func(tail bool) {
		b.get("SI", 0, tail)
		b.get("R9", 1, tail)
		b.get("R10", 2, tail)
		b.ins("VFMADD231PS %s, %s, %s", b.r(1), b.r(0), b.r(2))
		b.ins("VMAXPS %s, %s, %s", b.r(2), b.r(8), b.r(2))
		b.ins("VMINPS %s, %s, %s", b.r(2), b.r(9), b.r(2))
		b.put("R8", 2, tail)
	})
}

// gate emits V0 = a and V1 = b, which is zero where gated and a·m + t is out of bounds.
func (b *batchNormF32) gate(gated, tail bool) {
	b.get("SI", 0, tail)
	b.get("DX", 1, tail)
	if !gated {
		return
	}
	b.get("R9", 2, tail)
	b.get("R10", 3, tail)
	b.ins("VFMADD231PS %s, %s, %s", b.r(2), b.r(0), b.r(3))
	if b.vec == zmm {
		b.ins("VCMPPS $2, Z3, Z8, K2")
		b.ins("VCMPPS $2, Z9, Z3, K2, K2")
		b.ins("VMOVAPS.Z Z1, K2, Z1")
		return
	}
	b.ins("VCMPPS $2, Y3, Y8, Y2")
	b.ins("VCMPPS $2, Y9, Y3, Y3")
	b.ins("VANDPS Y2, Y1, Y1")
	b.ins("VANDPS Y3, Y1, Y1")
}

// sums emits sum += Σ b and dot += Σ b·(a-q), with gated values of b.
func (b *batchNormF32) sums(name string, gated bool) {
	b.rows(name, []string{"m", "t", "sum", "dot", "q"}, gated, func(tail bool) {
		b.gate(gated, tail)
		b.get("R11", 4, tail)
		b.get("R12", 5, tail)
		b.get("R13", 6, tail)
		b.ins("VADDPS %s, %s, %s", b.r(1), b.r(4), b.r(4))
		b.ins("VSUBPS %s, %s, %s", b.r(6), b.r(0), b.r(0))
		b.ins("VFMADD231PS %s, %s, %s", b.r(0), b.r(1), b.r(5))
		b.put("R11", 4, tail)
		b.put("R12", 5, tail)
	})
}

// affine emits dst = a·p + b·u + q, with gated values of b.
func (b *batchNormF32) affine(name string, gated bool) {
	b.rows(name, []string{"m", "t", "p", "u", "q"}, gated, func(tail bool) {
		b.gate(gated, tail)
		b.get("R11", 4, tail)
		b.get("R12", 5, tail)
		b.get("R13", 6, tail)
		b.ins("VFMADD231PS %s, %s, %s", b.r(4), b.r(0), b.r(6))
		b.ins("VFMADD231PS %s, %s, %s", b.r(5), b.r(1), b.r(6))
		b.put("R8", 6, tail)
	})
}
