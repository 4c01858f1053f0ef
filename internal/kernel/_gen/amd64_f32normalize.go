package main

func init() {
	outputs["normalize_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			r := &rowsF32{mapF32{asm: a, vec: v}}
			a.text("softmaxF32"+level, 8)
			r.rows(r.softmax)
			a.text("layerNormF32"+level, 8)
			r.rows(r.layerNorm)
			if v == zmm {
				a.text("softmaxShortF32"+level, 8)
				r.short()
			}
		}
		mapConstants(a)
		laneMask(a)
	}
}

// rowsF32 emits functions of whole rows, several rows to a call.
//
// Register plan: DI arguments, SI and R8 the row's source and destination, R9 its whole
// vectors, R10 the values after them, R11 rows left, R12 bytes of a row; DX, BX, CX, R13
// and R14 run along the row. V0 … V7 as in mapF32; partial results in V8, V9, V10 and
// V15; V12 … V14 hold what all of a row shares; the mask of the tail in K1 or V11.
type rowsF32 struct{ mapF32 }

var partial = [...]int{8, 9, 10, 15}

func (r *rowsF32) rows(row func()) {
	r.ins("MOVQ args+0(FP), DI")
	r.ins("MOVQ rowsF32_src(DI), SI")
	r.ins("MOVQ rowsF32_dst(DI), R8")
	r.ins("MOVQ rowsF32_n(DI), R9")
	r.ins("MOVQ rowsF32_rows(DI), R11")
	r.ins("LEAQ (R9*4), R12")
	r.ins("MOVQ R9, R10")
	r.ins("ANDQ $%d, R10", r.vec.lanes-1)
	r.ins("SHRQ $%d, R9", map[vector]int{zmm: 4, ymm: 3}[r.vec])
	r.ins("MOVQ R10, CX")
	r.tailMask()
	loop := r.label("row")
	r.at(loop)
	row()
	r.ins("ADDQ R12, SI")
	r.ins("ADDQ R12, R8")
	r.ins("SUBQ $1, R11")
	r.ins("JNE %s", loop)
	r.ins("VZEROUPPER")
	r.ins("RET")
}

// along emits a walk over the row: body for unroll whole vectors together, then for one,
// then for the masked rest. Pointers start where their pairs say and advance together.
func (r *rowsF32) along(unroll int, body func(i int, masked bool), pointers ...[2]string) {
	for _, p := range pointers {
		r.ins("MOVQ %s, %s", p[0], p[1])
	}
	r.ins("MOVQ R9, CX")
	step := func(n int) {
		for _, p := range pointers {
			r.ins("ADDQ $%d, %s", n*r.vec.bytes(), p[1])
		}
	}
	for _, n := range []int{unroll, 1} {
		if n == 1 && unroll == 1 {
			continue
		}
		loop, end := r.label("loop"), r.label("end")
		r.ins("SUBQ $%d, CX", n)
		r.ins("JLT %s", end)
		r.at(loop)
		for i := range n {
			body(i, false)
		}
		step(n)
		r.ins("SUBQ $%d, CX", n)
		r.ins("JGE %s", loop)
		r.at(end)
		r.ins("ADDQ $%d, CX", n)
	}
	if unroll == 1 {
		loop, end := r.label("loop"), r.label("end")
		r.ins("TESTQ CX, CX")
		r.ins("JEQ %s", end)
		r.at(loop)
		body(0, false)
		step(1)
		r.ins("SUBQ $1, CX")
		r.ins("JNE %s", loop)
		r.at(end)
	}
	done := r.label("done")
	r.ins("TESTQ R10, R10")
	r.ins("JEQ %s", done)
	body(0, true)
	r.at(done)
}

func (r *rowsF32) load(i int, from string, to int, masked bool) {
	switch {
	case !masked:
		r.ins("VMOVUPS %d(%s), %s", i*r.vec.bytes(), from, r.r(to))
	case r.vec == zmm:
		r.ins("VMOVUPS.Z (%s), K1, %s", from, r.r(to))
	default:
		r.ins("VMASKMOVPS (%s), Y11, %s", from, r.r(to))
	}
}

func (r *rowsF32) store(i, from int, to string, masked bool) {
	switch {
	case !masked:
		r.ins("VMOVUPS %s, %d(%s)", r.r(from), i*r.vec.bytes(), to)
	case r.vec == zmm:
		r.ins("VMOVUPS %s, K1, (%s)", r.r(from), to)
	default:
		r.ins("VMASKMOVPS %s, Y11, (%s)", r.r(from), to)
	}
}

// across emits the combination of all lanes of the partial results into all lanes of to.
func (r *rowsF32) across(op string, parts int, to int) {
	for i := 1; i < parts; i++ {
		r.op(op+" %s, %s, %s", partial[i], partial[0], partial[0])
	}
	if r.vec == zmm {
		r.ins("VEXTRACTF64X4 $1, Z8, Y9")
		r.ins("%s Y9, Y8, Y8", op)
	}
	r.ins("VEXTRACTF128 $1, Y8, X9")
	r.ins("%s X9, X8, X8", op)
	r.ins("VPERMILPS $0x4e, X8, X9")
	r.ins("%s X9, X8, X8", op)
	r.ins("VPERMILPS $0xb1, X8, X9")
	r.ins("%s X9, X8, X8", op)
	r.ins("VBROADCASTSS X8, %s", r.r(to))
}

func (r *rowsF32) zero(i int) {
	r.op(map[vector]string{zmm: "VPXORD", ymm: "VXORPS"}[r.vec]+" %s, %s, %s", i, i, i)
}

func (r *rowsF32) broadcast(field string, to int) {
	r.ins("VBROADCASTSS rowsF32_%s(DI), %s", field, r.r(to))
}

// keep clears the lanes of x beyond the tail.
func (r *rowsF32) keep(x int) {
	if r.vec == zmm {
		r.op("VMOVAPS.Z %s, K1, %s", x, x)
	} else {
		r.ins("VANDPS Y11, %s, %s", r.r(x), r.r(x))
	}
}

// softmax emits e^((x-m)·scale)/Σ with m the maximum of the row.
func (r *rowsF32) softmax() {
	for _, p := range partial {
		r.broadcast("least", p)
	}
	r.along(len(partial), func(i int, masked bool) {
		if !masked {
			r.ins("VMAXPS %d(DX), %s, %s", i*r.vec.bytes(), r.r(partial[i]), r.r(partial[i]))
			return
		}
		if r.vec == zmm {
			r.ins("VMAXPS (DX), Z8, K1, Z8")
			return
		}
		r.load(0, "DX", 0, true)
		r.broadcast("least", 1)
		r.ins("VBLENDVPS Y11, Y0, Y1, Y0")
		r.ins("VMAXPS Y0, Y8, Y8")
	}, [2]string{"SI", "DX"})
	r.across("VMAXPS", len(partial), 12)
	r.broadcast("scale", 13)
	r.zero(8)
	r.along(1, func(i int, masked bool) {
		r.load(i, "DX", 0, masked)
		r.op("VSUBPS %s, %s, %s", 12, 0, 0)
		r.op("VMULPS %s, %s, %s", 13, 0, 0)
		r.exp(r.r(0), false)
		r.store(i, 0, "BX", masked)
		if masked {
			r.keep(0)
		}
		r.op("VADDPS %s, %s, %s", 0, 8, 8)
	}, [2]string{"SI", "DX"}, [2]string{"R8", "BX"})
	r.across("VADDPS", 1, 14)
	r.set("one", 12)
	r.op("VDIVPS %s, %s, %s", 14, 12, 12)
	r.along(1, func(i int, masked bool) {
		r.load(i, "BX", 0, masked)
		r.op("VMULPS %s, %s, %s", 12, 0, 0)
		r.store(i, 0, "BX", masked)
	}, [2]string{"R8", "BX"})
}

// layerNorm emits (x-mean)/√(variance+eps)·gamma+beta; without centre the mean is taken
// as zero, and beta may be nil.
func (r *rowsF32) layerNorm() {
	r.zero(12)
	r.broadcast("scale", 13) // 1/n
	centred, shifted, done := r.label("centred"), r.label("shifted"), r.label("normed")
	r.ins("CMPQ rowsF32_centre(DI), $0")
	r.ins("JEQ %s", centred)
	for _, p := range partial {
		r.zero(p)
	}
	r.along(len(partial), func(i int, masked bool) {
		if masked {
			r.load(0, "DX", 0, true)
			r.op("VADDPS %s, %s, %s", 0, 8, 8)
		} else {
			r.ins("VADDPS %d(DX), %s, %s", i*r.vec.bytes(), r.r(partial[i]), r.r(partial[i]))
		}
	}, [2]string{"SI", "DX"})
	r.across("VADDPS", len(partial), 12)
	r.op("VMULPS %s, %s, %s", 13, 12, 12)
	r.at(centred)
	for _, p := range partial {
		r.zero(p)
	}
	r.along(len(partial), func(i int, masked bool) {
		r.load(i, "DX", i, masked)
		r.op("VSUBPS %s, %s, %s", 12, i, i)
		if masked {
			r.keep(i)
		}
		r.op("VFMADD231PS %s, %s, %s", i, i, partial[i])
	}, [2]string{"SI", "DX"})
	r.across("VADDPS", len(partial), 14)
	r.broadcast("eps", 1)
	r.op("VFMADD213PS %s, %s, %s", 1, 13, 14)
	r.op("VSQRTPS %s, %s", 14, 14)
	r.set("one", 1)
	r.op("VDIVPS %s, %s, %s", 14, 1, 14)
	final := func(beta bool) {
		pointers := [][2]string{{"SI", "DX"}, {"R8", "BX"}, {"rowsF32_gamma(DI)", "R13"}}
		if beta {
			pointers = append(pointers, [2]string{"rowsF32_beta(DI)", "R14"})
		}
		r.along(2, func(i int, masked bool) {
			r.load(i, "DX", i, masked)
			r.load(i, "R13", 2+i, masked)
			r.op("VSUBPS %s, %s, %s", 12, i, i)
			r.op("VMULPS %s, %s, %s", 14, i, i)
			if beta {
				r.load(i, "R14", 4+i, masked)
				r.op("VFMADD213PS %s, %s, %s", 4+i, 2+i, i)
			} else {
				r.op("VMULPS %s, %s, %s", 2+i, i, i)
			}
			r.store(i, i, "BX", masked)
		}, pointers...)
	}
	r.ins("CMPQ rowsF32_beta(DI), $0")
	r.ins("JNE %s", shifted)
	final(false)
	r.ins("JMP %s", done)
	r.at(shifted)
	final(true)
	r.at(done)
}

// short emits the softmax of rows of 2, 4, 8 or 16 values, several rows to a vector. The
// number of values, rows·n, need not fill the last vector.
func (r *rowsF32) short() {
	r.ins("MOVQ args+0(FP), DI")
	r.ins("MOVQ rowsF32_src(DI), SI")
	r.ins("MOVQ rowsF32_dst(DI), R8")
	r.ins("MOVQ rowsF32_n(DI), R9")
	r.ins("MOVQ rowsF32_rows(DI), CX")
	r.ins("IMULQ R9, CX")
	r.broadcast("scale", 13)
	for n := 2; n <= 16; n *= 2 {
		next, loop, last := r.label("next"), r.label("loop"), r.label("last")
		if n < 16 {
			r.ins("CMPQ R9, $%d", n)
			r.ins("JNE %s", next)
		}
		// fold combines every lane of x with all lanes of its row.
		fold := func(op string, x, t int) {
			r.op("VPERMILPS $0xb1, %s, %s", x, t)
			r.op(op+" %s, %s, %s", t, x, x)
			if n > 2 {
				r.op("VPERMILPS $0x4e, %s, %s", x, t)
				r.op(op+" %s, %s, %s", t, x, x)
			}
			if n > 4 {
				r.op("VSHUFF32X4 $0xb1, %[1]s, %[1]s, %[2]s", x, t)
				r.op(op+" %s, %s, %s", t, x, x)
			}
			if n > 8 {
				r.op("VSHUFF32X4 $0x4e, %[1]s, %[1]s, %[2]s", x, t)
				r.op(op+" %s, %s, %s", t, x, x)
			}
		}
		body := func() {
			r.op("VMOVAPS %s, %s", 0, 8)
			fold("VMAXPS", 8, 1)
			r.op("VSUBPS %s, %s, %s", 8, 0, 0)
			r.op("VMULPS %s, %s, %s", 13, 0, 0)
			r.exp(r.r(0), false)
			r.op("VMOVAPS %s, %s", 0, 8)
			fold("VADDPS", 8, 1)
			r.op("VDIVPS %s, %s, %s", 8, 0, 0)
		}
		r.ins("SUBQ $16, CX")
		r.ins("JLT %s", last)
		r.at(loop)
		r.ins("VMOVUPS (SI), Z0")
		body()
		r.ins("VMOVUPS Z0, (R8)")
		r.ins("ADDQ $64, SI")
		r.ins("ADDQ $64, R8")
		r.ins("SUBQ $16, CX")
		r.ins("JGE %s", loop)
		r.at(last)
		r.ins("ADDQ $16, CX")
		end := r.label("end")
		r.ins("JEQ %s", end)
		r.tailMask()
		r.ins("VMOVUPS.Z (SI), K1, Z0")
		body()
		r.ins("VMOVUPS Z0, K1, (R8)")
		r.at(end)
		r.ins("VZEROUPPER")
		r.ins("RET")
		r.at(next)
	}
}
