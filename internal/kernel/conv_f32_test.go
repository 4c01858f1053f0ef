package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// normals returns n values of a standard normal distribution.
func normals(r *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return v
}

// naiveConv is the definition of the convolution, in double precision. It also
// returns the sum of the magnitudes of each pixel's terms, the scale that
// rounding errors are measured by.
func naiveConv(s ConvShape, w, bias, src, res []float32, act Act) (want, scale []float64) {
	want, scale = make([]float64, s.outLen()), make([]float64, s.outLen())
	gc, gn := s.InC/s.Groups, s.OutC/s.Groups
	for b := range s.Batch {
		for oy := range s.OutH {
			for ox := range s.OutW {
				for oc := range s.OutC {
					sum, mag := 0.0, 0.0
					add := func(v float64) { sum += v; mag += math.Abs(v) }
					for kh := range s.KernelH {
						for kw := range s.KernelW {
							y, x := oy*s.StrideH-s.PadTop+kh*s.DilationH, ox*s.StrideW-s.PadLeft+kw*s.DilationW
							if y < 0 || y >= s.InH || x < 0 || x >= s.InW {
								continue
							}
							for c := range gc {
								in := src[((b*s.InH+y)*s.InW+x)*s.InStride+oc/gn*gc+c]
								add(float64(in) * float64(w[((oc*s.KernelH+kh)*s.KernelW+kw)*gc+c]))
							}
						}
					}
					if bias != nil {
						add(float64(bias[oc]))
					}
					pixel := (b*s.OutH+oy)*s.OutW + ox
					if res != nil {
						add(float64(res[pixel*s.ResStride+oc]))
					}
					want[pixel*s.OutStride+oc] = act.exact(float32(sum))
					scale[pixel*s.OutStride+oc] = mag
				}
			}
		}
	}
	return want, scale
}

// checkConv runs a convolution at every level, whole and in shuffled units, and
// compares it with the definition. Values between the channels of adjacent
// pixels of dst must stay as they were.
func checkConv(t *testing.T, r *rand.Rand, s ConvShape, act Act, withBias, withRes bool, opts ...Option) {
	t.Helper()
	w := normals(r, s.weightLen())
	var bias, res []float32
	if withBias {
		bias = normals(r, s.OutC)
	}
	src := normals(r, s.inLen())
	if withRes {
		res = normals(r, s.resLen())
	}
	want, scale := naiveConv(s, w, bias, src, res, act)
	for _, l := range cpu.Levels() {
		c, err := NewConvF32(l, s, w, bias, act, withRes, opts...)
		if err != nil {
			t.Fatalf("%v %+v: %v", l, s, err)
		}
		checkConvRun(t, r, c, src, res, want, scale)
		// And by one of the other kernels it can be computed with.
		others := c.Candidates()[1:]
		if len(others) == 0 {
			continue
		}
		name := others[r.IntN(len(others))]
		c, err = NewConvF32(l, s, w, bias, act, withRes, append(slices.Clone(opts), Choice(name))...)
		if err != nil {
			t.Fatalf("%v %+v: %v", l, s, err)
		}
		if !strings.Contains(c.Name(), name) {
			t.Fatalf("%s was made, asked for was %s", c.Name(), name)
		}
		checkConvRun(t, r, c, src, res, want, scale)
	}
}

func checkConvRun(t *testing.T, r *rand.Rand, c *ConvF32, src, res []float32, want, scale []float64) {
	t.Helper()
	s := c.shape
	dst := make([]float32, s.outLen())
	const mark = -12345
	for i := range dst {
		dst[i] = mark
	}
	scratch := make([]byte, c.ScratchBytes())
	for i := range scratch {
		scratch[i] = 0xff // NaN wherever it is read as a value
	}
	for _, u := range r.Perm(c.Units()) {
		c.Run(dst, src, res, scratch, u, u+1)
	}
	for i, got := range dst {
		if i%s.OutStride >= s.OutC {
			if got != mark {
				t.Fatalf("%s %+v: wrote %g between pixels at %d", c.Name(), s, got, i)
			}
			continue
		}
		if d := math.Abs(float64(got) - want[i]); !(d <= 1e-5*scale[i]+1e-30) {
			t.Fatalf("%s %+v act %v: dst[%d] = %g, want %g (scale %g)", c.Name(), s, c.act, i, got, want[i], scale[i])
		}
	}
}

// randomShape draws a convolution that exercises edges, tails and strides.
func randomShape(r *rand.Rand) ConvShape {
	one := func(n int) int { return 1 + r.IntN(n) }
	s := ConvShape{
		Batch: one(2), InH: one(14), InW: one(20), KernelH: one(5), KernelW: one(5), StrideH: one(3), StrideW: one(3),
		DilationH: 1, DilationW: 1, Groups: 1, InC: one(20), OutC: one(70),
	}
	if r.IntN(4) == 0 {
		s.DilationH, s.DilationW = one(3), one(3)
	}
	if r.IntN(3) == 0 {
		s.KernelH, s.KernelW = 1, 1
	}
	switch r.IntN(3) {
	case 0:
		s.Groups = one(40)
		s.InC, s.OutC = s.Groups, s.Groups
		if r.IntN(2) == 0 {
			k := 3 + 2*r.IntN(2)
			s.KernelH, s.KernelW, s.DilationH, s.DilationW = k, k, 1, 1
			s.StrideW = one(2)
		}
	case 1:
		s.Groups = one(4)
		s.InC, s.OutC = s.Groups*one(6), s.Groups*one(20)
	}
	s.PadTop, s.PadLeft = r.IntN(s.KernelH), r.IntN(s.KernelW)
	s.OutH = max(1, (s.InH+2*s.PadTop-(s.KernelH-1)*s.DilationH-1)/s.StrideH+1)
	s.OutW = max(1, (s.InW+2*s.PadLeft-(s.KernelW-1)*s.DilationW-1)/s.StrideW+1)
	s.InStride, s.OutStride, s.ResStride = s.InC+r.IntN(3), s.OutC+r.IntN(3), s.OutC+r.IntN(3)
	return s
}

func TestConvF32Random(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	acts := []Act{{}, {Kind: ActClamp, Lo: 0, Hi: 6}, {Kind: ActHardSwish}, {Kind: ActLeakyRelu, Alpha: 0.1}}
	n := 600
	if testing.Short() {
		n = 60
	}
	for range n {
		checkConv(t, r, randomShape(r), acts[r.IntN(len(acts))], r.IntN(2) == 0, r.IntN(2) == 0)
	}
}

func TestConvF32Products(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, m := range []int{1, 2, 3, 4, 5, 13, 14, 15, 49} {
		for _, n := range []int{1, 8, 15, 16, 17, 24, 32, 33, 48, 100, 520} {
			for _, k := range []int{1, 3, 16, 67} {
				s := ConvShape{Batch: 1, InH: 1, InW: m, InC: k, OutH: 1, OutW: m, OutC: n, KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1,
					DilationH: 1, DilationW: 1, Groups: 1, InStride: k + 2, OutStride: n + 1, ResStride: n}
				checkConv(t, r, s, Act{Kind: ActClamp, Lo: -1, Hi: 3}, true, n%2 == 0)
			}
		}
	}
}

func TestConvF32Depthwise(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, k := range []int{3, 5, 7} {
		for _, stride := range []int{1, 2} {
			for _, c := range []int{8, 16, 24, 45} {
				for _, w := range []int{1, 2, 4, 7, 9, 14, 29} {
					s := ConvShape{Batch: 1, InH: 6, InW: w, InC: c, OutC: c, KernelH: k, KernelW: k, StrideH: stride, StrideW: stride,
						DilationH: 1, DilationW: 1, Groups: c, PadTop: k / 2, PadLeft: k / 2, InStride: c, OutStride: c + 1, ResStride: c}
					s.OutH, s.OutW = (s.InH+2*s.PadTop-k)/stride+1, (w+2*s.PadLeft-k)/stride+1
					checkConv(t, r, s, Act{Kind: ActClamp, Lo: 0, Hi: 6}, true, c == 24)
				}
			}
		}
	}
}

// A window wholly in the padding yields the bias.
func TestConvF32FarPadding(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, groups := range []int{1, 5} {
		s := ConvShape{Batch: 2, InH: 2, InW: 2, InC: 5, OutH: 9, OutW: 9, OutC: 5, KernelH: 2, KernelW: 2, StrideH: 1, StrideW: 1,
			DilationH: 1, DilationW: 1, PadTop: 4, PadLeft: 4, Groups: groups, InStride: 5, OutStride: 5, ResStride: 5}
		checkConv(t, r, s, Act{}, true, true)
		s.KernelH, s.KernelW = 1, 1
		checkConv(t, r, s, Act{}, true, false)
	}
}

// Rows that take several calls of a kernel.
func TestWideWindowsF32(t *testing.T) {
	s := ConvShape{Batch: 1, InH: 3, InW: 700, InC: 70, OutH: 2, OutW: 699, OutC: 70, KernelH: 7, KernelW: 7, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, PadTop: 2, PadLeft: 3, Groups: 70, InStride: 70, OutStride: 70, ResStride: 70}
	if n := callPixels(&s); n >= s.OutW-s.KernelW {
		t.Fatalf("one call takes %d pixels", n)
	}
	r := rand.New(rand.NewPCG(47, 48))
	checkConv(t, r, s, Act{}, true, true)
	s.Groups, s.ResStride = 1, 0
	src := normals(r, s.inLen())
	for _, p := range []Pooling{{Max: true}, {}} {
		var want []float32
		for _, l := range cpu.Levels() {
			op, err := NewPoolF32(l, s, p)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, s.outLen())
			op.Run(got, src, 0, op.Units())
			if want == nil {
				want = got
			}
			for i := range want {
				if math.Abs(float64(got[i]-want[i])) > 1e-5 {
					t.Fatalf("%v %s: element %d is %g, want %g", l, op.Name(), i, got[i], want[i])
				}
			}
		}
	}
}

func TestConvF32KeepsNaN(t *testing.T) {
	for _, groups := range []int{1, 2} {
		s := ConvShape{Batch: 1, InH: 1, InW: 1, InC: 2, OutH: 1, OutW: 1, OutC: 2, KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1,
			DilationH: 1, DilationW: 1, Groups: groups, InStride: 2, OutStride: 2}
		for _, l := range cpu.Levels() {
			c, err := NewConvF32(l, s, make([]float32, s.weightLen()), nil, Act{Kind: ActClamp, Hi: 6}, false)
			if err != nil {
				t.Fatal(err)
			}
			dst := make([]float32, 2)
			c.Run(dst, []float32{float32(math.NaN()), float32(math.NaN())}, nil, make([]byte, c.ScratchBytes()), 0, c.Units())
			if dst[0] == dst[0] || dst[1] == dst[1] {
				t.Errorf("%s: NaN became %v", c.Name(), dst)
			}
		}
	}
}

func TestConvF32RunDoesNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, groups := range []int{1, 16} {
		s := ConvShape{Batch: 1, InH: 6, InW: 6, InC: 16, OutH: 6, OutW: 6, OutC: 16, KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1,
			DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: groups, InStride: 16, OutStride: 16}
		for _, l := range cpu.Levels() {
			c, err := NewConvF32(l, s, normals(r, s.weightLen()), nil, Act{Kind: ActSigmoid}, false)
			if err != nil {
				t.Fatal(err)
			}
			dst, src, scratch := make([]float32, s.outLen()), normals(r, s.inLen()), make([]byte, c.ScratchBytes())
			if n := testing.AllocsPerRun(10, func() { c.Run(dst, src, nil, scratch, 0, c.Units()) }); n != 0 {
				t.Errorf("%s: %v allocations in a run", c.Name(), n)
			}
		}
	}
}

func TestConvShapeRefusals(t *testing.T) {
	good := ConvShape{Batch: 1, InH: 4, InW: 4, InC: 4, OutH: 4, OutW: 4, OutC: 8, KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, Groups: 1, InStride: 4, OutStride: 8}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, f := range []func(*ConvShape){
		func(s *ConvShape) { s.Batch = 0 }, func(s *ConvShape) { s.InW = -1 }, func(s *ConvShape) { s.Groups = 3 },
		func(s *ConvShape) { s.InStride = 3 }, func(s *ConvShape) { s.OutStride = 7 }, func(s *ConvShape) { s.PadLeft = -1 },
		func(s *ConvShape) { s.OutH, s.OutW = 1<<30, 1<<30 }, func(s *ConvShape) { s.ResStride = 5 }, func(s *ConvShape) { s.DilationW = math.MaxInt },
	} {
		s := good
		f(&s)
		if s.Validate() == nil {
			t.Errorf("case %d: %+v is accepted", i, s)
		}
	}
	if _, err := NewConvF32(cpu.Generic, good, make([]float32, 3), nil, Act{}, false); err == nil {
		t.Error("3 weights are accepted")
	}
	if _, err := NewConvF32(cpu.Generic, good, make([]float32, 32), make([]float32, 3), Act{}, false); err == nil {
		t.Error("3 bias values are accepted")
	}
	if _, err := NewConvF32(cpu.Generic, good, make([]float32, 32), nil, Act{}, true); err == nil {
		t.Error("a residual without stride is accepted")
	}
	if _, err := NewConvF32(cpu.Generic, good, make([]float32, 32), nil, Act{Kind: 200}, false); err == nil {
		t.Error("activation 200 is accepted")
	}
}

func ExampleConvF32_Name() {
	s := ConvShape{Batch: 1, InH: 1, InW: 2, InC: 2, OutH: 1, OutW: 2, OutC: 1, KernelH: 1, KernelW: 1, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, Groups: 1, InStride: 2, OutStride: 1}
	c, _ := NewConvF32(cpu.Generic, s, []float32{1, 10}, []float32{0.5}, Act{}, false)
	dst := make([]float32, 2)
	c.Run(dst, []float32{1, 2, 3, 4}, nil, make([]byte, c.ScratchBytes()), 0, c.Units())
	fmt.Println(c.Name(), dst)
	// Output: conv1x1 f32_gemm_4x16_go [21.5 43.5]
}

// What is not finite reaches the same outputs, as the same, at every level.
func TestF32KernelsSpreadNaNAndInfAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(45, 46))
	odd := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))}
	same := func(what string, l cpu.Level, got, want []float32) {
		t.Helper()
		for i, v := range want {
			a, b := float64(got[i]), float64(v)
			if math.IsNaN(a) != math.IsNaN(b) || (math.IsInf(a, 0) || math.IsInf(b, 0)) && a != b {
				t.Fatalf("%v %s: element %d is %v, want %v", l, what, i, a, b)
			}
		}
	}
	for i := range 120 {
		s := randomShape(r)
		w, src := normals(r, s.weightLen()), normals(r, s.inLen())
		for range 1 + r.IntN(3) {
			src[r.IntN(len(src))] = odd[r.IntN(3)]
		}
		act := []Act{{}, {Kind: ActClamp, Lo: -1, Hi: float32(math.Inf(1))}}[i%2]
		pool := s
		pool.Groups, pool.OutC, pool.OutStride, pool.ResStride = 1, s.InC, s.InC, 0
		var want, wantPool []float32
		for _, l := range cpu.Levels() {
			c, err := NewConvF32(l, s, w, nil, act, false)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]float32, s.outLen())
			c.Run(got, src, nil, make([]byte, c.ScratchBytes()), 0, c.Units())
			p, err := NewPoolF32(l, pool, Pooling{Max: i%4 < 2})
			if err != nil {
				t.Fatal(err)
			}
			pooled := make([]float32, pool.outLen())
			p.Run(pooled, src, 0, p.Units())
			if want == nil {
				want, wantPool = got, pooled
			}
			same(c.Name(), l, got, want)
			same(p.Name(), l, pooled, wantPool)
		}
	}
}
