package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestGemmF32(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for range 150 {
		s := GemmShape{M: 1 + r.IntN(40), N: 1 + r.IntN(90), K: 1 + r.IntN(90), TransB: r.IntN(2) == 0}
		scale := []float32{1, -0.125}[r.IntN(2)]
		if r.IntN(20) == 0 {
			s.N, s.K = 300, 500+r.IntN(1000) // several units and cuts
		}
		s.LDA, s.LDB, s.LDC = s.K+r.IntN(3), s.N+r.IntN(3), s.N+r.IntN(3)
		if s.TransB {
			s.LDB = s.K + r.IntN(3)
		}
		var addend []float32
		switch r.IntN(3) {
		case 0:
			s.LDAddend = s.N + r.IntN(3)
			addend = normals(r, s.M*s.LDAddend)
		case 1:
			addend = normals(r, s.N) // for all rows
		}
		a, b := normals(r, s.M*s.LDA), normals(r, max(s.N, s.K)*s.LDB)
		for _, l := range cpu.Levels() {
			g, err := NewGemmF32(l, s, scale)
			if err != nil {
				t.Fatal(err)
			}
			dst, scratch := normals(r, s.M*s.LDC), make([]byte, g.ScratchBytes())
			for _, u := range r.Perm(g.Units()) {
				g.Run(dst, a, b, addend, scratch, u, u+1)
			}
			for i := range s.M {
				for j := range s.N {
					sum, mag := 0.0, 0.0
					if addend != nil {
						sum = float64(addend[i*s.LDAddend+j])
						mag = math.Abs(sum)
					}
					for k := range s.K {
						y := b[k*s.LDB+j]
						if s.TransB {
							y = b[j*s.LDB+k]
						}
						v := float64(a[i*s.LDA+k]) * float64(y) * float64(scale)
						sum, mag = sum+v, mag+math.Abs(v)
					}
					if got := float64(dst[i*s.LDC+j]); !(math.Abs(got-sum) <= 1e-5*mag) {
						t.Fatalf("%s %+v: [%d][%d] = %g, want %g", g.Name(), s, i, j, got, sum)
					}
				}
			}
		}
	}
}

func TestGemmShapeRefusals(t *testing.T) {
	for _, s := range []GemmShape{{}, {M: 1, N: 2, K: 3, LDA: 2, LDB: 2, LDC: 2}, {M: 1, N: 2, K: 3, LDA: 3, LDB: 2, LDC: 2, TransB: true},
		{M: 2, N: 2, K: 2, LDA: 2, LDB: 2, LDC: 2, LDAddend: 1},
		{M: 1 << 30, N: 1, K: 1, LDA: 1 << 30, LDB: 1, LDC: 1}} {
		if _, err := NewGemmF32(cpu.Generic, s, 1); err == nil {
			t.Errorf("%+v is accepted", s)
		}
	}
}
