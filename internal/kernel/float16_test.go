package kernel

import (
	"math"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestF16ToF32 looks at every half-precision number and takes it apart as IEEE 754 says.
func TestF16ToF32(t *testing.T) {
	src, wide := make([]uint16, 1<<16), make([]float32, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	for _, l := range cpu.Levels() {
		F16ToF32(l, wide, src)
		checkWidened(t, wide, src)
		// The last values, which are not a whole vector.
		for n := range 20 {
			tail := append(make([]float32, n), 7)
			F16ToF32(l, tail[:n], src[len(src)-n-5000:][:n])
			checkWidened(t, tail[:n], src[len(src)-n-5000:][:n])
			if tail[n] != 7 {
				t.Fatalf("%v: wrote beyond %d values", l, n)
			}
		}
	}
}

func checkWidened(t *testing.T, wide []float32, src []uint16) {
	t.Helper()
	for i, h := range src {
		exp, frac := int(h>>10&0x1f), float64(h&0x3ff)
		want := math.Ldexp(1024+frac, exp-25)
		switch {
		case exp == 0:
			want = math.Ldexp(frac, -24)
		case exp == 0x1f && frac == 0:
			want = math.Inf(1)
		case exp == 0x1f:
			// A NaN keeps its sign and payload and becomes quiet.
			if b := math.Float32bits(wide[i]); b != uint32(h&0x8000)<<16|0x7fc00000|uint32(h&0x3ff)<<13 {
				t.Fatalf("%#04x widens to %#08x", h, b)
			}
			continue
		}
		if h&0x8000 != 0 {
			want = math.Copysign(want, -1)
		}
		if got := wide[i]; math.Float32bits(got) != math.Float32bits(float32(want)) {
			t.Fatalf("%#04x widens to %g, want %g", h, got, want)
		}
	}
}
