package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// BenchmarkKernels times every registered micro-kernel that this machine runs,
// on data in the nearest cache, and reports its fastest rate.
func BenchmarkKernels(b *testing.B) {
	for _, e := range Registry() {
		if !cpu.Runs(e.Level) || e.Trial == nil {
			continue
		}
		b.Run(e.Name, func(b *testing.B) {
			run, work := e.Trial()
			// A trial takes about a microsecond: time some together.
			best := fastest(b, func() {
				for range 16 {
					run()
				}
			})
			unit := "Gop/s"
			if e.Bytes {
				unit = "GB/s"
			}
			b.ReportMetric(16*work/best/1e9, unit)
		})
	}
}

// fastest runs f over and over and returns the least time in seconds: on a
// shared machine the minimum is what the code can do.
func fastest(b *testing.B, f func()) float64 {
	best := time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best.Seconds()
}

// mobileNetV2 lists the distinct convolutions of MobileNetV2 1.0 at 224×224,
// with how often each occurs.
func mobileNetV2() (shapes []ConvShape, times []int, acts []Act) {
	add := func(n, h, cin, cout, k, stride int, depthwise, relu bool) {
		s := ConvShape{Batch: 1, InH: h, InW: h, InC: cin, OutH: (h + stride - 1) / stride, OutW: (h + stride - 1) / stride, OutC: cout,
			KernelH: k, KernelW: k, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1, PadTop: k / 2, PadLeft: k / 2,
			Groups: 1, InStride: cin, OutStride: cout, ResStride: cout}
		if depthwise {
			s.Groups = cin
		}
		act := Act{}
		if relu {
			act = Act{Kind: ActClamp, Hi: 6}
		}
		shapes, times, acts = append(shapes, s), append(times, n), append(acts, act)
	}
	add(1, 224, 3, 32, 3, 2, false, true)
	add(1, 112, 32, 32, 3, 1, true, true)
	add(1, 112, 32, 16, 1, 1, false, false)
	for _, b := range []struct{ n, h, in, out, stride int }{
		{1, 112, 16, 24, 2}, {1, 56, 24, 24, 1}, {1, 56, 24, 32, 2}, {2, 28, 32, 32, 1}, {1, 28, 32, 64, 2}, {3, 14, 64, 64, 1},
		{1, 14, 64, 96, 1}, {2, 14, 96, 96, 1}, {1, 14, 96, 160, 2}, {2, 7, 160, 160, 1}, {1, 7, 160, 320, 1},
	} {
		add(b.n, b.h, b.in, 6*b.in, 1, 1, false, true)
		add(b.n, b.h, 6*b.in, 6*b.in, 3, b.stride, true, true)
		add(b.n, (b.h+b.stride-1)/b.stride, 6*b.in, b.out, 1, 1, false, false)
	}
	add(1, 7, 320, 1280, 1, 1, false, true)
	add(1, 1, 1280, 1000, 1, 1, false, false)
	return shapes, times, acts
}

// BenchmarkMobileNetV2Layers times the convolutions one by one, for each level.
func BenchmarkMobileNetV2Layers(b *testing.B) {
	shapes, _, acts := mobileNetV2()
	r := rand.New(rand.NewPCG(1, 1))
	for _, l := range cpu.Levels() {
		for i, s := range shapes {
			c, err := NewConvF32(l, s, normals(r, s.weightLen()), normals(r, s.OutC), acts[i], false)
			if err != nil {
				b.Fatal(err)
			}
			b.Run(fmt.Sprintf("%v/%02d_%s_%dx%dx%d_%d", l, i, c.Name()[:7], s.InH, s.InW, s.InC, s.OutC), func(b *testing.B) {
				src, dst, scratch := normals(r, s.inLen()), make([]float32, s.outLen()), make([]byte, c.ScratchBytes())
				best := fastest(b, func() { c.Run(dst, src, nil, scratch, 0, c.Units()) })
				macs := float64(s.OutH*s.OutW) * float64(s.weightLen())
				b.ReportMetric(best*1e6, "min-us")
				b.ReportMetric(2*macs/best/1e9, "Gop/s")
			})
		}
	}
}

// BenchmarkMobileNetV2 runs all convolutions of the network one after another,
// with weights of their own for each, through two buffers in turn.
func BenchmarkMobileNetV2(b *testing.B) {
	shapes, times, acts := mobileNetV2()
	r := rand.New(rand.NewPCG(1, 1))
	buf := [2][]float32{normals(r, 112*112*96), normals(r, 112*112*96)}
	for _, l := range cpu.Levels() {
		var convs []*ConvF32
		scratch := 0
		for i, s := range shapes {
			for range times[i] {
				c, err := NewConvF32(l, s, normals(r, s.weightLen()), normals(r, s.OutC), acts[i], false)
				if err != nil {
					b.Fatal(err)
				}
				convs, scratch = append(convs, c), max(scratch, c.ScratchBytes())
			}
		}
		b.Run(l.String(), func(b *testing.B) {
			scratch := make([]byte, scratch)
			best := fastest(b, func() {
				for i, c := range convs {
					c.Run(buf[i%2], buf[(i+1)%2], nil, scratch, 0, c.Units())
				}
			})
			b.ReportMetric(best*1e3, "min-ms")
		})
	}
}

// BenchmarkMove times the change of layout of an image and of features.
func BenchmarkMove(b *testing.B) {
	for _, dims := range [][]int{{3, 224 * 224}, {224 * 224, 3}, {64, 56 * 56}, {56 * 56, 64}} {
		op := NewMove(cpu.Best(), 4, false, dims, []int{1, dims[0]}, []int{dims[1], 1})
		b.Run(fmt.Sprintf("%dx%d", dims[0], dims[1]), func(b *testing.B) {
			n := dims[0] * dims[1] * 4
			src, dst := make([]byte, n), make([]byte, n)
			best := fastest(b, func() { op.Run(dst, src, 0, op.Units()) })
			b.ReportMetric(2*float64(n)/best/1e9, "GB/s")
			b.ReportMetric(best*1e6, "min-us")
		})
	}
}

// BenchmarkConvF32 times shapes that MobileNetV2 does not have.
func BenchmarkConvF32(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	square := func(h, cin, cout, k, stride, groups int) ConvShape {
		out := (h + stride - 1) / stride
		return ConvShape{Batch: 1, InH: h, InW: h, InC: cin, OutH: out, OutW: out, OutC: cout, KernelH: k, KernelW: k, StrideH: stride, StrideW: stride,
			DilationH: 1, DilationW: 1, PadTop: k / 2, PadLeft: k / 2, Groups: groups, InStride: cin, OutStride: cout}
	}
	matrix := func(m, n, k int) ConvShape {
		s := square(1, k, n, 1, 1, 1)
		s.InW, s.OutW = m, m
		return s
	}
	for _, c := range []struct {
		name  string
		shape ConvShape
	}{
		{"3x3_56_64_64", square(56, 64, 64, 3, 1, 1)}, {"3x3_14_256_256", square(14, 256, 256, 3, 1, 1)}, {"3x3_7_512_512", square(7, 512, 512, 3, 1, 1)},
		{"7x7_224_3_64_s2", square(224, 3, 64, 7, 2, 1)}, {"dw5x5_28_120", square(28, 120, 120, 5, 1, 120)}, {"dw5x5_14_672_s2", square(14, 672, 672, 5, 2, 672)},
		{"dw7x7_14_384", square(14, 384, 384, 7, 1, 384)},
		{"gemm_256_256_256", matrix(256, 256, 256)}, {"gemm_1024_1024_1024", matrix(1024, 1024, 1024)}, {"gemv_1_256_256", matrix(1, 256, 256)}, {"gemv_4_256_256", matrix(4, 256, 256)},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := c.shape
			op, err := NewConvF32(cpu.Best(), s, normals(r, s.weightLen()), nil, Act{}, false)
			if err != nil {
				b.Fatal(err)
			}
			src, dst, scratch := normals(r, s.inLen()), make([]float32, s.outLen()), make([]byte, op.ScratchBytes())
			best := fastest(b, func() { op.Run(dst, src, nil, scratch, 0, op.Units()) })
			b.ReportMetric(best*1e6, "min-us")
			b.ReportMetric(2*float64(s.OutH*s.OutW)*float64(s.weightLen())/best/1e9, "Gop/s")
		})
	}
}

// BenchmarkPoolF32 times a global mean and a maximum.
func BenchmarkPoolF32(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	global := ConvShape{Batch: 1, InH: 7, InW: 7, InC: 1280, OutH: 1, OutW: 1, OutC: 1280, KernelH: 7, KernelW: 7, StrideH: 1, StrideW: 1,
		DilationH: 1, DilationW: 1, InStride: 1280, OutStride: 1280}
	halving := ConvShape{Batch: 1, InH: 112, InW: 112, InC: 64, OutH: 56, OutW: 56, OutC: 64, KernelH: 3, KernelW: 3, StrideH: 2, StrideW: 2,
		DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, InStride: 64, OutStride: 64}
	for _, c := range []struct {
		name  string
		shape ConvShape
		max   bool
	}{{"mean_7x7x1280", global, false}, {"max3x3s2_112x112x64", halving, true}} {
		b.Run(c.name, func(b *testing.B) {
			op, err := NewPoolF32(cpu.Best(), c.shape, Pooling{Max: c.max})
			if err != nil {
				b.Fatal(err)
			}
			src, dst := normals(r, c.shape.inLen()), make([]float32, c.shape.outLen())
			best := fastest(b, func() { op.Run(dst, src, 0, op.Units()) })
			b.ReportMetric(best*1e6, "min-us")
			b.ReportMetric(4*float64(len(src))/best/1e9, "GB/s")
		})
	}
}

// BenchmarkGemmF32 times products as attention has them.
func BenchmarkGemmF32(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, s := range []GemmShape{{M: 128, N: 128, K: 64, LDA: 64, LDB: 64, LDC: 128, TransB: true}, {M: 128, N: 64, K: 128, LDA: 128, LDB: 64, LDC: 64}} {
		b.Run(fmt.Sprintf("%dx%dx%d_%v", s.M, s.N, s.K, s.TransB), func(b *testing.B) {
			op, err := NewGemmF32(cpu.Best(), s, 1)
			if err != nil {
				b.Fatal(err)
			}
			x, y, dst, scratch := normals(r, s.M*s.K), normals(r, s.K*s.N), make([]float32, s.M*s.N), make([]byte, op.ScratchBytes())
			best := fastest(b, func() { op.Run(dst, x, y, nil, scratch, 0, op.Units()) })
			b.ReportMetric(2*float64(s.M*s.N*s.K)/best/1e9, "Gop/s")
		})
	}
}
