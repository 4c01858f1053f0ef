package kernel

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestRowsF32 runs activations and pairs over rows with gaps, which must stay as they are.
func TestRowsF32(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	at := func(v []float32, i int) unsafe.Pointer { return unsafe.Pointer(&v[i]) }
	for _, l := range cpu.Levels() {
		for range 300 {
			rows, n := 1+r.IntN(9), 1+r.IntN(70)
			step, from := n+r.IntN(5), n+r.IntN(5)
			src, second := normals(r, rows*from), normals(r, rows*from)
			check := func(what any, dst []float32, want func(row, i int) float32) {
				t.Helper()
				for i, v := range dst {
					row, col := i/step, i%step
					w := float32(7)
					if col < n {
						w = want(row, col)
					}
					if d := v - w; !(d <= 1e-6 && d >= -1e-6) && (v == v || w == w) {
						t.Fatalf("%v %v of %d×%d, steps %d and %d: row %d column %d is %g, want %g", l, what, rows, n, step, from, row, col, v, w)
					}
				}
			}
			fresh := func() []float32 {
				v := make([]float32, rows*step)
				for i := range v {
					v[i] = 7
				}
				return v
			}
			for _, a := range append(testActs(), Act{Kind: ActPRelu, Slope: normals(r, n+3)}) {
				want := make([]float32, len(src))
				channel := 0
				if a.Kind == ActPRelu {
					channel = r.IntN(4)
					for i, x := range src {
						want[i] = PRelu.of(x, a.Slope[(channel+i%from)%len(a.Slope)])
					}
				} else {
					a.Apply(l, want, src)
				}
				dst := fresh()
				a.applyRows(l, at(dst, 0), at(src, 0), rows, n, 4*step, 4*from, channel)
				check(a.Kind, dst, func(row, i int) float32 { return want[row*from+i] })
			}
			for k := range binaryKinds {
				if k == Div || k == RDiv {
					continue // of values near zero; the others share the loops
				}
				dst := fresh()
				k.applyRows(l, at(dst, 0), at(src, 0), at(second, 0), rows, n, 4*step, 4*from, 4*from)
				check(k, dst, func(row, i int) float32 { return k.of(src[row*from+i], second[row*from+i]) })
				dst = fresh()
				k.applyRows(l, at(dst, 0), at(src, 0), at(second, 0), rows, n, 4*step, 4*from, 0)
				check(k, dst, func(row, i int) float32 { return k.of(src[row*from+i], second[i]) })
			}
		}
	}
}

// TestMixAndSumRowsF32 holds the kernels against their portable twins.
func TestMixAndSumRowsF32(t *testing.T) {
	r := rand.New(rand.NewPCG(43, 44))
	for _, l := range cpu.Levels() {
		for range 200 {
			n, pixels, step := 1+r.IntN(150), 1+r.IntN(9), 0
			step = n + r.IntN(3)
			src := normals(r, 8*n)
			taps := make([]mixTap, pixels)
			for i := range taps {
				taps[i] = mixTap{at: 4 * n * r.IntN(8), next: 4 * n * r.IntN(8), w0: 1}
				if r.IntN(3) > 0 {
					taps[i].w1 = r.Float32()
					taps[i].w0 = 1 - taps[i].w1
				}
			}
			same := func(what string, got, want []float32) {
				t.Helper()
				for i := range want {
					if d := got[i] - want[i]; !(d <= 1e-5 && d >= -1e-5) {
						t.Fatalf("%v %s of %d values: [%d] is %g, want %g", l, what, n, i, got[i], want[i])
					}
				}
			}
			got, want := make([]float32, pixels*step), make([]float32, pixels*step)
			m := mixF32{src: unsafe.Pointer(&src[0]), taps: &taps[0], pixels: pixels, n: n, dstStep: 4 * step}
			m.dst = unsafe.Pointer(&want[0])
			m.goRun()
			m.dst = unsafe.Pointer(&got[0])
			m.run(l)
			same("mix", got, want)

			got, want = normals(r, n+3), nil
			want = append(want, got...)
			s := sumRowsF32{src: unsafe.Pointer(&src[0]), rows: 1 + r.IntN(8), n: n, step: 4 * n}
			s.dst = unsafe.Pointer(&want[0])
			s.goRun()
			s.dst = unsafe.Pointer(&got[0])
			s.run(l)
			same("sum of rows", got, want)
		}
	}
}

func TestMeanOfWholeImages(t *testing.T) {
	r := rand.New(rand.NewPCG(45, 46))
	for _, l := range cpu.Levels() {
		for range 100 {
			s := ConvShape{Batch: 1 + r.IntN(2), InH: 1 + r.IntN(12), InW: 1 + r.IntN(12), InC: 1 + r.IntN(200), OutH: 1, OutW: 1, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
			s.KernelH, s.KernelW, s.OutC = s.InH, s.InW, s.InC
			s.InStride, s.OutStride = s.InC+r.IntN(2), s.InC+r.IntN(2)
			p, err := NewPoolF32(l, s, Pooling{})
			if err != nil {
				t.Fatal(err)
			}
			src, dst := normals(r, s.Batch*s.InH*s.InW*s.InStride), make([]float32, s.Batch*s.OutStride)
			p.Run(dst, src, 0, p.Units())
			for i := range s.Batch * s.InC {
				image, c, sum := i/s.InC, i%s.InC, 0.0
				for x := range s.InH * s.InW {
					sum += float64(src[(image*s.InH*s.InW+x)*s.InStride+c])
				}
				if got, want := float64(dst[image*s.OutStride+c]), sum/float64(s.InH*s.InW); got-want > 1e-5 || want-got > 1e-5 {
					t.Fatalf("%v %+v: channel %d of image %d is %g, want %g", l, s, c, image, got, want)
				}
			}
		}
	}
}
