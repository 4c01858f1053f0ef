package main

func init() {
	outputs["peak_gen_amd64.s"] = func(a *asm) {
		peak(a, "peakF32AVX512", zmm, 24)
		peak(a, "peakF32AVX2", ymm, 12)
		peakMadd(a, "peakU8AVX512", zmm, 24)
		peakMadd(a, "peakU8AVX2", ymm, 12)
	}
}

// peak emits a loop of nothing but independent multiply-adds in registers: the
// bound that other kernels are measured against.
func peak(a *asm, name string, v vector, sums int) {
	a.text(name, 8)
	a.ins("MOVQ n+0(FP), CX")
	for i := range sums + 1 {
		a.ins("VXORPS %s, %s, %s", v.r(i), v.r(i), v.r(i))
	}
	a.at("loop")
	for i := range sums {
		a.ins("VFMADD231PS %s, %s, %s", v.r(sums), v.r(sums), v.r(i))
	}
	a.ins("SUBQ $1, CX")
	a.ins("JNE loop")
	a.ins("VZEROUPPER")
	a.ins("RET")
}

// peakMadd is as peak, of the exact dot products of levels without VPDPBUSD: pairs of
// 16-bit products and an addition.
func peakMadd(a *asm, name string, v vector, sums int) {
	a.text(name, 8)
	a.ins("MOVQ n+0(FP), CX")
	for i := range sums + 1 {
		a.ins("VXORPS %s, %s, %s", v.r(i), v.r(i), v.r(i))
	}
	a.at("loop")
	for i := range sums {
		a.ins("VPMADDWD %s, %s, %s", v.r(sums), v.r(sums), v.r(sums+1+i%2))
		a.ins("VPADDD %s, %s, %s", v.r(sums+1+i%2), v.r(i), v.r(i))
	}
	a.ins("SUBQ $1, CX")
	a.ins("JNE loop")
	a.ins("VZEROUPPER")
	a.ins("RET")
}
