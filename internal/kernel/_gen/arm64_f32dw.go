package main

import "fmt"

func init() {
	outputs["depthwise_f32_gen_arm64.s"] = func(a *asm) {
		for _, kernel := range []int{3, 5} {
			for _, stride := range []int{1, 2} {
				depthwiseNEON{fmt.Sprintf("depthwise%dS%dF32NEON", kernel, stride), kernel, stride}.lines(a)
			}
		}
		depthwiseNEON{"depthwiseF32NEON", anyWindow, 0}.sweep(a)
		depthwiseNEON{"maximumF32NEON", anyMaximum, 0}.sweep(a)
		a.raw("\nDATA zeros<>+0(SB)/8, $0\nDATA zeros<>+8(SB)/8, $0\nGLOBL zeros<>(SB), RODATA, $16\n")
	}
}

// depthwiseNEON emits kernels for depthwise windows, four channels after another,
// several pixels at a time. The weights of a row of taps and the input values are
// loaded once for all these pixels.
//
// A window of known size is swept over whole rows of output pixels, several rows
// in one call. Up to half a window may lie beyond the left and right ends of a
// row: those columns are loaded from zeros, by bodies of their own. With anyWindow a part of one row is
// swept, the window being walked tap by tap; with anyMaximum its maximum is taken
// instead, the bias being what it starts from.
//
// The last one to three channels are computed pixel by pixel, with lanes loaded
// and stored one by one: R19 and R20 are the places of lanes 1 and 2, that of the
// last where there is none.
//
// Register plan:
//
//	R0          arguments
//	R1 R2 R3    bytes of channels done, current block of weights, channels left
//	R4 R5 R6    current pixel of src, dst and residual
//	R7 R25 R26  bytes from column to column of taps, twice and three times that
//	R8          bodies or pixels left
//	R9 R10 R11  current row of taps in src, in the weights, rows left
//	R12         current input
//	R13 R14     bytes from row to row of taps in src and in the weights
//	R15         longer bodies left; inputs of parts; pixel step of any window
//	R16 R17     free
//	R21         rows of pixels left; columns of any window left
//	R22 R23 R24 columns beyond the left and right end of the body, zeros
//	V0 …        sums of the pixels, then weights of a row, inputs
//	V29 V30 V31 bias, bounds
type depthwiseNEON struct {
	name           string
	kernel, stride int
}

const dwBias, dwLo, dwHi = vreg(29), vreg(30), vreg(31)

// dwPixels is the most pixels of a body.
const dwPixels = 8

func (d depthwiseNEON) field(a *asm, name string, reg int) {
	a.ins("MOVD depthwiseF32_%s(R0), R%d", name, reg)
}

// blocks emits the loop over channels: full for four of them, part for the last.
func (d depthwiseNEON) blocks(a *asm, full, part func()) {
	a.text(d.name, 8)
	a.ins("MOVD args+0(FP), R0")
	d.field(a, "w", 2)
	d.field(a, "channels", 3)
	d.field(a, "colStep", 7)
	d.field(a, "rowStep", 13)
	d.field(a, "wRow", 14)
	a.ins("LSL $1, R7, R25")
	a.ins("ADD R7, R25, R26")
	a.ins("ADD $depthwiseF32_lo, R0, R16")
	a.do(loadDup("R16", dwLo))
	a.ins("ADD $depthwiseF32_hi, R0, R16")
	a.do(loadDup("R16", dwHi))
	a.ins("MOVD $zeros<>(SB), R24")
	a.ins("MOVD $0, R1")
	a.at("block")
	a.do(loadQ("(R2)", dwBias))
	d.field(a, "src", 4)
	a.ins("ADD R1, R4")
	d.field(a, "dst", 5)
	a.ins("ADD R1, R5")
	d.field(a, "res", 6)
	a.ins("CBZ R6, noresidual")
	a.ins("ADD R1, R6")
	a.at("noresidual")
	a.ins("CMP $4, R3")
	a.ins("BLT part")
	full()
	a.ins("ADD $16, R1")
	d.field(a, "wBlock", 16)
	a.ins("ADD R16, R2")
	a.ins("SUBS $4, R3")
	a.ins("BGT block")
	a.ins("RET")
	a.at("part")
	a.ins("SUBS $1, R3, R20")
	a.ins("CSET NE, R19")
	a.ins("LSL $2, R19")
	a.ins("LSL $2, R20")
	part()
	a.ins("RET")
}

// sweep emits a kernel for any window.
func (d depthwiseNEON) sweep(a *asm) {
	d.blocks(a, func() {
		d.field(a, "n", 8)
		for _, p := range []int{4, 1} {
			loop, short := a.label("pixels"), a.label("short")
			a.ins("SUBS $%d, R8", p)
			a.ins("BLT %s", short)
			a.at(loop)
			d.body(a, p, false, false)
			a.ins("SUBS $%d, R8", p)
			a.ins("BGE %s", loop)
			a.at(short)
			a.ins("ADD $%d, R8", p)
		}
	}, func() {
		d.field(a, "n", 8)
		a.at("partpixel")
		d.body(a, 1, false, true)
		a.ins("SUBS $1, R8")
		a.ins("BGT partpixel")
	})
}

// lines emits a kernel for a window of known size.
func (d depthwiseNEON) lines(a *asm) {
	start := func(line string) {
		d.field(a, "before", 22)
		a.ins("MSUB R22, R4, R7, R4")
		d.field(a, "lines", 21)
		a.at(line)
		d.field(a, "before", 22)
	}
	// From the end of a row to the next one.
	next := func(line string) {
		d.field(a, "n", 8)
		for _, p := range []struct {
			at         int
			step, line string
		}{{4, "pixStep", "srcLine"}, {5, "dstStep", "dstLine"}, {6, "resStep", "resLine"}} {
			if p.at == 6 {
				a.ins("CBZ R6, %s", line+"end")
			}
			d.field(a, p.step, 16)
			d.field(a, p.line, 17)
			a.ins("MSUB R16, R17, R8, R17")
			a.ins("ADD R17, R%d", p.at)
		}
		a.at(line + "end")
		a.ins("SUBS $1, R21")
		a.ins("BNE %s", line)
	}
	d.blocks(a, func() {
		start("line")
		a.ins("MOVD $0, R23")
		d.field(a, "bodies", 8)
		d.field(a, "longer", 15)
		a.at("body")
		a.ins("CMP $1, R8")
		a.ins("BNE inner")
		d.field(a, "after", 23)
		a.at("inner")
		d.field(a, "least", 16)
		a.ins("SUBS $1, R15")
		a.ins("BLT shorter")
		a.ins("ADD $1, R16")
		a.at("shorter")
		for p := dwPixels; p > 1; p-- {
			a.ins("CMP $%d, R16", p)
			a.ins("BEQ pixels%d", p)
		}
		for p := 1; p <= dwPixels; p++ {
			a.at(fmt.Sprintf("pixels%d", p))
			ends := a.label("ends")
			a.ins("ORR R22, R23, R16")
			a.ins("CBNZ R16, %s", ends)
			d.body(a, p, false, false)
			a.ins("B bodydone")
			a.at(ends)
			d.body(a, p, true, false)
			if p < dwPixels {
				a.ins("B bodydone")
			}
		}
		a.at("bodydone")
		a.ins("MOVD $0, R22")
		a.ins("SUBS $1, R8")
		a.ins("BNE body")
		next("line")
	}, func() {
		start("partline")
		d.field(a, "n", 8)
		a.at("partpixel")
		// The columns beyond the right end are those of the last pixel less what
		// this one lies before it.
		d.field(a, "after", 23)
		a.ins("SUB $1, R8, R16")
		if d.stride == 2 {
			a.ins("LSL $1, R16")
		}
		a.ins("SUBS R16, R23")
		a.ins("CSEL LT, ZR, R23, R23")
		d.body(a, 1, true, true)
		a.ins("SUBS $%d, R22", d.stride)
		a.ins("CSEL LT, ZR, R22, R22")
		a.ins("SUBS $1, R8")
		a.ins("BGT partpixel")
		next("partline")
	})
}

// load emits the load of the channels of a pixel.
func (d depthwiseNEON) load(ptr string, to vreg, part bool) []inst {
	if !part {
		return []inst{loadQ("("+ptr+")", to)}
	}
	return []inst{
		native("ADD R19, %s, R16", ptr), native("ADD R20, %s, R17", ptr),
		loadS("("+ptr+")", to), native("VLD1 (R16), %s", to.lane(s4, 1)), native("VLD1 (R17), %s", to.lane(s4, 2)),
	}
}

func (d depthwiseNEON) body(a *asm, p int, ends, part bool) {
	for i := range p {
		if d.kernel == anyMaximum {
			a.do(move(dwBias, vreg(i)))
		} else {
			a.do(zero(vreg(i)))
		}
	}
	row, summed := a.label("row"), a.label("summed")
	d.field(a, "wSkip", 10)
	a.ins("ADD R2, R10")
	a.ins("ADD $16, R10")
	a.ins("MOVD R4, R9")
	d.field(a, "rows", 11)
	a.ins("CBZ R11, %s", summed)
	a.at(row)
	if d.kernel > 0 {
		d.taps(a, p, ends, part)
	} else {
		d.anyTaps(a, p, part)
	}
	a.ins("ADD R13, R9")
	a.ins("ADD R14, R10")
	a.ins("SUBS $1, R11")
	a.ins("BNE %s", row)
	a.at(summed)
	// The bias comes last: a sum that started from a large one would lose the low
	// bits of every product.
	for i := range p {
		if d.kernel != anyMaximum {
			a.do(fadd(vreg(i), vreg(i), dwBias))
		}
	}
	d.field(a, "pixStep", 16)
	a.ins("MOVD $%d, R17", p)
	a.ins("MADD R16, R4, R17, R4")
	d.store(a, p, part)
}

// taps emits one row of taps of a window whose size is known. An input column
// goes to every pixel whose window holds it, the last of them first, so that
// additions to one sum are far apart. Columns are loaded some time before.
func (d depthwiseNEON) taps(a *asm, p int, ends, part bool) {
	const early = 3
	columns, half := (p-1)*d.stride+d.kernel, d.kernel/2
	inputs := 29 - p - d.kernel
	in := func(x int) vreg { return vreg(p + d.kernel + x%inputs) }
	weight := func(t int) vreg { return vreg(p + t) }
	load := func(x int) (list []inst) {
		if x > 0 && x%4 == 0 {
			list = append(list, native("ADD R7<<2, R12"))
		}
		index := [...]uint32{1: 7, 2: 25, 3: 26}[x%4]
		// How many columns lie beyond if this one does, in which register.
		beyond, number := 0, 22
		switch {
		case !ends:
		case x < half:
			beyond = x + 1
		case columns-x <= half:
			beyond, number = columns-x, 23
		}
		if !part && beyond == 0 {
			if index == 0 {
				return append(list, loadQ("(R12)", in(x)))
			}
			return append(list, loadIndexed(12, index, in(x)))
		}
		ptr := "R16"
		if part {
			ptr = "R15"
		}
		if index == 0 {
			list = append(list, native("MOVD R12, %s", ptr))
		} else {
			list = append(list, native("ADD R%d, R12, %s", index, ptr))
		}
		if beyond > 0 {
			list = append(list, native("CMP $%d, R%d", beyond, number), native("CSEL GE, R24, %s, %[1]s", ptr))
		}
		return append(list, d.load(ptr, in(x), part)...)
	}
	a.ins("MOVD R9, R12")
	for t := range d.kernel {
		a.do(loadQ(fmt.Sprintf("%d(R10)", 16*t), weight(t)))
		if t < early {
			a.do(load(t)...)
		}
	}
	for x := range columns {
		var sums, loads []inst
		for i := p - 1; i >= 0; i-- {
			if t := x - i*d.stride; t >= 0 && t < d.kernel {
				sums = append(sums, fmla(vreg(i), in(x), weight(t)))
			}
		}
		if x+early < columns {
			loads = load(x + early)
		}
		a.do(interleave(sums, loads, 1)...)
	}
}

// anyTaps emits one row of taps as a loop. R9 and R10 walk along the row and are
// set back after it.
func (d depthwiseNEON) anyTaps(a *asm, p int, part bool) {
	loop, done := a.label("tap"), a.label("tapdone")
	d.field(a, "cols", 21)
	a.ins("CBZ R21, %s", done)
	d.field(a, "pixStep", 15)
	a.at(loop)
	if d.kernel == anyWindow {
		a.do(loadQ("(R10)", vreg(p)))
	}
	a.ins("MOVD R9, R12")
	for i := range p {
		a.do(d.load("R12", vreg(p+1+i), part)...)
		if i < p-1 {
			a.ins("ADD R15, R12")
		}
	}
	for i := range p {
		if d.kernel == anyMaximum {
			a.do(fmax(vreg(i), vreg(i), vreg(p+1+i)))
		} else {
			a.do(fmla(vreg(i), vreg(p+1+i), vreg(p)))
		}
	}
	a.ins("ADD $16, R10")
	a.ins("ADD R7, R9")
	a.ins("SUBS $1, R21")
	a.ins("BNE %s", loop)
	d.field(a, "cols", 21)
	a.ins("MSUB R21, R9, R7, R9")
	a.ins("SUB R21<<4, R10")
	a.at(done)
}

// store emits the end of p pixels: residual, bounds, write.
func (d depthwiseNEON) store(a *asm, p int, part bool) {
	bounds := a.label("bounds")
	a.ins("CBZ R6, %s", bounds)
	d.field(a, "resStep", 12)
	for i := range p {
		a.do(d.load("R6", vreg(p+i%2), part)...)
		a.ins("ADD R12, R6")
		a.do(fadd(vreg(i), vreg(i), vreg(p+i%2)))
	}
	a.at(bounds)
	d.field(a, "dstStep", 12)
	for i := range p {
		a.do(fmax(vreg(i), vreg(i), dwLo))
	}
	for i := range p {
		a.do(fmin(vreg(i), vreg(i), dwHi))
		if part {
			// Downwards: what remains in a place is its own value.
			a.ins("ADD R19, R5, R16")
			a.ins("ADD R20, R5, R17")
			a.do(native("VST1 %s, (R17)", vreg(i).lane(s4, 2)), native("VST1 %s, (R16)", vreg(i).lane(s4, 1)), storeS(vreg(i), "(R5)"))
		} else {
			a.do(storeQ(vreg(i), "(R5)"))
		}
		a.ins("ADD R12, R5")
	}
}
