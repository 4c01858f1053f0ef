package engine

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// BenchmarkMobileNetV2 times one run of MobileNetV2 1.0/224.
func BenchmarkMobileNetV2(b *testing.B) {
	g, err := zoo.Build("mobilenetv2")
	if err != nil {
		b.Fatal(err)
	}
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("f32/threads=%d", threads), func(b *testing.B) {
			s := compile(b, g, Options{Threads: threads})
			in, out := []*tensor.Tensor{random(1, 1, 3, 224, 224)}, []*tensor.Tensor{tensor.New(tensor.Float32, 1, 1000)}
			for b.Loop() {
				if err := s.RunInto(context.Background(), in, out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.Plan().ArenaBytes()), "arena-bytes")
		})
	}
}

func TestDumpMobileNet(t *testing.T) {
	if os.Getenv("DUMP") == "" {
		t.Skip()
	}
	g, _ := zoo.Build("mobilenetv2")
	s := compile(t, g, Options{})
	s.Plan().Dump(os.Stdout)
	best := make([]StepTime, 0)
	for range 30 {
		p, err := s.Profile(context.Background(), []op.Value{random(1, 1, 3, 224, 224)})
		if err != nil {
			t.Fatal(err)
		}
		if len(best) == 0 {
			best = p
		}
		for i := range p {
			best[i].Duration = min(best[i].Duration, p[i].Duration)
		}
	}
	var sum int64
	for _, b := range best {
		fmt.Printf("%8.1f us %8.1f GF %s %s\n", float64(b.Duration.Nanoseconds())/1e3, 2*float64(b.MACs)/float64(b.Duration.Nanoseconds()), b.Name, b.Kernel)
		sum += b.Duration.Nanoseconds()
	}
	fmt.Println(sum)
}
