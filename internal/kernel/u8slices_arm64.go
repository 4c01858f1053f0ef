package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// u8SlicesLevels are the levels that have assembly over slices.
var u8SlicesLevels = []cpu.Level{cpu.NEON}

// Each function below computes a prefix of n elements and returns its length:
// whole blocks of 16.

func blocksOf16(l cpu.Level, n int) int {
	if !l.Includes(cpu.NEON) {
		return 0
	}
	return n &^ 15
}

//go:noescape
func binaryU8NEON(p *preparedAdd, dst, a, b unsafe.Pointer, n int)

func binaryU8Asm(l cpu.Level, p *preparedAdd, dst, a, b unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		binaryU8NEON(p, dst, a, b, n)
	}
	return n
}

//go:noescape
func quantizeU8NEON(p *[4]float32, dst, src unsafe.Pointer, n int)

func quantizeU8Asm(l cpu.Level, p *[4]float32, dst, src unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		quantizeU8NEON(p, dst, src, n)
	}
	return n
}

//go:noescape
func dequantizeU8NEON(p *[2]float32, dst, src unsafe.Pointer, n int)

func dequantizeU8Asm(l cpu.Level, p *[2]float32, dst, src unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		dequantizeU8NEON(p, dst, src, n)
	}
	return n
}

//go:noescape
func maxU8NEON(dst, src unsafe.Pointer, n int)

func maxU8Asm(l cpu.Level, dst, src unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		maxU8NEON(dst, src, n)
	}
	return n
}

//go:noescape
func accumulateU8NEON(sum, src unsafe.Pointer, n int)

func accumulateU8Asm(l cpu.Level, sum, src unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		accumulateU8NEON(sum, src, n)
	}
	return n
}

//go:noescape
func rangeF32NEON(r *[32]float32, src unsafe.Pointer, n int)

// rangeF32Asm stores the least and greatest of each of 16 lanes.
func rangeF32Asm(l cpu.Level, r *[32]float32, src unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		rangeF32NEON(r, src, n)
	}
	return n
}

func hasLookupU8(l cpu.Level) bool { return l.Includes(cpu.NEON) }

//go:noescape
func lookupU8NEON(table *[256]uint8, dst, src unsafe.Pointer, n int)

func lookupU8Asm(l cpu.Level, table *[256]uint8, dst, src unsafe.Pointer, n int) int {
	if n = blocksOf16(l, n); n > 0 {
		lookupU8NEON(table, dst, src, n)
	}
	return n
}

func scaleI32Asm(cpu.Level, unsafe.Pointer, unsafe.Pointer, unsafe.Pointer, unsafe.Pointer, int) int {
	return 0
}
