package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestBinaryF32(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	for _, l := range cpu.Levels() {
		for k := range binaryKinds {
			for range 60 {
				n := 1 + r.IntN(70)
				a := normals(r, n*(1+r.IntN(4)))
				b := normals(r, n)
				if r.IntN(3) == 0 {
					b = b[:1]
				}
				want := make([]float32, len(a))
				for i := range a {
					want[i] = k.of(a[i], b[i%len(b)])
				}
				dst := append(make([]float32, len(a)), 7)
				k.Apply(l, dst[:len(a)], a, b)
				if dst[len(a)] != 7 {
					t.Fatalf("%v %v: wrote beyond %d values", l, k, len(a))
				}
				for i := range want {
					if dst[i] != want[i] {
						t.Fatalf("%v %v of %d and %d values: [%d] = %g, want %g", l, k, len(a), len(b), i, dst[i], want[i])
					}
				}
			}
		}
	}
}

// Min and Max are those of Go: NaN wins, and -0 is below 0.
func TestMinMaxSpecialValues(t *testing.T) {
	values := []float32{float32(math.NaN()), 0, float32(math.Copysign(0, -1)), 1, -1, float32(math.Inf(1)), float32(math.Inf(-1))}
	var a, b []float32
	for _, x := range values {
		for _, y := range values {
			a, b = append(a, x), append(b, y)
		}
	}
	dst := make([]float32, len(a))
	for _, l := range cpu.Levels() {
		for _, k := range []BinaryKind{Min, Max} {
			k.Apply(l, dst, a, b)
			for i := range dst {
				want := k.of(a[i], b[i])
				if dst[i] != dst[i] != (want != want) || want == want && math.Float32bits(dst[i]) != math.Float32bits(want) {
					t.Errorf("%v %v(%g, %g) = %g, want %g", l, k, a[i], b[i], dst[i], want)
				}
			}
		}
	}
}
