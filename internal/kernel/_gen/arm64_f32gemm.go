package main

import "fmt"

func init() {
	outputs["gemm_f32_gen_arm64.s"] = func(a *asm) {
		gemmNEON{name: "gemmF32x6x16NEON"}.emit(a)
		gemmNEON{name: "gemmF32x6x16InOrder", halves: true}.emit(a)
	}
}

// gemmNEON emits a tile of six rows by four vectors of columns, with a body for
// every number of rows and of vectors. A step takes four k: a row's four values
// are one register, each multiplied as a lane with the row of the panel.
//
// Values for the next step are loaded during this one, and the one past the end
// is avoided by not stepping on: R14 and R15 are 0 in the last step, so what is
// loaded then is known to be there and is not used.
//
// Register plan:
//
//	R0        arguments
//	R1        bytes from row to row of a
//	R2 R3     current panel, columns left from it on
//	R4        current row of the panel
//	R5        values left in the segment
//	R6 R7     next segment offset, segments left
//	R8 … R13  rows of a at the current k
//	R14 R15   bytes to the next step in a and in the panel, 0 in the last step
//	R16 R17   free; R19 is 16 and R20 is 256
//	R21       bytes of columns done
//	V0 …      sums, row by row; then the rows of a; then vectors of b
type gemmNEON struct {
	name string
	// halves makes the step load 64 bits at a time: b as a half, a general register
	// and an insertion, a as two values of k. Cores that issue in order and load 64
	// bits a cycle do each of these beside a multiply-add, but stop for a load of
	// 128 bits; for others the insertions are work that the multiply-adds wait for.
	// One or two rows have too few of them to hide it.
	halves bool
}

const (
	gemmRows = 6
	gemmVecs = 4
)

func (g gemmNEON) emit(a *asm) {
	a.text(g.name, 8)
	a.ins("MOVD args+0(FP), R0")
	a.ins("MOVD gemmF32_lda(R0), R1")
	a.ins("MOVD gemmF32_b(R0), R2")
	a.ins("MOVD gemmF32_cols(R0), R3")
	a.ins("MOVD $16, R19")
	a.ins("MOVD $256, R20")
	a.ins("MOVD $0, R21")
	a.ins("MOVD gemmF32_rows(R0), R16")
	for rows := gemmRows; rows > 1; rows-- {
		a.ins("CMP $%d, R16", rows)
		a.ins("BEQ rows%d", rows)
	}
	for rows := 1; rows <= gemmRows; rows++ {
		a.at(fmt.Sprintf("rows%d", rows))
		next := a.label("next")
		for vecs := gemmVecs; vecs > 0; vecs-- {
			narrower := a.label("narrower")
			if vecs > 1 {
				a.ins("CMP $%d, R3", 4*(vecs-1))
				a.ins("BLE %s", narrower)
			}
			g.body(a, rows, vecs)
			if vecs > 1 {
				a.ins("B %s", next)
				a.at(narrower)
			}
		}
		a.at(next)
		a.ins("MOVD gemmF32_panel(R0), R16")
		a.ins("ADD R16, R2")
		a.ins("ADD $%d, R21", gemmVecs*16)
		a.ins("SUBS $%d, R3", gemmVecs*4)
		a.ins("BGT rows%d", rows)
		a.ins("RET")
	}
}

// A gemmBody is one tile of rows by vecs vectors. The sums of a low tile are
// kept several times over, for successive k, to hide the latency of additions.
type gemmBody struct {
	halves           bool
	rows, vecs, sets int
	ahead            int // vectors of b in registers
}

func (b gemmBody) sum(set, row, i int) vreg { return vreg((set*b.rows+row)*b.vecs + i) }
func (b gemmBody) a(row int) vreg           { return vreg(b.sets*b.rows*b.vecs + row) }
func (b gemmBody) b(i int) vreg             { return vreg(b.sets*b.rows*b.vecs + b.rows + i%b.ahead) }

func row(i int) string { return fmt.Sprintf("R%d", 8+i) }

func (g gemmNEON) body(a *asm, rows, vecs int) {
	b := gemmBody{halves: g.halves && rows > 2, rows: rows, vecs: vecs, sets: 1, ahead: 8}
	for b.sets < 4 && rows*vecs*b.sets < 12 {
		b.sets *= 2
	}
	for 4*vecs%b.ahead != 0 || b.sets*rows*vecs+rows+b.ahead > 32 {
		b.ahead /= 2
	}
	for i := range b.sets * rows * vecs {
		a.do(zero(vreg(i)))
	}
	a.ins("MOVD gemmF32_bSkip(R0), R16")
	a.ins("ADD $%d, R2, R4", gemmVecs*16)
	a.ins("ADD R16, R4")
	a.ins("MOVD gemmF32_off(R0), R6")
	a.ins("MOVD gemmF32_segs(R0), R7")
	segment, loop, tail, one, summed := a.label("segment"), a.label("loop"), a.label("tail"), a.label("one"), a.label("summed")
	a.at(segment)
	a.ins("SUBS $1, R7")
	a.ins("BLT %s", summed)
	a.ins("MOVD gemmF32_a(R0), R8")
	a.ins("MOVD.P 8(R6), R16")
	a.ins("ADD R16, R8")
	for r := 1; r < rows; r++ {
		a.ins("ADD R1, %s, %s", row(r-1), row(r))
	}
	a.ins("MOVD gemmF32_segK(R0), R5")
	a.ins("CMP $4, R5")
	a.ins("BLT %s", tail)
	for r := range rows {
		a.do(b.loadA(r, 0))
	}
	for i := range b.ahead - 1 {
		a.do(loadQ(b.place(i, 0), b.b(i)))
	}
	a.ins("PCALIGN $16")
	a.at(loop)
	a.ins("SUB $4, R5")
	a.ins("CMP $4, R5")
	a.ins("CSEL GE, R19, ZR, R14")
	a.ins("CSEL GE, R20, ZR, R15")
	a.do(b.step()...)
	a.ins("BGE %s", loop)
	for r := range rows {
		a.ins("ADD $16, %s", row(r))
	}
	a.ins("ADD $256, R4")
	a.at(tail)
	a.ins("CBZ R5, %s", segment)
	a.at(one)
	for r := range rows {
		a.ins("FMOVS.P 4(%s), %s", row(r), b.a(r))
	}
	for i := range vecs {
		a.do(loadQ(b.place(i, 0), b.b(i)))
		for r := range rows {
			a.do(fmlaLane(b.sum(0, r, i), b.b(i), b.a(r), 0))
		}
	}
	a.ins("ADD $%d, R4", gemmVecs*16)
	a.ins("SUBS $1, R5")
	a.ins("BNE %s", one)
	a.ins("B %s", segment)
	a.at(summed)
	for n := b.sets; n > 1; n /= 2 {
		for i := range n / 2 * rows * vecs {
			a.do(fadd(vreg(i), vreg(i), vreg(n/2*rows*vecs+i)))
		}
	}
	b.store(a)
}

// loadA loads values of a row from k on: four, or two with halves.
func (b gemmBody) loadA(r, k int) inst {
	from := fmt.Sprintf("%d(%s)", 4*k, row(r))
	if b.halves {
		return loadD(from, b.a(r))
	}
	return loadQ(from, b.a(r))
}

// place is the address of vector i of a step, counted through its four rows of
// the panel; those beyond are of the next step, to which R4 has gone on.
func (b gemmBody) place(i, offset int) string {
	n := i % (4 * b.vecs)
	return fmt.Sprintf("%d(R4)", n/b.vecs*gemmVecs*16+n%b.vecs*16+offset)
}

// step is the arithmetic of four k with the loads of what comes next. After the
// multiply-adds with one vector of b its register is loaded during those with
// the next vector; the rows of a are loaded right after the last use of each.
func (b gemmBody) step() []inst {
	var out []inst
	total := 4 * b.vecs
	for i := range total {
		beside := make([][]inst, b.rows) // each multiply-add
		put := func(r int, list ...inst) {
			r = max(0, min(r, b.rows-1))
			beside[r] = append(beside[r], list...)
		}
		next := i - 1 + b.ahead
		if next == total {
			put(0, native("ADD R15, R4"))
		}
		if b.halves {
			put(0, native("MOVD %s, R16", b.place(next, 8)))
			put(1, loadD(b.place(next, 0), b.b(next)))
			put(max(b.rows-2, 1), native("VMOV R16, %s", b.b(next).lane(d2, 1)))
		} else {
			put(0, loadQ(b.place(next, 0), b.b(next)))
		}
		for r := range b.rows {
			if 2*b.vecs+r*(2*b.vecs-1)/b.rows == i {
				put(2, native("ADD R14, %s", row(r)))
			}
		}
		for r := range b.rows {
			k := i / b.vecs
			lane := k
			if b.halves {
				lane = k % 2
			}
			out = append(out, fmlaLane(b.sum(k%b.sets, r, i%b.vecs), b.b(i), b.a(r), lane))
			switch {
			case i == total-1:
				out = append(out, b.loadA(r, 0))
			case b.halves && i == 2*b.vecs-1:
				out = append(out, b.loadA(r, 2))
			}
			out = append(out, beside[r]...)
		}
	}
	return out
}

// store emits the end of a tile: bias, residual, bounds and the write of the
// columns that are wanted. The bias comes last: a sum that started from a large
// one would lose the low bits of every product.
//
// The last vector may be wanted in part. Its lanes are then loaded and stored
// one by one, those beyond the last at the place of the last: R16 and R17 are
// the places of lanes 1 and 2. Storing goes downwards, so that the value which
// remains is the right one.
func (b gemmBody) store(a *asm) {
	n := vreg(b.rows * b.vecs)
	lo, hi, side := n, n+1, n+2
	for i := range b.vecs {
		a.do(loadQ(fmt.Sprintf("%d(R2)", 16*i), side))
		for r := range b.rows {
			a.do(fadd(b.sum(0, r, i), b.sum(0, r, i), side))
		}
	}
	a.ins("ADD $gemmF32_lo, R0, R16")
	a.do(loadDup("R16", lo))
	a.ins("ADD $gemmF32_hi, R0, R16")
	a.do(loadDup("R16", hi))
	a.ins("MOVD gemmF32_c(R0), R8")
	a.ins("ADD R21, R8")
	a.ins("MOVD gemmF32_ldc(R0), R9")
	a.ins("MOVD gemmF32_res(R0), R10")
	a.ins("MOVD gemmF32_ldres(R0), R11")
	part, done := a.label("part"), a.label("done")
	a.ins("CMP $%d, R3", 4*b.vecs)
	a.ins("BLT %s", part)
	b.write(a, lo, hi, side, false)
	a.ins("B %s", done)
	a.at(part)
	// Lanes beyond the first: R3-4(vecs-1)-1 is 0, 1 or 2.
	a.ins("SUBS $%d, R3, R12", 4*(b.vecs-1)+1)
	a.ins("CSET NE, R16")
	a.ins("LSL $2, R16")
	a.ins("LSL $2, R12, R17")
	b.write(a, lo, hi, side, true)
	a.at(done)
}

func (b gemmBody) write(a *asm, lo, hi, side vreg, part bool) {
	bounds := a.label("bounds")
	last := b.vecs - 1
	a.ins("CBZ R10, %s", bounds)
	a.ins("ADD R21, R10")
	for r := range b.rows {
		for i := range b.vecs {
			if part && i == last {
				a.ins("ADD $%d, R10, R12", 16*i)
				a.ins("ADD R16, R12, R13")
				a.ins("ADD R17, R12, R14")
				a.do(loadS("(R12)", side), native("VLD1 (R13), %s", side.lane(s4, 1)), native("VLD1 (R14), %s", side.lane(s4, 2)))
			} else {
				a.do(loadQ(fmt.Sprintf("%d(R10)", 16*i), side))
			}
			a.do(fadd(b.sum(0, r, i), b.sum(0, r, i), side))
		}
		a.ins("ADD R11, R10")
	}
	a.at(bounds)
	for r := range b.rows {
		for i := range b.vecs {
			s := b.sum(0, r, i)
			a.do(fmax(s, s, lo), fmin(s, s, hi))
			if part && i == last {
				a.ins("ADD $%d, R8, R12", 16*i)
				a.ins("ADD R16, R12, R13")
				a.ins("ADD R17, R12, R14")
				a.do(native("VST1 %s, (R14)", s.lane(s4, 2)), native("VST1 %s, (R13)", s.lane(s4, 1)), storeS(s, "(R12)"))
			} else {
				a.do(storeQ(s, fmt.Sprintf("%d(R8)", 16*i)))
			}
		}
		a.ins("ADD R9, R8")
	}
}
