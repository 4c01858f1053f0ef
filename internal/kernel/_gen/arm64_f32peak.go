package main

func init() {
	outputs["peak_gen_arm64.s"] = func(a *asm) {
		peakNEON(a, "peakF32NEON", fmla)
		peakNEON(a, "peakU8NEON", func(d, n, m vreg) inst { return smlal(h8, d, n, m) })
		peakNEON(a, "peakU8Dot", sdot)
		peakNEON(a, "peakU8MMLA", usmmla)
	}
	outputs["float16_gen_arm64.s"] = func(a *asm) {
		a.text("f16ToF32NEON", 24)
		a.ins("MOVD dst+0(FP), R0")
		a.ins("MOVD src+8(FP), R1")
		a.ins("MOVD n+16(FP), R2")
		a.at("loop")
		a.ins("FMOVQ.P 16(R1), F0")
		a.do(fcvtl(1, 0), fcvtl2(2, 0))
		a.ins("FSTPQ.P (F1, F2), 32(R0)")
		a.ins("SUBS $8, R2")
		a.ins("BNE loop")
		a.ins("RET")
	}
}

// peakNEON emits a loop of nothing but 24 independent multiply-adds in registers:
// the bound that other kernels are measured against.
func peakNEON(a *asm, name string, op func(d, n, m vreg) inst) {
	const sums = 24
	a.text(name, 8)
	a.ins("MOVD n+0(FP), R0")
	for i := range vreg(sums + 2) {
		a.do(zero(i))
	}
	a.at("loop")
	for i := range vreg(sums) {
		a.do(op(i, sums, sums+1))
	}
	a.ins("SUBS $1, R0")
	a.ins("BNE loop")
	a.ins("RET")
}
