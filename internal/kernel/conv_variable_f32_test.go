package kernel

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// TestVariableConvF32 holds a convolution whose weights come late against the one that has
// them from the start: the same kernels must give the same bits.
func TestVariableConvF32(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	for i := range 60 {
		s := randomShape(r)
		if i%6 == 0 {
			s = winogradShape(r, 2+i%12/3)
		}
		w, bias, src := normals(r, s.weightLen()), normals(r, s.OutC), normals(r, s.inLen())
		for _, l := range cpu.Levels() {
			c, err := NewConvF32(l, s, w, bias, Act{}, false, ChannelsFirst(), Winograd())
			if err != nil {
				t.Fatal(err)
			}
			v, err := NewVariableConvF32(l, s, false, Winograd())
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]float32, s.outLen()), make([]float32, s.outLen())
			scratch, packed := make([]byte, max(c.ScratchBytes(), v.ScratchBytes())+64), normals(r, v.PackedLen())
			c.Run(want, src, nil, scratch, 0, c.Units())
			v.Pack(packed, w, bias)
			v.Run(got, src, packed, scratch, 0, v.Units())
			near := func(a, b float32) bool { return math.Abs(float64(a-b)) < 1e-4*(1+math.Abs(float64(b))) }
			if !slices.Equal(got, want) && !(c.UsesWinograd() && slices.EqualFunc(got, want, near)) {
				t.Fatalf("%v %+v: the results differ", l, s)
			}
		}
	}
}

// TestGradientsByInput holds both ways back through a convolution against the definition.
func TestGradientsByInput(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for i := range 60 {
		s := randomShape(r)
		if i%6 == 0 {
			s = winogradShape(r, 2+i%12/3)
		}
		if r.IntN(2) == 0 {
			s.OutC, s.Groups = s.InC, s.InC
			s.OutStride, s.ResStride = s.OutC+r.IntN(2), 0
		}
		w, dy := normals(r, s.weightLen()), normals(r, s.outLen())
		want := inputGradient(s, w, dy)
		same := func(what string, got []float32) {
			t.Helper()
			for p := range s.Batch * s.InH * s.InW {
				for i := range s.InC {
					if a, b := float64(got[p*s.InStride+i]), want[p*s.InC+i]; math.Abs(a-b) > 1e-4*(1+math.Abs(b)) {
						t.Fatalf("%s %+v: pixel %d channel %d is %v, want %v", what, s, p, i, a, b)
					}
				}
			}
		}
		for _, l := range cpu.Levels() {
			if s.depthwise() {
				d, err := NewDepthwiseBackF32(l, s)
				if err != nil {
					t.Fatal(err)
				}
				turned, dx := normals(r, d.WeightsLen()), normals(r, s.inLen())
				d.Turn(turned, w)
				d.Run(dx, dy, turned, 0, d.Units())
				same("depthwise", dx)
			}
			if strided := s; s.Groups == 1 && s.DilationH == 1 && s.DilationW == 1 {
				strided.InH, strided.InW = roundUp(s.InH, s.StrideH), roundUp(s.InW, s.StrideW)
				strided.InStride = strided.InC
				b, err := NewStridedBackF32(l, strided)
				if err != nil {
					t.Fatal(err)
				}
				packed, dx := normals(r, b.PackedLen()), normals(r, strided.inLen())
				b.Pack(packed, w)
				scratch := make([]byte, b.ScratchBytes()+64)
				for u := range b.Units() {
					b.Run(dx, dy, packed, scratch, u, u+1)
				}
				for i, v := range inputGradient(strided, w, dy) {
					if math.Abs(float64(dx[i])-v) > 1e-4*(1+math.Abs(v)) {
						t.Fatalf("strided %+v: element %d is %v, want %v", strided, i, dx[i], v)
					}
				}
			}
			back := s
			back.InH, back.InW, back.InC, back.InStride, back.OutH, back.OutW, back.OutC, back.OutStride = s.OutH, s.OutW, s.OutC, s.OutStride, s.InH, s.InW, s.InC, s.InStride
			back.PadTop, back.PadLeft = (s.KernelH-1)*s.DilationH-s.PadTop, (s.KernelW-1)*s.DilationW-s.PadLeft
			back.ResStride = 0
			if s.StrideH != 1 || s.StrideW != 1 || back.PadTop < 0 || back.PadLeft < 0 {
				continue
			}
			v, err := NewVariableConvF32(l, back, true, Winograd())
			if err != nil {
				t.Fatal(err)
			}
			packed, dx := normals(r, v.PackedLen()), make([]float32, s.inLen())
			v.Pack(packed, w, nil)
			v.Run(dx, dy, packed, make([]byte, v.ScratchBytes()+64), 0, v.Units())
			same("flipped", dx)
		}
	}
}

// inputGradient is the definition in float64; pixels are dense.
func inputGradient(s ConvShape, w, dy []float32) []float64 {
	per, perOut := s.InC/s.Groups, s.OutC/s.Groups
	dx := make([]float64, s.Batch*s.InH*s.InW*s.InC)
	for n := range s.Batch {
		for oy := range s.OutH {
			for ox := range s.OutW {
				for t := range s.KernelH * s.KernelW {
					iy, ix := oy*s.StrideH+t/s.KernelW*s.DilationH-s.PadTop, ox*s.StrideW+t%s.KernelW*s.DilationW-s.PadLeft
					if iy < 0 || iy >= s.InH || ix < 0 || ix >= s.InW {
						continue
					}
					for m := range s.OutC {
						d := float64(dy[((n*s.OutH+oy)*s.OutW+ox)*s.OutStride+m])
						for i := range per {
							dx[((n*s.InH+iy)*s.InW+ix)*s.InC+m/perOut*per+i] += d * float64(w[(m*per+i)*s.KernelH*s.KernelW+t])
						}
					}
				}
			}
		}
	}
	return dx
}
