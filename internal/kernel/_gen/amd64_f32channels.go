package main

func init() {
	outputs["channels_f32_gen_amd64.s"] = func(a *asm) {
		for _, v := range []vector{zmm, ymm} {
			level := map[vector]string{zmm: "AVX512", ymm: "AVX2"}[v]
			c := &channelsF32{asm: a, vec: v}
			c.dot("channelDotF32"+level, 1)
			c.dot("channelDot3F32"+level, 3)
			c.dot("channelSumF32"+level, 0)
			c.combine("channelAffineF32" + level)
			c.gate("gateF32" + level)
		}
		laneMask(a)
	}
}

// channelsF32 emits loops over rows of channels that keep to one or four vectors of
// channels at a time.
//
// Register plan: DI arguments, SI and DX the first rows of a and b at the channels at hand,
// R8 and R9 their steps, BX bytes to the channels, CX channels left, R10 the rows, AX rows
// left, R11, R12 and R13 the rows that are walked. The mask of a partial vector is K1 or Y15.
type channelsF32 struct {
	*asm
	vec vector
}

func (c *channelsF32) r(i int) string { return c.vec.r(i) }

func (c *channelsF32) load(from string, i, to int, tail bool) {
	switch {
	case !tail:
		c.ins("VMOVUPS %d(%s), %s", i*c.vec.bytes(), from, c.r(to))
	case c.vec == zmm:
		c.ins("VMOVUPS.Z (%s), K1, %s", from, c.r(to))
	default:
		c.ins("VMASKMOVPS (%s), Y15, %s", from, c.r(to))
	}
}

func (c *channelsF32) store(to string, i, from int, tail bool) {
	switch {
	case !tail:
		c.ins("VMOVUPS %s, %d(%s)", c.r(from), i*c.vec.bytes(), to)
	case c.vec == zmm:
		c.ins("VMOVUPS %s, K1, (%s)", c.r(from), to)
	default:
		c.ins("VMASKMOVPS %s, Y15, (%s)", c.r(from), to)
	}
}

// blocks emits body for four vectors of channels at a time, then for one, then for what
// is left; BX and CX advance.
func (c *channelsF32) blocks(body func(vectors int, tail bool)) {
	for _, n := range []int{4, 1} {
		loop, end := c.label("block"), c.label("end")
		c.at(loop)
		c.ins("CMPQ CX, $%d", n*c.vec.lanes)
		c.ins("JLT %s", end)
		body(n, false)
		c.ins("ADDQ $%d, BX", n*c.vec.bytes())
		c.ins("SUBQ $%d, CX", n*c.vec.lanes)
		c.ins("JMP %s", loop)
		c.at(end)
	}
	done := c.label("done")
	c.ins("TESTQ CX, CX")
	c.ins("JEQ %s", done)
	if c.vec == zmm {
		c.ins("MOVQ $-1, AX")
		c.ins("BZHIQ CX, AX, AX")
		c.ins("KMOVW AX, K1")
	} else {
		c.ins("LEAQ laneMask<>+64(SB), AX")
		c.ins("SHLQ $2, CX")
		c.ins("SUBQ CX, AX")
		c.ins("VMOVUPS (AX), Y15")
	}
	body(1, true)
	c.at(done)
	c.ins("VZEROUPPER")
	c.ins("RET")
}

func (c *channelsF32) start(name string) {
	c.text(name, 8)
	c.ins("MOVQ args+0(FP), DI")
	c.ins("MOVQ channelsF32_a(DI), SI")
	c.ins("MOVQ channelsF32_b(DI), DX")
	c.ins("MOVQ channelsF32_aStep(DI), R8")
	c.ins("MOVQ channelsF32_bStep(DI), R9")
	c.ins("MOVQ channelsF32_n(DI), CX")
	c.ins("MOVQ channelsF32_rows(DI), R10")
	c.ins("XORL BX, BX")
}

// dot emits acc[tap] += Σ a[tap]·b over rows, of so many neighbours of a row at once, or
// acc += Σ a for none. The sums of a single vector are in four parts, of which each takes every fourth row, to hide
// the latency of additions.
func (c *channelsF32) dot(name string, taps int) {
	c.start(name)
	c.blocks(func(vectors int, tail bool) {
		// V0…V11 sums, V12…V15 values of b; V13 and V14 values where the mask is needed.
		for i := range 4 * max(taps, 1) {
			c.vec.zero(c.asm, c.r(i))
		}
		if taps > 1 {
			c.ins("MOVQ channelsF32_tapStep(DI), R13")
		}
		c.ins("LEAQ (SI)(BX*1), R11")
		c.ins("LEAQ (DX)(BX*1), R12")
		c.ins("MOVQ R10, AX")
		row := func(part int) {
			if taps == 0 {
				for i := range vectors {
					c.load("R11", i, 13, tail)
					c.ins("VADDPS %s, %s, %s", c.r(13), c.r(part+i), c.r(part+i))
				}
				c.ins("ADDQ R8, R11")
				return
			}
			for i := range vectors {
				c.load("R12", i, 12+i, tail)
			}
			for t := range taps {
				from := []string{"(R11)", "(R11)(R13*1)", "(R11)(R13*2)"}[t]
				for i := range vectors {
					sum := c.r(4*t + part + i)
					switch {
					case !tail:
						c.ins("VFMADD231PS %d%s, %s, %s", i*c.vec.bytes(), from, c.r(12+i), sum)
						continue
					case c.vec == zmm:
						c.ins("VMOVUPS.Z %s, K1, %s", from, c.r(13))
					default:
						c.ins("VMASKMOVPS %s, Y15, %s", from, c.r(13))
					}
					c.ins("VFMADD231PS %s, %s, %s", c.r(13), c.r(12), sum)
				}
			}
			c.ins("ADDQ R8, R11")
			c.ins("ADDQ R9, R12")
		}
		if vectors == 1 {
			loop, end := c.label("four"), c.label("rest")
			c.at(loop)
			c.ins("SUBQ $4, AX")
			c.ins("JLT %s", end)
			for part := range 4 {
				row(part)
			}
			c.ins("JMP %s", loop)
			c.at(end)
			c.ins("ADDQ $4, AX")
		}
		loop, end := c.label("row"), c.label("sum")
		c.at(loop)
		c.ins("SUBQ $1, AX")
		c.ins("JLT %s", end)
		row(0)
		c.ins("JMP %s", loop)
		c.at(end)
		c.ins("MOVQ channelsF32_acc(DI), R13")
		c.ins("ADDQ BX, R13")
		for t := range max(taps, 1) {
			if vectors == 1 {
				at := 4 * t
				c.ins("VADDPS %s, %s, %s", c.r(at+1), c.r(at), c.r(at))
				c.ins("VADDPS %s, %s, %s", c.r(at+3), c.r(at+2), c.r(at+2))
				c.ins("VADDPS %s, %s, %s", c.r(at+2), c.r(at), c.r(at))
			}
			for i := range vectors {
				c.load("R13", i, 12, tail)
				c.ins("VADDPS %s, %s, %s", c.r(12), c.r(4*t+i), c.r(4*t+i))
				c.store("R13", i, 4*t+i, tail)
			}
			c.ins("ADDQ channelsF32_accTap(DI), R13")
		}
	})
}

// combine emits acc = a·m + b·u + t over rows.
func (c *channelsF32) combine(name string) {
	c.start(name)
	c.blocks(func(vectors int, tail bool) {
		// V0, V1 results, V4, V5 m, V6, V7 u, V8, V9 t of two vectors; V10, V11 values.
		half := vectors
		if vectors == 4 {
			half = 2
		}
		for from := 0; from < vectors; from += half {
			for k, field := range []string{"m", "u", "t"} {
				c.ins("MOVQ channelsF32_%s(DI), R13", field)
				c.ins("ADDQ BX, R13")
				for i := range half {
					c.load("R13", from+i, 4+2*k+i, tail)
				}
			}
			c.ins("LEAQ (SI)(BX*1), R11")
			c.ins("LEAQ (DX)(BX*1), R12")
			c.ins("MOVQ channelsF32_acc(DI), R13")
			c.ins("ADDQ BX, R13")
			c.ins("MOVQ R10, AX")
			loop, end := c.label("row"), c.label("next")
			c.at(loop)
			c.ins("SUBQ $1, AX")
			c.ins("JLT %s", end)
			for i := range half {
				c.load("R11", from+i, 10, tail)
				c.load("R12", from+i, 11, tail)
				c.ins("VMOVAPS %s, %s", c.r(8+i), c.r(i))
				c.ins("VFMADD231PS %s, %s, %s", c.r(10), c.r(4+i), c.r(i))
				c.ins("VFMADD231PS %s, %s, %s", c.r(11), c.r(6+i), c.r(i))
				c.store("R13", from+i, i, tail)
			}
			c.ins("ADDQ R8, R11")
			c.ins("ADDQ R9, R12")
			c.ins("ADDQ channelsF32_accStep(DI), R13")
			c.ins("JMP %s", loop)
			c.at(end)
		}
	})
}

// gate emits dst = lo ≤ y ≤ hi ? x : 0 over whole vectors. Register plan: SI x, DX y, R8
// dst, CX values, V0 and V3 the bounds.
func (c *channelsF32) gate(name string) {
	c.text(name, 40)
	c.ins("MOVQ dst+0(FP), R8")
	c.ins("MOVQ x+8(FP), SI")
	c.ins("MOVQ y+16(FP), DX")
	c.ins("MOVQ n+24(FP), CX")
	c.ins("VBROADCASTSS lo+32(FP), %s", c.r(0))
	c.ins("VBROADCASTSS hi+36(FP), %s", c.r(3))
	loop, end := c.label("loop"), c.label("end")
	c.at(loop)
	c.ins("SUBQ $%d, CX", c.vec.lanes)
	c.ins("JLT %s", end)
	c.ins("VMOVUPS (DX), %s", c.r(1))
	if c.vec == zmm {
		c.ins("VCMPPS $2, Z1, Z0, K1")
		c.ins("VCMPPS $2, Z3, Z1, K1, K1")
		c.ins("VMOVUPS.Z (SI), K1, Z2")
	} else {
		c.ins("VCMPPS $2, Y1, Y0, Y2")
		c.ins("VCMPPS $2, Y3, Y1, Y1")
		c.ins("VANDPS Y2, Y1, Y1")
		c.ins("VANDPS (SI), Y1, Y2")
	}
	c.ins("VMOVUPS %s, (R8)", c.r(2))
	for _, r := range []string{"SI", "DX", "R8"} {
		c.ins("ADDQ $%d, %s", c.vec.bytes(), r)
	}
	c.ins("JMP %s", loop)
	c.at(end)
	c.ins("VZEROUPPER")
	c.ins("RET")
}
