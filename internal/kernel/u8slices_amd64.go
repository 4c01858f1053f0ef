package kernel

import (
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// u8SlicesLevels are the levels that have assembly over slices.
var u8SlicesLevels = []cpu.Level{cpu.AVX2, cpu.AVX512}

// Each function below computes a prefix of n elements and returns its length:
// all of them with AVX-512, whole blocks of 32 with AVX2, none below.

func blocksOf32(l cpu.Level, n int) int {
	if !l.Includes(cpu.AVX2) {
		return 0
	}
	return n &^ 31
}

//go:noescape
func binaryU8AVX512(p *preparedAdd, dst, a, b unsafe.Pointer, n int)

//go:noescape
func binaryU8AVX2(p *preparedAdd, dst, a, b unsafe.Pointer, n int)

func binaryU8Asm(l cpu.Level, p *preparedAdd, dst, a, b unsafe.Pointer, n int) int {
	if l.Includes(cpu.AVX512) {
		binaryU8AVX512(p, dst, a, b, n)
		return n
	}
	if n = blocksOf32(l, n); n > 0 {
		binaryU8AVX2(p, dst, a, b, n)
	}
	return n
}

//go:noescape
func quantizeU8AVX512(p *[7]float32, dst, src unsafe.Pointer, n int)

//go:noescape
func quantizeU8AVX2(p *[7]float32, dst, src unsafe.Pointer, n int)

// quantizeU8Asm divides by way of the reciprocal, which is exact as long as
// nothing on the way is too small or large for a float32.
func quantizeU8Asm(l cpu.Level, p *[4]float32, dst, src unsafe.Pointer, n int) int {
	scale, zero := p[0], math.Float32bits(p[3])
	if !l.Includes(cpu.AVX512) {
		n = blocksOf32(l, n)
	}
	if n == 0 || !(scale > 0x1p-100 && scale < 0x1p100) {
		return 0
	}
	lo, hi := uint32(int32(p[1])+int32(zero)), uint32(int32(p[2])+int32(zero))
	// Values beyond a step outside the bounds are brought there.
	c := [7]float32{scale, 1 / scale, (p[1] - 1) * scale, (p[2] + 1) * scale,
		math.Float32frombits(zero * 0x10001), math.Float32frombits(lo * 0x01010101), math.Float32frombits(hi * 0x01010101)}
	if l.Includes(cpu.AVX512) {
		quantizeU8AVX512(&c, dst, src, n)
	} else {
		quantizeU8AVX2(&c, dst, src, n)
	}
	return n
}

//go:noescape
func dequantizeU8AVX512(p *[2]float32, dst, src unsafe.Pointer, n int)

//go:noescape
func dequantizeU8AVX2(p *[2]float32, dst, src unsafe.Pointer, n int)

func dequantizeU8Asm(l cpu.Level, p *[2]float32, dst, src unsafe.Pointer, n int) int {
	if l.Includes(cpu.AVX512) {
		dequantizeU8AVX512(p, dst, src, n)
		return n
	}
	if n = blocksOf32(l, n); n > 0 {
		dequantizeU8AVX2(p, dst, src, n)
	}
	return n
}

//go:noescape
func maxU8AVX512(dst, src unsafe.Pointer, n int)

//go:noescape
func maxU8AVX2(dst, src unsafe.Pointer, n int)

func maxU8Asm(l cpu.Level, dst, src unsafe.Pointer, n int) int {
	if l.Includes(cpu.AVX512) {
		maxU8AVX512(dst, src, n)
		return n
	}
	if n = blocksOf32(l, n); n > 0 {
		maxU8AVX2(dst, src, n)
	}
	return n
}

//go:noescape
func accumulateU8AVX512(sum, src unsafe.Pointer, n int)

//go:noescape
func accumulateU8AVX2(sum, src unsafe.Pointer, n int)

func accumulateU8Asm(l cpu.Level, sum, src unsafe.Pointer, n int) int {
	if l.Includes(cpu.AVX512) {
		accumulateU8AVX512(sum, src, n)
		return n
	}
	if n = blocksOf32(l, n); n > 0 {
		accumulateU8AVX2(sum, src, n)
	}
	return n
}

//go:noescape
func scaleI32AVX512(dst, acc, mult, bias unsafe.Pointer, n int)

//go:noescape
func scaleI32AVX2(dst, acc, mult, bias unsafe.Pointer, n int)

// scaleI32Asm does a block of channels at most, of which the masks have a bit each.
func scaleI32Asm(l cpu.Level, dst, acc, mult, bias unsafe.Pointer, n int) int {
	n = min(n, 64)
	if l.Includes(cpu.AVX512) {
		scaleI32AVX512(dst, acc, mult, bias, n)
		return n
	}
	if n &^= 7; n > 0 && l.Includes(cpu.AVX2) {
		scaleI32AVX2(dst, acc, mult, bias, n)
		return n
	}
	return 0
}

//go:noescape
func rangeF32AVX512(r *[32]float32, src unsafe.Pointer, n int)

// rangeF32Asm stores the least and greatest of each of 16 lanes.
func rangeF32Asm(l cpu.Level, r *[32]float32, src unsafe.Pointer, n int) int {
	if n &^= 63; n == 0 || !l.Includes(cpu.AVX512) {
		return 0
	}
	rangeF32AVX512(r, src, n)
	return n
}

var hasVBMI = cpu.Has("avx512vbmi")

// hasLookupU8 says whether a level has assembly for LookupU8: none implies the
// byte permutations it needs.
func hasLookupU8(l cpu.Level) bool { return l.Includes(cpu.AVX512) && hasVBMI }

//go:noescape
func lookupU8VBMI(table *[256]uint8, dst, src unsafe.Pointer, n int)

func lookupU8Asm(l cpu.Level, table *[256]uint8, dst, src unsafe.Pointer, n int) int {
	if !hasLookupU8(l) {
		return 0
	}
	lookupU8VBMI(table, dst, src, n)
	return n
}
