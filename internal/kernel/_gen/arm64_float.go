package main

// Instructions on four float32 lanes. Bit 1 of the manual's size is part of the
// opcode there and bit 0 the width of a value, here 0.

func floatSame(name string, u, high, opcode uint32, d, n, m vreg) inst {
	return threeSame(name, lanes{"4s", 1, high << 1}, u, opcode, d, n, m)
}

func fadd(d, n, m vreg) inst { return floatSame("fadd", 0, 0, 0x1a, d, n, m) }
func fsub(d, n, m vreg) inst { return floatSame("fsub", 0, 1, 0x1a, d, n, m) }
func fmul(d, n, m vreg) inst { return floatSame("fmul", 1, 0, 0x1b, d, n, m) }
func fdiv(d, n, m vreg) inst { return floatSame("fdiv", 1, 0, 0x1f, d, n, m) }

// fmla adds n·m to d, fmls subtracts it, with one rounding.
func fmla(d, n, m vreg) inst { return floatSame("fmla", 0, 0, 0x19, d, n, m) }
func fmls(d, n, m vreg) inst { return floatSame("fmls", 0, 1, 0x19, d, n, m) }

// fmax and fmin are NaN where one side is, and hold -0 below 0.
func fmax(d, n, m vreg) inst { return floatSame("fmax", 0, 0, 0x1e, d, n, m) }
func fmin(d, n, m vreg) inst { return floatSame("fmin", 0, 1, 0x1e, d, n, m) }

// fcmgt fills the lanes in which n > m with ones.
func fcmgt(d, n, m vreg) inst { return floatSame("fcmgt", 1, 1, 0x1c, d, n, m) }

// fmlaLane adds n·m[i] to d, fmlsLane subtracts it, fmulLane is n·m[i].
func fmlaLane(d, n, m vreg, i int) inst { return byElement("fmla", s4, 0, 2, 0x1, d, n, m, i) }
func fmlsLane(d, n, m vreg, i int) inst { return byElement("fmls", s4, 0, 2, 0x5, d, n, m, i) }
func fmulLane(d, n, m vreg, i int) inst { return byElement("fmul", s4, 0, 2, 0x9, d, n, m, i) }

// frecpe estimates 1/n to 8 bits; frecps is 2-n·m, of a step of Newton.
func frecpe(d, n vreg) inst    { return floatMisc("frecpe", 0, 1, 0x1d, d, n) }
func frecps(d, n, m vreg) inst { return floatSame("frecps", 0, 0, 0x1f, d, n, m) }

func floatMisc(name string, u, high, opcode uint32, d, n vreg) inst {
	return twoMisc(name, s4, s4, 1, u, high<<1, opcode, d, n)
}

func fabs(d, n vreg) inst { return floatMisc("fabs", 0, 1, 0x0f, d, n) }
func fneg(d, n vreg) inst { return floatMisc("fneg", 1, 1, 0x0f, d, n) }

// Rounding to the nearest, ties to even: to a float, to an int32.
func frintn(d, n vreg) inst { return floatMisc("frintn", 0, 0, 0x18, d, n) }
func fcvtns(d, n vreg) inst { return floatMisc("fcvtns", 0, 0, 0x1a, d, n) }

// scvtf turns int32 into float32.
func scvtf(d, n vreg) inst { return floatMisc("scvtf", 0, 0, 0x1d, d, n) }

// fcvtl widens four half-precision values of the lower half of n, fcvtl2 those
// of the upper; fcvtn and fcvtn2 narrow into the halves of d.
func fcvtl(d, n vreg) inst  { return twoMisc("fcvtl", s4, h4, 0, 0, 0, 0x17, d, n) }
func fcvtl2(d, n vreg) inst { return twoMisc("fcvtl2", s4, h8, 1, 0, 0, 0x17, d, n) }
func fcvtn(d, n vreg) inst  { return twoMisc("fcvtn", h4, s4, 0, 0, 0, 0x16, d, n) }
func fcvtn2(d, n vreg) inst { return twoMisc("fcvtn2", h8, s4, 1, 0, 0, 0x16, d, n) }
