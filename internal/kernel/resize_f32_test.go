package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func resizeRow(t *testing.T, s ResizeShape, src []float32) []float32 {
	t.Helper()
	s.Batch, s.C, s.InStride, s.OutStride, s.InH, s.OutH, s.InW = 1, 1, 1, 1, 1, 1, len(src)
	r, err := NewResizeF32(cpu.Best(), s)
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, s.OutW)
	r.Run(dst, src, make([]byte, r.ScratchBytes()), 0, r.Units())
	return dst
}

// The expectations are worked out by hand from the formulas of the ONNX operator.
func TestResizeF32Rows(t *testing.T) {
	for _, c := range []struct {
		shape     ResizeShape
		src, want []float32
	}{
		{ResizeShape{OutW: 6, Coordinates: Asymmetric, Nearest: Floor}, []float32{1, 2, 3}, []float32{1, 1, 2, 2, 3, 3}},
		{ResizeShape{OutW: 2, Coordinates: HalfPixel}, []float32{1, 2, 3, 4}, []float32{1, 3}},
		{ResizeShape{OutW: 2, Coordinates: HalfPixel, Nearest: RoundPreferCeil}, []float32{1, 2, 3, 4}, []float32{2, 4}},
		{ResizeShape{OutW: 4, Coordinates: Asymmetric, Nearest: Ceil}, []float32{1, 2}, []float32{1, 2, 2, 2}},
		{ResizeShape{OutW: 4, Coordinates: HalfPixel, Linear: true}, []float32{1, 2}, []float32{1, 1.25, 1.75, 2}},
		{ResizeShape{OutW: 3, Coordinates: AlignCorners, Linear: true}, []float32{1, 5}, []float32{1, 3, 5}},
		{ResizeShape{OutW: 4, Coordinates: Asymmetric, Linear: true}, []float32{1, 3}, []float32{1, 2, 3, 3}},
		{ResizeShape{OutW: 1, Coordinates: PytorchHalfPixel, Linear: true}, []float32{1, 2, 9}, []float32{1}},
		{ResizeShape{OutW: 1, Coordinates: HalfPixel, Linear: true}, []float32{1, 2, 9}, []float32{2}},
		{ResizeShape{OutW: 3, ScaleW: 0.8, Coordinates: HalfPixelSymmetric, Linear: true}, []float32{0, 8, 16, 24}, []float32{2, 12, 22}},
	} {
		got := resizeRow(t, c.shape, c.src)
		for i := range c.want {
			if math.Abs(float64(got[i]-c.want[i])) > 1e-6 {
				t.Errorf("%+v of %v: %v, want %v", c.shape, c.src, got, c.want)
				break
			}
		}
	}
}

// Scales whose reciprocals are infinite still read inside the image.
func TestResizeF32TinyScale(t *testing.T) {
	for c := range coordinates {
		for _, linear := range []bool{false, true} {
			s := ResizeShape{Batch: 1, InH: 3, InW: 3, OutH: 2, OutW: 2, C: 1, InStride: 1, OutStride: 1, ScaleH: 1e-320, ScaleW: 1e-320, Coordinates: c, Linear: linear}
			for _, l := range cpu.Levels() {
				op, err := NewResizeF32(l, s)
				if err != nil {
					t.Fatal(err)
				}
				for _, x := range op.rows {
					if x.i0 < 0 || x.i1 < 0 || x.i0 > 2 || x.i1 > 2 || !(x.w1 >= 0 && x.w1 <= 1) {
						t.Fatalf("coordinates %d, linear %v: %+v", c, linear, x)
					}
				}
				op.Run(make([]float32, 4), make([]float32, 9), make([]byte, op.ScratchBytes()), 0, op.Units())
			}
		}
	}
}

func TestResizeF32Plane(t *testing.T) {
	// A linear resize reproduces a function that is linear in both directions.
	r := rand.New(rand.NewPCG(71, 72))
	for range 50 {
		s := ResizeShape{Batch: 2, InH: 2 + r.IntN(9), InW: 2 + r.IntN(9), OutH: 2 + r.IntN(20), OutW: 2 + r.IntN(20), C: 1 + r.IntN(5),
			Coordinates: AlignCorners, Linear: true}
		s.InStride, s.OutStride = s.C+r.IntN(2), s.C+r.IntN(2)
		src := make([]float32, s.Batch*s.InH*s.InW*s.InStride)
		f := func(b int, y, x float64, c int) float64 { return float64(b) + 2*y - 3*x + 0.5*x*y + 10*float64(c) }
		for i := range src {
			pixel := i / s.InStride
			src[i] = float32(f(pixel/s.InW/s.InH, float64(pixel/s.InW%s.InH), float64(pixel%s.InW), i%s.InStride))
		}
		op, err := NewResizeF32(cpu.Best(), s)
		if err != nil {
			t.Fatal(err)
		}
		dst := make([]float32, s.Batch*s.OutH*s.OutW*s.OutStride)
		op.Run(dst, src, make([]byte, op.ScratchBytes()), 0, op.Units())
		for i, got := range dst {
			pixel, c := i/s.OutStride, i%s.OutStride
			if c >= s.C {
				continue
			}
			y := float64(pixel/s.OutW%s.OutH) * float64(s.InH-1) / float64(s.OutH-1)
			x := float64(pixel%s.OutW) * float64(s.InW-1) / float64(s.OutW-1)
			if want := f(pixel/s.OutW/s.OutH, y, x, c); math.Abs(float64(got)-want) > 1e-3 {
				t.Fatalf("%+v: [%d] = %g, want %g", s, i, got, want)
			}
		}
	}
}
