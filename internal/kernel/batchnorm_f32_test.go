package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestBatchNormF32 holds the passes against float64, for pixels that lie side by side and
// not, with and without an activation.
func TestBatchNormF32(t *testing.T) {
	r := rand.New(rand.NewPCG(35, 36))
	acts := []Act{{}, {Kind: ActClamp, Hi: float32(math.Inf(1))}, {Kind: ActClamp, Lo: -0.5, Hi: 0.7}}
	for i := range 60 {
		n, pixels := 1+r.IntN(40), 1+r.IntN(400)
		switch i % 10 {
		case 0:
			n, pixels = 2100+r.IntN(3), 1+r.IntN(40)
		case 1:
			n, pixels = 16*(1+r.IntN(9)), 1000+r.IntN(1000)
		}
		wide := n + i%3/2
		act := acts[i%len(acts)]
		x, dy := normals(r, pixels*wide), normals(r, pixels*wide)
		for i := range x {
			x[i] += 30 // a mean that drowns the deviation where squares are summed as they are
		}
		for _, l := range cpu.Levels() {
			b, err := NewBatchNormF32(l, pixels, n, act)
			if err != nil {
				t.Fatal(err)
			}
			scratch, parts, sums := make([]byte, b.ScratchBytes()), normals(r, b.PartsLen()), normals(r, b.PartsLen())
			for u := range b.Units() {
				b.Statistics(parts, x, wide, scratch, u, u+1)
			}
			mean, variance := make([]float32, n), make([]float32, n)
			b.FinishStatistics(mean, variance, parts)
			m, p, u, q, off := normals(r, n), normals(r, n), normals(r, n), normals(r, n), make([]float32, n)
			for k := range off {
				off[k] = float32(r.NormFloat64()) - m[k]*mean[k]
			}
			y, dx := make([]float32, pixels*n), make([]float32, pixels*wide)
			b.Apply(y, x, m, off, n, wide, scratch, 0, b.Units())
			b.Sums(sums, x, dy, m, off, mean, wide, wide, scratch, 0, b.Units())
			b.Gradient(dx, x, dy, m, off, p, u, q, wide, wide, wide, scratch, 0, b.Units())
			for k := range n {
				sum, squares, ones, dots := 0.0, 0.0, 0.0, 0.0
				for i := range pixels {
					sum += float64(x[i*wide+k])
				}
				centre := sum / float64(pixels)
				for i := range pixels {
					v, g := float64(x[i*wide+k]), float64(dy[i*wide+k])
					squares += (v - centre) * (v - centre)
					z := v*float64(m[k]) + float64(off[k])
					if act.Kind == ActClamp {
						z = math.Min(math.Max(z, float64(act.Lo)), float64(act.Hi))
					}
					if got := float64(y[i*n+k]); math.Abs(got-z) > 1e-4 {
						t.Fatalf("%v %dx%d: result %v, want %v", l, pixels, n, got, z)
					}
					// The gate is the one that the result shows.
					if act.Kind == ActClamp {
						g = 0
						if v := y[i*n+k]; v > act.Lo && v < act.Hi {
							g = float64(dy[i*wide+k])
						}
					}
					ones += g
					dots += g * (v - float64(mean[k]))
					if want := v*float64(p[k]) + g*float64(u[k]) + float64(q[k]); math.Abs(float64(dx[i*wide+k])-want) > 1e-4*(1+math.Abs(want)) {
						t.Fatalf("%v %dx%d: gradient %v, want %v", l, pixels, n, dx[i*wide+k], want)
					}
				}
				if math.Abs(float64(mean[k])-centre) > 1e-5*math.Abs(centre) || math.Abs(float64(variance[k])-squares/float64(pixels)) > 1e-4 {
					t.Fatalf("%v %dx%d: mean %v and variance %v, want %v and %v", l, pixels, n, mean[k], variance[k], centre, squares/float64(pixels))
				}
				if one, dot := b.FinishSums(sums, k); math.Abs(one-ones) > 1e-2 || math.Abs(dot-dots) > 1e-2 {
					t.Fatalf("%v %dx%d: sums %v and %v, want %v and %v", l, pixels, n, one, dot, ones, dots)
				}
			}
		}
	}
}
