package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestPoolF32(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	for range 300 {
		s := randomShape(r)
		s.Groups, s.OutC, s.ResStride = 1, s.InC, 0
		s.OutStride = s.InC + r.IntN(2)
		p := Pooling{Max: r.IntN(2) == 0, CountInclude: r.IntN(2) == 0, PadBottom: s.PadTop, PadRight: r.IntN(s.PadLeft + 1)}
		if r.IntN(8) == 0 { // global
			s.KernelH, s.KernelW, s.OutH, s.OutW, s.PadTop, s.PadLeft, s.DilationH, s.DilationW = s.InH, s.InW, 1, 1, 0, 0, 1, 1
		}
		src := normals(r, s.inLen())
		for _, l := range cpu.Levels() {
			c, err := NewPoolF32(l, s, p)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]float32, s.outLen())
			for _, u := range r.Perm(c.Units()) {
				c.Run(dst, src, u, u+1)
			}
			checkPool(t, c, dst, src)
		}
	}
}

func checkPool(t *testing.T, c *PoolF32, dst, src []float32) {
	s, p := c.shape, c.pooling
	for pixel := range s.Batch * s.OutH * s.OutW {
		b, oy, ox := pixel/s.OutW/s.OutH, pixel/s.OutW%s.OutH, pixel%s.OutW
		for ch := range s.InC {
			best, sum, mag, inside, counted := math.Inf(-1), 0.0, 0.0, 0, 0
			for kh := range s.KernelH {
				for kw := range s.KernelW {
					y, x := oy*s.StrideH-s.PadTop+kh*s.DilationH, ox*s.StrideW-s.PadLeft+kw*s.DilationW
					if y < s.InH+p.PadBottom && x < s.InW+p.PadRight {
						counted++
					}
					if y >= 0 && y < s.InH && x >= 0 && x < s.InW {
						v := float64(src[((b*s.InH+y)*s.InW+x)*s.InStride+ch])
						best, sum, mag, inside = math.Max(best, v), sum+v, mag+math.Abs(v), inside+1
					}
				}
			}
			want, got := best, float64(dst[pixel*s.OutStride+ch])
			if !p.Max {
				if !p.CountInclude {
					counted = inside
				}
				want = sum / float64(counted)
			}
			if want != got && !(math.Abs(want-got) <= 1e-6*mag) && !(math.IsNaN(want) && math.IsNaN(got)) {
				t.Fatalf("%s %+v %+v: pixel %d channel %d = %g, want %g", c.Name(), s, p, pixel, ch, got, want)
			}
		}
	}
}
