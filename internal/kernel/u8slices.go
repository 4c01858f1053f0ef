package kernel

import (
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// LookupU8 stores table[src[i]] in dst[i]: any function of one byte.
func LookupU8(l cpu.Level, dst, src []uint8, table *[256]uint8) {
	dst = dst[:len(src)]
	for done := 0; done < len(src); {
		end := min(len(src), done+maxBinary)
		lookup(l, dst[done:end], src[done:end], table)
		done = end
	}
}

//go:noinline
func lookup(l cpu.Level, dst, src []uint8, table *[256]uint8) {
	done := lookupU8Asm(l, table, unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src)), len(src))
	src, dst = src[done:], dst[done:len(src)]
	for i, v := range src {
		dst[i] = table[v]
	}
}

// RequantTable returns the table that moves bytes with one zero point to
// another scale: the rule of requant.go with acc = x - inZero, and q.Mult the
// input's scale over the output's.
func RequantTable(inZero uint8, q Requant) *[256]uint8 {
	var t [256]uint8
	for i := range t {
		t[i] = q.Apply(int32(i) - int32(inZero))
	}
	return &t
}

// OffsetU8 adds 128 to every byte: it turns the bits of an int8 into the
// unsigned byte that the engine stores for it, and back.
func OffsetU8(dst, src []uint8) {
	dst = dst[:len(src)]
	for len(src) >= 8 {
		v := uint64(src[0]) | uint64(src[1])<<8 | uint64(src[2])<<16 | uint64(src[3])<<24 |
			uint64(src[4])<<32 | uint64(src[5])<<40 | uint64(src[6])<<48 | uint64(src[7])<<56
		v ^= 0x8080808080808080
		dst[0], dst[1], dst[2], dst[3] = uint8(v), uint8(v>>8), uint8(v>>16), uint8(v>>24)
		dst[4], dst[5], dst[6], dst[7] = uint8(v>>32), uint8(v>>40), uint8(v>>48), uint8(v>>56)
		src, dst = src[8:], dst[8:]
	}
	for i, v := range src {
		dst[i] = v ^ 0x80
	}
}

// QuantizeU8 stores clamp(roundToEven(x/scale) + zero, lo, hi), by a division as
// ONNX QuantizeLinear has it. NaN gives the zero point. Signed tensors use
// their zero point plus 128.
func QuantizeU8(l cpu.Level, dst []uint8, src []float32, scale float32, zero, lo, hi uint8) {
	dst = dst[:len(src)]
	done := 0
	for done < len(src) {
		n := quantizeVector(l, dst[done:], src[done:min(len(src), done+maxBinary)], scale, zero, lo, hi)
		if n == 0 {
			break
		}
		done += n
	}
	for i := done; i < len(src); i++ {
		dst[i] = clampRound(src[i]/scale, zero, lo, hi)
	}
}

// quantizeVector lets assembly quantize a prefix and returns its length.
//
//go:noinline
func quantizeVector(l cpu.Level, dst []uint8, src []float32, scale float32, zero, lo, hi uint8) int {
	z := float32(zero)
	p := [4]float32{scale, float32(lo) - z, float32(hi) - z, math.Float32frombits(uint32(zero))}
	return quantizeU8Asm(l, &p, unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src)), len(src))
}

// DequantizeU8 stores float32(q-zero)*scale.
func DequantizeU8(l cpu.Level, dst []float32, src []uint8, scale float32, zero uint8) {
	dst = dst[:len(src)]
	for done := 0; done < len(src); {
		end := min(len(src), done+maxBinary)
		dequantize(l, dst[done:end], src[done:end], scale, zero)
		done = end
	}
}

//go:noinline
func dequantize(l cpu.Level, dst []float32, src []uint8, scale float32, zero uint8) {
	p := [2]float32{scale, math.Float32frombits(uint32(zero))}
	done := dequantizeU8Asm(l, &p, unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(src)), len(src))
	for i := done; i < len(src); i++ {
		dst[i] = float32(int32(src[i])-int32(zero)) * scale
	}
}

// scaleI32 stores float32(acc)*mult + bias, each operation rounded. mult and bias
// are at least as long as acc.
//
//go:noinline
func scaleI32(l cpu.Level, dst []float32, acc []int32, mult, bias []float32) {
	dst, mult, bias = dst[:len(acc)], mult[:len(acc)], bias[:len(acc)]
	done := 0
	if len(acc) > 0 {
		done = scaleI32Asm(l, unsafe.Pointer(&dst[0]), unsafe.Pointer(&acc[0]), unsafe.Pointer(&mult[0]), unsafe.Pointer(&bias[0]), len(acc))
	}
	for i := done; i < len(acc); i++ {
		dst[i] = float32(float32(acc[i])*mult[i]) + bias[i]
	}
}

// RangeF32 returns the least and greatest of the values, ignoring NaN, for
// choosing a scale at run time. Of no values it returns 0, 0.
func RangeF32(l cpu.Level, src []float32) (lo, hi float32) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for len(src) > 0 {
		n := min(len(src), maxBinary)
		a, b := rangeOf(l, src[:n])
		lo, hi = min(lo, a), max(hi, b)
		src = src[n:]
	}
	if lo > hi {
		return 0, 0
	}
	return lo, hi
}

//go:noinline
func rangeOf(l cpu.Level, src []float32) (lo, hi float32) {
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	var r [32]float32
	if n := rangeF32Asm(l, &r, unsafe.Pointer(unsafe.SliceData(src)), len(src)); n > 0 {
		for i := range 16 {
			lo, hi = min(lo, r[i]), max(hi, r[16+i])
		}
		src = src[n:]
	}
	for _, v := range src {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// DynamicScaleU8 returns the scale and zero point of ONNX DynamicQuantizeLinear
// for values between lo and hi: the range widened to hold zero, in 255 steps.
func DynamicScaleU8(lo, hi float32) (scale float32, zero uint8) {
	lo, hi = min(lo, 0), max(hi, 0)
	scale = (hi - lo) / 255
	if scale == 0 {
		return 1, 0
	}
	z := math.RoundToEven(float64(min(max(-lo/scale, 0), 255)))
	return scale, uint8(z)
}
