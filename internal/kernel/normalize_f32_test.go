package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestSoftmax(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	for _, l := range cpu.Levels() {
		for _, n := range []int{1, 2, 7, 16, 33, 1000} {
			src := normals(r, 3*n)
			for i := range src {
				src[i] *= 20
			}
			dst, logs := make([]float32, len(src)), make([]float32, len(src))
			Softmax(l, dst, src, n)
			LogSoftmax(l, logs, src, n)
			for row := range 3 {
				m, s := math.Inf(-1), 0.0
				for _, v := range src[row*n : (row+1)*n] {
					m = math.Max(m, float64(v))
				}
				for _, v := range src[row*n : (row+1)*n] {
					s += math.Exp(float64(v) - m)
				}
				for i := row * n; i < (row+1)*n; i++ {
					want := math.Exp(float64(src[i])-m) / s
					if math.Abs(float64(dst[i])-want) > (2e-6+2e-7*(m-float64(src[i])))*want+1e-37 {
						t.Fatalf("%v softmax of %d: %g, want %g", l, n, dst[i], want)
					}
					want = float64(src[i]) - m - math.Log(s)
					if math.Abs(float64(logs[i])-want) > 1e-6*(1+math.Abs(want)) {
						t.Fatalf("%v logsoftmax of %d: %g, want %g", l, n, logs[i], want)
					}
				}
			}
		}
	}
}

func TestLayerNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(63, 64))
	for _, l := range cpu.Levels() {
		for _, n := range []int{1, 5, 16, 100, 768} {
			src, scale, shift := normals(r, 4*n), normals(r, n), normals(r, n)
			for i := range src {
				src[i] += 10 // a mean that dwarfs the variance
			}
			dst := make([]float32, len(src))
			LayerNorm(l, dst, src, scale, shift, 1e-5)
			for row := range 4 {
				x, mean, variance := src[row*n:(row+1)*n], 0.0, 0.0
				for _, v := range x {
					mean += float64(v) / float64(n)
				}
				for _, v := range x {
					variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
				}
				for i, v := range x {
					want := (float64(v)-mean)/math.Sqrt(variance+1e-5)*float64(scale[i]) + float64(shift[i])
					if got := float64(dst[row*n+i]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
						t.Fatalf("%v layernorm of %d: %g, want %g", l, n, got, want)
					}
				}
			}
		}
	}
}

func TestReduce(t *testing.T) {
	r := rand.New(rand.NewPCG(65, 66))
	for _, l := range cpu.Levels() {
		for n := range 300 {
			if n == 299 {
				n = 40000
			}
			x := normals(r, n)
			for i := range x {
				x[i] -= 5 // a maximum below zero, mostly
			}
			s, q, m, mag := 0.0, 0.0, math.Inf(-1), 0.0
			for _, v := range x {
				s, q, m, mag = s+float64(v), q+float64(v)*float64(v), math.Max(m, float64(v)), mag+math.Abs(float64(v))
			}
			if got := float64(sum(l, x)); math.Abs(got-s) > 1e-6*mag {
				t.Fatalf("%v: sum of %d is %g, want %g", l, n, got, s)
			}
			if got := float64(sumSquares(l, x)); math.Abs(got-q) > 1e-6*q {
				t.Fatalf("%v: sum of %d squares is %g, want %g", l, n, got, q)
			}
			if got := float64(maximum(l, x)); got != m {
				t.Fatalf("%v: maximum of %d is %g, want %g", l, n, got, m)
			}
		}
	}
}
