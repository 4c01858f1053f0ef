package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestNBitsF32(t *testing.T) {
	r := rand.New(rand.NewPCG(201, 202))
	for range 60 {
		w := NBitsWeights{K: 1 + r.IntN(700), N: 1 + r.IntN(150), Bits: 2 << r.IntN(3), Block: 8 << r.IntN(7)}
		m := 1 + r.IntN(20)
		if r.IntN(10) == 0 {
			m = 70 // units of several panels
		}
		w.Q = make([]byte, w.N*w.blocks()*w.Block*w.Bits/8)
		for i := range w.Q {
			w.Q[i] = byte(r.Uint32())
		}
		w.Scale = normals(r, w.N*w.blocks())
		zeros := normals(r, w.N*w.blocks())
		w.Zero = func(column, block int) float32 { return zeros[column*w.blocks()+block] }
		lda, ldc := w.K+r.IntN(3), w.N+r.IntN(3)
		var bias []float32
		if r.IntN(2) == 0 {
			bias = normals(r, w.N)
		}
		a := normals(r, m*lda)
		for _, l := range cpu.Levels() {
			p, err := NewNBitsF32(l, m, lda, ldc, w, bias)
			if err != nil {
				t.Fatal(err)
			}
			dst, scratch := normals(r, m*ldc), make([]byte, p.ScratchBytes())
			for _, u := range r.Perm(p.Units()) {
				p.Run(dst, a, scratch, u, u+1)
			}
			for i := range m {
				for j := range w.N {
					sum, mag := 0.0, 0.0
					if bias != nil {
						sum = float64(bias[j])
						mag = math.Abs(sum)
					}
					for k := range w.K {
						bit := (j*w.blocks()*w.Block + k) * w.Bits
						q := w.Q[bit/8] >> (bit % 8) & byte(1<<w.Bits-1)
						b := j*w.blocks() + k/w.Block
						x := float64(a[i*lda+k])
						sum += x * (float64(q) - float64(zeros[b])) * float64(w.Scale[b])
						mag += math.Abs(x*float64(w.Scale[b])) * (float64(q) + math.Abs(float64(zeros[b])))
					}
					if got := float64(dst[i*ldc+j]); !(math.Abs(got-sum) <= 1e-5*mag) {
						t.Fatalf("%s M=%d K=%d N=%d, %d bits in blocks of %d: [%d][%d] = %g, want %g", p.Name(), m, w.K, w.N, w.Bits, w.Block, i, j, got, sum)
					}
				}
			}
		}
	}
}

func TestNBitsRefusals(t *testing.T) {
	for _, w := range []NBitsWeights{{}, {K: 8, N: 1, Bits: 3, Block: 8}, {K: 8, N: 1, Bits: 4, Block: 12}, {K: 8, N: 1, Bits: 4, Block: 8}} {
		if _, err := NewNBitsF32(cpu.Generic, 1, 8, 1, w, nil); err == nil {
			t.Errorf("%+v is accepted", w)
		}
	}
}
