package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestChannelKernels holds the passes over channels against sums in float64 for widths
// around the vectors and steps wider than a row.
func TestChannelKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	at := func(v []float32) unsafe.Pointer { return unsafe.Pointer(&v[0]) }
	for range 300 {
		n, rows := 1+r.IntN(90), 1+r.IntN(20)
		wide := n + r.IntN(3)
		a, b := normals(r, (2*rows+1)*wide), normals(r, rows*wide)
		m, u, v, start := normals(r, n), normals(r, n), normals(r, n), normals(r, 3*n)
		for _, l := range cpu.Levels() {
			sum := append([]float32(nil), start...)
			dot, dot3, out := append([]float32(nil), start...), append([]float32(nil), start...), make([]float32, rows*wide)
			c := channelsF32{acc: at(dot), a: at(a), b: at(b), m: at(m), u: at(u), t: at(v), rows: rows, n: n, aStep: 4 * wide, bStep: 4 * wide}
			c.dot(l)
			c.acc, c.accStep = at(out), 4*wide
			c.affine(l)
			c.acc, c.accStep = at(sum), 0
			c.sum(l)
			three := channelsF32{acc: at(dot3), a: at(a), b: at(b), rows: rows, n: n, aStep: 8 * wide, bStep: 4 * wide, tapStep: 4 * wide, accTap: 4 * n}
			three.dot3(l)
			for k := range 3 * n {
				want, ch, tap := float64(start[k]), k%n, k/n
				for i := range rows {
					want += float64(a[(2*i+tap)*wide+ch]) * float64(b[i*wide+ch])
				}
				if math.Abs(float64(dot3[k])-want) > 1e-4*(1+math.Abs(want)) {
					t.Fatalf("%v %dx%d tap %d channel %d: dot %v, want %v", l, rows, n, tap, ch, dot3[k], want)
				}
			}
			for k := range n {
				want, wantSum := float64(start[k]), float64(start[k])
				for i := range rows {
					x, y := float64(a[i*wide+k]), float64(b[i*wide+k])
					want += x * y
					wantSum += x
					if want := x*float64(m[k]) + y*float64(u[k]) + float64(v[k]); math.Abs(float64(out[i*wide+k])-want) > 1e-5*(1+math.Abs(want)) {
						t.Fatalf("%v affine %dx%d: [%d][%d] = %v, want %v", l, rows, n, i, k, out[i*wide+k], want)
					}
				}
				if math.Abs(float64(sum[k])-wantSum) > 1e-4*(1+math.Abs(wantSum)) {
					t.Fatalf("%v %dx%d channel %d: sum %v, want %v", l, rows, n, k, sum[k], wantSum)
				}
				if math.Abs(float64(dot[k])-want) > 1e-4*(1+math.Abs(want)) {
					t.Fatalf("%v %dx%d channel %d: dot %v, want %v", l, rows, n, k, dot[k], want)
				}
			}
		}
	}
}

func TestGateF32(t *testing.T) {
	r := rand.New(rand.NewPCG(33, 34))
	for n := range 70 {
		x, y := normals(r, n), normals(r, n)
		if n > 3 {
			y[1], y[2], y[3] = 0, float32(math.NaN()), float32(math.Copysign(0, -1))
		}
		for _, l := range cpu.Levels() {
			for _, b := range [][2]float32{{math.SmallestNonzeroFloat32, float32(math.Inf(1))}, {0, 0.5}, {float32(math.Inf(-1)), -0.2}} {
				dst := normals(r, n)
				GateF32(l, dst, x, y, b[0], b[1])
				for i, v := range dst {
					if open := b[0] <= y[i] && y[i] <= b[1]; open && v != x[i] || !open && v != 0 {
						t.Fatalf("%v: gate %v of %v by %v is %v", l, b, x[i], y[i], v)
					}
				}
			}
		}
	}
}
