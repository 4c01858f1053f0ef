package zoo

import (
	"hash/fnv"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// cost returns the number of constants' elements and of multiply-accumulates of Conv and
// Gemm, the measure of the paper.
func cost(t *testing.T, g *graph.Graph) (parameters, macs int) {
	t.Helper()
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Constants() {
		if c.Const.Rank() > 0 {
			parameters += c.Const.Len()
		}
	}
	for _, n := range g.Nodes {
		if !n.Is("Conv") && !n.Is("Gemm") {
			continue
		}
		out, ok := n.Out(0).Type.Static()
		if !ok {
			t.Fatalf("%s has type %s", n, n.Out(0).Type)
		}
		positions := 1
		for i, d := range out {
			if i != 1 {
				positions *= d
			}
		}
		macs += positions * n.In(1).Const.Len()
	}
	return parameters, macs
}

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
		"mobilenetv2-1.0-", "mobilenetv2-1.0-100", "mobilenetv2-1e9", "mobilenetv2-1.0-99999936", "mobilenetv2--1"} {
		if g, err := Build(name); err == nil {
			t.Errorf("Build(%q) made %s", name, g.Name)
		}
	}
	for _, name := range Names() {
		if _, err := Build(name); err != nil {
			t.Error(err)
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

// Activations before ReLU6 stay near zero mean and unit spread on images that the
// statistics were not taken from, and the scores tell these images apart.
func TestSeededNetworkIsNotDegenerate(t *testing.T) {
	g, err := MobileNetV2(0.35, probeSize)
	if err != nil {
		t.Fatal(err)
	}
	x := newProbe(rand.New(rand.NewPCG(99, 0)), 3)
	values := map[*graph.Value]probe{g.Inputs[0]: x}
	var scores []float32
	for _, n := range g.Nodes {
		in := values[n.Inputs[0]]
		switch n.Op {
		case "Conv":
			w := n.Inputs[1].Const
			out := in.conv(w.F32(), w.Dim(0), w.Dim(2), int(n.Attrs.Ints("strides")[0]), n.Attrs.Int("group", 1) > 1)
			var spread float64
			for c := range out.channels {
				out.affine(c, 1, n.Inputs[2].Const.F32()[c])
				mean, deviation := out.statistics(c)
				spread += mean*mean + deviation*deviation
			}
			if rms := math.Sqrt(spread / float64(out.channels)); rms < 0.4 || rms > 2.5 {
				t.Errorf("%s: root mean square of the activations is %.2f", n, rms)
			}
			values[n.Outputs[0]] = out
		case "Clip":
			out := probe{make([]float32, len(in.data)), in.channels, in.size}
			for i, v := range in.data {
				out.data[i] = min(max(v, 0), 6)
			}
			values[n.Outputs[0]] = out
		case "Add":
			out := probe{make([]float32, len(in.data)), in.channels, in.size}
			for i, v := range values[n.Inputs[1]].data {
				out.data[i] = in.data[i] + v
			}
			values[n.Outputs[0]] = out
		case "GlobalAveragePool":
			scores = in.pool()
		case "Gemm":
			scores = gemm(scores, n.Inputs[1].Const.F32(), n.Inputs[2].Const.F32())
		}
	}
	winners := map[int]bool{}
	for image := range probeImages {
		s := scores[image*mobileNetClasses:][:mobileNetClasses]
		best := 0
		for c, v := range s {
			if v > s[best] {
				best = c
			}
		}
		winners[best] = true
		if s[best] > 60 || s[best] < 1 {
			t.Errorf("best score of image %d is %g", image, s[best])
		}
	}
	if len(winners) < 4 {
		t.Errorf("%d images fall into %d classes", probeImages, len(winners))
	}
}

// gemm returns x·wᵀ + bias for x [probeImages][k] and w [len(bias)][k].
func gemm(x, w, bias []float32) []float32 {
	k := len(w) / len(bias)
	var out []float32
	for image := range probeImages {
		for c, b := range bias {
			out = append(out, dot(x[image*k:(image+1)*k], w[c*k:(c+1)*k])+b)
		}
	}
	return out
}

func BenchmarkBuildMobileNetV2(b *testing.B) {
	for b.Loop() {
		if _, err := Build("mobilenetv2"); err != nil {
			b.Fatal(err)
		}
	}
}
