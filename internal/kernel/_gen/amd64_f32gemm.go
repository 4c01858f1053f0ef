package main

import "fmt"

func init() {
	outputs["gemm_f32_gen_amd64.s"] = func(a *asm) {
		gemmF32{name: "gemmF32x14x32AVX512", mr: 14, vec: zmm}.emit(a)
		gemmF32{name: "gemmF32x6x16AVX2", mr: 6, vec: ymm}.emit(a)
		laneMask(a)
	}
}

// laneMask emits the masks of AVX2: sixteen words of ones and sixteen of zeros.
// The mask of n lanes starts n words before the zeros.
func laneMask(a *asm) {
	a.raw("\n")
	for i := range 32 {
		v := 0
		if i < 16 {
			v = -1
		}
		a.raw("DATA laneMask<>+%d(SB)/4, $%d\n", i*4, v)
	}
	a.raw("GLOBL laneMask<>(SB), RODATA, $128\n")
}

// A vector is a register width.
type vector struct {
	reg   string // letter of the registers
	lanes int
	regs  int
}

var (
	zmm = vector{"Z", 16, 32}
	ymm = vector{"Y", 8, 16}
)

func (v vector) r(i int) string { return fmt.Sprintf("%s%d", v.reg, i) }

func (v vector) bytes() int { return v.lanes * 4 }

// zero emits the clearing of a register.
func (v vector) zero(a *asm, r string) {
	a.ins("VPXOR%s %s, %s, %s", map[string]string{"Z": "D", "Y": ""}[v.reg], r, r, r)
}

// gemmF32 emits a tile of mr rows by two vectors, with a body for every number
// of rows and for panels of which one or both vectors are wanted.
//
// Register plan:
//
//	DI        arguments
//	R8 … R12  rows 0, 3, 6, 9 and 12 of a at the current k
//	R13       bytes from row to row of a
//	SI        current row of the panel
//	CX        values left in the segment
//	DX, BX    next segment offset, segments left
//	R14       current panel
//	R15       bytes of columns done
//	AX        what to fetch ahead
//	V0 …      sums, row by row; then two broadcast values, then two vectors of b
type gemmF32 struct {
	name string
	mr   int
	vec  vector
}

func (g gemmF32) emit(a *asm) {
	a.text(g.name, 8)
	a.ins("MOVQ args+0(FP), DI")
	a.ins("MOVQ gemmF32_lda(DI), R13")
	a.ins("MOVQ gemmF32_b(DI), R14")
	a.ins("XORQ R15, R15")
	a.ins("MOVQ gemmF32_rows(DI), AX")
	for rows := g.mr; rows > 1; rows-- {
		a.ins("CMPQ AX, $%d", rows)
		a.ins("JEQ rows%d", rows)
	}
	for rows := 1; rows <= g.mr; rows++ {
		g.panels(a, rows)
	}
}

// panels emits the loop over panels for a number of rows.
func (g gemmF32) panels(a *asm, rows int) {
	a.at(fmt.Sprintf("rows%d", rows))
	narrow, next, done := a.label("narrow"), a.label("next"), a.label("done")
	a.ins("MOVQ gemmF32_cols(DI), AX")
	a.ins("SHLQ $2, AX")
	a.ins("SUBQ R15, AX")
	a.ins("JLE %s", done)
	a.ins("CMPQ AX, $%d", g.vec.bytes())
	a.ins("JLE %s", narrow)
	g.body(a, rows, 2)
	a.at(next)
	a.ins("ADDQ gemmF32_panel(DI), R14")
	a.ins("ADDQ $%d, R15", 2*g.vec.bytes())
	a.ins("JMP rows%d", rows)
	a.at(narrow)
	g.body(a, rows, 1)
	a.at(done)
	a.ins("VZEROUPPER")
	a.ins("RET")
}

// body emits one tile of rows by vecs vectors. The sums of a low tile are kept
// several times over, for successive k, to hide the latency of the additions.
func (g gemmF32) body(a *asm, rows, vecs int) {
	v := g.vec
	sets := 1
	for sets < 4 && rows*vecs*sets*2 <= v.regs-4 && rows*vecs*sets < 8 {
		sets *= 2
	}
	sum := func(set, row, i int) string { return v.r((set*rows+row)*vecs + i) }
	b := func(i int) string { return v.r(v.regs - 2 + i) }
	x := func(row int) string { return v.r(v.regs - 4 + row%2) }

	for set := range sets {
		for row := range rows {
			for i := range vecs {
				s := sum(set, row, i)
				v.zero(a, s)
			}
		}
	}
	a.ins("LEAQ %d(R14), SI", 2*v.bytes())
	a.ins("ADDQ gemmF32_bSkip(DI), SI")
	a.ins("MOVQ gemmF32_off(DI), DX")
	a.ins("MOVQ gemmF32_segs(DI), BX")
	a.ins("MOVQ gemmF32_ahead(DI), AX")
	segment, loop, tail, tailLoop, summed := a.label("segment"), a.label("loop"), a.label("tail"), a.label("tailloop"), a.label("summed")
	a.at(segment)
	a.ins("SUBQ $1, BX")
	a.ins("JLT %s", summed)
	a.ins("MOVQ gemmF32_a(DI), R8")
	a.ins("ADDQ (DX), R8")
	a.ins("ADDQ $8, DX")
	bases := (rows + 2) / 3
	for i := 1; i < bases; i++ {
		a.ins("LEAQ (R%d)(R13*2), R%d", 7+i, 8+i)
		a.ins("ADDQ R13, R%d", 8+i)
	}
	a.ins("MOVQ gemmF32_segK(DI), CX")
	const unroll = 4
	lines := fetched(rows)
	step := func(k int) {
		for i := range vecs {
			a.ins("VMOVUPS %d(SI), %s", (2*k+i)*v.bytes(), b(i))
		}
		for row := range rows {
			index := [...]string{"", "(R13*1)", "(R13*2)"}[row%3]
			a.ins("VBROADCASTSS %d(R%d)%s, %s", 4*k, 8+row/3, index, x(row))
			for i := range vecs {
				a.ins("VFMADD231PS %s, %s, %s", b(i), x(row), sum(k%sets, row, i))
			}
		}
	}
	advance := func(k int) {
		a.ins("ADDQ $%d, SI", 2*k*v.bytes())
		for i := range bases {
			a.ins("ADDQ $%d, R%d", 4*k, 8+i)
		}
	}
	a.ins("SUBQ $%d, CX", unroll)
	a.ins("JLT %s", tail)
	a.ins("PCALIGN $32")
	a.at(loop)
	for k := range unroll {
		for i := k * lines / unroll; i < (k+1)*lines/unroll; i++ {
			a.ins("PREFETCHT1 %d(AX)", 64*i)
		}
		step(k)
	}
	a.ins("ADDQ $%d, AX", 64*lines)
	advance(unroll)
	a.ins("SUBQ $%d, CX", unroll)
	a.ins("JGE %s", loop)
	a.at(tail)
	a.ins("ADDQ $%d, CX", unroll)
	a.ins("JEQ %s", segment)
	a.at(tailLoop)
	step(0)
	advance(1)
	a.ins("SUBQ $1, CX")
	a.ins("JNE %s", tailLoop)
	a.ins("JMP %s", segment)
	a.at(summed)
	a.ins("MOVQ AX, gemmF32_ahead(DI)")
	for n := sets; n > 1; n /= 2 {
		for set := range n / 2 {
			for row := range rows {
				for i := range vecs {
					a.ins("VADDPS %s, %s, %s", sum(set+n/2, row, i), sum(set, row, i), sum(set, row, i))
				}
			}
		}
	}
	// The bias comes last: a sum that started from a large one would lose the low
	// bits of every product.
	for i := range vecs {
		a.ins("VMOVUPS %d(R14), %s", i*v.bytes(), b(i))
		for row := range rows {
			a.ins("VADDPS %s, %s, %s", b(i), sum(0, row, i), sum(0, row, i))
		}
	}
	g.store(a, rows, vecs, func(row, i int) string { return sum(0, row, i) })
}

// fetched returns how many lines of what comes next a tile of some rows fetches
// in four k. Low tiles pass sooner and are fewer. The drivers count on the same
// figures.
func fetched(rows int) int {
	switch {
	case rows <= 3:
		return 8
	case rows <= 8:
		return 4
	}
	return 2
}

// store emits the end of a tile: residual, bounds and the write of the columns
// that are wanted. The bounds come first in a comparison so that a NaN stays.
func (g gemmF32) store(a *asm, rows, vecs int, sum func(row, i int) string) {
	v := g.vec
	lo, hi := v.r(v.regs-4), v.r(v.regs-3)
	side := func(i int) string { return v.r(v.regs - 2 + i) }
	a.ins("MOVQ gemmF32_cols(DI), AX")
	a.ins("MOVQ R15, R9")
	a.ins("SHRQ $2, R9")
	a.ins("SUBQ R9, AX")
	a.ins("MOVQ $%d, R9", vecs*v.lanes)
	a.ins("CMPQ AX, R9")
	a.ins("CMOVQGT R9, AX")
	a.ins("MOVQ gemmF32_c(DI), R8")
	a.ins("ADDQ R15, R8")
	a.ins("MOVQ gemmF32_ldc(DI), R9")
	a.ins("MOVQ gemmF32_res(DI), R10")
	bounds, full, end := a.label("bounds"), a.label("full"), a.label("end")
	if v == zmm {
		a.ins("MOVQ $-1, R11")
		a.ins("BZHIQ AX, R11, R11")
		a.ins("KMOVW R11, K1")
		a.ins("SHRQ $16, R11")
		a.ins("KMOVW R11, K2")
	} else {
		a.ins("LEAQ laneMask<>+64(SB), R11")
		a.ins("MOVQ AX, R12")
		a.ins("SHLQ $2, R12")
		a.ins("SUBQ R12, R11")
	}
	a.ins("TESTQ R10, R10")
	a.ins("JEQ %s", bounds)
	a.ins("ADDQ R15, R10")
	a.ins("MOVQ gemmF32_ldres(DI), R12")
	for row := range rows {
		for i := range vecs {
			if v == zmm {
				a.ins("VMOVUPS.Z %d(R10), K%d, %s", i*v.bytes(), i+1, side(i))
			} else {
				a.ins("VMOVUPS %d(R11), %s", i*v.bytes(), lo)
				a.ins("VMASKMOVPS %d(R10), %s, %s", i*v.bytes(), lo, side(i))
			}
			a.ins("VADDPS %s, %s, %s", side(i), sum(row, i), sum(row, i))
		}
		a.ins("ADDQ R12, R10")
	}
	a.at(bounds)
	a.ins("VBROADCASTSS gemmF32_lo(DI), %s", lo)
	a.ins("VBROADCASTSS gemmF32_hi(DI), %s", hi)
	for row := range rows {
		for i := range vecs {
			a.ins("VMAXPS %s, %s, %s", sum(row, i), lo, sum(row, i))
			a.ins("VMINPS %s, %s, %s", sum(row, i), hi, sum(row, i))
			if v == zmm {
				a.ins("VMOVUPS %s, K%d, %d(R8)", sum(row, i), i+1, i*v.bytes())
			}
		}
		if v == zmm {
			a.ins("ADDQ R9, R8")
		}
	}
	if v == zmm {
		return
	}
	// Masked stores are slow on some processors: only where they are needed.
	a.ins("CMPQ AX, $%d", vecs*v.lanes)
	a.ins("JEQ %s", full)
	for i := range vecs {
		a.ins("VMOVUPS %d(R11), %s", i*v.bytes(), side(i))
	}
	for row := range rows {
		for i := range vecs {
			a.ins("VMASKMOVPS %s, %s, %d(R8)", sum(row, i), side(i), i*v.bytes())
		}
		a.ins("ADDQ R9, R8")
	}
	a.ins("JMP %s", end)
	a.at(full)
	for row := range rows {
		for i := range vecs {
			a.ins("VMOVUPS %s, %d(R8)", sum(row, i), i*v.bytes())
		}
		a.ins("ADDQ R9, R8")
	}
	a.at(end)
}
