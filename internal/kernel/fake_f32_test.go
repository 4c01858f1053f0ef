package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestFakeF32 holds the round trip and its gradients against their definition, on values
// inside and outside of the grid, at ties and where there is nothing to round.
func TestFakeF32(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for _, f := range []FakeF32{{-127, 127, 0}, {0, 255, 0}, {0, 255, 93}, {-128, 127, -128}, {-8, 7, 0}, {-2, 1, 0}, {-1 << 30, 1<<30 - 1, 0}} {
		for _, scale := range []float32{0.25, 1. / 3, 0.0117} {
			x, dy := make([]float32, 3000), make([]float32, 3000)
			span := float64(min(f.Hi-f.Zero, 4000))
			for i := range x {
				x[i], dy[i] = float32(r.NormFloat64()*span)*scale, float32(r.NormFloat64())
				if i%5 == 0 {
					x[i] = (float32(int(x[i]/scale)) + 0.5) * scale
				}
			}
			want, slope, sum := make([]float32, len(x)), make([]float32, len(x)), 0.0
			for i, v := range x {
				q := math.RoundToEven(float64(v/scale)) + float64(f.Zero)
				level := min(max(q, float64(f.Lo)), float64(f.Hi)) - float64(f.Zero)
				want[i] = float32(level) * scale
				if q == level+float64(f.Zero) {
					slope[i] = dy[i]
					level -= float64(v / scale)
				}
				sum += float64(dy[i]) * level
			}
			for _, l := range cpu.Levels() {
				got := make([]float32, len(x))
				f.Apply(l, got, x, scale)
				for i := range got {
					if got[i] != want[i] {
						t.Fatalf("%v %+v: %v by %v becomes %v, want %v", l, f, x[i], scale, got[i], want[i])
					}
				}
			}
			got := make([]float32, len(x))
			ds := f.Gradient(got, dy, x, scale)
			for i := range got {
				if got[i] != slope[i] {
					t.Fatalf("%+v: the gradient of %v by %v is %v, want %v", f, x[i], scale, got[i], slope[i])
				}
			}
			if math.Abs(float64(ds)-sum) > 1e-4*(1+span)*math.Sqrt(float64(len(x))) {
				t.Errorf("%+v: the gradient of the scale is %v, want %v", f, ds, sum)
			}
		}
	}
}

func BenchmarkFakeF32(b *testing.B) {
	f := FakeF32{0, 255, 0}
	x, y := make([]float32, 4096), make([]float32, 4096)
	for i := range x {
		x[i] = float32(i%300) * 0.01
	}
	l := cpu.Levels()[len(cpu.Levels())-1]
	b.Run("forward", func(b *testing.B) {
		for b.Loop() {
			f.Apply(l, y, x, 0.01)
		}
	})
	b.Run("backward", func(b *testing.B) {
		for b.Loop() {
			f.Gradient(y, x, x, 0.01)
		}
	})
}
