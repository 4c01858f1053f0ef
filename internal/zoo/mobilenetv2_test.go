package zoo

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Millions, as in the authors' list of checkpoints, which has the 300 M of Table 4 of the
// paper and is whole-numbered for multiply-accumulates.
func TestMobileNetV2CostIsThatOfThePaper(t *testing.T) {
	for _, c := range []struct {
		name             string
		parameters, macs float64
	}{
		{"mobilenetv2", 3.47, 300},
		{"mobilenetv2-1.4", 6.06, 582},
		{"mobilenetv2-0.75", 2.61, 209},
		{"mobilenetv2-0.5-160", 1.95, 50},
		{"mobilenetv2-0.35-96", 1.66, 11},
	} {
		g, err := Build(c.name)
		if err != nil {
			t.Fatal(err)
		}
		p, m := cost(t, g)
		parameters, macs := float64(p)/1e6, float64(m)/1e6
		if math.Abs(parameters/c.parameters-1) > 0.02 || math.Abs(macs-c.macs) > max(1, 0.01*c.macs) {
			t.Errorf("%s has %.2f M parameters and %.1f M multiply-accumulates, want %.2f and %.0f",
				c.name, parameters, macs, c.parameters, c.macs)
		}
	}
}

func TestDivisibleByEight(t *testing.T) {
	for in, want := range map[float64]int{32 * 0.35: 16, 16 * 0.35: 8, 24 * 0.75: 24, 24 * 0.5: 16, 32: 32, 96 * 1.4: 136, 3: 8} {
		if got := divisible(in); got != want {
			t.Errorf("divisible(%g) = %d, want %d", in, got, want)
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, name := range []string{"", "resnet", "heartbeat-2", "mobilenetv2-", "mobilenetv2-x", "mobilenetv2-NaN",
		"mobilenetv2-1.0-", "mobilenetv2-1.0-100", "mobilenetv2-1e9", "mobilenetv2-1.0-99999936", "mobilenetv2--1",
		"mobilenetv3", "efficientnet-b9", "efficientnet-b0-", "resnet50-16", "resnet500", "encoder-3"} {
		if g, err := Build(name); err == nil {
			t.Errorf("Build(%q) made %s", name, g.Name)
		}
	}
}

// The same weights everywhere: the checksum is of every constant's bytes.
func TestWeightsAreReproducible(t *testing.T) {
	g, err := MobileNetV2(0.35, 96)
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	for _, c := range g.Constants() {
		h.Write(c.Const.Bytes())
	}
	const want uint64 = 0x51e1c9305e80f50d
	if got := h.Sum64(); got != want {
		t.Errorf("checksum of the weights is %#x, want %#x", got, want)
	}
}

// Activations before ReLU6 keep a spread of about one on images that the statistics were
// not taken from, and the scores tell these images apart.
func TestSeededNetworkIsNotDegenerate(t *testing.T) {
	g, err := MobileNetV2(0.35, probeSize)
	if err != nil {
		t.Fatal(err)
	}
	images := newProbe(rand.New(rand.NewPCG(99, 0)), 3, probeSize, probeSize)
	winners := map[int]bool{}
	squares, elements := map[*graph.Node]float64{}, map[*graph.Node]int{}
	for image := range probeImages {
		x := tensor.New(tensor.Float32, 1, 3, probeSize, probeSize)
		for c := range 3 {
			copy(x.F32()[c*probeSize*probeSize:], images.plane(c, image))
		}
		out, err := interp.Observe(t.Context(), g, []op.Value{x}, func(n *graph.Node, out []op.Value) {
			if !n.Is("Conv") {
				return
			}
			for _, v := range out[0].(*tensor.Tensor).F32() {
				squares[n] += float64(v) * float64(v)
				elements[n]++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		scores := out[0].(*tensor.Tensor).F32()
		best := argmax(scores)
		winners[best] = true
		if scores[best] > 60 || scores[best] < 1 {
			t.Errorf("best score of image %d is %g", image, scores[best])
		}
	}
	if len(winners) < 4 {
		t.Errorf("%d images fall into %d classes", probeImages, len(winners))
	}
	if len(squares) != 52 {
		t.Errorf("%d convolutions", len(squares))
	}
	for n, sum := range squares {
		if rms := math.Sqrt(sum / float64(elements[n])); rms < 0.4 || rms > 2.5 {
			t.Errorf("%s: root mean square of the activations is %.2f", n, rms)
		}
	}
}

func argmax(v []float32) int {
	best := 0
	for i, x := range v {
		if x > v[best] {
			best = i
		}
	}
	return best
}

func BenchmarkBuildMobileNetV2(b *testing.B) {
	for b.Loop() {
		if _, err := Build("mobilenetv2"); err != nil {
			b.Fatal(err)
		}
	}
}
