package main

import "fmt"

func init() {
	outputs["u8_gemm_gen_arm64.s"] = func(a *asm) {
		gemmU8NEON{name: "gemmU8x6x16MMLA", mr: 6, vecs: 4, kind: mmla}.emit(a)
		gemmU8NEON{name: "gemmU8x6x8MMLA", mr: 6, vecs: 2, kind: mmla}.emit(a)
		gemmU8NEON{name: "gemmU8x6x16Dot", mr: 6, vecs: 4, kind: dotLane}.emit(a)
		gemmU8NEON{name: "gemmU8x6x16DotInOrder", mr: 6, vecs: 4, kind: dotLane, halves: true}.emit(a)
		gemmU8NEON{name: "gemmU8x6x8Dot", mr: 6, vecs: 2, kind: dotLane}.emit(a)
		gemmU8NEON{name: "gemmU8x2x8Pairs", mr: 2, vecs: 2, kind: longPairs}.emit(a)
		gemmU8NEON{name: "gemmU8x2x8Long", mr: 2, vecs: 2, kind: long8}.emit(a)
	}
}

// gemmU8Kind says which instruction multiplies.
type gemmU8Kind int

const (
	mmla      gemmU8Kind = iota // USMMLA: two rows by two columns by eight k
	dotLane                     // SDOT by element: four k of a row by four columns
	longPairs                   // SMULL and SMLAL, two products in 16 bits, then SADALP
	long8                       // SMULL, then SADALP: exact for every weight
)

// gemmU8NEON emits the tiles of a kernel of vecs times four columns, one body for
// each height.
//
// Register plan:
//
//	R0          arguments
//	R1          bytes from row to row of the activations
//	R2 … R7     rows at the current k
//	R8          current place in the panel
//	R9          groups left in the segment
//	R10, R11    next segment, segments left
//	R12, R13    destination, bytes from row to row
//	R14, R15    passing values; R19 … R24 with halves
//	V0 …        sums: of dotLane four columns of a row, row by row; of mmla two
//	            rows by two columns; of the others the parts of one element
//	            that its four lanes add up to
//	above them  activations, then weights in turn and 0x80; products
type gemmU8NEON struct {
	name     string
	mr, vecs int
	kind     gemmU8Kind
	halves   bool // dotLane: loads of 64 bits, which go beside arithmetic on cores that issue in order
}

func (g gemmU8NEON) heights() []int {
	if g.mr == 2 {
		return []int{2, 1}
	}
	return []int{6, 4, 2, 1}
}

func (g gemmU8NEON) emit(a *asm) {
	a.text(g.name, 8)
	a.ins("MOVD args+0(FP), R0")
	a.ins("MOVD u8GemmArgs_aStride(R0), R1")
	a.ins("MOVD u8GemmArgs_dst(R0), R12")
	a.ins("MOVD u8GemmArgs_dstRow(R0), R13")
	a.ins("MOVD u8GemmArgs_height(R0), R14")
	h := g.heights()
	for _, rows := range h[1:] {
		a.ins("CMP $%d, R14", rows)
		a.ins("BEQ rows%d", rows)
	}
	for _, rows := range h {
		g.tile(a, rows)
	}
}

func (g gemmU8NEON) tile(a *asm, rows int) {
	sums := g.vecs * rows
	switch g.kind {
	case mmla:
		sums = 2 * g.vecs * ((rows + 1) / 2)
	case longPairs, long8:
		sums *= 4
	}
	a.at(fmt.Sprintf("rows%d", rows))
	g.start(a, rows, sums)
	a.ins("MOVD u8GemmArgs_b(R0), R8")
	a.ins("MOVD u8GemmArgs_segs(R0), R10")
	a.ins("MOVD u8GemmArgs_segN(R0), R11")
	segment, next := a.label("segment"), a.label("next")
	a.at(segment)
	a.ins("MOVD u8GemmArgs_a(R0), R2")
	a.ins("LDP.P 16(R10), (R14, R9)")
	a.ins("ADD R14, R2, R2")
	for row := 1; row < rows; row++ {
		a.ins("ADD R1, R%d, R%d", 1+row, 2+row)
	}
	free := regsFrom(sums, 32)
	switch g.kind {
	case mmla:
		g.loop(a, 2, next, func(n int) { g.stepMMLA(a, n, rows, free) })
	case dotLane:
		g.loop(a, 4, next, func(n int) { g.stepDot(a, n, rows, free) })
	default:
		g.loop(a, 2, next, func(n int) { g.stepLong(a, n, rows, free) })
	}
	a.at(next)
	a.ins("SUBS $1, R11, R11")
	a.ins("BNE %s", segment)

	s, free := g.reduce(a, rows)
	g.addRowSums(a, rows, s, free)
	raw, done, end := a.label("raw"), a.label("done"), a.label("end")
	a.ins("MOVD u8GemmArgs_mult(R0), R14")
	a.ins("CBZ R14, %s", raw)
	g.bytes(a, rows, s, free)
	a.ins("B %s", done)
	a.at(raw)
	g.accumulators(a, rows, s, free)
	a.at(done)
	a.ins("MOVD u8GemmArgs_tiles(R0), R14")
	a.ins("SUBS $1, R14, R14")
	a.ins("BEQ %s", end)
	a.ins("MOVD R14, u8GemmArgs_tiles(R0)")
	a.ins("MOVD u8GemmArgs_a(R0), R14")
	a.ins("MOVD $%d, R15", rows)
	a.ins("MADD R1, R14, R15, R14")
	a.ins("MOVD R14, u8GemmArgs_a(R0)")
	a.ins("B rows%d", rows)
	a.at(end)
	a.ins("RET")
}

// regsFrom returns registers from ≤ v < to.
func regsFrom(from, to int) (list []vreg) {
	for v := from; v < to; v++ {
		list = append(list, vreg(v))
	}
	return list
}

// loop emits the loop over the groups of a segment, n a turn, and single ones.
func (g gemmU8NEON) loop(a *asm, n int, next string, step func(n int)) {
	loop, tail, last := a.label("loop"), a.label("tail"), a.label("last")
	a.ins("SUBS $%d, R9, R9", n)
	a.ins("BLT %s", tail)
	a.ins("PCALIGN $16")
	a.at(loop)
	step(n)
	a.ins("SUBS $%d, R9, R9", n)
	a.ins("BGE %s", loop)
	a.at(tail)
	a.ins("ADDS $%d, R9, R9", n)
	a.ins("BEQ %s", next)
	a.at(last)
	step(1)
	a.ins("SUBS $1, R9, R9")
	a.ins("BNE %s", last)
}

// start gives the sums their first values.
func (g gemmU8NEON) start(a *asm, rows, sums int) {
	a.ins("MOVD u8GemmArgs_start(R0), R14")
	switch g.kind {
	case dotLane:
		for row := range rows {
			for v := 0; v < g.vecs; v += 2 {
				s := vreg(row*g.vecs + v)
				a.do(loadQQ(fmt.Sprintf("%d(R14)", 16*v), s, s+1))
			}
		}
	case mmla:
		for v := range g.vecs {
			t := vreg(sums + v)
			a.do(loadQ(fmt.Sprintf("%d(R14)", 16*v), t))
			for at := 2 * v; at < sums; at += 2 * g.vecs {
				a.do(zip1(d2, vreg(at), t, t), zip2(d2, vreg(at+1), t, t))
			}
		}
	default:
		for s := range sums {
			a.do(zero(vreg(s)))
		}
	}
}

// stepDot takes n groups of four k: a register of activations for each row,
// then every vector of weights against all rows.
func (g gemmU8NEON) stepDot(a *asm, n, rows int, free []vreg) {
	act, free := free[:rows], free[rows:]
	flip, b := free[len(free)-1], free[:len(free)-1]
	if len(b) < 2 { // 0x80 passes through a register of weights
		b = free
	}
	load := func(i int) []inst { return g.load(16*i, 14+i%2, b[i%len(b)]) }
	total := n * g.vecs
	ready := min(len(b), total)
	a.do(native("VMOVI $128, %s", flip.in(b16)))
	var rows64, joins []inst
	for row, r := range act {
		if n == 1 {
			a.ins("FMOVS.P 4(R%d), %s", 2+row, r)
			continue
		}
		if !g.halves {
			a.ins("FMOVQ.P 16(R%d), %s", 2+row, r)
			continue
		}
		rows64 = append(rows64, native("FMOVD (R%d), %s", 2+row, r), native("MOVD 8(R%d), R%d", 2+row, 19+row))
		joins = append(joins, native("VMOV R%d, %s", 19+row, r.lane(d2, 1)), native("ADD $16, R%d, R%[1]d", 2+row))
	}
	a.do(rows64...)
	a.do(joins...)
	for i := range ready {
		if b[i] != flip {
			a.do(load(i)...)
		}
	}
	for _, r := range act {
		a.do(eor(r, r, flip))
	}
	for i := range ready {
		if b[i] == flip {
			a.do(load(i)...)
		}
	}
	var next []inst
	for i := range total {
		var dots []inst
		for row, r := range act {
			dots = append(dots, sdotLane(vreg(row*g.vecs+i%g.vecs), b[i%len(b)], r, i/g.vecs))
		}
		a.do(interleave(dots, next, 1)...)
		if next = nil; i+ready < total {
			next = load(i + ready)
		}
	}
	a.ins("ADD $%d, R8, R8", 16*total)
}

// load loads a vector of the panel, with halves by way of general register x.
func (g gemmU8NEON) load(at, x int, r vreg) []inst {
	if !g.halves {
		return []inst{loadQ(fmt.Sprintf("%d(R8)", at), r)}
	}
	return []inst{loadD(fmt.Sprintf("%d(R8)", at), r), native("MOVD %d(R8), R%d", at+8, x), native("VMOV R%d, %s", x, r.lane(d2, 1))}
}

// stepMMLA takes n groups of eight k of two rows and two columns each.
func (g gemmU8NEON) stepMMLA(a *asm, n, rows int, free []vreg) {
	pairs := (rows + 1) / 2
	act, b := free[:pairs], free[pairs:]
	total := n * 2 * g.vecs
	load := func(i int) inst { return loadQ(fmt.Sprintf("%d(R8)", 16*i), b[i%len(b)]) }
	ready := min(len(b), total)
	for i := range total {
		cols := i % (2 * g.vecs)
		if cols == 0 {
			for p, r := range act {
				a.ins("FMOVD.P 8(R%d), %s", 2+2*p, r)
				if 2*p+1 < rows {
					a.ins("VLD1.P 8(R%d), %s", 3+2*p, r.lane(d2, 1))
				}
			}
		}
		if i == 0 {
			for j := range ready {
				a.do(load(j))
			}
		}
		for p, r := range act {
			a.do(usmmla(vreg(p*2*g.vecs+cols), r, b[i%len(b)]))
		}
		if i+ready < total {
			a.do(load(i + ready))
		}
	}
	a.ins("ADD $%d, R8, R8", 16*total)
}

// stepLong takes n groups of eight k, four columns at a time: the products of
// all rows hide each other's latency, and a column's next weights are loaded
// where the ones before are done. Loads of 64 bits start beside an instruction on
// vectors where cores issue in order.
func (g gemmU8NEON) stepLong(a *asm, n, rows int, free []vreg) {
	const wide = 4
	cols := 4 * g.vecs
	act, w, prod := free[:rows*2], free[rows*2:rows*2+wide], free[rows*2+wide:]
	x := func(row, k int) vreg { return act[2*row+k] }
	load := func(k, col int) inst { return loadD(fmt.Sprintf("%d(R8)", 8*(k*cols+col)), w[col%wide]) }
	for k := range n {
		for row := range rows {
			a.ins("FMOVD.P 8(R%d), %s", 2+row, x(row, k))
		}
	}
	flip := prod[0]
	a.do(native("VMOVI $128, %s", flip.in(b16)))
	for col := range wide {
		a.do(load(0, col))
	}
	for k := range n {
		for row := range rows {
			a.do(eor(x(row, k), x(row, k), flip))
		}
	}
	for first := 0; first < cols; first += wide {
		for k := range n {
			product := smull
			if k > 0 && g.kind == longPairs {
				product = smlal
			}
			for j := range wide {
				for row := range rows {
					a.do(product(b8, prod[j*rows+row], w[j], x(row, k)))
				}
				if k+1 < n {
					a.do(load(k+1, first+j))
				} else if first+wide < cols {
					a.do(load(0, first+wide+j))
				}
			}
			if k+1 < n && g.kind == longPairs {
				continue
			}
			for j := range wide {
				for row := range rows {
					a.do(sadalp(h8, vreg(row*cols+first+j), prod[j*rows+row]))
				}
			}
		}
	}
	a.ins("ADD $%d, R8, R8", 8*n*cols)
}

// reduce brings the sums into vectors of four columns of one row, and returns
// them with the registers left.
func (g gemmU8NEON) reduce(a *asm, rows int) (sum func(row, v int) vreg, free []vreg) {
	s := make([]vreg, rows*g.vecs)
	switch g.kind {
	case dotLane:
		for i := range s {
			s[i] = vreg(i)
		}
	case mmla:
		t := vreg(31)
		for p := 0; p < rows; p += 2 {
			for v := range g.vecs {
				at := vreg((p/2*g.vecs + v) * 2)
				a.do(zip1(d2, t, at, at+1))
				if p+1 < rows {
					a.do(zip2(d2, at+1, at, at+1))
					s[(p+1)*g.vecs+v] = at + 1
				}
				s[p*g.vecs+v], t = t, at
			}
		}
	default:
		a.ins("MOVD u8GemmArgs_start(R0), R14")
		for i := range s {
			s[i] = vreg(4 * i)
			a.do(addp(s4, s[i], s[i], s[i]+1), addp(s4, s[i]+2, s[i]+2, s[i]+3))
		}
		for i := range s {
			a.do(loadQ(fmt.Sprintf("%d(R14)", 16*(i%g.vecs)), s[i]+1), addp(s4, s[i], s[i], s[i]+2))
		}
		for i := range s {
			a.do(add(s4, s[i], s[i], s[i]+1))
		}
	}
	used := map[vreg]bool{}
	for _, r := range s {
		used[r] = true
	}
	for _, r := range regsFrom(0, 32) {
		if !used[r] {
			free = append(free, r)
		}
	}
	return func(row, v int) vreg { return s[row*g.vecs+v] }, free
}

// addRowSums adds the zero points of the weights' share, where they have any.
func (g gemmU8NEON) addRowSums(a *asm, rows int, sum func(row, v int) vreg, free []vreg) {
	ready := a.label("ready")
	a.ins("MOVD u8GemmArgs_rowSum(R0), R14")
	a.ins("CBZ R14, %s", ready)
	a.ins("MOVD u8GemmArgs_colZero(R0), R15")
	x, z := free[0], free[1]
	for row := range rows {
		a.ins("VLD1R.P 4(R14), [%s]", x.in(s4))
		for v := range g.vecs {
			a.do(loadQ(fmt.Sprintf("%d(R15)", 16*v), z), mla(s4, sum(row, v), z, x))
		}
	}
	a.ins("MOVD R14, u8GemmArgs_rowSum(R0)")
	a.at(ready)
}

// bytes requantizes and stores the rows; R14 holds the multipliers.
func (g gemmU8NEON) bytes(a *asm, rows int, sum func(row, v int) vreg, free []vreg) {
	mult := free[:g.vecs]
	limits := free[g.vecs : g.vecs+3]
	for v := 0; v < g.vecs; v += 2 {
		a.do(loadQQ(fmt.Sprintf("%d(R14)", 16*v), mult[v], mult[v+1]))
	}
	for i, f := range []string{"zero", "lo", "hi"} {
		a.ins("MOVWU u8GemmArgs_%s(R0), R15", f)
		a.ins("VDUP R15, %s", limits[i].in(s4))
	}
	each := func(step int, f func(row, v int)) {
		for row := range rows {
			for v := 0; v < g.vecs; v += step {
				f(row, v)
			}
		}
	}
	each(1, func(row, v int) { a.do(scvtf(sum(row, v), sum(row, v))) })
	each(1, func(row, v int) { a.do(fmul(sum(row, v), sum(row, v), mult[v])) })
	each(1, func(row, v int) { a.do(fcvtns(sum(row, v), sum(row, v))) })
	each(2, func(row, v int) { a.do(sqxtn(h4, sum(row, v), sum(row, v))) })
	each(2, func(row, v int) { a.do(sqxtn(h8, sum(row, v), sum(row, v+1))) })
	each(2, func(row, v int) { a.do(sqadd(h8, sum(row, v), sum(row, v), limits[0])) })
	each(4, func(row, v int) { a.do(sqxtun(b8, sum(row, v), sum(row, v))) })
	if g.vecs == 4 {
		each(4, func(row, v int) { a.do(sqxtun(b16, sum(row, v), sum(row, v+2))) })
	}
	each(4, func(row, v int) { a.do(umax(b16, sum(row, v), sum(row, v), limits[1])) })
	each(4, func(row, v int) { a.do(umin(b16, sum(row, v), sum(row, v), limits[2])) })
	for row := range rows {
		if g.vecs == 4 {
			a.do(storeQ(sum(row, 0), "(R12)"))
		} else {
			a.do(storeD(sum(row, 0), "(R12)"))
		}
		a.ins("ADD R13, R12, R12")
	}
}

// accumulators stores the sums as int32, or as floats multiplied and shifted.
func (g gemmU8NEON) accumulators(a *asm, rows int, sum func(row, v int) vreg, free []vreg) {
	ints := a.label("ints")
	a.ins("MOVD u8GemmArgs_floatMult(R0), R14")
	a.ins("MOVD u8GemmArgs_floatBias(R0), R15")
	a.ins("CBZ R14, %s", ints)
	for v := range g.vecs {
		a.do(loadQ(fmt.Sprintf("%d(R14)", 16*v), free[0]), loadQ(fmt.Sprintf("%d(R15)", 16*v), free[1]))
		for row := range rows {
			s := sum(row, v)
			a.do(scvtf(s, s), fmul(s, s, free[0]), fadd(s, s, free[1]))
		}
	}
	a.at(ints)
	for row := range rows {
		for v := 0; v < g.vecs; v += 2 {
			a.do(storeQQ(sum(row, v), sum(row, v+1), fmt.Sprintf("%d(R12)", 16*v)))
		}
		a.ins("ADD R13, R12, R12")
	}
}
