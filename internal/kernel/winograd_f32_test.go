package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// winogradShape draws a convolution that takes F(m×m, 3×3).
func winogradShape(r *rand.Rand, m int) ConvShape {
	for {
		s := ConvShape{Batch: 1 + r.IntN(2), InH: 1 + r.IntN(6*m), InW: 1 + r.IntN(6*m), InC: 16 + r.IntN(40), OutC: 16 + r.IntN(60),
			KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: r.IntN(3), PadLeft: r.IntN(3), Groups: 1}
		s.OutH, s.OutW = s.InH+s.PadTop+r.IntN(3)-2, s.InW+s.PadLeft+r.IntN(3)-2
		s.InStride, s.OutStride, s.ResStride = s.InC+r.IntN(3), s.OutC+r.IntN(3), s.OutC+r.IntN(3)
		if s.OutH > 0 && s.OutW > 0 && s.winogradTile() == m {
			return s
		}
	}
}

func TestConvF32Winograd(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	acts := []Act{{}, {Kind: ActClamp, Lo: 0, Hi: 6}, {Kind: ActHardSwish}}
	n := 30
	if testing.Short() {
		n = 4
	}
	for range n {
		for _, m := range []int{2, 4} {
			s := winogradShape(r, m)
			for _, l := range cpu.Levels() {
				c, err := NewConvF32(l, s, make([]float32, s.weightLen()), nil, Act{}, false, Winograd())
				if err != nil {
					t.Fatal(err)
				}
				if has := winogradKernel(l, m).level == gemmTile(l).level; c.UsesWinograd() != has {
					t.Fatalf("%s for %+v", c.Name(), s)
				}
			}
			checkConv(t, r, s, acts[r.IntN(len(acts))], r.IntN(2) == 0, r.IntN(2) == 0, Winograd())
		}
	}
}

// So many weights that the products of one matrix take several calls: the result is that of
// the other form.
func TestConvF32WinogradWide(t *testing.T) {
	if testing.Short() {
		t.Skip("many products")
	}
	s := ConvShape{Batch: 1, InH: 28, InW: 28, InC: 650, OutH: 28, OutW: 28, OutC: 649, KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1,
		PadTop: 1, PadLeft: 1, Groups: 1, InStride: 650, OutStride: 650, ResStride: 649}
	r := rand.New(rand.NewPCG(57, 58))
	w, bias, src := normals(r, s.weightLen()), normals(r, s.OutC), normals(r, s.inLen())
	run := func(l cpu.Level, opts ...Option) []float32 {
		c, err := NewConvF32(l, s, w, bias, Act{}, false, opts...)
		if err != nil {
			t.Fatal(err)
		}
		if (len(opts) > 0) != c.UsesWinograd() {
			t.Fatalf("%s", c.Name())
		}
		dst := make([]float32, s.outLen())
		c.Run(dst, src, nil, make([]byte, c.ScratchBytes()), 0, c.Units())
		return dst
	}
	for _, l := range cpu.Levels() {
		if k := winogradKernel(l, s.winogradTile()); k.level != l || l == cpu.Generic {
			continue
		}
		if s.InC*s.OutC <= winogradWeights {
			t.Fatal("one call takes all")
		}
		got, want := run(l, Winograd()), run(l)
		for i := range want {
			if math.Abs(float64(got[i]-want[i])) > 2e-3 {
				t.Fatalf("%v: element %d is %g, want %g", l, i, got[i], want[i])
			}
		}
	}
}

// With matrices exact in rational numbers, output·((weights·f)⊙(input·x)) is the
// sum of products that defines the convolution, in one dimension.
func TestWinogradTransforms(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for _, m := range []int{2, 4} {
		mat := winogradTransforms(m)
		x, f := make([]float64, m+2), make([]float64, 3)
		for _, v := range [][]float64{x, f} {
			for i := range v {
				v[i] = r.NormFloat64()
			}
		}
		dot := func(a, b []float64) (s float64) {
			for i := range a {
				s += a[i] * b[i]
			}
			return s
		}
		products := make([]float64, m+2)
		for i := range products {
			products[i] = dot(mat.weights[i], f) * dot(mat.input[i], x)
		}
		for i := range m {
			got, want := dot(mat.output[i], products), dot(f, x[i:i+3])
			if math.Abs(got-want) > 1e-12 {
				t.Errorf("F(%d,3): output %d is %g, want %g", m, i, got, want)
			}
		}
	}
}
