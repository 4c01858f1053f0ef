package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// weightGradient is the definition in float64.
func weightGradient(s ConvShape, x, dy []float32) []float64 {
	per, perOut := s.InC/s.Groups, s.OutC/s.Groups
	dw := make([]float64, s.weightLen())
	for n := range s.Batch {
		for oy := range s.OutH {
			for ox := range s.OutW {
				for ky := range s.KernelH {
					for kx := range s.KernelW {
						iy, ix := oy*s.StrideH+ky*s.DilationH-s.PadTop, ox*s.StrideW+kx*s.DilationW-s.PadLeft
						if iy < 0 || iy >= s.InH || ix < 0 || ix >= s.InW {
							continue
						}
						for m := range s.OutC {
							d := float64(dy[((n*s.OutH+oy)*s.OutW+ox)*s.OutStride+m])
							for i := range per {
								v := x[((n*s.InH+iy)*s.InW+ix)*s.InStride+m/perOut*per+i]
								dw[((m*per+i)*s.KernelH+ky)*s.KernelW+kx] += d * float64(v)
							}
						}
					}
				}
			}
		}
	}
	return dw
}

func TestConvWeightsF32(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	shapes := []ConvShape{
		{Batch: 3, InH: 40, InW: 40, InC: 16, OutH: 40, OutW: 40, OutC: 20, KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 1, InStride: 16, OutStride: 20},
		{Batch: 2, InH: 9, InW: 300, InC: 120, OutH: 9, OutW: 300, OutC: 33, KernelH: 1, KernelW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadLeft: 1, Groups: 1, InStride: 120, OutStride: 33},
		{Batch: 2, InH: 14, InW: 14, InC: 40, OutH: 7, OutW: 7, OutC: 40, KernelH: 3, KernelW: 3, StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 40, InStride: 44, OutStride: 41},
	}
	// Rows longer than one call packs.
	shapes = append(shapes, ConvShape{Batch: 1, InH: 2, InW: 1100, InC: 5, OutH: 2, OutW: 1100, OutC: 6, KernelH: 1, KernelW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadLeft: 1, Groups: 1, InStride: 5, OutStride: 6})
	for i := range 80 {
		shapes = append(shapes, randomShape(r))
		if i%8 == 0 {
			shapes = append(shapes, winogradShape(r, 4))
		}
	}
	// Several blocks of channels and several chunks of tiles.
	shapes = append(shapes, ConvShape{Batch: 3, InH: 16, InW: 15, InC: 70, OutH: 16, OutW: 15, OutC: 130, KernelH: 3, KernelW: 3, StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: 1, PadLeft: 1, Groups: 1, InStride: 72, OutStride: 130})
	for _, s := range shapes {
		x, dy := normals(r, s.inLen()), normals(r, s.outLen())
		want := weightGradient(s, x, dy)
		for _, l := range cpu.Levels() {
			g, err := NewConvWeightsF32(l, s, Winograd())
			if err != nil {
				t.Fatal(err)
			}
			parts, dw := normals(r, g.PartsLen()), make([]float32, s.weightLen())
			scratch := make([]byte, g.ScratchBytes()+64)
			for u := range g.Units() {
				g.Run(parts, x, dy, scratch, u, u+1)
			}
			g.Finish(dw, parts, scratch, 0, g.FinishUnits())
			tolerance := 1e-6 * math.Sqrt(float64(s.Batch*s.OutH*s.OutW)) * 4
			if g.winograd.kernel != nil {
				tolerance *= 4
			}
			for i := range dw {
				if math.Abs(float64(dw[i])-want[i]) > tolerance*(1+math.Abs(want[i])) {
					t.Fatalf("%v %+v: weight %d is %v, want %v", l, s, i, dw[i], want[i])
				}
			}
		}
	}
}

func BenchmarkConvWeightsF32(b *testing.B) {
	for _, c := range []struct {
		name                                 string
		size, in, out, kernel, groups, batch int
	}{
		{"3x3x16@32", 32, 16, 16, 3, 1, 16}, {"3x3x32@16", 16, 32, 32, 3, 1, 16}, {"3x3x64@8", 8, 64, 64, 3, 1, 16},
		{"1x1x96to24@16", 16, 96, 24, 1, 1, 16}, {"3x3x3to16@32", 32, 3, 16, 3, 1, 16}, {"dw3x3x96@16", 16, 96, 96, 3, 96, 16},
	} {
		s := ConvShape{Batch: c.batch, InH: c.size, InW: c.size, InC: c.in, OutH: c.size, OutW: c.size, OutC: c.out, KernelH: c.kernel, KernelW: c.kernel,
			StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, PadTop: c.kernel / 2, PadLeft: c.kernel / 2, Groups: c.groups, InStride: c.in, OutStride: c.out}
		b.Run(c.name, func(b *testing.B) {
			g, err := NewConvWeightsF32(cpu.Best(), s, Winograd())
			if err != nil {
				b.Fatal(err)
			}
			r := rand.New(rand.NewPCG(1, 2))
			x, dy, parts := normals(r, s.inLen()), normals(r, s.outLen()), make([]float32, g.PartsLen())
			dw, scratch := make([]float32, s.weightLen()), make([]byte, g.ScratchBytes()+64)
			for b.Loop() {
				g.Run(parts, x, dy, scratch, 0, g.Units())
				g.Finish(dw, parts, scratch, 0, g.FinishUnits())
			}
			flops := 2 * float64(s.Batch*s.OutH*s.OutW) * float64(s.weightLen())
			b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
		})
	}
}
