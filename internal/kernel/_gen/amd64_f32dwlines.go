package main

import "fmt"

// depthwiseLinesF32 emits a sweep of a square window of known size over whole
// rows of output pixels, several rows in one call. Pixels are taken in bodies of
// nearly equal size; a column of input goes to every pixel of a body whose
// window holds it. Up to half a window may lie beyond the left and right ends of
// a row: those columns are loaded with no lanes and so are zero.
//
// Beside the registers of depthwiseF32:
//
//	CX        bodies left in the row
//	R13       pixels of the body, then three times R11
//	K2 K3     lanes of the first columns of a body, K4 K5 of the last
//
// AVX2 keeps these lanes in the frame and has bodies without any masks.
type depthwiseLinesF32 struct {
	depthwiseF32
	pixels int // of the largest body
}

// half is how many columns may lie beyond either end of a row.
func (d depthwiseLinesF32) half() int { return d.kernel / 2 }

// edge returns where the lanes of an outer column are kept: of the first
// columns for i < half, of the last for i ≥ half.
func (d depthwiseLinesF32) edge(i int) string {
	if d.vec == zmm {
		return fmt.Sprintf("K%d", 2+i)
	}
	return fmt.Sprintf("edge%d-%d(SP)", i, 64+32*(i+1))
}

// lanesAt emits the setting of the lanes of an outer column, to those of the
// block or to none.
func (d depthwiseLinesF32) lanesAt(a *asm, i int, none bool) {
	switch {
	case d.vec == zmm && none:
		a.ins("KXORW %s, %s, %s", d.edge(i), d.edge(i), d.edge(i))
	case d.vec == zmm:
		a.ins("KMOVW K1, %s", d.edge(i))
	case none:
		d.vec.zero(a, d.vec.r(0))
		a.ins("VMOVUPS %s, %s", d.vec.r(0), d.edge(i))
	default:
		a.ins("VMOVUPS %s, %s", d.mask(), d.edge(i))
	}
}

// lanesBeyond emits lanesAt for the columns beyond one end, whose number is in
// the field; nearest says which column is the first to be beyond.
func (d depthwiseLinesF32) lanesBeyond(a *asm, field string, nearest, step int) {
	done := a.label("inside")
	a.ins("MOVQ depthwiseF32_%s(DI), R13", field)
	for n := 1; n <= d.half(); n++ {
		a.ins("CMPQ R13, $%d", n)
		a.ins("JLT %s", done)
		d.lanesAt(a, nearest+(n-1)*step, true)
	}
	a.at(done)
}

func (d depthwiseLinesF32) emit(a *asm) {
	a.frame(d.name, 64+32*2*d.half(), 8)
	d.blocks(a, func() { d.lines(a) })
}

// lines emits the rows of one block of channels.
func (d depthwiseLinesF32) lines(a *asm) {
	a.ins("MOVQ depthwiseF32_before(DI), R13")
	a.ins("IMULQ R11, R13")
	a.ins("SUBQ R13, R8")
	a.ins("MOVQ R8, src-8(SP)")
	a.ins("MOVQ R9, dst-16(SP)")
	a.ins("MOVQ R10, res-24(SP)")
	a.ins("MOVQ depthwiseF32_lines(DI), R12")
	a.ins("MOVQ R12, lines-32(SP)")
	a.at("line")
	d.inside(a)
	d.lanesBeyond(a, "before", 0, 1)
	a.ins("MOVQ depthwiseF32_bodies(DI), CX")
	a.ins("MOVQ depthwiseF32_longer(DI), R13")
	a.ins("MOVQ R13, longer-40(SP)")
	if d.vec == ymm {
		a.ins("MOVQ depthwiseF32_before(DI), R13")
		a.ins("ORQ AX, R13")
		a.ins("MOVQ R13, masked-48(SP)")
	}
	a.at("body")
	a.ins("CMPQ CX, $1")
	a.ins("JNE inner")
	d.lanesBeyond(a, "after", 2*d.half()-1, -1)
	if d.vec == ymm {
		a.ins("MOVQ depthwiseF32_after(DI), R13")
		a.ins("ORQ R13, masked-48(SP)")
	}
	a.at("inner")
	a.ins("MOVQ depthwiseF32_least(DI), R13")
	a.ins("SUBQ $1, longer-40(SP)")
	a.ins("JLT shorter")
	a.ins("ADDQ $1, R13")
	a.at("shorter")
	for p := d.pixels; p > 1; p-- {
		a.ins("CMPQ R13, $%d", p)
		a.ins("JEQ pixels%d", p)
	}
	for p := 1; p <= d.pixels; p++ {
		a.at(fmt.Sprintf("pixels%d", p))
		if d.vec == ymm {
			masked := a.label("masked")
			a.ins("CMPQ masked-48(SP), $0")
			a.ins("JNE %s", masked)
			d.body(a, p, false)
			a.ins("JMP bodydone")
			a.at(masked)
		}
		d.body(a, p, true)
		if p < d.pixels {
			a.ins("JMP bodydone")
		}
	}
	a.at("bodydone")
	for i := range d.half() {
		d.lanesAt(a, i, false)
	}
	if d.vec == ymm {
		a.ins("MOVQ AX, masked-48(SP)")
	}
	a.ins("SUBQ $1, CX")
	a.ins("JNE body")
	for _, p := range []struct{ at, local, step string }{{"R8", "src-8", "srcLine"}, {"R9", "dst-16", "dstLine"}, {"R10", "res-24", "resLine"}} {
		a.ins("MOVQ %s(SP), %s", p.local, p.at)
		if p.at == "R10" {
			a.ins("TESTQ R10, R10")
			a.ins("JEQ nextline")
		}
		a.ins("ADDQ depthwiseF32_%s(DI), %s", p.step, p.at)
		a.ins("MOVQ %s, %s(SP)", p.at, p.local)
	}
	a.at("nextline")
	a.ins("SUBQ $1, lines-32(SP)")
	a.ins("JNE line")
}

// inside emits that all columns lie in the image.
func (d depthwiseLinesF32) inside(a *asm) {
	for i := range 2 * d.half() {
		d.lanesAt(a, i, false)
	}
}

// body emits p pixels.
func (d depthwiseLinesF32) body(a *asm, p int, masked bool) {
	v := d.vec
	for i := range p {
		v.zero(a, v.r(i))
	}
	a.ins("LEAQ (R11)(R11*2), R13")
	a.ins("LEAQ %d(R14), SI", v.bytes())
	a.ins("ADDQ depthwiseF32_wSkip(DI), SI")
	a.ins("MOVQ R8, DX")
	a.ins("MOVQ depthwiseF32_rows(DI), BX")
	row, summed := a.label("row"), a.label("summed")
	a.at(row)
	a.ins("SUBQ $1, BX")
	a.ins("JLT %s", summed)
	d.taps(a, p, masked)
	a.ins("ADDQ depthwiseF32_rowStep(DI), DX")
	a.ins("ADDQ depthwiseF32_wRow(DI), SI")
	a.ins("JMP %s", row)
	a.at(summed)
	// The bias comes last: a sum that started from a large one would lose the low
	// bits of every product.
	for i := range p {
		a.ins("VADDPS %s, %s, %s", d.bias(), v.r(i), v.r(i))
	}
	a.ins("IMUL3Q $%d, depthwiseF32_pixStep(DI), DX", p)
	a.ins("ADDQ DX, R8")
	d.store(a, p)
}

// taps emits one row of taps for p pixels.
func (d depthwiseLinesF32) taps(a *asm, p int, masked bool) {
	v := d.vec
	weight := func(t int) string { return v.r(p + t) }
	inputs := v.regs - 4 - p - d.kernel // registers that are left
	for t := range d.kernel {
		a.ins("VMOVUPS %d(SI), %s", t*v.bytes(), weight(t))
	}
	a.ins("MOVQ DX, R12")
	columns := (p-1)*d.stride + d.kernel
	for x := range columns {
		if x > 0 && x%4 == 0 {
			a.ins("LEAQ (R12)(R11*4), R12")
		}
		at := [...]string{"(R12)", "(R12)(R11*1)", "(R12)(R11*2)", "(R12)(R13*1)"}[x%4]
		in := v.r(p + d.kernel + x%inputs)
		outer := -1
		if x < d.half() {
			outer = x
		} else if x >= columns-d.half() {
			outer = 2*d.half() - columns + x
		}
		switch {
		case !masked:
			a.ins("VMOVUPS %s, %s", at, in)
		case outer < 0:
			d.load(a, at, in)
		case v == zmm:
			a.ins("VMOVUPS.Z %s, %s, %s", at, d.edge(outer), in)
		default:
			a.ins("VMOVUPS %s, %s", d.edge(outer), in)
			a.ins("VMASKMOVPS %s, %s, %s", at, in, in)
		}
		for i := range p {
			if t := x - i*d.stride; t >= 0 && t < d.kernel {
				a.ins("VFMADD231PS %s, %s, %s", weight(t), in, v.r(i))
			}
		}
	}
}
