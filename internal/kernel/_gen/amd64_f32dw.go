package main

import "fmt"

func init() {
	outputs["depthwise_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level, pixels := "AVX512", 8
			if v == ymm {
				level, pixels = "AVX2", 4
			}
			for _, kernel := range []int{3, 5} {
				for _, stride := range []int{1, 2} {
					d := depthwiseF32{fmt.Sprintf("depthwise%dS%dF32%s", kernel, stride, level), v, kernel, stride}
					depthwiseLinesF32{d, pixels}.emit(a)
				}
			}
			depthwiseF32{fmt.Sprintf("depthwiseF32%s", level), v, anyWindow, 0}.emit(a)
			depthwiseF32{fmt.Sprintf("maximumF32%s", level), v, anyMaximum, 0}.emit(a)
		}
		laneMask(a)
	}
}

// depthwiseF32 emits a sweep along a row of output pixels, one vector of
// channels after another, several pixels at a time. With anyWindow the window is
// walked tap by tap; with anyMaximum its maximum is taken instead, the bias
// being what it starts from. Windows of known size have depthwiseLinesF32.
//
// Register plan:
//
//	DI        arguments
//	R15       bytes of channels done
//	R14       current block of weights
//	AX        channels left (AVX2: 0 when the block is full)
//	R8 R9 R10 current pixel of src, dst and residual
//	R11       bytes from column to column of taps
//	R13       columns left, or three times R11
//	CX        pixels left
//	DX SI BX  current row of taps in src, in the weights, rows left
//	R12       current input
//	V0 …      sums of the pixels, then weights of a row, inputs
//	last      bias, lo and hi; AVX-512: K1 the wanted lanes, AVX2: a vector of them
type depthwiseF32 struct {
	name           string
	vec            vector
	kernel, stride int
}

// Windows of no fixed size.
const (
	anyWindow  = 0
	anyMaximum = -1
)

func (d depthwiseF32) bias() string { return d.vec.r(d.vec.regs - 1) }
func (d depthwiseF32) lo() string   { return d.vec.r(d.vec.regs - 2) }
func (d depthwiseF32) hi() string   { return d.vec.r(d.vec.regs - 3) }
func (d depthwiseF32) mask() string { return d.vec.r(d.vec.regs - 4) }

// load emits the load of the wanted lanes; the others become zero.
func (d depthwiseF32) load(a *asm, from, to string) {
	if d.vec == zmm {
		a.ins("VMOVUPS.Z %s, K1, %s", from, to)
	} else {
		a.ins("VMASKMOVPS %s, %s, %s", from, d.mask(), to)
	}
}

func (d depthwiseF32) emit(a *asm) {
	a.text(d.name, 8)
	d.blocks(a, func() {
		a.ins("MOVQ depthwiseF32_n(DI), CX")
		for _, p := range []int{4, 1} {
			next := map[int]string{4: "pixels1", 1: "blockdone"}[p]
			a.at(fmt.Sprintf("pixels%d", p))
			a.ins("CMPQ CX, $%d", p)
			a.ins("JLT %s", next)
			d.body(a, p)
			a.ins("SUBQ $%d, CX", p)
			a.ins("JMP pixels%d", p)
		}
		a.at("blockdone")
	})
}

// blocks emits the loop over vectors of channels around sweep, which finds the
// first pixels of the block in R8 … R10.
func (d depthwiseF32) blocks(a *asm, sweep func()) {
	v := d.vec
	a.ins("MOVQ args+0(FP), DI")
	a.ins("MOVQ depthwiseF32_w(DI), R14")
	a.ins("MOVQ depthwiseF32_colStep(DI), R11")
	a.ins("VBROADCASTSS depthwiseF32_lo(DI), %s", d.lo())
	a.ins("VBROADCASTSS depthwiseF32_hi(DI), %s", d.hi())
	a.ins("XORQ R15, R15")
	a.at("block")
	a.ins("MOVQ depthwiseF32_channels(DI), AX")
	a.ins("MOVQ R15, R8")
	a.ins("SHRQ $2, R8")
	a.ins("SUBQ R8, AX")
	a.ins("JLE end")
	a.ins("MOVQ $%d, R8", v.lanes)
	a.ins("CMPQ AX, R8")
	a.ins("CMOVQGT R8, AX")
	if v == zmm {
		a.ins("MOVQ $-1, R8")
		a.ins("BZHIQ AX, R8, R8")
		a.ins("KMOVW R8, K1")
	} else {
		a.ins("LEAQ laneMask<>+64(SB), R8")
		a.ins("MOVQ AX, R9")
		a.ins("SHLQ $2, R9")
		a.ins("SUBQ R9, R8")
		a.ins("VMOVUPS (R8), %s", d.mask())
		a.ins("SUBQ $%d, AX", v.lanes)
	}
	a.ins("VMOVUPS (R14), %s", d.bias())
	a.ins("MOVQ depthwiseF32_src(DI), R8")
	a.ins("ADDQ R15, R8")
	a.ins("MOVQ depthwiseF32_dst(DI), R9")
	a.ins("ADDQ R15, R9")
	a.ins("MOVQ depthwiseF32_res(DI), R10")
	a.ins("TESTQ R10, R10")
	a.ins("JEQ noresidual")
	a.ins("ADDQ R15, R10")
	a.at("noresidual")
	sweep()
	a.ins("ADDQ $%d, R15", v.bytes())
	a.ins("ADDQ depthwiseF32_wBlock(DI), R14")
	a.ins("JMP block")
	a.at("end")
	a.ins("VZEROUPPER")
	a.ins("RET")
}

func (d depthwiseF32) body(a *asm, p int) {
	v := d.vec
	for i := range p {
		if d.kernel == anyMaximum {
			a.ins("VMOVAPS %s, %s", d.bias(), v.r(i))
		} else {
			v.zero(a, v.r(i))
		}
	}
	a.ins("LEAQ %d(R14), SI", v.bytes())
	a.ins("ADDQ depthwiseF32_wSkip(DI), SI")
	a.ins("MOVQ R8, DX")
	a.ins("MOVQ depthwiseF32_rows(DI), BX")
	row, summed := a.label("row"), a.label("summed")
	a.at(row)
	a.ins("SUBQ $1, BX")
	a.ins("JLT %s", summed)
	d.anyTaps(a, p)
	a.ins("ADDQ depthwiseF32_rowStep(DI), DX")
	a.ins("ADDQ depthwiseF32_wRow(DI), SI")
	a.ins("JMP %s", row)
	a.at(summed)
	// The bias comes last: a sum that started from a large one would lose the low
	// bits of every product.
	for i := range p {
		if d.kernel != anyMaximum {
			a.ins("VADDPS %s, %s, %s", d.bias(), v.r(i), v.r(i))
		}
	}
	a.ins("MOVQ depthwiseF32_pixStep(DI), DX")
	for shift := p; shift > 1; shift /= 2 {
		a.ins("ADDQ DX, DX")
	}
	a.ins("ADDQ DX, R8")
	d.store(a, p)
}

// anyTaps emits one row of taps as a loop. DX and SI walk along the row and are
// set back after it.
func (d depthwiseF32) anyTaps(a *asm, p int) {
	v := d.vec
	loop, done := a.label("tap"), a.label("tapdone")
	a.ins("MOVQ depthwiseF32_cols(DI), R13")
	a.at(loop)
	a.ins("SUBQ $1, R13")
	a.ins("JLT %s", done)
	if d.kernel == anyWindow {
		a.ins("VMOVUPS (SI), %s", v.r(p))
	}
	a.ins("MOVQ DX, R12")
	for i := range p {
		if i > 0 {
			a.ins("ADDQ depthwiseF32_pixStep(DI), R12")
		}
		in := v.r(p + 1 + i%2)
		d.load(a, "(R12)", in)
		if d.kernel == anyMaximum {
			d.larger(a, in, v.r(i), v.r(p))
			continue
		}
		a.ins("VFMADD231PS %s, %s, %s", v.r(p), in, v.r(i))
	}
	a.ins("ADDQ $%d, SI", v.bytes())
	a.ins("ADDQ R11, DX")
	a.ins("JMP %s", loop)
	a.at(done)
	a.ins("MOVQ depthwiseF32_cols(DI), R13")
	a.ins("IMULQ R11, R13")
	a.ins("SUBQ R13, DX")
	a.ins("MOVQ depthwiseF32_cols(DI), R13")
	a.ins("SHLQ $%d, R13", map[vector]int{zmm: 6, ymm: 5}[v])
	a.ins("SUBQ R13, SI")
}

// larger emits to = max(to, in), NaN where either is. The instruction returns its first
// operand where one of them is NaN, so what to has become stays, and a NaN of in is put
// there afterwards; free is a register for that.
func (d depthwiseF32) larger(a *asm, in, to, free string) {
	a.ins("VMAXPS %s, %s, %s", to, in, to)
	if d.vec == zmm {
		a.ins("VCMPPS $3, %s, %s, K2", in, in)
		a.ins("VMOVAPS %s, K2, %s", in, to)
		return
	}
	a.ins("VCMPPS $3, %s, %s, %s", in, in, free)
	a.ins("VORPS %s, %s, %s", free, to, to)
}

// store emits the end of p pixels: residual, bounds, write.
func (d depthwiseF32) store(a *asm, p int) {
	v := d.vec
	bounds, full, end := a.label("bounds"), a.label("full"), a.label("end")
	a.ins("TESTQ R10, R10")
	a.ins("JEQ %s", bounds)
	a.ins("MOVQ depthwiseF32_resStep(DI), DX")
	for i := range p {
		d.load(a, "(R10)", v.r(p+i%2))
		a.ins("VADDPS %s, %s, %s", v.r(p+i%2), v.r(i), v.r(i))
		a.ins("ADDQ DX, R10")
	}
	a.at(bounds)
	for i := range p {
		a.ins("VMAXPS %s, %s, %s", v.r(i), d.lo(), v.r(i))
		a.ins("VMINPS %s, %s, %s", v.r(i), d.hi(), v.r(i))
	}
	a.ins("MOVQ depthwiseF32_dstStep(DI), DX")
	write := func(format string, args ...any) {
		for i := range p {
			a.ins(format, append([]any{v.r(i)}, args...)...)
			a.ins("ADDQ DX, R9")
		}
	}
	if v == zmm {
		write("VMOVUPS %s, K1, (R9)")
		return
	}
	// Masked stores are slow on some processors: only where they are needed.
	a.ins("TESTQ AX, AX")
	a.ins("JEQ %s", full)
	write("VMASKMOVPS %s, %s, (R9)", d.mask())
	a.ins("JMP %s", end)
	a.at(full)
	write("VMOVUPS %s, (R9)")
	a.at(end)
}
