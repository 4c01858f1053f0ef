package main

import "fmt"

// blend emits to = where ? yes : no, by the comparison that was last made with compare.
func (m *mapF32) blend(yes, no, to int) {
	if m.vec == zmm {
		m.op("VBLENDMPS %s, %s, K2, %s", yes, no, to)
	} else {
		m.op("VBLENDVPS %s, %s, %s, %s", compared, yes, no, to)
	}
}

// compared holds the result of a comparison where there are no masks.
const compared = 10

// compare emits x ⋄ constant, where the predicate ⋄ is 0 equal, 1 less, 5 not less, 14 greater.
func (m *mapF32) compare(predicate int, x int, constant string) {
	if m.vec == zmm {
		m.ins("VCMPPS $%d, %s, %s, K2", predicate, m.c(constant), m.r(x))
	} else {
		m.ins("VCMPPS $%d, %s, %s, %s", predicate, m.c(constant), m.r(x), m.r(compared))
	}
}

// elu emits alpha·(e^x-1) for x < 0. With e^x = 2^n·(1+s) that is alpha·(2^n·s + 2^n-1).
func (m *mapF32) elu() {
	m.set("expNormal", 4)
	m.op("VMAXPS %s, %s, %s", 0, 4, 1)
	m.op("VXORPS %s, %s, %s", 2, 2, 2)
	m.op("VMINPS %s, %s, %s", 1, 2, 1)
	m.expReduced(m.r(1))
	m.op("VMULPS %s, %s, %s", 1, 6, 6)
	m.set("one", 2)
	if m.vec == zmm {
		m.op("VSCALEFPS %s, %s, %s", 5, 2, 4)
	} else {
		m.op("VCVTPS2DQ %s, %s", 5, 4)
		m.with("VPADDD", "bias", 4, 4)
		m.op("VPSLLD $23, %s, %s", 4, 4)
	}
	m.op("VSUBPS %s, %s, %s", 2, 4, 2)
	m.op("VFMADD213PS %s, %s, %s", 2, 4, 6)
	m.op("VMULPS %s, %s, %s", m.vec.regs-2, 6, 6)
	m.bySign(0, 6, 0, 0)
}

// mish emits x·w/(w+2) with w = e^x·(e^x+2), which is x·tanh(ln(1+e^x)).
func (m *mapF32) mish() {
	m.op("VMOVAPS %s, %s", 0, 3)
	m.set("mishMax", 1)
	m.op("VMINPS %s, %s, %s", 0, 1, 1)
	m.exp(m.r(1), false)
	m.with("VADDPS", "two", 1, 2)
	m.op("VMULPS %s, %s, %s", 2, 1, 1)
	m.with("VADDPS", "two", 1, 2)
	m.op("VDIVPS %s, %s, %s", 2, 1, 0)
	m.op("VMULPS %s, %s, %s", 3, 0, 0)
}

// softplus emits max(x, 0) + ln(1+u) with u = e^-|x|. The logarithm is taken of 1+u or of
// half of it, less 1 in both cases, so that a small u is not rounded.
func (m *mapF32) softplus() {
	m.op("VMOVAPS %s, %s", 0, 3)
	m.with("VORPS", "sign", 0, 1)
	m.exp(m.r(1), true)
	m.with("VADDPS", "one", 1, 2)
	m.compare(14, 2, "sqrt2")
	m.set("one", 4)
	m.op("VSUBPS %s, %s, %s", 4, 1, 2)
	m.with("VMULPS", "half", 2, 2)
	m.op("VXORPS %s, %s, %s", 5, 5, 5)
	m.blend(2, 1, 1)
	m.blend(4, 5, 5)
	m.logReduced()
	m.op("VXORPS %s, %s, %s", 1, 1, 1)
	m.op("VMAXPS %s, %s, %s", 3, 1, 0)
	m.op("VADDPS %s, %s, %s", 6, 0, 0)
}

// logReduced emits V6 = ln(1+z) + e·ln 2 of z in V1 and e in V5; V2 is lost.
func (m *mapF32) logReduced() {
	m.op("VMULPS %s, %s, %s", 1, 1, 2)
	m.set("log8", 6)
	for i := 7; i >= 0; i-- {
		m.with("VFMADD213PS", fmt.Sprintf("log%d", i), 1, 6)
	}
	m.op("VMULPS %s, %s, %s", 1, 6, 6)
	m.op("VMULPS %s, %s, %s", 2, 6, 6)
	m.with("VFMADD231PS", "ln2lo", 5, 6)
	m.with("VFNMADD231PS", "half", 2, 6)
	m.op("VADDPS %s, %s, %s", 1, 6, 6)
	m.with("VFMADD231PS", "ln2hi", 5, 6)
}

// log emits ln x of x = 2^e·m with m from √½ to √2.
func (m *mapF32) log() {
	if m.vec == zmm {
		m.op("VGETEXPPS %s, %s", 0, 5)
		m.op("VGETMANTPS $8, %s, %s", 0, 1) // NaN where x is negative
	} else {
		// A number that is not normal is made one.
		m.compare(1, 0, "least")
		m.with("VMULPS", "scale23", 0, 2)
		m.op("VXORPS %s, %s, %s", 3, 3, 3)
		m.set("minus23", 4)
		m.blend(2, 0, 1)
		m.blend(4, 3, 3)
		m.op("VPSRAD $23, %s, %s", 1, 5)
		m.with("VPSUBD", "bias", 5, 5)
		m.op("VCVTDQ2PS %s, %s", 5, 5)
		m.op("VADDPS %s, %s, %s", 3, 5, 5)
		m.with("VANDPS", "fraction", 1, 1)
		m.with("VORPS", "one", 1, 1)
	}
	m.compare(14, 1, "sqrt2")
	m.with("VMULPS", "half", 1, 2)
	m.set("one", 4)
	m.op("VADDPS %s, %s, %s", 4, 5, 3)
	m.blend(2, 1, 1)
	m.blend(3, 5, 5)
	m.op("VSUBPS %s, %s, %s", 4, 1, 1)
	m.logReduced()
	m.compare(5, 0, "infinity") // or NaN
	m.blend(0, 6, 6)
	m.compare(0, 0, "zero")
	m.set("minusInfinity", 1)
	m.blend(1, 6, 6)
	m.compare(1, 0, "zero")
	m.set("nan", 1)
	m.blend(1, 6, 0)
}

// erf emits 1-erfc|x| with the sign of x, or for |x| < 1 the polynomial x·P(x²).
func (m *mapF32) erf() {
	m.with("VANDPS", "abs", 0, 1)
	m.erfc()
	m.set("one", 1)
	m.op("VSUBPS %s, %s, %s", 3, 1, 1)
	m.with("VANDPS", "sign", 0, 3)
	m.op("VORPS %s, %s, %s", 3, 1, 1)
	m.op("VMULPS %s, %s, %s", 0, 0, 3)
	m.set("erf6", 4)
	for i := 5; i >= 0; i-- {
		m.with("VFMADD213PS", fmt.Sprintf("erf%d", i), 3, 4)
	}
	m.op("VMULPS %s, %s, %s", 0, 4, 4)
	m.compare(1, 3, "one")
	m.blend(4, 1, 0)
}

// whole emits rounding to whole numbers: 0 to the nearest, 1 down, 2 up.
func (m *mapF32) whole(mode int) {
	if m.vec == zmm {
		m.ins("VRNDSCALEPS $%d, %s, %s", 8+mode, m.r(0), m.r(0))
	} else {
		m.ins("VROUNDPS $%d, %s, %s", 8+mode, m.r(0), m.r(0))
	}
}

// extreme emits the smaller or larger of V0 and V1. The instructions take the second of two
// zeros and know nothing of NaN: taken both ways they differ only in the sign of zeros,
// which joins as it should.
func (m *mapF32) extreme(op, join string) {
	m.op(op+" %s, %s, %s", 1, 0, 2)
	m.op(op+" %s, %s, %s", 0, 1, 3)
	m.op(join+" %s, %s, %s", 3, 2, 2)
	m.op("VADDPS %s, %s, %s", 1, 0, 3)
	if m.vec == zmm {
		m.op("VCMPPS $3, %s, %s, K2", 1, 0)
	} else {
		m.op("VCMPPS $3, %s, %s, %s", 1, 0, compared)
	}
	m.blend(3, 2, 0)
}
