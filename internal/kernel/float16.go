package kernel

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// F16ToF32 widens IEEE 754 half-precision values. The slices are of one length. A
// NaN keeps its sign and payload and becomes quiet.
func F16ToF32(l cpu.Level, dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := f16Arch(l, dst, src)
	f16ToF32Go(dst[n:], src[n:])
}

// f16ToF32Go is the portable twin.
func f16ToF32Go(dst []float32, src []uint16) {
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
