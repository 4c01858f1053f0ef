package main

import (
	"fmt"
	"strconv"
	"strings"
)

// dotProduct emits VPDPBUSD: sum += Σ of four products of signed and unsigned
// bytes. The assembler knows its EVEX form alone; vex asks for that of AVX-VNNI,
// which is written as bytes.
func dotProduct(a *asm, vex bool, signed, unsigned, sum string) {
	if !vex {
		a.ins("VPDPBUSD %s, %s, %s", signed, unsigned, sum)
		return
	}
	var code []string
	for _, b := range vexDotProduct(signed, unsigned, sum) {
		code = append(code, fmt.Sprintf("BYTE $0x%02X", b))
	}
	a.ins("%s // VPDPBUSD %s, %s, %s", strings.Join(code, "; "), signed, unsigned, sum)
}

// vexDotProduct encodes VEX.256.66.0F38.W0 50 /r. Operands are registers Y0 … Y15,
// or for signed an address as 64(SI).
func vexDotProduct(signed, unsigned, sum string) []byte {
	reg, second := number(sum[1:]), number(unsigned[1:])
	rm, tail := 0, []byte(nil)
	mod := 3
	if at, base, memory := strings.Cut(signed, "("); memory {
		rm = general[strings.TrimSuffix(base, ")")]
		disp := 0
		if at != "" {
			disp = number(at)
		}
		if rm&7 == 4 {
			tail = []byte{0x24} // a base alone, written as an index byte
		}
		if mod = 1; disp == int(int8(disp)) {
			tail = append(tail, byte(disp))
		} else {
			mod = 2
			tail = append(tail, byte(disp), byte(disp>>8), byte(disp>>16), byte(disp>>24))
		}
	} else {
		rm = number(signed[1:])
	}
	// Register numbers' fourth bits and the second operand are stored inverted.
	code := []byte{0xC4, byte(^reg>>3&1<<7 | 1<<6 | ^rm>>3&1<<5 | 2), byte(^second&15<<3 | 1<<2 | 1), 0x50, byte(mod<<6 | reg&7<<3 | rm&7)}
	return append(code, tail...)
}

var general = map[string]int{"AX": 0, "CX": 1, "DX": 2, "BX": 3, "BP": 5, "SI": 6, "DI": 7,
	"R8": 8, "R9": 9, "R10": 10, "R11": 11, "R12": 12, "R13": 13, "R14": 14, "R15": 15}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
