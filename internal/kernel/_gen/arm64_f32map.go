package main

import (
	"fmt"
	"slices"
)

func init() {
	outputs["map_f32_gen_arm64.s"] = func(a *asm) {
		a.text("actF32NEON", 8)
		mapNEON{asm: a, args: "actF32", sources: 1}.emit([]mapFunction{
			{"ActClamp", 4, clampNEON}, {"ActLeakyRelu", 4, leakyReluNEON}, {"ActSigmoid", 3, sigmoidNEON}, {"ActTanh", 3, tanhNEON},
			{"ActHardSigmoid", 4, hardSigmoidNEON}, {"ActHardSwish", 4, hardSwishNEON}, {"ActSiLU", 3, siluNEON},
			{"ActGelu", 3, geluNEON}, {"ActGeluTanh", 3, geluTanhNEON}, {"ActExp", 4, func(b *mapBody) { b.exp(0) }},
		})
		binary := func(op func(d, n, m vreg) inst, x, y int) func(*mapBody) {
			return func(b *mapBody) { b.do(op(b.v(0), b.v(x), b.v(y))) }
		}
		a.text("binaryF32NEON", 8)
		mapNEON{asm: a, args: "binaryF32", sources: 2}.emit([]mapFunction{
			{"Add", 4, binary(fadd, 0, 1)}, {"Sub", 4, binary(fsub, 0, 1)}, {"RSub", 4, binary(fsub, 1, 0)}, {"Mul", 4, binary(fmul, 0, 1)},
			{"Div", 4, binary(fdiv, 0, 1)}, {"RDiv", 4, binary(fdiv, 1, 0)}, {"Min", 4, binary(fmin, 0, 1)}, {"Max", 4, binary(fmax, 0, 1)},
			{"PRelu", 4, func(b *mapBody) { b.whereNegative(0, 0, func(to vreg) { b.do(fmul(to, b.v(0), b.v(1))) }) }},
		})
		a.text("reduceF32NEON", 8)
		reduceNEON(a)
		mapConstantsNEON(a)
	}
}

// mapNEON emits elementwise functions over rows of values: several vectors at a
// time, whose instructions alternate, then single ones, then the last one to
// three values, loaded and stored lane by lane.
//
// Register plan:
//
//	R0          arguments
//	R1 R2 R3    rows of the sources and of the destination
//	R4 R8 R9    rows left, values of a row, values left in it
//	R5 R6 R7    bytes from row to row
//	R10 R11 R12 sources and destination
//	R19 R20     places of lanes 1 and 2 of the last values, that of the last
//	            value where there are fewer
//	V0 …        the vectors' values, upwards; constants from V31 downwards
type mapNEON struct {
	*asm
	args    string
	sources int
}

// A mapFunction is emitted for vectors of vectors at a time.
type mapFunction struct {
	kind    string // constant of package kernel
	vectors int
	body    func(*mapBody)
}

// A mapBody collects the instructions of a function on one vector. Its
// registers are numbered: 0 is the value and the result, 1 the second value of
// a function of two. What a function has in registers throughout is collected
// in held.
type mapBody struct {
	list []inst
	v    func(int) vreg
	held *[]string // from V31 downwards
}

func (b *mapBody) do(list ...inst) { b.list = append(b.list, list...) }

func (b *mapBody) hold(what string) vreg {
	i := slices.Index(*b.held, what)
	if i < 0 {
		i = len(*b.held)
		*b.held = append(*b.held, what)
	}
	return vreg(31 - i)
}

// all is a constant in all lanes, field a field of the arguments.
func (b *mapBody) all(constant string) vreg { return b.hold("all " + constant) }
func (b *mapBody) field(name string) vreg   { return b.hold("field " + name) }

// one is a constant as one lane of a register with others.
func (b *mapBody) one(constant string) (vreg, int) {
	group, lane := constantNEON(constant)
	return b.hold("group " + constantsNEON[group][0]), lane
}

func (b *mapBody) set(to int, constant string) {
	r, i := b.one(constant)
	b.do(native("VDUP %s, %s", r.lane(s4, i), b.v(to).in(s4)))
}

// fma emits d += n·constant, fms subtracts.
func (b *mapBody) fma(d, n int, constant string) {
	r, i := b.one(constant)
	b.do(fmlaLane(b.v(d), b.v(n), r, i))
}
func (b *mapBody) fms(d, n int, constant string) {
	r, i := b.one(constant)
	b.do(fmlsLane(b.v(d), b.v(n), r, i))
}
func (b *mapBody) times(d, n int, constant string) {
	r, i := b.one(constant)
	b.do(fmulLane(b.v(d), b.v(n), r, i))
}

// op emits an instruction on three numbered registers, op2 on two.
func (b *mapBody) op(f func(d, n, m vreg) inst, d, n, m int) { b.do(f(b.v(d), b.v(n), b.v(m))) }
func (b *mapBody) op2(f func(d, n vreg) inst, d, n int)      { b.do(f(b.v(d), b.v(n))) }

// emit emits a jump to the loops of the kind asked for, and these.
func (m mapNEON) emit(all []mapFunction) {
	m.ins("MOVD args+0(FP), R0")
	load := func(field string, reg int) { m.ins("MOVD %s_%s(R0), R%d", m.args, field, reg) }
	if m.sources == 1 {
		load("src", 1)
		load("srcStep", 5)
	} else {
		load("a", 1)
		load("aStep", 5)
		load("b", 2)
		load("bStep", 6)
	}
	load("dst", 3)
	load("dstStep", 7)
	load("rows", 4)
	load("n", 8)
	m.ins("AND $3, R8, R16")
	m.ins("SUBS $1, R16, R20")
	m.ins("CSET GT, R19")
	m.ins("LSL $2, R19")
	m.ins("LSL $2, R20")
	load("kind", 16)
	for _, f := range all {
		m.ins("CMP $const_%s, R16", f.kind)
		m.ins("BEQ %s", f.kind)
	}
	m.ins("RET")
	for _, f := range all {
		m.at(f.kind)
		if m.sources == 2 {
			scalar := m.label("scalar")
			load("scalar", 16)
			m.ins("CBNZ R16, %s", scalar)
			m.rows(f, false)
			m.at(scalar)
			m.rows(f, true)
		} else {
			m.rows(f, false)
		}
	}
}

// rows emits the loops of a function. With scalar the second value is one for a
// row.
func (m mapNEON) rows(f mapFunction, scalar bool) {
	two := m.sources == 2 && !scalar
	var held []string
	var second vreg
	used := 0
	body := func(v func(int) vreg) []inst {
		b := &mapBody{held: &held, v: v}
		if scalar {
			second = b.hold("second")
		}
		f.body(b)
		return b.list
	}
	// The first time tells how many registers a vector needs.
	body(func(i int) vreg { used = max(used, i+1); return vreg(i) })
	v := func(c, i int) vreg {
		if scalar && i == 1 {
			return second
		}
		return vreg(c*used + i)
	}
	alternating := func(n int) (list []inst) {
		copies := make([][]inst, n)
		for c := range n {
			copies[c] = body(func(i int) vreg { return v(c, i) })
		}
		for i := range copies[0] {
			for _, c := range copies {
				list = append(list, c[i])
			}
		}
		return list
	}
	single, several := alternating(1), alternating(f.vectors)
	if f.vectors*used+len(held) > 32 {
		panic(fmt.Sprintf("%s: %d vectors of %d registers and %d constants", f.kind, f.vectors, used, len(held)))
	}

	m.constants(held)
	row, loop, rest, one, lanes, ready, lastLanes, next := m.label("row"), m.label("loop"), m.label("rest"), m.label("one"), m.label("lanes"),
		m.label("ready"), m.label("last"), m.label("next")
	m.at(row)
	m.ins("MOVD R1, R10")
	m.ins("MOVD R3, R12")
	m.ins("MOVD R8, R9")
	if scalar {
		m.do(loadDup("R2", second))
	} else if two {
		m.ins("MOVD R2, R11")
	}
	m.ins("SUBS $%d, R9", 4*f.vectors)
	m.ins("BLT %s", rest)
	m.at(loop)
	for c := range f.vectors {
		m.do(loadQ(fmt.Sprintf("%d(R10)", 16*c), v(c, 0)))
		if two {
			m.do(loadQ(fmt.Sprintf("%d(R11)", 16*c), v(c, 1)))
		}
	}
	m.ins("ADD $%d, R10", 16*f.vectors)
	if two {
		m.ins("ADD $%d, R11", 16*f.vectors)
	}
	m.do(several...)
	for c := range f.vectors {
		m.do(storeQ(v(c, 0), fmt.Sprintf("%d(R12)", 16*c)))
	}
	m.ins("ADD $%d, R12", 16*f.vectors)
	m.ins("SUBS $%d, R9", 4*f.vectors)
	m.ins("BGE %s", loop)
	m.at(rest)
	m.ins("ADDS $%d, R9", 4*f.vectors)
	m.ins("BEQ %s", next)
	m.at(one)
	m.ins("CMP $4, R9")
	m.ins("BLT %s", lanes)
	m.ins("FMOVQ.P 16(R10), %s", v(0, 0))
	if two {
		m.ins("FMOVQ.P 16(R11), %s", v(0, 1))
	}
	m.ins("B %s", ready)
	m.at(lanes)
	m.lastLoad(10, v(0, 0))
	if two {
		m.lastLoad(11, v(0, 1))
	}
	m.at(ready)
	m.do(single...)
	m.ins("SUBS $4, R9")
	m.ins("BLT %s", lastLanes)
	m.ins("FMOVQ.P %s, 16(R12)", v(0, 0))
	m.ins("BNE %s", one)
	m.ins("B %s", next)
	m.at(lastLanes)
	// Downwards: what remains in a place is its own value.
	m.ins("ADD R19, R12, R16")
	m.ins("ADD R20, R12, R17")
	m.do(native("VST1 %s, (R17)", v(0, 0).lane(s4, 2)), native("VST1 %s, (R16)", v(0, 0).lane(s4, 1)), storeS(v(0, 0), "(R12)"))
	m.at(next)
	m.ins("ADD R5, R1")
	if m.sources == 2 {
		m.ins("ADD R6, R2")
	}
	m.ins("ADD R7, R3")
	m.ins("SUBS $1, R4")
	m.ins("BNE %s", row)
	m.ins("RET")
}

func (m mapNEON) lastLoad(from int, to vreg) {
	m.ins("ADD R19, R%d, R16", from)
	m.ins("ADD R20, R%d, R17", from)
	m.do(loadS(fmt.Sprintf("(R%d)", from), to), native("VLD1 (R16), %s", to.lane(s4, 1)), native("VLD1 (R17), %s", to.lane(s4, 2)))
}

// constants emits the loads of what a function holds in registers.
func (m mapNEON) constants(held []string) {
	base := false
	for i, what := range held {
		to, name := vreg(31-i), ""
		if n, _ := fmt.Sscanf(what, "field %s", &name); n == 1 {
			m.ins("ADD $%s_%s, R0, R17", m.args, name)
			m.do(loadDup("R17", to))
			continue
		}
		if what == "second" {
			continue
		}
		if !base {
			m.ins("MOVD $mapConst<>(SB), R16")
			base = true
		}
		if n, _ := fmt.Sscanf(what, "group %s", &name); n == 1 {
			group, _ := constantNEON(name)
			m.do(loadQ(fmt.Sprintf("%d(R16)", 16*group), to))
			continue
		}
		fmt.Sscanf(what, "all %s", &name)
		group, lane := constantNEON(name)
		m.ins("ADD $%d, R16, R17", 16*group+4*lane)
		m.do(loadDup("R17", to))
	}
}

// reduceNEON emits the sum, sum of squares and maximum of whole vectors, four at
// a time and then one by one. What is left is one value per lane.
func reduceNEON(a *asm) {
	a.ins("MOVD args+0(FP), R0")
	a.ins("MOVD reduceF32_src(R0), R1")
	a.ins("MOVD reduceF32_n(R0), R2")
	a.ins("ADD $reduceF32_start, R0, R3")
	for i := range 4 {
		a.do(loadDup("R3", vreg(i)))
	}
	a.ins("MOVD reduceF32_kind(R0), R4")
	for _, kind := range []string{"reduceSquares", "reduceMax"} {
		a.ins("CMP $const_%s, R4", kind)
		a.ins("BEQ %s", kind)
	}
	for _, f := range []struct {
		kind string
		join func(d, n, m vreg) inst
		into func(x, sum vreg) inst
	}{
		{"reduceSum", fadd, func(x, sum vreg) inst { return fadd(sum, sum, x) }},
		{"reduceSquares", fadd, func(x, sum vreg) inst { return fmla(sum, x, x) }},
		{"reduceMax", fmax, func(x, sum vreg) inst { return fmax(sum, sum, x) }},
	} {
		a.at(f.kind)
		for _, n := range []int{4, 1} {
			loop, end := a.label("loop"), a.label("end")
			a.ins("SUBS $%d, R2", 4*n)
			a.ins("BLT %s", end)
			a.at(loop)
			for i := range n {
				a.do(loadQ(fmt.Sprintf("%d(R1)", 16*i), vreg(4+i)))
			}
			for i := range n {
				a.do(f.into(vreg(4+i), vreg(i)))
			}
			a.ins("ADD $%d, R1", 16*n)
			a.ins("SUBS $%d, R2", 4*n)
			a.ins("BGE %s", loop)
			a.at(end)
			a.ins("ADD $%d, R2", 4*n)
		}
		a.do(f.join(0, 0, 1), f.join(2, 2, 3), f.join(0, 0, 2), storeQ(0, "reduceF32_out(R0)"))
		a.ins("RET")
	}
}

// constantsNEON lists the constants of mapTable in groups of one register.
var constantsNEON = [][]string{
	{"log2e", "ln2hi", "ln2lo", "half"}, {"exp0", "exp1", "exp2", "exp3"}, {"exp4", "exp5", "expMin", "expMax"},
	{"one", "two", "sixth"}, {"tanh0", "tanh1", "tanh2", "tanh3"}, {"tanh4", "tanhSmall", "tanhOne", "sign"}, {"expNormal"},
	{"geluTanh0", "geluTanh2"}, {"erfc0", "erfc1", "erfc2", "erfc3"}, {"erfc4", "erfc5", "erfc6", "erfc7"}, {"erfc8", "erfc9", "rsqrt2"},
}

func constantNEON(name string) (group, lane int) {
	for g, names := range constantsNEON {
		if i := slices.Index(names, name); i >= 0 {
			return g, i
		}
	}
	panic("no constant " + name)
}

func mapConstantsNEON(a *asm) {
	a.raw("\n")
	for g, names := range constantsNEON {
		for i, name := range names {
			a.raw("DATA mapConst<>+%d(SB)/4, $%#08x // %s\n", 16*g+4*i, mapBits(name), name)
		}
	}
	a.raw("GLOBL mapConst<>(SB), RODATA, $%d\n", 16*len(constantsNEON))
}

func mapBits(name string) uint32 {
	if name == "tanhOne" {
		return f(20) // tanh x is 1 from half of it on
	}
	return mapTable[constantAt(name)/64].bits
}
