package main

import "fmt"

// Integer instructions of arm64, encoded like those of arm64.go.

// Sums and products that keep the width of lanes. sqadd saturates.
func addp(t lanes, d, n, m vreg) inst  { return threeSame("addp", t, 0, 0x17, d, n, m) }
func mla(t lanes, d, n, m vreg) inst   { return threeSame("mla", t, 0, 0x12, d, n, m) }
func sqadd(t lanes, d, n, m vreg) inst { return threeSame("sqadd", t, 0, 0x01, d, n, m) }
func umax(t lanes, d, n, m vreg) inst  { return threeSame("umax", t, 1, 0x0c, d, n, m) }
func umin(t lanes, d, n, m vreg) inst  { return threeSame("umin", t, 1, 0x0d, d, n, m) }
func eor(d, n, m vreg) inst            { return bitwise("eor", 1, 0, d, n, m) }

// wider is the arrangement of lanes twice as wide as those of t that fill a
// register.
func wider(t lanes) lanes { return []lanes{h8, s4, d2}[t.size] }

// long names an instruction whose operands are the lower half of a register, or
// the upper half where from fills it: the "2" of its name.
func long(name string, from lanes) string {
	if from.q == 1 {
		return name + "2"
	}
	return name
}

// Products and differences into lanes twice as wide as those of from.
func smull(from lanes, d, n, m vreg) inst {
	return threeDifferent(long("smull", from), wider(from), from, 0, 0xc, d, n, m)
}
func smlal(from lanes, d, n, m vreg) inst {
	return threeDifferent(long("smlal", from), wider(from), from, 0, 0x8, d, n, m)
}
func usubl(from lanes, d, n, m vreg) inst {
	return threeDifferent(long("usubl", from), wider(from), from, 1, 0x2, d, n, m)
}

// uaddw adds the lanes of m to the wider ones of n.
func uaddw(from lanes, d, n, m vreg) inst {
	i := threeDifferent("", wider(from), from, 1, 0x1, d, n, m)
	i.text = fmt.Sprintf("%s v%d.%s, v%d.%[3]s, v%[5]d.%[6]s", long("uaddw", from), uint32(d), wider(from).name, uint32(n), uint32(m), from.name)
	return i
}

// Neighbours of from added in pairs, into or onto lanes twice as wide.
func uaddlp(from lanes, d, n vreg) inst {
	return twoMisc("uaddlp", wider(from), from, 1, 1, from.size, 0x02, d, n)
}
func uadalp(from lanes, d, n vreg) inst {
	return twoMisc("uadalp", wider(from), from, 1, 1, from.size, 0x06, d, n)
}
func sadalp(from lanes, d, n vreg) inst {
	return twoMisc("sadalp", wider(from), from, 1, 0, from.size, 0x06, d, n)
}

// addv adds all lanes of n into the lowest of d.
func addv(t lanes, d, n vreg) inst {
	i := twoMisc("", t, t, t.q, 0, t.size, 0x1b, d, n)
	i.word |= 1 << 20
	i.text = fmt.Sprintf("addv %c%d, v%d.%s", "bhs"[t.size], uint32(d), uint32(n), t.name)
	return i
}

// Lanes saturated into the lower half of a register, or the upper half where to
// fills it: signed into signed, signed into unsigned.
func sqxtn(to lanes, d, n vreg) inst {
	return twoMisc(long("sqxtn", to), to, wider(to), to.q, 0, to.size, 0x14, d, n)
}
func sqxtun(to lanes, d, n vreg) inst {
	return twoMisc(long("sqxtun", to), to, wider(to), to.q, 1, to.size, 0x12, d, n)
}

// Lanes of one half of a register widened, zero or sign above.
func uxtl(from lanes, d, n vreg) inst { return extend("uxtl", from, 1, d, n) }
func sxtl(from lanes, d, n vreg) inst { return extend("sxtl", from, 0, d, n) }

func extend(name string, from lanes, u uint32, d, n vreg) inst {
	i := shiftImm("", wider(from), from, from.q, u, 0x14, 8<<from.size, 0, d, n)
	i.text = fmt.Sprintf("%s v%d.%s, v%d.%s", long(name, from), uint32(d), wider(from).name, uint32(n), from.name)
	return i
}

// Lanes of n and m in turn, from the lower or the upper halves.
func zip1(t lanes, d, n, m vreg) inst { return permute("zip1", t, 3, d, n, m) }
func zip2(t lanes, d, n, m vreg) inst { return permute("zip2", t, 7, d, n, m) }

func permute(name string, t lanes, opcode uint32, d, n, m vreg) inst {
	w := t.q<<30 | 0x0e000800 | t.size<<22 | uint32(m)<<16 | opcode<<12 | uint32(n)<<5 | uint32(d)
	return inst{fmt.Sprintf("%s v%d.%s, v%d.%[3]s, v%[5]d.%[3]s", name, uint32(d), t.name, uint32(n), uint32(m)), w}
}

// Lookup of the bytes m in a table of four registers from n on. Beyond the table
// tbl gives 0 and tbx leaves d as it is.
func tbl4(d, n, m vreg) inst { return table4("tbl", 0x4e006000, d, n, m) }
func tbx4(d, n, m vreg) inst { return table4("tbx", 0x4e007000, d, n, m) }

func table4(name string, word uint32, d, n, m vreg) inst {
	return inst{fmt.Sprintf("%s v%d.16b, {v%d.16b-v%d.16b}, v%d.16b", name, uint32(d), uint32(n), uint32(n)+3, uint32(m)),
		word | uint32(m)<<16 | uint32(n)<<5 | uint32(d)}
}

// FEAT_DotProd and FEAT_I8MM: each 32-bit lane of d gains the product of four
// bytes of n with four of m; by lane, with the four bytes at lane i of m.

func dot(name string, word uint32, d, n, m vreg) inst {
	return inst{fmt.Sprintf("%s v%d.4s, v%d.16b, v%d.16b", name, uint32(d), uint32(n), uint32(m)), word | uint32(m)<<16 | uint32(n)<<5 | uint32(d)}
}
func sdot(d, n, m vreg) inst { return dot("sdot", 0x4e809400, d, n, m) }

// usdot takes the bytes of n as unsigned, those of m as signed.
func usdot(d, n, m vreg) inst { return dot("usdot", 0x4e809c00, d, n, m) }

// usmmla adds to the 2×2 matrix d the product of the 2×8 unsigned n and the
// transpose of the 2×8 signed m.
func usmmla(d, n, m vreg) inst { return dot("usmmla", 0x4e80ac00, d, n, m) }

func sdotLane(d, n, m vreg, i int) inst {
	w := 0x4f80e000 | uint32(i&2)<<10 | uint32(i&1)<<21 | uint32(m)<<16 | uint32(n)<<5 | uint32(d)
	return inst{fmt.Sprintf("sdot v%d.4s, v%d.16b, v%d.4b[%d]", uint32(d), uint32(n), uint32(m), i), w}
}
