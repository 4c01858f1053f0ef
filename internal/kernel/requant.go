package kernel

import "math"

// The requantization rule.
//
// Every kernel that turns an int32 accumulator into a quantized byte, at every
// instruction level and in the reference evaluator, computes
//
//	v = float32(acc) * mult
//	v = clamp(v, float32(lo)-float32(zero), float32(hi)-float32(zero))
//	q = int32(roundToEven(v)) + zero
//
// with both roundings (the conversion and the product) in IEEE binary32, round
// to nearest even, and no fused multiply-add. The bounds are whole numbers, so
// clamping after the rounding gives the same byte; vector code uses that to
// clamp by saturating packs. It is valid only while the rounded product fits an
// int32: constructors compare the largest possible product with
// requantLimit and fall back to portable code beyond it.

// requantLimit is the largest |acc*mult| that vector requantization accepts: far
// enough below 2^31 that adding a zero point cannot wrap.
const requantLimit = 1 << 30

// roundMagic added to and taken from a float32 of magnitude below 2^22 rounds it
// to a whole number, ties to even.
const roundMagic = 1 << 23 * 1.5

// Requant maps an int32 accumulator to a byte. Mult is the accumulator's scale
// over the output's.
type Requant struct {
	Mult         float32
	Zero, Lo, Hi uint8
}

// Apply returns the byte for acc by the rule at the top of this file.
func (r Requant) Apply(acc int32) uint8 {
	return clampRound(float32(float32(acc)*r.Mult), r.Zero, r.Lo, r.Hi)
}

// clampRound finishes the rule for a value already scaled to output steps. NaN,
// which only an outside float can bring (see QuantizeU8), gives the zero point.
func clampRound(v float32, zero, lo, hi uint8) uint8 {
	z := float32(zero)
	if v > float32(hi)-z {
		return hi
	}
	if v >= float32(lo)-z {
		n := float32(v+roundMagic) - roundMagic
		return uint8(int32(n) + int32(zero))
	}
	if v != v {
		return min(max(zero, lo), hi)
	}
	return lo
}

// finite reports whether every multiplier is an ordinary number.
func finite(m ...float32) bool {
	for _, v := range m {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return false
		}
	}
	return true
}
