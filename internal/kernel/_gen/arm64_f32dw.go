package main

import "fmt"

func init() {
	outputs["depthwise_f32_gen_arm64.s"] = func(a *asm) {
		for _, kernel := range []int{3, 5} {
			for _, stride := range []int{1, 2} {
				depthwiseNEON{fmt.Sprintf("depthwise%dS%dF32NEON", kernel, stride), kernel, stride, []int{8, 4, 2, 1}}.emit(a)
			}
		}
		depthwiseNEON{"depthwiseF32NEON", anyWindow, 0, []int{4, 1}}.emit(a)
		depthwiseNEON{"maximumF32NEON", anyMaximum, 0, []int{4, 1}}.emit(a)
	}
}

// depthwiseNEON emits a sweep along a row of output pixels, four channels after
// another, several pixels at a time. The weights of a row of taps and the input
// values are loaded once for all these pixels. With anyWindow the window is
// walked tap by tap; with anyMaximum its maximum is taken instead, the bias
// being what it starts from.
//
// The last one to three channels are swept pixel by pixel, with lanes loaded and
// stored one by one: R19 and R20 are the places of lanes 1 and 2, that of the
// last where there is none.
//
// Register plan:
//
//	R0          arguments
//	R1 R2 R3    bytes of channels done, current block of weights, channels left
//	R4 R5 R6    current pixel of src, dst and residual
//	R7 R8       bytes from column to column of taps, pixels left
//	R9 R10 R11  current row of taps in src, in the weights, rows left
//	R12         current input
//	R13 R14     bytes from row to row of taps in src and in the weights
//	R15 R21 R22 bytes from pixel to pixel of src, dst and residual
//	R23 R24     first tap in a block, columns of taps left
//	R25 R26     two and three times R7
//	V0 …        sums of the pixels, then weights of a row, inputs
//	V29 V30 V31 bias, bounds
type depthwiseNEON struct {
	name           string
	kernel, stride int
	pixels         []int // that bodies exist for, powers of two descending to 1
}

const dwBias, dwLo, dwHi = vreg(29), vreg(30), vreg(31)

func (d depthwiseNEON) emit(a *asm) {
	a.text(d.name, 8)
	a.ins("MOVD args+0(FP), R0")
	for _, f := range []struct {
		field string
		reg   int
	}{{"w", 2}, {"channels", 3}, {"colStep", 7}, {"rowStep", 13}, {"wRow", 14}, {"pixStep", 15}, {"dstStep", 21}, {"resStep", 22}, {"wSkip", 23}} {
		a.ins("MOVD depthwiseF32_%s(R0), R%d", f.field, f.reg)
	}
	a.ins("ADD $depthwiseF32_lo, R0, R16")
	a.do(loadDup("R16", dwLo))
	a.ins("ADD $depthwiseF32_hi, R0, R16")
	a.do(loadDup("R16", dwHi))
	a.ins("ADD $16, R23")
	a.ins("LSL $1, R7, R25")
	a.ins("ADD R7, R25, R26")
	a.ins("MOVD $0, R1")
	a.at("block")
	a.do(loadQ("(R2)", dwBias))
	a.ins("MOVD depthwiseF32_src(R0), R4")
	a.ins("ADD R1, R4")
	a.ins("MOVD depthwiseF32_dst(R0), R5")
	a.ins("ADD R1, R5")
	a.ins("MOVD depthwiseF32_res(R0), R6")
	a.ins("CBZ R6, noresidual")
	a.ins("ADD R1, R6")
	a.at("noresidual")
	a.ins("MOVD depthwiseF32_n(R0), R8")
	a.ins("CMP $4, R3")
	a.ins("BLT part")
	for i, p := range d.pixels {
		next := "blockdone"
		if i+1 < len(d.pixels) {
			next = fmt.Sprintf("pixels%d", d.pixels[i+1])
		}
		a.at(fmt.Sprintf("pixels%d", p))
		a.ins("SUBS $%d, R8", p)
		a.ins("BLT short%d", p)
		d.body(a, p, false)
		a.ins("B pixels%d", p)
		a.at(fmt.Sprintf("short%d", p))
		a.ins("ADD $%d, R8", p)
		if next == "blockdone" {
			break
		}
	}
	a.ins("ADD $16, R1")
	a.ins("MOVD depthwiseF32_wBlock(R0), R16")
	a.ins("ADD R16, R2")
	a.ins("SUBS $4, R3")
	a.ins("BGT block")
	a.ins("RET")
	a.at("part")
	a.ins("SUBS $1, R3, R20")
	a.ins("CSET NE, R19")
	a.ins("LSL $2, R19")
	a.ins("LSL $2, R20")
	a.at("partpixel")
	d.body(a, 1, true)
	a.ins("SUBS $1, R8")
	a.ins("BGT partpixel")
	a.ins("RET")
}

// load emits the load of the channels of a pixel, and the step to the next one.
func (d depthwiseNEON) load(ptr, step string, to vreg, part bool) []inst {
	if !part {
		return []inst{native("VLD1.P (%s)(%s), [%s]", ptr, step, to.in(s4))}
	}
	return []inst{
		native("ADD R19, %s, R16", ptr), native("ADD R20, %s, R17", ptr),
		loadS("("+ptr+")", to), native("VLD1 (R16), %s", to.lane(s4, 1)), native("VLD1 (R17), %s", to.lane(s4, 2)),
		native("ADD %s, %s", step, ptr),
	}
}

func (d depthwiseNEON) body(a *asm, p int, part bool) {
	for i := range p {
		if d.kernel == anyMaximum {
			a.do(move(dwBias, vreg(i)))
		} else {
			a.do(zero(vreg(i)))
		}
	}
	row, summed := a.label("row"), a.label("summed")
	a.ins("ADD R23, R2, R10")
	a.ins("MOVD R4, R9")
	a.ins("MOVD depthwiseF32_rows(R0), R11")
	a.ins("CBZ R11, %s", summed)
	a.at(row)
	if d.kernel > 0 {
		d.taps(a, p, part)
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
	switch p {
	case 1:
		a.ins("ADD R15, R4")
	default:
		a.ins("ADD R15<<%d, R4", map[int]int{2: 1, 4: 2, 8: 3}[p])
	}
	d.store(a, p, part)
}

// taps emits one row of taps of a window whose size is known. An input column
// goes to every pixel whose window holds it, the last of them first, so that
// additions to one sum are far apart. Columns are loaded some time before.
func (d depthwiseNEON) taps(a *asm, p int, part bool) {
	const early = 3
	columns := (p-1)*d.stride + d.kernel
	inputs := 29 - p - d.kernel
	in := func(x int) vreg { return vreg(p + d.kernel + x%inputs) }
	weight := func(t int) vreg { return vreg(p + t) }
	load := func(x int) []inst {
		if part {
			return d.load("R12", "R7", in(x), part)
		}
		var list []inst
		if x > 0 && x%4 == 0 {
			list = append(list, native("ADD R7<<2, R12"))
		}
		if x%4 == 0 {
			return append(list, loadQ("(R12)", in(x)))
		}
		return append(list, loadIndexed(12, [...]uint32{1: 7, 2: 25, 3: 26}[x%4], in(x)))
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
	a.ins("MOVD depthwiseF32_cols(R0), R24")
	a.ins("CBZ R24, %s", done)
	a.at(loop)
	if d.kernel == anyWindow {
		a.do(loadQ("(R10)", vreg(p)))
	}
	a.ins("MOVD R9, R12")
	for i := range p {
		a.do(d.load("R12", "R15", vreg(p+1+i), part)...)
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
	a.ins("SUBS $1, R24")
	a.ins("BNE %s", loop)
	a.ins("MOVD depthwiseF32_cols(R0), R24")
	a.ins("MSUB R24, R9, R7, R9")
	a.ins("SUB R24<<4, R10")
	a.at(done)
}

// store emits the end of p pixels: residual, bounds, write.
func (d depthwiseNEON) store(a *asm, p int, part bool) {
	bounds := a.label("bounds")
	a.ins("CBZ R6, %s", bounds)
	for i := range p {
		a.do(d.load("R6", "R22", vreg(p+i%2), part)...)
		a.do(fadd(vreg(i), vreg(i), vreg(p+i%2)))
	}
	a.at(bounds)
	for i := range p {
		a.do(fmax(vreg(i), vreg(i), dwLo))
	}
	for i := range p {
		a.do(fmin(vreg(i), vreg(i), dwHi))
		if !part {
			a.do(native("VST1.P [%s], (R5)(R21)", vreg(i).in(s4)))
			continue
		}
		// Downwards: what remains in a place is its own value.
		a.ins("ADD R19, R5, R16")
		a.ins("ADD R20, R5, R17")
		a.do(native("VST1 %s, (R17)", vreg(i).lane(s4, 2)), native("VST1 %s, (R16)", vreg(i).lane(s4, 1)), storeS(vreg(i), "(R5)"))
		a.ins("ADD R21, R5")
	}
}
