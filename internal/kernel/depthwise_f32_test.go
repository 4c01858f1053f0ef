package kernel

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Rows of every length, around the bodies of the sweeps, with every border that the
// windows of fixed size take, against the kernel for any window of the portable level.
func TestDepthwiseRowsF32(t *testing.T) {
	r := rand.New(rand.NewPCG(111, 112))
	for _, kernel := range []int{3, 5} {
		for stride := 1; stride <= 2; stride++ {
			for out := 1; out <= 19; out++ {
				for pad := 0; pad <= kernel/2; pad++ {
					after := r.IntN(kernel/2 + 1)
					in := (out-1)*stride + kernel - pad - after
					if in < 1 {
						continue
					}
					channels := 2 + r.IntN(20)
					s := ConvShape{Batch: 1, InH: 4, InW: in, InC: channels, OutH: (4 + stride - 1) / stride, OutW: out, OutC: channels,
						KernelH: kernel, KernelW: kernel, StrideH: stride, StrideW: stride, DilationH: 1, DilationW: 1,
						PadTop: kernel / 2, PadLeft: pad, Groups: channels, InStride: channels, OutStride: channels, ResStride: channels}
					w, bias, src, res := normals(r, s.weightLen()), normals(r, channels), normals(r, s.inLen()), normals(r, s.resLen())
					var want []float32
					for _, l := range cpu.Levels() {
						c, err := NewConvF32(l, s, w, bias, Act{Kind: ActClamp, Lo: -4, Hi: 5}, true)
						if err != nil {
							t.Fatal(err)
						}
						got := make([]float32, s.outLen())
						c.Run(got, src, res, make([]byte, c.ScratchBytes()), 0, c.Units())
						if l == cpu.Generic {
							want = got
							continue
						}
						for i := range got {
							if d := math.Abs(float64(got[i] - want[i])); !(d <= 1e-5) {
								t.Fatalf("%v %d×%d stride %d: %d pixels of %d channels from %d, border %d and %d: value %d is %g, want %g",
									l, kernel, kernel, stride, out, channels, in, pad, after, i, got[i], want[i])
							}
						}
					}
				}
			}
		}
	}
}
