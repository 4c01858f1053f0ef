package zoo

import (
	"hash/fnv"
	"math"
	"testing"
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
	g, err := Build("mobilenetv2-0.35-96")
	if err != nil {
		t.Fatal(err)
	}
	h := fnv.New64a()
	for _, c := range g.Constants() {
		h.Write(c.Const.Bytes())
	}
	const want uint64 = 0xd086c326d3296549
	if got := h.Sum64(); got != want {
		t.Errorf("checksum of the weights is %#x, want %#x", got, want)
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
