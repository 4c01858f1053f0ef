package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestRowsF32 runs activations and pairs over rows with gaps, which must stay as they are.
func TestRowsF32(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	at := func(v []float32, i int) unsafe.Pointer { return unsafe.Pointer(&v[i]) }
	for _, l := range cpu.Levels() {
		for range 300 {
			rows, n := 1+r.IntN(9), 1+r.IntN(70)
			step, from := n+r.IntN(5), n+r.IntN(5)
			src, second := normals(r, rows*from), normals(r, rows*from)
			check := func(what any, dst []float32, want func(row, i int) float32) {
				t.Helper()
				for i, v := range dst {
					row, col := i/step, i%step
					w := float32(7)
					if col < n {
						w = want(row, col)
					}
					if d := v - w; !(d <= 1e-6 && d >= -1e-6) {
						t.Fatalf("%v %v of %d×%d, steps %d and %d: row %d column %d is %g, want %g", l, what, rows, n, step, from, row, col, v, w)
					}
				}
			}
			fresh := func() []float32 {
				v := make([]float32, rows*step)
				for i := range v {
					v[i] = 7
				}
				return v
			}
			for _, a := range append(testActs(), Act{Kind: ActPRelu, Slope: normals(r, n+3)}) {
				want := make([]float32, len(src))
				channel := 0
				if a.Kind == ActPRelu {
					channel = r.IntN(4)
					for i, x := range src {
						want[i] = PRelu.of(x, a.Slope[(channel+i%from)%len(a.Slope)])
					}
				} else {
					a.Apply(l, want, src)
				}
				dst := fresh()
				a.applyRows(l, at(dst, 0), at(src, 0), rows, n, 4*step, 4*from, channel)
				check(a.Kind, dst, func(row, i int) float32 { return want[row*from+i] })
			}
			for k := range binaryKinds {
				if k == Div || k == RDiv {
					continue // of values near zero; the others share the loops
				}
				dst := fresh()
				k.applyRows(l, at(dst, 0), at(src, 0), at(second, 0), rows, n, 4*step, 4*from, 4*from)
				check(k, dst, func(row, i int) float32 { return k.of(src[row*from+i], second[row*from+i]) })
				dst = fresh()
				k.applyRows(l, at(dst, 0), at(src, 0), at(second, 0), rows, n, 4*step, 4*from, 0)
				check(k, dst, func(row, i int) float32 { return k.of(src[row*from+i], second[i]) })
			}
		}
	}
}
