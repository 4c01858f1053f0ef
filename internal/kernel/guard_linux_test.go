package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// guarded returns n bytes that end where a page begins that may not be touched.
// Kernels that read or write beyond their slices fault there.
func guarded(t *testing.T, n int) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	size := (n+page-1)/page*page + page
	m, err := syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mprotect(m[size-page:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Munmap(m); err != nil {
			t.Error(err)
		}
	})
	return m[size-page-n : size-page]
}

func guardedF32(t *testing.T, v []float32) []float32 {
	t.Helper()
	b := guarded(t, 4*len(v))
	g := unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), len(v))
	copy(g, v)
	return g
}

func TestConvF32StaysInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(91, 92))
	for range 60 {
		s := randomShape(r)
		w, bias, src, res := normals(r, s.weightLen()), normals(r, s.OutC), guardedF32(t, normals(r, s.inLen())), guardedF32(t, normals(r, s.resLen()))
		dst := guardedF32(t, make([]float32, s.outLen()))
		for _, l := range cpu.Levels() {
			c, err := NewConvF32(l, s, w, bias, Act{Kind: ActSigmoid}, true)
			if err != nil {
				t.Fatal(err)
			}
			// The packed weights as well: panels end at the page.
			if c.dw.kernel != nil {
				c.dw.packed = guardedF32(t, c.dw.packed)
			} else {
				c.gemm.packed = guardedF32(t, c.gemm.packed)
			}
			c.Run(dst, src, res, guarded(t, c.ScratchBytes()+4)[4:], 0, c.Units())
		}
	}
}

func TestElementwiseF32StaysInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(93, 94))
	for n := 1; n < 40; n++ {
		src, b, dst := guardedF32(t, normals(r, n)), guardedF32(t, normals(r, n)), guardedF32(t, make([]float32, n))
		for _, l := range cpu.Levels() {
			for _, a := range testActs() {
				a.Apply(l, dst, src)
			}
			for k := reduceSum; k <= reduceMax; k++ {
				k.of(l, src)
			}
			for k := range binaryKinds {
				k.Apply(l, dst, src, b)
				k.Apply(l, dst, src, b[n-1:])
			}
		}
	}
}

func TestRowsF32StayInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(99, 100))
	for n := 1; n < 70; n++ {
		src, dst := guardedF32(t, normals(r, 3*n)), guardedF32(t, make([]float32, 3*n))
		scale, shift := guardedF32(t, normals(r, n)), guardedF32(t, normals(r, n))
		for _, l := range cpu.Levels() {
			Softmax(l, dst, src, n, 1)
			LayerNorm(l, dst, src, scale, shift, 1e-5)
			RMSNorm(l, dst, src, scale, 1e-5)
		}
	}
}

func TestPoolF32StaysInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(95, 96))
	for i := range 40 {
		s := randomShape(r)
		s.Groups, s.OutC, s.OutStride, s.ResStride = 1, s.InC, s.InC, 0
		src, dst := guardedF32(t, normals(r, s.inLen())), guardedF32(t, make([]float32, s.outLen()))
		for _, l := range cpu.Levels() {
			c, err := NewPoolF32(l, s, Pooling{Max: i%2 == 0})
			if err != nil {
				t.Fatal(err)
			}
			c.start = guardedF32(t, c.start)
			c.Run(dst, src, 0, c.Units())
		}
	}
}

func TestGemmF32StaysInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(97, 98))
	for range 40 {
		s := GemmShape{M: 1 + r.IntN(30), N: 1 + r.IntN(60), K: 1 + r.IntN(30), TransB: r.IntN(2) == 0}
		s.LDA, s.LDB, s.LDC = s.K, s.N, s.N
		if s.TransB {
			s.LDB = s.K
		}
		a, b, dst := guardedF32(t, normals(r, s.M*s.K)), guardedF32(t, normals(r, s.N*s.K)), guardedF32(t, make([]float32, s.M*s.N))
		for _, l := range cpu.Levels() {
			g, err := NewGemmF32(l, s, 1)
			if err != nil {
				t.Fatal(err)
			}
			g.Run(dst, a, b, nil, guarded(t, g.ScratchBytes()), 0, g.Units())
		}
	}
}

func TestResizeAndMeansF32StayInsideSlices(t *testing.T) {
	r := rand.New(rand.NewPCG(101, 102))
	for range 60 {
		s := ResizeShape{Batch: 1, InH: 1 + r.IntN(6), InW: 1 + r.IntN(6), OutH: 1 + r.IntN(9), OutW: 1 + r.IntN(9), C: 1 + r.IntN(50), Linear: r.IntN(2) == 0}
		s.InStride, s.OutStride = s.C+r.IntN(2), s.C+r.IntN(2)
		src := guardedF32(t, normals(r, (s.InH*s.InW-1)*s.InStride+s.C))
		dst := guardedF32(t, make([]float32, (s.OutH*s.OutW-1)*s.OutStride+s.C))
		c := ConvShape{Batch: 1, InH: s.InH, InW: s.InW, InC: s.C, OutH: 1, OutW: 1, OutC: s.C, KernelH: s.InH, KernelW: s.InW,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, InStride: s.InStride, OutStride: s.C}
		mean := guardedF32(t, make([]float32, s.C))
		for _, l := range cpu.Levels() {
			op, err := NewResizeF32(l, s)
			if err != nil {
				t.Fatal(err)
			}
			op.Run(dst, src, guarded(t, op.ScratchBytes()+4)[4:], 0, op.Units())
			p, err := NewPoolF32(l, c, Pooling{})
			if err != nil {
				t.Fatal(err)
			}
			p.Run(mean, src, 0, p.Units())
		}
	}
}

func TestMoveStaysInsideSlices(t *testing.T) {
	for _, dims := range [][]int{{3, 50}, {50, 3}, {8, 8}, {21, 35}, {64, 9}} {
		n := dims[0] * dims[1] * 4
		src, dst := guarded(t, n), guarded(t, n)
		for _, l := range cpu.Levels() {
			m := NewMove(l, 4, false, dims, []int{1, dims[0]}, []int{dims[1], 1})
			m.Run(dst, src, 0, m.Units())
		}
	}
}
