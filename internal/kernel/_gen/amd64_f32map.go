package main

import (
	"fmt"
	"math"
)

func init() {
	outputs["map_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			m := &mapF32{asm: a, vec: v}
			a.text("actF32"+level, 8)
			m.dispatch("actF32", []function{
				{"ActClamp", m.clamp}, {"ActLeakyRelu", m.leakyRelu}, {"ActSigmoid", m.sigmoid}, {"ActTanh", m.tanh},
				{"ActHardSigmoid", m.hardSigmoid}, {"ActHardSwish", m.hardSwish}, {"ActSiLU", m.silu},
				{"ActGelu", m.gelu}, {"ActGeluTanh", m.geluTanh}, {"ActExp", func() { m.exp(m.r(0), false) }},
				{"ActElu", m.elu}, {"ActSoftplus", m.softplus}, {"ActMish", m.mish}, {"ActLog", m.log}, {"ActErf", m.erf},
				{"ActSqrt", func() { m.op("VSQRTPS %s, %s", 0, 0) }}, {"ActAbs", func() { m.with("VANDPS", "abs", 0, 0) }},
				{"ActRound", func() { m.whole(0) }}, {"ActFloor", func() { m.whole(1) }}, {"ActCeil", func() { m.whole(2) }},
			}, m.unary)
			a.text("binaryF32"+level, 8)
			m.dispatch("binaryF32", []function{
				{"Add", func() { m.op("VADDPS %s, %s, %s", 1, 0, 0) }}, {"Sub", func() { m.op("VSUBPS %s, %s, %s", 1, 0, 0) }},
				{"RSub", func() { m.op("VSUBPS %s, %s, %s", 0, 1, 0) }}, {"Mul", func() { m.op("VMULPS %s, %s, %s", 1, 0, 0) }},
				{"Div", func() { m.op("VDIVPS %s, %s, %s", 1, 0, 0) }}, {"RDiv", func() { m.op("VDIVPS %s, %s, %s", 0, 1, 0) }},
				{"Min", func() { m.extreme("VMINPS", "VORPS") }}, {"Max", func() { m.extreme("VMAXPS", "VANDPS") }},
				{"PRelu", func() {
					m.op("VMULPS %s, %s, %s", 1, 0, 2)
					m.bySign(0, 2, 0, 0)
				}},
			}, m.binary)
			a.text("reduceF32"+level, 8)
			m.reduce()
		}
		mapConstants(a)
		laneMask(a)
	}
}

// mapF32 emits elementwise functions. The value is in V0 and so is the result;
// V1 … V7 are free, the last four registers hold the parameters of an
// activation. All polynomials are those of act_f32.go.
//
// Constants stand in the registers from V8 on where there are 32.
//
// Register plan: DI arguments, SI and DX sources, R8 destination, BX bytes into a
// row, R9 bytes of its whole vectors, CX values left then, with their mask in K1 or
// V11; R10 rows left, R11, R12 and R13 the steps of SI, DX and R8.
type mapF32 struct {
	*asm
	vec        vector
	resident   map[string]int // registers of constants
	collecting bool           // what the body of a function asks for becomes resident
}

type function struct {
	kind string // constant of package kernel
	body func()
}

func (m *mapF32) r(i int) string { return m.vec.r(i) }

// op emits an instruction on the numbered registers.
func (m *mapF32) op(format string, regs ...int) {
	var args []any
	for _, i := range regs {
		args = append(args, m.r(i))
	}
	m.ins(format, args...)
}

// firstResident is the first register that may hold a constant.
const firstResident = 8

// c returns the operand of a constant: a register where the function at hand keeps it in
// one.
func (m *mapF32) c(name string) string {
	r, ok := m.resident[name]
	if next := firstResident + len(m.resident); !ok && m.collecting && next < m.vec.regs-4 {
		m.resident[name] = next
	}
	if ok {
		return m.r(r)
	}
	return fmt.Sprintf("mapConst<>+%d(SB)", constantAt(name))
}

// residents emits what loads the constants of a function into registers, where there are
// registers for that.
func (m *mapF32) residents(f function) {
	m.resident = map[string]int{}
	if m.vec != zmm {
		return
	}
	out := m.asm
	m.asm, m.collecting = &asm{}, true
	f.body()
	m.asm, m.collecting = out, false
	for _, c := range mapTable {
		if r, ok := m.resident[c.name]; ok {
			m.ins("VMOVUPS mapConst<>+%d(SB), %s", constantAt(c.name), m.r(r))
		}
	}
}

// with emits a three-operand instruction whose first operand is a constant.
func (m *mapF32) with(op, constant string, a, to int) {
	m.ins("%s %s, %s, %s", op, m.c(constant), m.r(a), m.r(to))
}

func (m *mapF32) set(constant string, to int) {
	m.ins("VMOVUPS %s, %s", m.c(constant), m.r(to))
}

// parameter emits the load of a field of the arguments into all lanes.
func (m *mapF32) parameter(field string, to int) {
	m.ins("VBROADCASTSS actF32_%s(DI), %s", field, m.r(to))
}

// dispatch emits a jump to the loops of the kind asked for.
func (m *mapF32) dispatch(args string, all []function, loop func(function)) {
	m.ins("MOVQ args+0(FP), DI")
	m.ins("MOVQ %s_dst(DI), R8", args)
	m.ins("MOVQ %s_dstStep(DI), R13", args)
	m.ins("MOVQ %s_rows(DI), R10", args)
	m.ins("MOVQ %s_n(DI), CX", args)
	m.ins("MOVQ CX, R9")
	m.ins("ANDQ $%d, CX", m.vec.lanes-1)
	m.tailMask()
	m.ins("SUBQ CX, R9")
	m.ins("SHLQ $2, R9")
	m.ins("MOVQ %s_kind(DI), AX", args)
	for _, f := range all {
		m.ins("CMPQ AX, $const_%s", f.kind)
		m.ins("JEQ %s", f.kind)
	}
	m.ins("RET")
	for _, f := range all {
		m.at(f.kind)
		loop(f)
		m.ins("VZEROUPPER")
		m.ins("RET")
	}
}

// tailMask emits the mask of the last CX values of a row, fewer than a vector.
func (m *mapF32) tailMask() {
	if m.vec == zmm {
		m.ins("MOVQ $-1, AX")
		m.ins("BZHIQ CX, AX, AX")
		m.ins("KMOVW AX, K1")
		return
	}
	m.ins("LEAQ laneMask<>+64(SB), AX")
	m.ins("LEAQ (CX*4), BX")
	m.ins("SUBQ BX, AX")
	m.ins("VMOVUPS (AX), Y11")
}

// load emits the load of a vector, or of what is left of a row.
func (m *mapF32) load(from string, to int, tail bool) {
	switch {
	case !tail:
		m.ins("VMOVUPS (%s)(BX*1), %s", from, m.r(to))
	case m.vec == zmm:
		m.ins("VMOVUPS.Z (%s)(BX*1), K1, %s", from, m.r(to))
	default:
		m.ins("VMASKMOVPS (%s)(BX*1), Y11, %s", from, m.r(to))
	}
}

func (m *mapF32) store(tail bool) {
	switch {
	case !tail:
		m.ins("VMOVUPS %s, (R8)(BX*1)", m.r(0))
	case m.vec == zmm:
		m.ins("VMOVUPS Z0, K1, (R8)(BX*1)")
	default:
		m.ins("VMASKMOVPS Y0, Y11, (R8)(BX*1)")
	}
}

func (m *mapF32) unary(f function) {
	for i, field := range []string{"lo", "hi", "alpha", "beta"} {
		m.parameter(field, m.vec.regs-4+i)
	}
	m.ins("MOVQ actF32_src(DI), SI")
	m.ins("MOVQ actF32_srcStep(DI), R11")
	m.rows(f, nil, func(tail bool) { m.load("SI", 0, tail) })
}

func (m *mapF32) binary(f function) {
	m.ins("MOVQ binaryF32_a(DI), SI")
	m.ins("MOVQ binaryF32_aStep(DI), R11")
	m.ins("MOVQ binaryF32_b(DI), DX")
	m.ins("MOVQ binaryF32_bStep(DI), R12")
	scalar, done := m.label("scalar"), m.label("done")
	m.ins("CMPQ binaryF32_scalar(DI), $0")
	m.ins("JNE %s", scalar)
	m.rows(f, nil, func(tail bool) {
		m.load("SI", 0, tail)
		m.load("DX", 1, tail)
	})
	m.ins("JMP %s", done)
	m.at(scalar)
	m.rows(f, func() { m.ins("VBROADCASTSS (DX), %s", m.r(1)) }, func(tail bool) { m.load("SI", 0, tail) })
	m.at(done)
}

// rows emits the loops over rows, their whole vectors and the masked rest.
func (m *mapF32) rows(f function, start func(), load func(tail bool)) {
	m.residents(f)
	row, loop, tail, next := m.label("row"), m.label("loop"), m.label("tail"), m.label("next")
	m.at(row)
	m.ins("XORL BX, BX")
	if start != nil {
		start()
	}
	m.ins("TESTQ R9, R9")
	m.ins("JEQ %s", tail)
	m.at(loop)
	load(false)
	f.body()
	m.store(false)
	m.ins("ADDQ $%d, BX", m.vec.bytes())
	m.ins("CMPQ BX, R9")
	m.ins("JLT %s", loop)
	m.at(tail)
	m.ins("TESTQ CX, CX")
	m.ins("JEQ %s", next)
	load(true)
	f.body()
	m.store(true)
	m.at(next)
	m.ins("ADDQ R11, SI")
	m.ins("ADDQ R12, DX")
	m.ins("ADDQ R13, R8")
	m.ins("DECQ R10")
	m.ins("JNE %s", row)
}

// reduce emits the sum, sum of squares and maximum of whole vectors, four at a
// time and then one by one. What is left is one value per lane.
func (m *mapF32) reduce() {
	m.ins("MOVQ args+0(FP), DI")
	m.ins("MOVQ reduceF32_kind(DI), AX")
	for _, kind := range []string{"reduceSquares", "reduceMax"} {
		m.ins("CMPQ AX, $const_%s", kind)
		m.ins("JEQ %s", kind)
	}
	for _, f := range []struct {
		kind, op string
		into     func(x, sum int)
	}{
		{"reduceSum", "VADDPS", func(x, sum int) { m.op("VADDPS %s, %s, %s", x, sum, sum) }},
		{"reduceSquares", "VADDPS", func(x, sum int) { m.op("VFMADD231PS %s, %s, %s", x, x, sum) }},
		{"reduceMax", "VMAXPS", func(x, sum int) { m.op("VMAXPS %s, %s, %s", x, sum, sum) }},
	} {
		m.at(f.kind)
		m.ins("MOVQ reduceF32_src(DI), SI")
		m.ins("MOVQ reduceF32_n(DI), CX")
		for i := range 4 {
			m.ins("VBROADCASTSS reduceF32_start(DI), %s", m.r(i))
		}
		for _, n := range []int{4, 1} {
			loop, end := m.label("loop"), m.label("end")
			m.at(loop)
			m.ins("SUBQ $%d, CX", n*m.vec.lanes)
			m.ins("JLT %s", end)
			for i := range n {
				m.ins("VMOVUPS %d(SI), %s", i*m.vec.bytes(), m.r(4+i))
				f.into(4+i, i)
			}
			m.ins("ADDQ $%d, SI", n*m.vec.bytes())
			m.ins("JMP %s", loop)
			m.at(end)
			m.ins("ADDQ $%d, CX", n*m.vec.lanes)
		}
		m.op(f.op+" %s, %s, %s", 1, 0, 0)
		m.op(f.op+" %s, %s, %s", 3, 2, 2)
		m.op(f.op+" %s, %s, %s", 2, 0, 0)
		m.ins("VMOVUPS %s, reduceF32_out(DI)", m.r(0))
		m.ins("VZEROUPPER")
		m.ins("RET")
	}
}

// bound emits V0 = min(max(V0, lo), hi); the value is the operand that a
// comparison with NaN yields.
func (m *mapF32) bound(lo, hi int) {
	m.op("VMAXPS %s, %s, %s", 0, lo, 0)
	m.op("VMINPS %s, %s, %s", 0, hi, 0)
}

// bySign emits to = sign bit of x ? neg : pos.
func (m *mapF32) bySign(x, neg, pos, to int) {
	if m.vec == zmm {
		m.op("VPMOVD2M %s, K2", x)
		m.op("VBLENDMPS %s, %s, K2, %s", neg, pos, to)
	} else {
		m.op("VBLENDVPS %s, %s, %s, %s", x, neg, pos, to)
	}
}

// exp emits x = e^x; V4 … V6 are lost. With small, x is at most 0 and a result that is
// no normal number becomes 0: such numbers slow down whatever computes with them.
func (m *mapF32) exp(x string, small bool) {
	t, n, p := m.r(4), m.r(5), m.r(6)
	switch {
	case !small:
		m.set("expMin", 4)
		m.ins("VMAXPS %s, %s, %s", x, t, x)
		m.set("expMax", 4)
		m.ins("VMINPS %s, %s, %s", x, t, x)
	case m.vec == zmm:
		m.ins("VCMPPS $5, %s, %s, K3", m.c("expNormal"), x) // not less: NaN stays
	default:
		m.set("expNormal", 4)
		m.ins("VCMPPS $5, %s, %s, %s", t, x, m.r(7))
		m.ins("VMAXPS %s, %s, %s", x, t, x)
	}
	m.expReduced(x)
	m.ins("VFMADD213PS %s, %s, %s", m.c("one"), x, p)
	if m.vec == zmm {
		if small {
			m.ins("VSCALEFPS.Z %s, %s, K3, %s", n, p, x)
		} else {
			m.ins("VSCALEFPS %s, %s, %s", n, p, x)
		}
		return
	}
	m.ins("VCVTPS2DQ %s, %s", n, n)
	if small {
		m.with("VPADDD", "bias", 5, 5)
		m.op("VPSLLD $23, %s, %s", 5, 5)
		m.ins("VMULPS %s, %s, %s", n, p, p)
		m.ins("VANDPS %s, %s, %s", m.r(7), p, x)
		return
	}
	// 2^n in two factors, as it may be no normal number.
	m.ins("VPSRAD $1, %s, %s", n, t)
	m.ins("VPSUBD %s, %s, %s", t, n, n)
	for _, r := range []int{4, 5} {
		m.with("VPADDD", "bias", r, r)
		m.op("VPSLLD $23, %s, %s", r, r)
	}
	m.ins("VMULPS %s, %s, %s", t, p, p)
	m.ins("VMULPS %s, %s, %s", n, p, x)
}

// expReduced takes e^x apart as 2^n·(1+r·P(r)), with n in V5, r in x and P(r) in V6.
func (m *mapF32) expReduced(x string) {
	n, p := m.r(5), m.r(6)
	// Adding 1.5·2^23 rounds to a whole number.
	m.set("round", 5)
	m.ins("VFMADD231PS %s, %s, %s", m.c("log2e"), x, n)
	m.ins("VSUBPS %s, %s, %s", m.c("round"), n, n)
	m.ins("VFNMADD231PS %s, %s, %s", m.c("ln2hi"), n, x)
	m.ins("VFNMADD231PS %s, %s, %s", m.c("ln2lo"), n, x)
	m.set("exp5", 6)
	for _, c := range []string{"exp4", "exp3", "exp2", "exp1", "exp0", "one"} {
		m.ins("VFMADD213PS %s, %s, %s", m.c(c), x, p)
	}
}

// quotient emits to = num/den for den from 1 to 2; V4 is lost.
func (m *mapF32) quotient(num, den, to int) {
	if m.vec != zmm {
		m.op("VDIVPS %s, %s, %s", den, num, to)
		return
	}
	// One step of Newton from 14 bits is as exact as dividing and takes half the time.
	m.op("VRCP14PS %s, %s", den, 4)
	m.with("VFNMADD213PS", "one", 4, den) // 1 - den·r
	m.op("VFMADD213PS %s, %s, %s", 4, 4, den)
	m.op("VMULPS %s, %s, %s", den, num, to)
}

func (m *mapF32) clamp() { m.bound(m.vec.regs-4, m.vec.regs-3) }

func (m *mapF32) leakyRelu() {
	m.op("VMULPS %s, %s, %s", m.vec.regs-2, 0, 1)
	m.bySign(0, 1, 0, 0)
}

// sigmoid emits V0 = (V0 < 0 ? e : 1)/(1+e) with e = e^-|V0|; V1, V2 are lost too.
func (m *mapF32) sigmoid() {
	m.with("VORPS", "sign", 0, 1)
	m.exp(m.r(1), true)
	m.set("one", 2)
	m.bySign(0, 1, 2, 0)
	m.op("VADDPS %s, %s, %s", 2, 1, 1)
	m.quotient(0, 1, 0)
}

func (m *mapF32) silu() {
	m.op("VMOVAPS %s, %s", 0, 3)
	m.sigmoid()
	m.op("VMULPS %s, %s, %s", 3, 0, 0)
}

func (m *mapF32) geluTanh() {
	m.op("VMOVAPS %s, %s", 0, 3)
	m.op("VMULPS %s, %s, %s", 0, 0, 1)
	m.set("geluTanh2", 2)
	m.with("VFMADD213PS", "geluTanh0", 2, 1)
	m.op("VMULPS %s, %s, %s", 1, 0, 0)
	m.sigmoid()
	m.op("VMULPS %s, %s, %s", 3, 0, 0)
}

func (m *mapF32) tanh() {
	m.with("VANDPS", "abs", 0, 1)
	m.op("VMOVAPS %s, %s", 1, 2)
	m.op("VADDPS %s, %s, %s", 1, 1, 1)
	m.exp(m.r(1), false)
	m.with("VADDPS", "one", 1, 1)
	m.set("two", 3)
	m.op("VDIVPS %s, %s, %s", 1, 3, 3)
	m.set("one", 1)
	m.op("VSUBPS %s, %s, %s", 3, 1, 1)
	m.with("VANDPS", "sign", 0, 3)
	m.op("VORPS %s, %s, %s", 3, 1, 1)
	// Near zero.
	m.op("VMULPS %s, %s, %s", 0, 0, 3)
	m.set("tanh4", 4)
	for i := 3; i >= 0; i-- {
		m.with("VFMADD213PS", fmt.Sprintf("tanh%d", i), 3, 4)
	}
	m.op("VMULPS %s, %s, %s", 3, 4, 4)
	m.op("VFMADD213PS %s, %s, %s", 0, 0, 4)
	if m.vec == zmm {
		m.ins("VCMPPS $1, %s, Z2, K2", m.c("tanhSmall"))
		m.op("VBLENDMPS %s, %s, K2, %s", 4, 1, 0)
	} else {
		m.with("VCMPPS $1,", "tanhSmall", 2, 2)
		m.op("VBLENDVPS %s, %s, %s, %s", 2, 4, 1, 0)
	}
}

func (m *mapF32) hardSigmoid() {
	m.op("VMOVAPS %s, %s", m.vec.regs-2, 1)
	m.op("VFMADD213PS %s, %s, %s", m.vec.regs-1, 1, 0)
	m.op("VXORPS %s, %s, %s", 1, 1, 1)
	m.set("one", 2)
	m.bound(1, 2)
}

func (m *mapF32) hardSwish() {
	m.op("VMOVAPS %s, %s", 0, 3)
	m.set("sixth", 1)
	m.with("VFMADD213PS", "half", 1, 0)
	m.op("VXORPS %s, %s, %s", 1, 1, 1)
	m.set("one", 2)
	m.bound(1, 2)
	m.op("VMULPS %s, %s, %s", 3, 0, 0)
}

func (m *mapF32) gelu() {
	m.with("VANDPS", "abs", 0, 1)
	m.with("VMULPS", "rsqrt2", 1, 1)
	m.erfc()
	m.with("VMULPS", "half", 3, 3)
	m.set("one", 1)
	m.op("VSUBPS %s, %s, %s", 3, 1, 1)
	m.bySign(0, 3, 1, 3)
	m.op("VMULPS %s, %s, %s", 3, 0, 0)
}

// erfc emits V3 = erfc(V1) for V1 ≥ 0; V2 is lost.
func (m *mapF32) erfc() {
	m.set("half", 2)
	m.op("VMOVAPS %s, %s", 1, 3)
	m.with("VFMADD213PS", "one", 2, 3)
	m.set("one", 2)
	m.op("VDIVPS %s, %s, %s", 3, 2, 2) // t
	m.set("erfc9", 3)
	for i := 8; i >= 0; i-- {
		m.with("VFMADD213PS", fmt.Sprintf("erfc%d", i), 2, 3)
	}
	m.op("VFNMADD231PS %s, %s, %s", 1, 1, 3)
	m.exp(m.r(3), true)
	m.op("VMULPS %s, %s, %s", 2, 3, 3)
}

// mapTable lists the constants, each filling one zmm register.
var mapTable = []struct {
	name string
	bits uint32
}{
	{"one", f(1)}, {"two", f(2)}, {"half", f(0.5)}, {"sixth", f(1.0 / 6)}, {"sign", 1 << 31}, {"abs", 1<<31 - 1}, {"bias", 127},
	{"expMin", f(-104)}, {"expMax", f(89)}, {"expNormal", f(-87.33654)}, {"round", f(1.5 * (1 << 23))}, {"log2e", f(1.44269504088896341)}, {"ln2hi", f(0.693359375)}, {"ln2lo", f(-2.12194440e-4)},
	{"exp5", f(1.9875691500e-4)}, {"exp4", f(1.3981999507e-3)}, {"exp3", f(8.3334519073e-3)},
	{"exp2", f(4.1665795894e-2)}, {"exp1", f(1.6666665459e-1)}, {"exp0", f(5.0000001201e-1)},
	{"tanhSmall", f(0.625)}, {"tanh4", f(-5.70498872745e-3)}, {"tanh3", f(2.06390887954e-2)}, {"tanh2", f(-5.37397155531e-2)},
	{"tanh1", f(1.33314422036e-1)}, {"tanh0", f(-3.33332819422e-1)},
	{"geluTanh0", f(1.5957691216057308)}, {"geluTanh2", f(0.07135481282052605)}, {"rsqrt2", f(1 / math.Sqrt2)},
	{"erfc0", f(-1.26551223)}, {"erfc1", f(1.00002368)}, {"erfc2", f(0.37409196)}, {"erfc3", f(0.09678418)}, {"erfc4", f(-0.18628806)},
	{"erfc5", f(0.27886807)}, {"erfc6", f(-1.13520398)}, {"erfc7", f(1.48851587)}, {"erfc8", f(-0.82215223)}, {"erfc9", f(0.17087277)},
	{"erf0", f(1.128379165726710)}, {"erf1", f(-3.761262582423300e-1)}, {"erf2", f(1.128358514861418e-1)}, {"erf3", f(-2.685381193529856e-2)},
	{"erf4", f(5.188327685732524e-3)}, {"erf5", f(-8.010193625184903e-4)}, {"erf6", f(7.853861353153693e-5)},
	{"log0", f(3.3333331174e-1)}, {"log1", f(-2.4999993993e-1)}, {"log2", f(2.0000714765e-1)}, {"log3", f(-1.6668057665e-1)},
	{"log4", f(1.4249322787e-1)}, {"log5", f(-1.2420140846e-1)}, {"log6", f(1.1676998740e-1)}, {"log7", f(-1.1514610310e-1)}, {"log8", f(7.0376836292e-2)},
	{"sqrt2", f(math.Sqrt2)}, {"zero", 0}, {"infinity", 0x7f800000}, {"minusInfinity", 0xff800000}, {"nan", 0x7fc00000},
	{"least", f(0x1p-126)}, {"scale23", f(0x1p23)}, {"minus23", f(-23)}, {"fraction", 1<<23 - 1}, {"mishMax", f(20)},
}

func f(v float64) uint32 { return math.Float32bits(float32(v)) }

func constantAt(name string) int {
	for i, c := range mapTable {
		if c.name == name {
			return i * 64
		}
	}
	panic("no constant " + name)
}

func mapConstants(a *asm) {
	a.raw("\n")
	for i, c := range mapTable {
		a.raw("// %s\n", c.name)
		for j := range 8 {
			a.raw("DATA mapConst<>+%d(SB)/8, $0x%08x%08x\n", i*64+j*8, c.bits, c.bits)
		}
	}
	a.raw("GLOBL mapConst<>(SB), RODATA, $%d\n", len(mapTable)*64)
}
