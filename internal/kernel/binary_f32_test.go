package kernel

import (
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
