package main

import (
	"fmt"
	"math"
)

func init() {
	outputs["winograd_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			for _, m := range []int{2, 4} {
				w := winogradF32{a, v, m, m + 2}
				w.spread(fmt.Sprintf("winogradInput%dF32%s", m, level), w.n, w.n, w.before)
				w.output(fmt.Sprintf("winogradOutput%dF32%s", m, level))
				w.spread(fmt.Sprintf("winogradWeights%dF32%s", m, level), 3, w.n, w.weights)
				if m == 4 {
					w.spread(fmt.Sprintf("winogradGradient%dF32%s", m, level), w.m, w.n, w.gradient)
					w.spread(fmt.Sprintf("winogradTaps%dF32%s", m, level), w.n, 3, w.taps)
				}
			}
		}
		for i, c := range winogradConstants {
			for lane := range 16 {
				a.raw("DATA winogradConst<>+%d(SB)/4, $0x%08x\n", 64*i+4*lane, math.Float32bits(float32(c)))
			}
		}
		a.raw("GLOBL winogradConst<>(SB), RODATA, $%d\n", 64*len(winogradConstants))
		laneMask(a)
	}
}

// Constants of the transforms of F(4,3), whose points are 0, ±√½, ±√2 and infinity. The
// last are the factors of the weights: 1/(2a²(a²-b²)) and 1/(2b²(b²-a²)), times powers of
// the points.
var winogradConstants = []float64{math.Sqrt2 / 2, math.Sqrt2, 0.5, 2, 2.5, math.Sqrt2 / 4, 2 * math.Sqrt2,
	-2.0 / 3, -math.Sqrt2 / 3, -1.0 / 3, 1.0 / 6, math.Sqrt2 / 6, 1.0 / 3}

const (
	wA = iota // √½
	wB        // √2
	wA2
	wB2
	wSum // a²+b²
	wA3
	wB3
	wE // of ±a
	wEA
	wEA2
	wG // of ±b
	wGB
	wGB2
)

// winogradF32 emits the transforms of runs of tiles for F(m×m, 3×3), n = m+2 values a
// side, by one vector of channels after another. Each is a pass over columns into a
// buffer and a pass over its rows.
//
// Register plan:
//
//	DI          arguments
//	SI R8 R9    source, bytes from row to row and from column to column
//	R13 R15     three and five times R8
//	R10 R11     destination, bytes from matrix to matrix or from row to row
//	R12         the buffer
//	R14, AX     bytes of channels done, channels left
//	DX BX CX    passing values
//	V0 …        values before, V8 … values after and temporaries
//	K1 or V15   wanted lanes
type winogradF32 struct {
	*asm
	vec  vector
	m, n int
}

func (w winogradF32) x(i int) string { return w.vec.r(i) }
func (w winogradF32) y(i int) string { return w.vec.r(8 + i) }
func (w winogradF32) op(op string, a, b, to string) {
	w.ins("%s %s, %s, %s", op, a, b, to)
}

// scaled emits to ± c·v.
func (w winogradF32) scaled(op string, c int, v, to string) {
	w.ins("%s winogradConst<>+%d(SB), %s, %s", op, 64*c, v, to)
}

// before emits the input transform of x0 … into y0 …; x is lost.
func (w winogradF32) before() {
	x, y := w.x, w.y
	if w.m == 2 {
		w.op("VSUBPS", x(2), x(0), y(0))
		w.op("VADDPS", x(2), x(1), y(1))
		w.op("VSUBPS", x(1), x(2), y(2))
		w.op("VSUBPS", x(3), x(1), y(3))
		return
	}
	w.op("VADDPS", x(0), x(4), y(0))
	w.scaled("VFNMADD231PS", wSum, x(2), y(0))
	w.op("VADDPS", x(1), x(5), y(5))
	w.scaled("VFNMADD231PS", wSum, x(3), y(5))
	for i, p := range []struct{ point, other int }{{wA, wB2}, {wB, wA2}} {
		even, odd, plus, minus := x(0), x(5), y(1+2*i), y(2+2*i)
		w.ins("VMOVAPS %s, %s", x(4), even)
		w.scaled("VFNMADD231PS", p.other, x(2), even)
		w.ins("VMOVAPS %s, %s", x(3), odd)
		w.scaled("VFNMADD231PS", p.other, x(1), odd)
		w.ins("VMOVAPS %s, %s", even, plus)
		w.scaled("VFMADD231PS", p.point, odd, plus)
		w.ins("VMOVAPS %s, %s", even, minus)
		w.scaled("VFNMADD231PS", p.point, odd, minus)
	}
}

// after emits the output transform of x0 … into y0 …; x is lost.
func (w winogradF32) after() {
	x, y := w.x, w.y
	if w.m == 2 {
		w.op("VADDPS", x(0), x(1), y(0))
		w.op("VADDPS", x(2), y(0), y(0))
		w.op("VSUBPS", x(2), x(1), y(1))
		w.op("VSUBPS", x(3), y(1), y(1))
		return
	}
	sum1, dif1, sum2, dif2 := y(4), x(1), y(5), x(3)
	w.op("VADDPS", x(1), x(2), sum1)
	w.op("VSUBPS", x(2), x(1), dif1)
	w.op("VADDPS", x(3), x(4), sum2)
	w.op("VSUBPS", x(4), x(3), dif2)
	w.op("VADDPS", sum1, x(0), y(0))
	w.op("VADDPS", sum2, y(0), y(0))
	w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*wA, dif1, y(1))
	w.scaled("VFMADD231PS", wB, dif2, y(1))
	w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*wA2, sum1, y(2))
	w.scaled("VFMADD231PS", wB2, sum2, y(2))
	w.ins("VMOVAPS %s, %s", x(5), y(3))
	w.scaled("VFMADD231PS", wA3, dif1, y(3))
	w.scaled("VFMADD231PS", wB3, dif2, y(3))
}

// weights emits the transform of three taps x0 … into y0 …; x is lost.
func (w winogradF32) weights() {
	x, y := w.x, w.y
	if w.m == 2 {
		w.ins("VMOVAPS %s, %s", x(0), y(0))
		w.ins("VMOVAPS %s, %s", x(2), y(3))
		w.op("VADDPS", x(2), x(0), x(0))
		w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*wA2, x(0), x(0))
		w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*wA2, x(1), x(1))
		w.op("VADDPS", x(1), x(0), y(1))
		w.op("VSUBPS", x(1), x(0), y(2))
		return
	}
	w.ins("VMOVAPS %s, %s", x(0), y(0))
	w.ins("VMOVAPS %s, %s", x(2), y(5))
	for i, f := range []int{wE, wG} {
		plus, minus := y(1+2*i), y(2+2*i)
		w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*f, x(0), x(3))
		w.scaled("VFMADD231PS", f+2, x(2), x(3))
		w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*(f+1), x(1), x(4))
		w.op("VADDPS", x(4), x(3), plus)
		w.op("VSUBPS", x(4), x(3), minus)
	}
}

// gradient emits the transpose of after: of four gradients of pixels x0 … into those of
// products y0 …; x is lost.
func (w winogradF32) gradient() {
	x, y := w.x, w.y
	w.ins("VMOVAPS %s, %s", x(0), y(0))
	w.ins("VMOVAPS %s, %s", x(3), y(5))
	for i, p := range []struct{ a, a2, a3 int }{{wA, wA2, wA3}, {wB, wB2, wB3}} {
		plus, minus := y(1+2*i), y(2+2*i)
		w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*p.a, x(1), x(4))
		w.scaled("VFMADD231PS", p.a3, x(3), x(4))
		w.ins("VMOVAPS %s, %s", x(0), x(5))
		w.scaled("VFMADD231PS", p.a2, x(2), x(5))
		w.op("VADDPS", x(4), x(5), plus)
		w.op("VSUBPS", x(4), x(5), minus)
	}
}

// taps emits the transpose of weights: of x0 … into three taps y0 …; x is lost.
func (w winogradF32) taps() {
	x, y := w.x, w.y
	w.op("VSUBPS", x(2), x(1), y(4))
	w.op("VADDPS", x(2), x(1), x(1))
	w.op("VSUBPS", x(4), x(3), y(5))
	w.op("VADDPS", x(4), x(3), x(3))
	w.ins("VMOVAPS %s, %s", x(0), y(0))
	w.scaled("VFMADD231PS", wE, x(1), y(0))
	w.scaled("VFMADD231PS", wG, x(3), y(0))
	w.ins("VMULPS winogradConst<>+%d(SB), %s, %s", 64*wEA, y(4), y(1))
	w.scaled("VFMADD231PS", wGB, y(5), y(1))
	w.ins("VMOVAPS %s, %s", x(5), y(2))
	w.scaled("VFMADD231PS", wEA2, x(1), y(2))
	w.scaled("VFMADD231PS", wGB2, x(3), y(2))
}

// blocks emits the loops over vectors of channels and tiles of the run.
func (w winogradF32) blocks(name string, block func()) {
	w.text(name, 8)
	w.ins("MOVQ args+0(FP), DI")
	w.ins("MOVQ winogradTileF32_srcRow(DI), R8")
	w.ins("LEAQ (R8)(R8*2), R13")
	w.ins("LEAQ (R8)(R8*4), R15")
	w.ins("MOVQ winogradTileF32_buffer(DI), R12")
	w.ins("XORQ R14, R14")
	w.ins("MOVQ winogradTileF32_channels(DI), AX")
	w.at("block")
	w.ins("MOVQ $%d, CX", w.vec.lanes)
	w.ins("CMPQ AX, CX")
	w.ins("CMOVQLT AX, CX")
	if w.vec == zmm {
		w.ins("MOVQ $-1, DX")
		w.ins("BZHIQ CX, DX, DX")
		w.ins("KMOVW DX, K1")
	} else {
		w.ins("LEAQ laneMask<>+64(SB), DX")
		w.ins("SHLQ $2, CX")
		w.ins("SUBQ CX, DX")
		w.ins("VMOVUPS (DX), Y15")
	}
	for _, p := range []string{"src", "dst", "res"} {
		w.ins("MOVQ $0, winogradTileF32_%sAt(DI)", p)
	}
	w.ins("MOVQ winogradTileF32_tiles(DI), CX")
	w.ins("MOVQ CX, winogradTileF32_left(DI)")
	w.at("tile")
	w.ins("MOVQ winogradTileF32_src(DI), SI")
	w.ins("ADDQ winogradTileF32_srcAt(DI), SI")
	w.ins("ADDQ R14, SI")
	block()
	for _, p := range []string{"src", "dst", "res"} {
		w.ins("MOVQ winogradTileF32_%sStep(DI), CX", p)
		w.ins("ADDQ CX, winogradTileF32_%sAt(DI)", p)
	}
	w.ins("SUBQ $1, winogradTileF32_left(DI)")
	w.ins("JGT tile")
	w.ins("ADDQ $%d, R14", w.vec.bytes())
	w.ins("SUBQ $%d, AX", w.vec.lanes)
	w.ins("JGT block")
	w.ins("VZEROUPPER")
	w.ins("RET")
}

// lanesLoad and lanesStore emit moves of the wanted lanes.
func (w winogradF32) lanesLoad(from, to string) {
	if w.vec == zmm {
		w.ins("VMOVUPS.Z %s, K1, %s", from, to)
	} else {
		w.ins("VMASKMOVPS %s, Y15, %s", from, to)
	}
}

func (w winogradF32) lanesStore(from, to string) {
	if w.vec == zmm {
		w.ins("VMOVUPS %s, K1, %s", from, to)
	} else {
		w.ins("VMASKMOVPS %s, Y15, %s", from, to)
	}
}

// row returns the address of row i of the column at SI.
func (w winogradF32) row(i int) string {
	return [...]string{"(SI)", "(SI)(R8*1)", "(SI)(R8*2)", "(SI)(R13*1)", "(SI)(R8*4)", "(SI)(R15*1)"}[i]
}

func (w winogradF32) buffer(row, col int) string {
	return fmt.Sprintf("%d(R12)", (row*w.n+col)*w.vec.bytes())
}

// spread emits a transform of from×from pixels into to×to matrices, f being that of one
// dimension.
func (w winogradF32) spread(name string, from, to int, f func()) {
	w.blocks(name, func() {
		w.ins("MOVQ winogradTileF32_srcCol(DI), R9")
		for col := range from {
			for row := range from {
				w.lanesLoad(w.row(row), w.x(row))
			}
			w.ins("ADDQ R9, SI")
			f()
			for row := range to {
				w.ins("VMOVUPS %s, %s", w.y(row), w.buffer(row, col))
			}
		}
		w.ins("MOVQ winogradTileF32_dst(DI), R10")
		w.ins("ADDQ winogradTileF32_dstAt(DI), R10")
		w.ins("ADDQ R14, R10")
		w.ins("MOVQ winogradTileF32_dstRow(DI), R11")
		for row := range to {
			for col := range from {
				w.ins("VMOVUPS %s, %s", w.buffer(row, col), w.x(col))
			}
			f()
			for col := range to {
				w.ins("VMOVUPS %s, (R10)", w.y(col))
				w.ins("ADDQ R11, R10")
			}
		}
	})
}

func (w winogradF32) output(name string) {
	w.blocks(name, func() {
		// Matrix row·n+col lies srcCol·col below the first of its row.
		w.ins("MOVQ winogradTileF32_srcCol(DI), R9")
		for col := range w.n {
			for row := range w.n {
				w.ins("VMOVUPS %s, %s", w.row(row), w.x(row))
			}
			w.ins("ADDQ R9, SI")
			w.after()
			for row := range w.m {
				w.ins("VMOVUPS %s, %s", w.y(row), w.buffer(row, col))
			}
		}
		w.ins("MOVQ winogradTileF32_dst(DI), R10")
		w.ins("ADDQ winogradTileF32_dstAt(DI), R10")
		w.ins("ADDQ R14, R10")
		w.ins("MOVQ winogradTileF32_res(DI), BX")
		w.ins("ADDQ winogradTileF32_resAt(DI), BX")
		w.ins("ADDQ R14, BX")
		w.ins("MOVQ winogradTileF32_bias(DI), DX")
		w.ins("VMOVUPS (DX)(R14*1), %s", w.x(7))
		for row := range w.m {
			w.ins("CMPQ winogradTileF32_rows(DI), $%d", row)
			w.ins("JLE finished")
			for col := range w.n {
				w.ins("VMOVUPS %s, %s", w.buffer(row, col), w.x(col))
			}
			w.after()
			w.ins("VBROADCASTSS winogradTileF32_lo(DI), %s", w.x(0))
			w.ins("VBROADCASTSS winogradTileF32_hi(DI), %s", w.x(1))
			last := w.label("row")
			w.ins("MOVQ R10, R11")
			w.ins("MOVQ BX, SI")
			for col := range w.m {
				w.ins("CMPQ winogradTileF32_cols(DI), $%d", col)
				w.ins("JLE %s", last)
				bounds := w.label("bounds")
				w.op("VADDPS", w.x(7), w.y(col), w.y(col))
				w.ins("CMPQ winogradTileF32_res(DI), $0")
				w.ins("JEQ %s", bounds)
				w.lanesLoad("(SI)", w.x(2))
				w.op("VADDPS", w.x(2), w.y(col), w.y(col))
				w.at(bounds)
				w.ins("VMAXPS %s, %s, %s", w.y(col), w.x(0), w.y(col))
				w.ins("VMINPS %s, %s, %s", w.y(col), w.x(1), w.y(col))
				if w.vec == ymm {
					part, stored := w.label("part"), w.label("stored")
					w.ins("CMPQ AX, $%d", w.vec.lanes)
					w.ins("JLT %s", part)
					w.ins("VMOVUPS %s, (R11)", w.y(col))
					w.ins("JMP %s", stored)
					w.at(part)
					w.lanesStore(w.y(col), "(R11)")
					w.at(stored)
				} else {
					w.lanesStore(w.y(col), "(R11)")
				}
				w.ins("ADDQ winogradTileF32_dstCol(DI), R11")
				w.ins("ADDQ winogradTileF32_resCol(DI), SI")
			}
			w.at(last)
			w.ins("ADDQ winogradTileF32_dstRow(DI), R10")
			w.ins("ADDQ winogradTileF32_resRow(DI), BX")
		}
		w.at("finished")
	})
}
