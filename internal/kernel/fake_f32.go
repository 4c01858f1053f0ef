package kernel

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// FakeF32 rounds float32 values to a grid of integers times a scale, for training what is
// going to be quantized: the integers are Lo to Hi with a zero point of Zero.
type FakeF32 struct{ Lo, Hi, Zero int32 }

// bytes reports whether the grid is one that QuantizeU8 serves, and what to add to its
// integers.
func (f FakeF32) bytes() (offset int32, ok bool) {
	if f.Lo < 0 {
		offset = 128
	}
	return offset, f.Lo+offset >= 0 && f.Hi+offset <= 255 && f.Zero >= f.Lo && f.Zero <= f.Hi
}

// fakeBlock is how many bytes Apply keeps between its two passes.
const fakeBlock = 1024

// Apply stores (clamp(roundToEven(x/scale) + Zero) - Zero)·scale for every x of src. The
// result is what QuantizeU8 and DequantizeU8 give, bit for bit, but that a NaN stays one
// where the grid has more than 8 bits.
func (f FakeF32) Apply(l cpu.Level, dst, src []float32, scale float32) {
	dst = dst[:len(src)]
	if off, ok := f.bytes(); ok {
		var q [fakeBlock]uint8
		zero := uint8(f.Zero + off)
		for len(src) > 0 {
			n := min(len(src), fakeBlock)
			QuantizeU8(l, q[:n], src[:n], scale, zero, uint8(f.Lo+off), uint8(f.Hi+off))
			DequantizeU8(l, dst[:n], q[:n], scale, zero)
			dst, src = dst[n:], src[n:]
		}
		return
	}
	lo, hi := f.bounds()
	for i, x := range src {
		dst[i] = min(max(float32(math.RoundToEven(float64(x/scale))), lo), hi) * scale
	}
}

func (f FakeF32) bounds() (lo, hi float32) { return float32(f.Lo - f.Zero), float32(f.Hi - f.Zero) }

// Gradient passes dy on to dx where x rounds to a number of the grid, 0 elsewhere, and
// returns the sum of dy times the derivative of the result by the scale: the integer less
// x/scale inside, the bound outside (Esser et al., "Learned Step Size Quantization", ICLR
// 2020, equation 3). dx may be dy.
func (f FakeF32) Gradient(dx, dy, x []float32, scale float32) float32 {
	lo, hi := f.bounds()
	dx, x = dx[:len(dy)], x[:len(dy)]
	const exact = 1 << 22 // below, roundMagic rounds
	magic := lo > -exact && hi < exact
	sum := float32(0)
	for i, g := range dy {
		v := x[i] / scale
		q := v
		switch {
		case magic && v > -exact && v < exact:
			q = float32(v+roundMagic) - roundMagic
		case !magic:
			q = float32(math.RoundToEven(float64(v)))
		}
		switch {
		case q > hi:
			dx[i] = 0
			sum += float32(g * hi)
		case q < lo:
			dx[i] = 0
			sum += float32(g * lo)
		default:
			dx[i] = g
			sum += float32(g * (q - v))
		}
	}
	return sum
}
