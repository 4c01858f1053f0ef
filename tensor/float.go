package tensor

import "math"

// Narrow floating-point formats. Float16 is IEEE 754 binary16; BFloat16 is the upper
// half of binary32; the 8-bit ones follow "FP8 Formats for Deep Learning" (Micikevicius
// et al. 2022) and, for the FNUZ forms, Noune et al. 2022; E8M0 and E2M1 are those of the
// OCP Microscaling specification 1.0.

// Float16ToFloat32 widens an IEEE binary16 value exactly.
func Float16ToFloat32(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exp := uint32(h >> 10 & 0x1f)
	man := uint32(h & 0x3ff)
	switch exp {
	case 0:
		f := float32(man) * (1.0 / (1 << 24))
		return math.Float32frombits(math.Float32bits(f) | sign)
	case 0x1f:
		return math.Float32frombits(sign | 0x7f800000 | man<<13)
	}
	return math.Float32frombits(sign | (exp+112)<<23 | man<<13)
}

// Float16FromFloat32 rounds to nearest even; values beyond 65504 become infinite.
func Float16FromFloat32(f float32) uint16 {
	b := math.Float32bits(f)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000: // rounds to 65536 or more
		return sign | 0x7c00
	case b < 0x38800000: // subnormal: the addition aligns the mantissa and rounds
		m := math.Float32bits(math.Float32frombits(b)+0.5) - 0x3f000000
		return sign | uint16(m)
	}
	b += 0xc8000fff + b>>13&1 // rebias the exponent by -112 and round
	return sign | uint16(b>>13)
}

// Float16FromFloat64 rounds once, to nearest even.
func Float16FromFloat64(f float64) uint16 {
	g := float32(f)
	if float64(g) != f && !math.IsNaN(f) && !math.IsInf(float64(g), 0) {
		// Round to odd in binary32 so that the second rounding sees the sticky bit.
		b := math.Float32bits(g)
		if math.Abs(float64(g)) > math.Abs(f) {
			b--
		}
		g = math.Float32frombits(b | 1)
	}
	return Float16FromFloat32(g)
}

// BFloat16ToFloat32 widens exactly.
func BFloat16ToFloat32(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// BFloat16FromFloat32 rounds to nearest even.
func BFloat16FromFloat32(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

type float8 struct {
	man, bias int
	fnuz      bool // no negative zero (it is NaN), no infinity
	inf       bool
}

func float8Format(d DType) float8 {
	switch d {
	case Float8E4M3FN:
		return float8{man: 3, bias: 7}
	case Float8E4M3FNUZ:
		return float8{man: 3, bias: 8, fnuz: true}
	case Float8E5M2:
		return float8{man: 2, bias: 15, inf: true}
	}
	return float8{man: 2, bias: 16, fnuz: true}
}

func float8ToFloat32(d DType, b byte) float32 {
	if d == Float8E8M0 {
		if b == 0xff {
			return float32(math.NaN())
		}
		return float32(math.Ldexp(1, int(b)-127))
	}
	f := float8Format(d)
	abs := int(b & 0x7f)
	man := abs & (1<<f.man - 1)
	exp := abs >> f.man
	switch {
	case f.fnuz && b == 0x80,
		d == Float8E4M3FN && abs == 0x7f,
		f.inf && exp == 31 && man != 0:
		return float32(math.NaN())
	case f.inf && exp == 31:
		return float32(math.Inf(1 - 2*int(b>>7)))
	}
	var v float64
	if exp == 0 {
		v = math.Ldexp(float64(man), 1-f.bias-f.man)
	} else {
		v = math.Ldexp(float64(man|1<<f.man), exp-f.bias-f.man)
	}
	if b&0x80 != 0 {
		v = -v
	}
	return float32(v)
}

// Float8FromFloat32 rounds to nearest even. With saturate, values out of range become
// the largest finite one; otherwise infinity or NaN as the type has it (ONNX Cast).
func Float8FromFloat32(d DType, x float32, saturate bool) byte {
	if d == Float8E8M0 {
		return float8E8M0FromFloat32(x)
	}
	f := float8Format(d)
	nan, maxFinite := byte(0x7f), byte(0x7e)
	switch {
	case f.fnuz:
		nan, maxFinite = 0x80, 0x7f
	case f.inf:
		maxFinite = 0x7b
	}
	var sign byte
	if math.Signbit(float64(x)) {
		sign = 0x80
	}
	v := math.Abs(float64(x))
	if math.IsNaN(v) {
		if f.fnuz {
			return nan
		}
		return sign | nan
	}
	over := func() byte {
		switch {
		case saturate:
			return sign | maxFinite
		case f.inf:
			return sign | 0x7c
		case f.fnuz:
			return nan
		}
		return sign | nan
	}
	if math.IsInf(v, 0) {
		return over()
	}
	exp := math.Ilogb(v)
	if v == 0 || exp < 1-f.bias {
		exp = 1 - f.bias
	}
	q := math.RoundToEven(math.Ldexp(v, f.man-exp)) // in units of the last place
	if q >= float64(int(2)<<f.man) {
		q /= 2
		exp++
	}
	code := int(q) + (exp+f.bias-1)<<f.man // the carry of the hidden bit makes normals
	if code > int(maxFinite) {
		return over()
	}
	if code == 0 && f.fnuz {
		return 0
	}
	return sign | byte(code)
}

func float8E8M0FromFloat32(x float32) byte {
	v := math.Abs(float64(x))
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0xff
	}
	if v == 0 {
		return 0
	}
	frac, exp := math.Frexp(v) // v = frac * 2^exp, frac in [0.5, 1)
	exp--
	if frac*2 >= 1.5 {
		exp++
	}
	return byte(min(max(exp+127, 0), 254))
}

var float4Values = [16]float32{0, .5, 1, 1.5, 2, 3, 4, 6, float32(math.Copysign(0, -1)), -.5, -1, -1.5, -2, -3, -4, -6}

// Float4FromFloat32 rounds to the nearest E2M1 value, ties to an even code, saturating.
func Float4FromFloat32(x float32) byte {
	var sign byte
	if math.Signbit(float64(x)) {
		sign = 8
	}
	v := float32(math.Abs(float64(x)))
	if v != v {
		return 8 // E2M1 has no NaN; ONNX casts it to -0
	}
	best := byte(7)
	for c := byte(0); c < 7; c++ {
		mid := (float4Values[c] + float4Values[c+1]) / 2
		if v < mid || v == mid && c%2 == 0 {
			best = c
			break
		}
	}
	return sign | best
}
