package engine

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

func mobileNet(b testing.TB, quantized bool) *graph.Graph {
	b.Helper()
	g, err := zoo.Build("mobilenetv2")
	if err != nil {
		b.Fatal(err)
	}
	if quantized {
		g = withQDQ(b, g, tensor.Uint8, random(1, 1, 3, 224, 224))
	}
	return g
}

// BenchmarkMobileNetV2 times runs of MobileNetV2 1.0/224 and reports the fastest.
func BenchmarkMobileNetV2(b *testing.B) {
	for _, quantized := range []bool{false, true} {
		g := mobileNet(b, quantized)
		name := "f32"
		if quantized {
			name = "int8"
		}
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				s := compile(b, g, Options{Threads: threads})
				in, out := []*tensor.Tensor{random(1, 1, 3, 224, 224)}, []*tensor.Tensor{tensor.New(tensor.Float32, 1, 1000)}
				best := time.Duration(1 << 62)
				for b.Loop() {
					start := time.Now()
					if err := s.RunInto(context.Background(), in, out); err != nil {
						b.Fatal(err)
					}
					best = min(best, time.Since(start))
				}
				b.ReportMetric(float64(best.Nanoseconds())/1e6, "min-ms")
				b.ReportMetric(float64(s.Plan().ArenaBytes()), "arena-bytes")
			})
		}
	}
}

// BenchmarkSteps prints the fastest time of each step of MobileNetV2.
func BenchmarkSteps(b *testing.B) {
	for _, quantized := range []bool{false, true} {
		s := compile(b, mobileNet(b, quantized), Options{})
		var best []StepTime
		for range 40 {
			times, err := s.Profile(context.Background(), []op.Value{random(1, 1, 3, 224, 224)})
			if err != nil {
				b.Fatal(err)
			}
			if best == nil {
				best = times
			}
			for i, st := range times {
				best[i].Duration = min(best[i].Duration, st.Duration)
			}
		}
		var total time.Duration
		for _, st := range best {
			total += st.Duration
			us := float64(st.Duration.Nanoseconds()) / 1e3
			fmt.Fprintf(os.Stdout, "%8.1f us %6.1f Gop/s  %-28s %s\n", us, 2e-3*float64(st.MACs)/us, st.Name, st.Kernel)
		}
		fmt.Fprintln(os.Stdout, total)
	}
}
