package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestSoftmax(t *testing.T) {
	r := rand.New(rand.NewPCG(61, 62))
	for _, l := range cpu.Levels() {
		for _, n := range []int{1, 2, 4, 7, 8, 16, 33, 1000, 40000} {
			const rows = 11
			src := normals(r, rows*n)
			for i := range src {
				src[i] *= 20
			}
			dst, logs := make([]float32, len(src)), make([]float32, len(src))
			Softmax(l, dst, src, n, 1)
			LogSoftmax(l, logs, src, n)
			for row := range rows {
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

// A scale is that of the arguments, and the result may take their place.
func TestSoftmaxScalesInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(67, 68))
	for _, l := range cpu.Levels() {
		for _, n := range []int{2, 9, 16, 130} {
			src := normals(r, 5*n)
			scaled := make([]float32, len(src))
			for i, v := range src {
				scaled[i] = v / 8
			}
			want := make([]float32, len(src))
			Softmax(l, want, scaled, n, 1)
			Softmax(l, src, src, n, 0.125)
			for i, v := range src {
				if math.Abs(float64(v-want[i])) > 1e-6*float64(want[i]) {
					t.Fatalf("%v softmax of %d: %g, want %g", l, n, v, want[i])
				}
			}
		}
		x := []float32{1, 2, float32(math.NaN()), 4, 5, 6, 7, 8}
		Softmax(l, x, x, 4, 1)
		if x[0] == x[0] || x[3] == x[3] || x[4] != x[4] || x[7] != x[7] {
			t.Errorf("%v: a NaN does not spoil its own row alone: %v", l, x)
		}
	}
}

func TestLayerNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(63, 64))
	for _, l := range cpu.Levels() {
		for _, n := range []int{1, 5, 16, 100, 768, 20000} {
			src, scale, shift := normals(r, 4*n), normals(r, n), normals(r, n)
			for i := range src {
				src[i] += 10 // a mean that dwarfs the variance
			}
			dst := make([]float32, len(src))
			LayerNorm(l, dst, src, scale, shift, 1e-5)
			plain, rms := make([]float32, len(src)), slices.Clone(src)
			LayerNorm(l, plain, src, scale, nil, 1e-5)
			RMSNorm(l, rms, rms, scale, 1e-5)
			for row := range 4 {
				x, mean, variance := src[row*n:(row+1)*n], 0.0, 0.0
				for _, v := range x {
					mean += float64(v) / float64(n)
				}
				for _, v := range x {
					variance += (float64(v) - mean) * (float64(v) - mean) / float64(n)
				}
				for i, v := range x {
					want := (float64(v) - mean) / math.Sqrt(variance+1e-5) * float64(scale[i])
					if got := float64(plain[row*n+i]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
						t.Fatalf("%v layernorm of %d without shift: %g, want %g", l, n, got, want)
					}
					want += float64(shift[i])
					if got := float64(dst[row*n+i]); math.Abs(got-want) > 1e-4*(1+math.Abs(want)) {
						t.Fatalf("%v layernorm of %d: %g, want %g", l, n, got, want)
					}
					want = float64(v) / math.Sqrt(variance+mean*mean+1e-5) * float64(scale[i])
					if got := float64(rms[row*n+i]); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
						t.Fatalf("%v rmsnorm of %d: %g, want %g", l, n, got, want)
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

func TestGroupNorm(t *testing.T) {
	r := rand.New(rand.NewPCG(69, 70))
	for _, l := range cpu.Levels() {
		for _, plane := range []int{1, 9, 200} {
			const channels = 3
			src, scale, shift := normals(r, channels*plane), normals(r, channels), normals(r, channels)
			mean, variance, n := 0.0, 0.0, float64(len(src))
			for _, v := range src {
				mean += float64(v) / n
			}
			for _, v := range src {
				variance += (float64(v) - mean) * (float64(v) - mean) / n
			}
			dst := make([]float32, len(src))
			GroupNorm(l, dst, src, scale, shift, 1e-3)
			for i, v := range src {
				c := i / plane
				want := (float64(v)-mean)/math.Sqrt(variance+1e-3)*float64(scale[c]) + float64(shift[c])
				if got := float64(dst[i]); math.Abs(got-want) > 1e-5*(1+math.Abs(want)) {
					t.Fatalf("%v groupnorm of planes of %d: %g, want %g", l, plane, got, want)
				}
			}
		}
	}
}
