package kernel

import "math"

// F16ToF32 widens IEEE 754 half-precision values. The slices are of one length.
func F16ToF32(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	for i, h := range src {
		sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
		switch exp {
		case 0: // zero or subnormal: frac·2^-24 is a normal f32
			v := float32(frac) * 0x1p-24
			dst[i] = math.Float32frombits(math.Float32bits(v) | sign)
		case 0x1f: // infinity, or a NaN made quiet
			if frac != 0 {
				frac |= 0x200
			}
			dst[i] = math.Float32frombits(sign | 0x7f800000 | frac<<13)
		default:
			dst[i] = math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
		}
	}
}

// F32ToF16 narrows to half precision, rounding to the nearest and ties to even;
// what is too large becomes infinite. The slices are of one length.
func F32ToF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, v := range src {
		b := math.Float32bits(v)
		sign, a := uint16(b>>16&0x8000), b&0x7fffffff
		switch {
		case a > 0x7f800000: // NaN, quiet, with what fits of its payload
			dst[i] = sign | 0x7e00 | uint16(a>>13&0x1ff)
		case a >= 0x477ff000: // rounds to 65536 or beyond
			dst[i] = sign | 0x7c00
		case a < 0x38800000: // subnormal: in units of 2^-24, rounded by the addition
			dst[i] = sign | uint16(math.Float32bits(math.Float32frombits(a)+0.5)&0x7ff)
		default:
			a += 0xfff + a>>13&1
			dst[i] = sign | uint16((a-112<<23)>>13)
		}
	}
}
