package kernel

import (
	"math"
	"testing"
)

// TestF16ToF32 looks at every half-precision number and takes it apart as IEEE 754 says.
func TestF16ToF32(t *testing.T) {
	src, wide := make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	F16ToF32(wide, src)
	for _, h := range src {
		exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
		want := math.Ldexp(1024+frac, exp-25)
		switch {
		case exp == 0:
			want = math.Ldexp(frac, -24)
		case exp == 0x1f && frac == 0:
			want = math.Inf(1)
		case exp == 0x1f:
			// A NaN keeps its sign and payload and becomes quiet.
			if b := math.Float32bits(wide[h]); b != uint32(h&0x8000)<<16|0x7fc00000|uint32(h&0x3ff)<<13 {
				t.Fatalf("%#04x widens to %#08x", h, b)
			}
			continue
		}
		if h&0x8000 != 0 {
			want = math.Copysign(want, -1)
		}
		if got := wide[h]; math.Float32bits(got) != math.Float32bits(float32(want)) {
			t.Fatalf("%#04x widens to %g, want %g", h, got, want)
		}
	}
}
