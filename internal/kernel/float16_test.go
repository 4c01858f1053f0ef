package kernel

import (
	"math"
	"testing"
)

func TestFloat16RoundTrip(t *testing.T) {
	src, wide, back := make([]uint16, 1<<16), make([]float32, 1<<16), make([]uint16, 1<<16)
	for i := range src {
		src[i] = uint16(i)
	}
	F16ToF32(wide, src)
	F32ToF16(back, wide)
	for i := range src {
		nan := src[i]&0x7c00 == 0x7c00 && src[i]&0x3ff != 0
		if nan != (wide[i] != wide[i]) || !nan && back[i] != src[i] || nan && back[i] != src[i]|0x200 {
			t.Fatalf("%#04x widens to %g, which narrows to %#04x", src[i], wide[i], back[i])
		}
	}
}

func TestFloat16Rounds(t *testing.T) {
	// Between every two neighbours: just below, at and just above the middle.
	for h := uint16(0); h < 0x7bff; h++ {
		var w [2]float32
		F16ToF32(w[:], []uint16{h, h + 1})
		mid := w[0]/2 + w[1]/2
		even := h + h&1
		var got [6]uint16
		F32ToF16(got[:], []float32{math.Nextafter32(mid, 0), mid, math.Nextafter32(mid, 1e9), -mid, w[0], w[1]})
		if want := [6]uint16{h, even, h + 1, even | 0x8000, h, h + 1}; got != want {
			t.Fatalf("around %g: %x, want %x", mid, got, want)
		}
	}
	var got [4]uint16
	F32ToF16(got[:], []float32{65519.99, 65520, 1e30, float32(math.Inf(-1))})
	if want := [4]uint16{0x7bff, 0x7c00, 0x7c00, 0xfc00}; got != want {
		t.Errorf("large values: %x, want %x", got, want)
	}
}
