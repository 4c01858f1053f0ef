package kernel

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// BinaryKind names an elementwise function of two values.
type BinaryKind uint8

const (
	Add   BinaryKind = iota // a + b
	Sub                     // a - b
	RSub                    // b - a
	Mul                     // a · b
	Div                     // a / b
	RDiv                    // b / a
	Min                     // the smaller; NaN if one is
	Max                     // the larger; NaN if one is
	PRelu                   // a < 0 ? a·b : a, by the sign bit
	binaryKinds
)

var binaryNames = [binaryKinds]string{"add", "sub", "rsub", "mul", "div", "rdiv", "min", "max", "prelu"}

func (k BinaryKind) String() string {
	if k < binaryKinds {
		return binaryNames[k]
	}
	return fmt.Sprintf("binary(%d)", uint8(k))
}

// Apply writes k(a[i], b[i]) to dst, which may be a or b and must be as long as
// a. b may be shorter if its length divides that of a: it is repeated, so a
// vector is applied along the last dimension and one value to all. dst may not
// be b then. RSub and RDiv serve where the repeated side is the left one.
func (k BinaryKind) Apply(l cpu.Level, dst, a, b []float32) {
	switch {
	case k >= binaryKinds:
		panic("kernel: unknown " + k.String())
	case len(dst) != len(a) || len(a) > 0 && (len(b) == 0 || len(a)%len(b) != 0):
		panic(fmt.Sprintf("kernel: %v of %d and %d values into %d", k, len(a), len(b), len(dst)))
	case len(a) == 0:
		return
	}
	if len(b) > 1 && len(b) < len(a) {
		k.applyRepeated(l, dst, a, b)
		return
	}
	if !k.applyArch(l, dst, a, b, len(b) == 1) {
		k.applyGo(dst, a, b)
	}
}

// applyGo is the portable twin.
func (k BinaryKind) applyGo(dst, a, b []float32) {
	if len(b) == 1 {
		y := b[0]
		for i, x := range a {
			dst[i] = k.of(x, y)
		}
		return
	}
	n := len(b)
	for ; len(a) > 0; a, dst = a[n:], dst[n:] {
		a, dst := a[:n], dst[:n]
		switch k {
		case Add:
			for i, y := range b {
				dst[i] = a[i] + y
			}
		case Mul:
			for i, y := range b {
				dst[i] = a[i] * y
			}
		default:
			for i, y := range b {
				dst[i] = k.of(a[i], y)
			}
		}
	}
}

// of is the function of one pair.
func (k BinaryKind) of(a, b float32) float32 {
	switch k {
	case Add:
		return a + b
	case Sub:
		return a - b
	case RSub:
		return b - a
	case Mul:
		return a * b
	case Div:
		return a / b
	case RDiv:
		return b / a
	case Min:
		return min(a, b)
	case PRelu:
		if math.Signbit(float64(a)) {
			return a * b
		}
		return a
	}
	return max(a, b)
}
