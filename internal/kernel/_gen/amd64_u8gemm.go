package main

import "fmt"

var xmm = vector{"X", 4, 32}

func init() {
	outputs["u8_gemm_gen_amd64.s"] = func(a *asm) {
		gemmU8{name: "gemmU8x14x32VNNI", vec: zmm, vecs: 2, vnni: true}.emit(a)
		gemmU8{name: "gemmU8x14x16VNNI", vec: zmm, vecs: 1, vnni: true}.emit(a)
		gemmU8{name: "gemmU8x14x32AVX512", vec: zmm, vecs: 2}.emit(a)
		gemmU8{name: "gemmU8x14x16AVX512", vec: zmm, vecs: 1}.emit(a)
		gemmU8{name: "gemmU8x6x16AVXVNNI", vec: ymm, vecs: 2, vnni: true}.emit(a)
		gemmU8{name: "gemmU8x6x16AVX2", vec: ymm, vecs: 2}.emit(a)
		gemmU8{name: "gemmU8x12x8AVXVNNI", vec: ymm, vecs: 1, vnni: true}.emit(a)
		gemmU8{name: "gemmU8x12x8AVX2", vec: ymm, vecs: 1}.emit(a)
		a.table("u8Turn4", 4, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
		a.table("u8Turn4Y", 4, 0, 4, 1, 5, 2, 6, 3, 7)
		a.table("u8RowsApart", 8, 0, 2, 4, 6, 1, 3, 5, 7)
		a.table("u8LowLanes", 8, 0, 1, 8, 9, 2, 3, 10, 11)
		a.table("u8HighLanes", 8, 4, 5, 12, 13, 6, 7, 14, 15)
	}
}

// table emits a constant of words of a size.
func (a *asm) table(name string, size int, words ...uint64) {
	for i, w := range words {
		a.raw("DATA %s<>+%d(SB)/%d, $%d\n", name, i*size, size, w)
	}
	a.raw("GLOBL %s<>(SB), RODATA, $%d\n", name, size*len(words))
}

// gemmU8 emits the tiles of a kernel, one body for each height.
//
// Register plan:
//
//	DI            arguments
//	R8, R9, R10   rows 0, 5 and 10 of the activations at the current k
//	R13, R12      bytes from row to row, and three times that
//	SI            current place in the panel
//	CX            groups left in the segment
//	DX, BX        next segment, segments left
//	AX            distance to the panel to be fetched ahead
//	R11, R15, R14 destination, bytes from row to row, and three times that
//	V0 …          sums, row by row; last the panel's vectors and one broadcast
//	              group, before them a product where there is no dot product
type gemmU8 struct {
	name string
	vec  vector
	vecs int
	vnni bool
}

func (g gemmU8) heights() []int {
	if g.vec.reg == "Z" {
		return []int{14, 7, 4, 2, 1}
	}
	if g.vecs == 1 {
		return []int{12, 6, 3, 2, 1}
	}
	return []int{6, 3, 2, 1}
}

func (g gemmU8) b(i int) string { return g.vec.r(g.vec.regs - g.vecs + i) }
func (g gemmU8) x() string      { return g.vec.r(g.vec.regs - g.vecs - 1) }
func (g gemmU8) tmp() string    { return g.vec.r(g.vec.regs - g.vecs - 2) }

// evex is the suffix that whole-register instructions take on zmm.
func (g gemmU8) evex(s string) string {
	if g.vec.reg == "Z" {
		return s
	}
	return ""
}

func (g gemmU8) emit(a *asm) {
	a.text(g.name, 8)
	a.ins("MOVQ args+0(FP), DI")
	a.ins("MOVQ u8GemmArgs_aStride(DI), R13")
	a.ins("LEAQ (R13)(R13*2), R12")
	a.ins("MOVQ u8GemmArgs_dst(DI), R11")
	a.ins("MOVQ u8GemmArgs_dstRow(DI), R15")
	a.ins("LEAQ (R15)(R15*2), R14")
	if g.vec.reg == "Z" {
		a.ins("MOVQ u8GemmArgs_mask(DI), AX")
		a.ins("KMOVQ AX, K1")
		a.ins("KSHIFTRQ $16, K1, K2")
	}
	a.ins("MOVQ u8GemmArgs_height(DI), AX")
	h := g.heights()
	for _, rows := range h[1:] {
		a.ins("CMPQ AX, $%d", rows)
		a.ins("JEQ rows%d", rows)
	}
	for _, rows := range h {
		g.tile(a, rows)
	}
}

func (g gemmU8) tile(a *asm, rows int) {
	v := g.vec
	free := v.regs - g.vecs - 1
	if !g.vnni {
		free--
	}
	// Low tiles keep several sums for successive k to hide the latency.
	sets := 1
	for sets < 4 && rows*g.vecs*sets*2 <= free && rows*g.vecs*sets < 10 {
		sets *= 2
	}
	sum := func(set, row, i int) string { return v.r((set*rows+row)*g.vecs + i) }

	a.at(fmt.Sprintf("rows%d", rows))
	for i := range g.vecs {
		for set := 1; set < sets; set++ {
			for row := range rows {
				s := sum(set, row, i)
				a.ins("VPXOR%s %s, %s, %s", g.evex("D"), s, s, s)
			}
		}
	}
	plain, ready := a.label("plain"), a.label("ready")
	a.ins("MOVQ u8GemmArgs_start(DI), AX")
	for i := range g.vecs {
		a.ins("VMOVDQU%s %d(AX), %s", g.evex("32"), i*v.bytes(), g.b(i))
	}
	a.ins("MOVQ u8GemmArgs_rowSum(DI), CX")
	a.ins("TESTQ CX, CX")
	a.ins("JEQ %s", plain)
	a.ins("MOVQ u8GemmArgs_colZero(DI), AX")
	for row := range rows {
		a.ins("VPBROADCASTD %d(CX), %s", 4*row, g.x())
		for i := range g.vecs {
			a.ins("VPMULLD %d(AX), %s, %s", i*v.bytes(), g.x(), sum(0, row, i))
			a.ins("VPADDD %s, %s, %s", g.b(i), sum(0, row, i), sum(0, row, i))
		}
	}
	a.ins("ADDQ $%d, u8GemmArgs_rowSum(DI)", 4*rows)
	a.ins("JMP %s", ready)
	a.at(plain)
	for row := range rows {
		for i := range g.vecs {
			a.ins("VMOVDQU%s %d(AX), %s", g.evex("32"), i*v.bytes(), sum(0, row, i))
		}
	}
	a.at(ready)
	a.ins("MOVQ u8GemmArgs_b(DI), SI")
	a.ins("MOVQ u8GemmArgs_segs(DI), DX")
	a.ins("MOVQ u8GemmArgs_segN(DI), BX")
	a.ins("MOVQ u8GemmArgs_ahead(DI), AX")
	segment, loop, tail, last, next := a.label("segment"), a.label("loop"), a.label("tail"), a.label("last"), a.label("next")
	a.at(segment)
	a.ins("MOVQ u8GemmArgs_a(DI), R8")
	a.ins("ADDQ u8Segment_off(DX), R8")
	a.ins("MOVQ u8Segment_groups(DX), CX")
	a.ins("ADDQ $u8Segment__size, DX")
	bases := (rows + 4) / 5
	for i := 1; i < bases; i++ {
		a.ins("LEAQ (R%d)(R13*4), R%d", 7+i, 8+i)
		a.ins("ADDQ R13, R%d", 8+i)
	}
	step := func(k int) {
		for i := range g.vecs {
			a.ins("VMOVDQU%s %d(SI), %s", g.evex("32"), (k*g.vecs+i)*v.bytes(), g.b(i))
			if at := (k*g.vecs + i) * v.bytes(); at%64 == 0 {
				a.ins("PREFETCHT1 %d(SI)(AX*1)", at)
			}
		}
		for row := range rows {
			index := [...]string{"", "(R13*1)", "(R13*2)", "(R12*1)", "(R13*4)"}[row%5]
			a.ins("VPBROADCASTD %d(R%d)%s, %s", 4*k, 8+row/5, index, g.x())
			for i := range g.vecs {
				s := sum(k%sets, row, i)
				if g.vnni {
					dotProduct(a, v.reg == "Y", g.b(i), g.x(), s)
				} else {
					a.ins("VPMADDWD %s, %s, %s", g.b(i), g.x(), g.tmp())
					a.ins("VPADDD %s, %s, %s", g.tmp(), s, s)
				}
			}
		}
	}
	advance := func(k int) {
		a.ins("ADDQ $%d, SI", k*g.vecs*v.bytes())
		for i := range bases {
			a.ins("ADDQ $%d, R%d", 4*k, 8+i)
		}
	}
	const unroll = 4
	a.ins("SUBQ $%d, CX", unroll)
	a.ins("JLT %s", tail)
	a.ins("PCALIGN $32")
	a.at(loop)
	for k := range unroll {
		step(k)
	}
	advance(unroll)
	a.ins("SUBQ $%d, CX", unroll)
	a.ins("JGE %s", loop)
	a.at(tail)
	a.ins("ADDQ $%d, CX", unroll)
	a.ins("JEQ %s", next)
	a.at(last)
	step(0)
	advance(1)
	a.ins("SUBQ $1, CX")
	a.ins("JNE %s", last)
	a.at(next)
	a.ins("SUBQ $1, BX")
	a.ins("JNE %s", segment)
	for n := sets; n > 1; n /= 2 {
		for set := range n / 2 {
			for row := range rows {
				for i := range g.vecs {
					a.ins("VPADDD %s, %s, %s", sum(set+n/2, row, i), sum(set, row, i), sum(set, row, i))
				}
			}
		}
	}
	raw, done := a.label("raw"), a.label("done")
	a.ins("MOVQ u8GemmArgs_mult(DI), AX")
	a.ins("TESTQ AX, AX")
	a.ins("JEQ %s", raw)
	if g.vecs == 2 {
		g.bytesPaired(a, rows, func(row, i int) string { return sum(0, row, i) })
	} else {
		g.bytes(a, rows, func(row int) string { return sum(0, row, 0) })
	}
	a.ins("JMP %s", done)
	a.at(raw)
	g.accumulators(a, rows, func(row, i int) string { return sum(0, row, i) })
	a.at(done)
	a.ins("SUBQ $1, u8GemmArgs_tiles(DI)")
	end := a.label("end")
	a.ins("JEQ %s", end)
	g.dstPast(a, (rows-1)%5+1)
	a.ins("IMUL3Q $%d, R13, AX", rows)
	a.ins("ADDQ AX, u8GemmArgs_a(DI)")
	a.ins("JMP rows%d", rows)
	a.at(end)
	a.ins("VZEROUPPER")
	a.ins("RET")
}

// dst returns the address of a row of the destination, rows being stored in
// order, and moves R11 on every fifth.
func (g gemmU8) dst(a *asm, row int) string {
	if row > 0 && row%5 == 0 {
		g.dstPast(a, 5)
	}
	return [...]string{"(R11)", "(R11)(R15*1)", "(R11)(R15*2)", "(R11)(R14*1)", "(R11)(R15*4)"}[row%5]
}

// dstPast moves R11 past 1 to 5 rows.
func (g gemmU8) dstPast(a *asm, rows int) {
	switch rows {
	case 1, 2, 4:
		a.ins("LEAQ (R11)(R15*%d), R11", rows)
	case 3:
		a.ins("ADDQ R14, R11")
	case 5:
		a.ins("LEAQ (R11)(R15*4), R11")
		a.ins("ADDQ R15, R11")
	}
}

// bytesPaired requantizes two vectors a row. Packing works within 16-byte
// lanes; the panel's column order makes up for the first of the two packs and
// one permutation parts the rows that the second joins.
func (g gemmU8) bytesPaired(a *asm, rows int, sum func(row, i int) string) {
	v := g.vec
	for i := range 2 {
		a.ins("VMOVUPS %d(AX), %s", i*v.bytes(), g.b(i))
	}
	for row := range rows {
		for i := range 2 {
			g.scale(a, sum(row, i), g.b(i))
		}
		a.ins("VPACKSSDW %s, %s, %s", sum(row, 1), sum(row, 0), sum(row, 0))
	}
	bounded, part, end := a.label("bounded"), a.label("part"), a.label("stored")
	if v.reg == "Z" {
		a.ins("VMOVDQU64 u8RowsApart<>(SB), %s", g.x())
	}
	a.ins("CMPQ u8GemmArgs_bare(DI), $0")
	a.ins("JEQ %s", bounded)
	if v.reg == "Z" { // stores without a mask take fewer steps inside the processor
		a.ins("CMPQ u8GemmArgs_cols(DI), $%d", g.vecs*v.lanes)
		a.ins("JLT %s", bounded)
	}
	g.joinRows(a, rows, sum, "", false)
	a.ins("JMP %s", end)
	a.at(bounded)
	a.ins("VPBROADCASTD u8GemmArgs_zero(DI), %s", g.b(0))
	for row := range rows {
		a.ins("VPADDSW %s, %s, %s", g.b(0), sum(row, 0), sum(row, 0))
	}
	a.ins("VPBROADCASTD u8GemmArgs_lo(DI), %s", g.b(0))
	a.ins("VPBROADCASTD u8GemmArgs_hi(DI), %s", g.b(1))
	if v.reg == "Z" {
		a.ins("CMPQ u8GemmArgs_cols(DI), $%d", g.vecs*v.lanes)
		a.ins("JLT %s", part)
	}
	g.joinRows(a, rows, sum, "", true)
	if v.reg == "Z" {
		a.ins("JMP %s", end)
		a.at(part)
		g.joinRows(a, rows, sum, "K1, ", true)
	}
	a.at(end)
}

// scale turns sums into whole numbers of output steps.
func (g gemmU8) scale(a *asm, s, mult string) {
	a.ins("VCVTDQ2PS %s, %s", s, s)
	a.ins("VMULPS %s, %s, %s", mult, s, s)
	a.ins("VCVTPS2DQ %s, %s", s, s)
}

// joinRows packs rows by twos to bytes, bounds them if asked and stores them.
func (g gemmU8) joinRows(a *asm, rows int, sum func(row, i int) string, mask string, bounded bool) {
	for row := 0; row < rows; row += 2 {
		s := sum(row, 0)
		half := "Y" + s[1:]
		a.ins("VPACKUSWB %s, %s, %s", sum(min(row+1, rows-1), 0), s, s)
		if bounded {
			a.ins("VPMAXUB %s, %s, %s", g.b(0), s, s)
			a.ins("VPMINUB %s, %s, %s", g.b(1), s, s)
		}
		if g.vec.reg == "Z" {
			a.ins("VPERMQ %s, %s, %s", s, g.x(), s)
			a.ins("VMOVDQU8 %s, %s%s", half, mask, g.dst(a, row))
		} else {
			a.ins("VPERMQ $0xD8, %s, %s", s, s)
			a.ins("VMOVDQU X%s, %s", s[1:], g.dst(a, row))
		}
		if row+1 == rows {
			break
		}
		to := g.dst(a, row+1)
		switch {
		case g.vec.reg != "Z":
			a.ins("VEXTRACTI128 $1, %s, %s", s, to)
		case mask == "":
			a.ins("VEXTRACTI64X4 $1, %s, %s", s, to)
		default:
			a.ins("VEXTRACTI64X4 $1, %s, %s", s, half)
			a.ins("VMOVDQU8 %s, %s%s", half, mask, to)
		}
	}
}

// bytes requantizes one vector a row: four rows are packed together, which
// leaves four columns of each in every lane, and turned.
func (g gemmU8) bytes(a *asm, rows int, sum func(row int) string) {
	zmm := g.vec.reg == "Z"
	mult, turn := g.b(0), g.x()
	zero, lo, hi := g.tmp(), g.vec.r(g.vec.regs-g.vecs-3), mult
	a.ins("VMOVUPS (AX), %s", mult)
	for row := range rows {
		g.scale(a, sum(row), mult)
	}
	a.ins("VPBROADCASTD u8GemmArgs_zero(DI), %s", zero)
	a.ins("VPBROADCASTD u8GemmArgs_lo(DI), %s", lo)
	a.ins("VPBROADCASTD u8GemmArgs_hi(DI), %s", hi)
	if zmm {
		a.ins("VMOVDQU64 u8Turn4<>(SB), %s", turn)
	} else {
		a.ins("VMOVDQU u8Turn4Y<>(SB), %s", turn)
	}
	for row := 0; row < rows; row += 4 {
		s := func(i int) string { return sum(min(row+i, rows-1)) }
		first := s(0)
		a.ins("VPACKSSDW %s, %s, %s", s(1), first, first)
		if row+2 < rows {
			a.ins("VPACKSSDW %s, %s, %s", s(3), s(2), s(2))
			a.ins("VPADDSW %s, %s, %s", zero, s(2), s(2))
		}
		a.ins("VPADDSW %s, %s, %s", zero, first, first)
		a.ins("VPACKUSWB %s, %s, %s", s(min(2, rows-1-row)&^1), first, first)
		a.ins("VPMAXUB %s, %s, %s", lo, first, first)
		a.ins("VPMINUB %s, %s, %s", hi, first, first)
		a.ins("VPERMD %s, %s, %s", first, turn, first)
		if !zmm {
			x, high := "X"+first[1:], "X"+s(1)[1:]
			for i := range min(4, rows-row) {
				if i == 2 {
					a.ins("VEXTRACTI128 $1, %s, %s", first, high)
					x = high
				}
				a.ins("%s %s, %s", [...]string{"VMOVQ", "VPEXTRQ $1,"}[i%2], x, g.dst(a, row+i))
			}
			continue
		}
		for i := range min(4, rows-row) {
			x := "X" + first[1:]
			if i > 0 {
				x = "X" + s(1)[1:] // packed already
				a.ins("VEXTRACTI32X4 $%d, %s, %s", i, first, x)
			}
			a.ins("VMOVDQU8 %s, K1, %s", x, g.dst(a, row+i))
		}
	}
}

// accumulators stores the sums themselves, columns in their natural order, as
// int32 or as floats multiplied and shifted.
func (g gemmU8) accumulators(a *asm, rows int, sum func(row, i int) string) {
	if g.vec.reg == "Z" && g.vecs == 2 {
		a.ins("VMOVDQU64 u8LowLanes<>(SB), %s", g.b(0))
		a.ins("VMOVDQU64 u8HighLanes<>(SB), %s", g.b(1))
	}
	ints, end := a.label("ints"), a.label("stored")
	a.ins("MOVQ u8GemmArgs_floatMult(DI), AX")
	a.ins("MOVQ u8GemmArgs_floatBias(DI), CX")
	a.ins("TESTQ AX, AX")
	a.ins("JEQ %s", ints)
	g.natural(a, rows, sum, func(i int, r string) {
		a.ins("VCVTDQ2PS %s, %s", r, r)
		a.ins("VMULPS %d(AX), %s, %s", i*g.vec.bytes(), r, r)
		a.ins("VADDPS %d(CX), %s, %s", i*g.vec.bytes(), r, r)
	})
	a.ins("JMP %s", end)
	a.at(ints)
	g.natural(a, rows, sum, func(int, string) {})
	a.at(end)
}

// natural puts the columns of each row in their natural order, applies f to
// each vector and stores it.
func (g gemmU8) natural(a *asm, rows int, sum func(row, i int) string, f func(i int, r string)) {
	zmm := g.vec.reg == "Z"
	for row := range rows {
		to := g.dst(a, row)
		low, high := sum(row, 0), g.x()
		switch {
		case g.vecs == 1:
			f(0, low)
			if zmm {
				a.ins("VMOVDQU32 %s, K1, %s", low, to)
			} else {
				a.ins("VMOVDQU %s, %s", low, to)
			}
			continue
		case zmm:
			a.ins("VMOVDQA64 %s, %s", low, high)
			a.ins("VPERMT2Q %s, %s, %s", sum(row, 1), g.b(0), low)
			a.ins("VPERMT2Q %s, %s, %s", sum(row, 1), g.b(1), high)
		default:
			a.ins("VPERM2I128 $0x31, %s, %s, %s", sum(row, 1), low, high)
			a.ins("VPERM2I128 $0x20, %s, %s, %s", sum(row, 1), low, low)
		}
		f(0, low)
		f(1, high)
		if zmm {
			a.ins("VMOVDQU32 %s, K1, %s", low, to)
			a.ins("VMOVDQU32 %s, K2, 64%s", high, to)
		} else {
			a.ins("VMOVDQU %s, %s", low, to)
			a.ins("VMOVDQU %s, 32%s", high, to)
		}
	}
}
