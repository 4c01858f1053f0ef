package main

// The name of no file here may end in _arm64.go: it would not be built where the
// generator runs on another processor.

import (
	"fmt"
	"strings"
)

// An inst is one arm64 instruction. Go's assembler knows few of the vector
// instructions: the others are words, encoded here as the Arm Architecture
// Reference Manual (chapter C4, "Data Processing – Scalar Floating-Point and
// Advanced SIMD") has them. As values, instructions can be ordered before they
// are written, see interleave.
type inst struct {
	text string // Go's syntax, or the mnemonic of word
	word uint32 // 0: text is assembled as it is
}

func (i inst) String() string {
	if i.word == 0 {
		return i.text
	}
	return fmt.Sprintf("WORD $%#08x // %s", i.word, i.text)
}

// native is an instruction that Go's assembler knows.
func native(format string, args ...any) inst { return inst{text: fmt.Sprintf(format, args...)} }

// do emits instructions.
func (a *asm) do(list ...inst) {
	for _, i := range list {
		a.raw("\t%s\n", i)
	}
}

// interleave spreads the instructions of others evenly among those of main, the
// order in both being kept: cores that issue in order start a load only where it
// stands. The first of others comes after lead instructions of main.
func interleave(main, others []inst, lead int) []inst {
	var out []inst
	room := max(len(main)-lead, 1)
	for i, next := 0, 0; i < len(main) || next < len(others); i++ {
		for next < len(others) && (i >= len(main) || i >= lead+next*room/len(others)) {
			out = append(out, others[next])
			next++
		}
		if i < len(main) {
			out = append(out, main[i])
		}
	}
	return out
}

// A vreg is the number of a vector register.
type vreg uint32

// String is the name that Go's assembler has for the register in scalar and
// 128-bit moves.
func (v vreg) String() string { return fmt.Sprintf("F%d", uint32(v)) }

// in is the register with an arrangement of lanes, in Go's syntax.
func (v vreg) in(t lanes) string {
	return fmt.Sprintf("V%d.%s", uint32(v), strings.ToUpper(t.name[len(t.name)-1:]+t.name[:len(t.name)-1]))
}

// lane is one lane of the register, in Go's syntax.
func (v vreg) lane(t lanes, i int) string {
	return fmt.Sprintf("V%d.%s[%d]", uint32(v), strings.ToUpper(t.name[len(t.name)-1:]), i)
}

// lanes is an arrangement of a vector register: its fields Q and size.
type lanes struct {
	name    string
	q, size uint32
}

var (
	b8  = lanes{"8b", 0, 0}
	b16 = lanes{"16b", 1, 0}
	h4  = lanes{"4h", 0, 1}
	h8  = lanes{"8h", 1, 1}
	s2  = lanes{"2s", 0, 2}
	s4  = lanes{"4s", 1, 2}
	d2  = lanes{"2d", 1, 3}
)

// The encoding classes. u, opcode and the other fields are named as in the
// manual; size is that of t, which the floating-point instructions replace.

func threeSame(name string, t lanes, u, opcode uint32, d, n, m vreg) inst {
	w := t.q<<30 | u<<29 | 0x0e200400 | t.size<<22 | uint32(m)<<16 | opcode<<11 | uint32(n)<<5 | uint32(d)
	return inst{fmt.Sprintf("%s v%d.%s, v%d.%s, v%d.%[3]s", name, uint32(d), t.name, uint32(n), t.name, uint32(m)), w}
}

// threeDifferent multiplies or adds narrow lanes into lanes of twice the width;
// with high those of the upper half, to being the arrangement of the result.
func threeDifferent(name string, to, from lanes, u, opcode uint32, d, n, m vreg) inst {
	w := from.q<<30 | u<<29 | 0x0e200000 | from.size<<22 | uint32(m)<<16 | opcode<<12 | uint32(n)<<5 | uint32(d)
	return inst{fmt.Sprintf("%s v%d.%s, v%d.%s, v%d.%[5]s", name, uint32(d), to.name, uint32(n), from.name, uint32(m)), w}
}

func twoMisc(name string, to, from lanes, q, u, size, opcode uint32, d, n vreg) inst {
	w := q<<30 | u<<29 | 0x0e200800 | size<<22 | opcode<<12 | uint32(n)<<5 | uint32(d)
	return inst{fmt.Sprintf("%s v%d.%s, v%d.%s", name, uint32(d), to.name, uint32(n), from.name), w}
}

// byElement is an instruction on all lanes of n and lane i of m, whose size is
// 16 bits (m below 16) or 32.
func byElement(name string, t lanes, u, size, opcode uint32, d, n, m vreg, i int) inst {
	w := t.q<<30 | u<<29 | 0x0f000000 | size<<22 | uint32(m)<<16 | opcode<<12 | uint32(n)<<5 | uint32(d)
	kind := "s"
	if size == 1 {
		kind = "h"
		w |= uint32(i&4)<<9 | uint32(i&2)<<20 | uint32(i&1)<<20
	} else {
		w |= uint32(i&2)<<10 | uint32(i&1)<<21
	}
	return inst{fmt.Sprintf("%s v%d.%s, v%d.%s, v%d.%s[%d]", name, uint32(d), t.name, uint32(n), t.name, uint32(m), kind, i), w}
}

// shiftImm is a shift by a constant, immhb being the fields immh and immb.
func shiftImm(name string, to, from lanes, q, u, opcode, immhb uint32, shift int, d, n vreg) inst {
	w := q<<30 | u<<29 | 0x0f000400 | immhb<<16 | opcode<<11 | uint32(n)<<5 | uint32(d)
	return inst{fmt.Sprintf("%s v%d.%s, v%d.%s, #%d", name, uint32(d), to.name, uint32(n), from.name, shift), w}
}

// Loads and stores of whole registers, which Go's assembler knows. base is a
// register with an offset, as "32(R1)".

func loadQ(base string, d vreg) inst     { return native("FMOVQ %s, %s", base, d) }
func loadD(base string, d vreg) inst     { return native("FMOVD %s, %s", base, d) }
func loadS(base string, d vreg) inst     { return native("FMOVS %s, %s", base, d) }
func loadQQ(base string, d, e vreg) inst { return native("FLDPQ %s, (%s, %s)", base, d, e) }
func storeQ(d vreg, base string) inst    { return native("FMOVQ %s, %s", d, base) }
func storeD(d vreg, base string) inst    { return native("FMOVD %s, %s", d, base) }
func storeS(d vreg, base string) inst    { return native("FMOVS %s, %s", d, base) }
func storeQQ(d, e vreg, base string) inst {
	return native("FSTPQ (%s, %s), %s", d, e, base)
}

// loadIndexed loads from the sum of two general registers.
func loadIndexed(base, index uint32, d vreg) inst {
	return inst{fmt.Sprintf("ldr q%d, [x%d, x%d]", uint32(d), base, index), 0x3ce06800 | index<<16 | base<<5 | uint32(d)}
}

// loadDup loads one 32-bit value into all lanes; base is a bare register.
func loadDup(base string, d vreg) inst { return native("VLD1R (%s), [%s]", base, d.in(s4)) }

// zero clears a register.
func zero(d vreg) inst { return native("VEOR %s, %[1]s, %[1]s", d.in(b16)) }

// move copies a register.
func move(n, d vreg) inst { return native("VORR %s, %[1]s, %s", n.in(b16), d.in(b16)) }

// Integer instructions, on lanes of t.

func add(t lanes, d, n, m vreg) inst { return threeSame("add", t, 0, 0x10, d, n, m) }
func sub(t lanes, d, n, m vreg) inst { return threeSame("sub", t, 1, 0x10, d, n, m) }

// Shifts left and, signed or not, right by a constant.
func shl(t lanes, d, n vreg, shift int) inst {
	return shiftImm("shl", t, t, t.q, 0, 0x0a, 8<<t.size+uint32(shift), shift, d, n)
}
func sshr(t lanes, d, n vreg, shift int) inst {
	return shiftImm("sshr", t, t, t.q, 0, 0x00, 16<<t.size-uint32(shift), shift, d, n)
}
func ushr(t lanes, d, n vreg, shift int) inst {
	return shiftImm("ushr", t, t, t.q, 1, 0x00, 16<<t.size-uint32(shift), shift, d, n)
}

// Bitwise instructions. bic is n without the bits of m. bsl sets d to n where the bits of d are 1 and to m
// elsewhere; bit sets d to n where those of m are 1.

func bitwise(name string, u, size uint32, d, n, m vreg) inst {
	return threeSame(name, lanes{"16b", 1, size}, u, 0x03, d, n, m)
}
func and(d, n, m vreg) inst { return bitwise("and", 0, 0, d, n, m) }
func orr(d, n, m vreg) inst { return bitwise("orr", 0, 2, d, n, m) }
func bic(d, n, m vreg) inst { return bitwise("bic", 0, 1, d, n, m) }
func bsl(d, n, m vreg) inst { return bitwise("bsl", 1, 1, d, n, m) }
func bit(d, n, m vreg) inst { return bitwise("bit", 1, 2, d, n, m) }
