package zoo

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

var networksBuilt = map[string]*graph.Graph{}

// built returns a network that tests share and leave as it is.
func built(t *testing.T, name string) *graph.Graph {
	t.Helper()
	if networksBuilt[name] == nil {
		g, err := Build(name)
		if err != nil {
			t.Fatal(err)
		}
		networksBuilt[name] = g
	}
	return networksBuilt[name]
}

// tooLarge says whether a network is left out of a short run of the tests.
func tooLarge(name string) bool {
	return testing.Short() && slices.ContainsFunc(networks, func(n Network) bool {
		return n.MACs > 600e6 && (n.Name == name || strings.HasPrefix(name, n.Name+"-"))
	})
}

// cost returns the number of constants' elements and of multiply-accumulates of Conv,
// Gemm and MatMul, the measure of the papers.
func cost(t *testing.T, g *graph.Graph) (parameters int, macs int64) {
	t.Helper()
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Constants() {
		if c.Const.DType() == tensor.Float32 && c.Const.Rank() > 0 {
			parameters += c.Const.Len()
		}
	}
	for _, n := range g.Nodes {
		out, ok := n.Out(0).Type.Static()
		if !ok {
			t.Fatalf("%s has type %s", n, n.Out(0).Type)
		}
		size := 1
		for _, d := range out {
			size *= d
		}
		switch n.Op {
		case "Conv", "Gemm":
			macs += int64(size / out[1] * n.In(1).Const.Len())
		case "MatMul":
			in, _ := n.In(0).Type.Static()
			macs += int64(size * in[len(in)-1])
		}
	}
	return parameters, macs
}

// normalized returns the channels whose batch normalization is folded: those of all
// convolutions outside squeeze-and-excite.
func normalized(g *graph.Graph) (channels int) {
	for _, n := range g.Nodes {
		if n.Is("Conv") && !strings.Contains(n.Name, "_se_") {
			channels += n.In(2).Const.Len()
		}
	}
	return channels
}

// Parameters are those of torchvision, of its forks for the lite models (timm) and for
// CIFAR-10 (chenyaofo/pytorch-cifar-models), which count two for each normalized channel
// where the folded form has one. Multiply-accumulates in millions are those of the same
// sources or of the paper, where they have as many digits as given here.
//
// The authors of the lite models also count what is not a product, some 5 %.
func TestCostIsThatOfThePublishedModels(t *testing.T) {
	const lite = -1
	for _, c := range []struct {
		name           string
		parameters     int
		macs, distance float64
	}{
		{"mobilenetv2", 3_504_872, 301, 1},
		{"mobilenetv3-large", 5_483_032, 217, 1},
		{"mobilenetv3-small", 2_542_856, 57, 1},
		{"efficientnet-b0", 5_288_548, 386, 1},
		{"efficientnet-b1", 7_794_184, 687, 1},
		{"efficientnet-b2-288", 9_109_994, 1088, 1},
		{"efficientnet-b3", 12_233_232, 1827, 1},
		{"efficientnet-b4", 19_341_616, 4394, 1},
		{"efficientnet-lite0", 4_652_008, 407, lite},
		{"efficientnet-lite1", 5_416_680, 631, lite},
		{"efficientnet-lite2", 6_092_072, 899, lite},
		{"efficientnet-lite3", 8_197_096, 1440, lite},
		{"efficientnet-lite4", 13_006_568, 2640, lite},
		{"resnet20", 272_474, 40.81, 0.1},
		{"resnet56", 855_770, 125.75, 0.1},
		{"resnet18", 11_689_512, 1814, 1},
		{"resnet50", 25_557_032, 4089, 1},
		{"shufflenetv2-0.5", 1_366_792, 40, 1},
		{"shufflenetv2", 2_278_604, 145, 1},
		{"shufflenetv2-1.5", 3_503_624, 296, 1},
		{"shufflenetv2-2", 7_393_996, 583, 1},
	} {
		if tooLarge(c.name) {
			continue
		}
		g := built(t, c.name)
		parameters, macs := cost(t, g)
		if parameters += normalized(g); parameters != c.parameters {
			t.Errorf("%s has %d parameters, want %d", c.name, parameters, c.parameters)
		}
		distance := c.distance
		if distance == lite {
			distance = 0.06 * c.macs
		}
		if m := float64(macs) / 1e6; math.Abs(m-c.macs) > distance {
			t.Errorf("%s has %.2f M multiply-accumulates, want %g", c.name, m, c.macs)
		}
	}
}

// Keras counts four for each normalized channel. The parameters of MobileNet are those of
// keras.applications, multiply-accumulates those of the paper; the sources of the others
// are the models of MLPerf Tiny.
func TestCostIsThatOfTheModelsInKeras(t *testing.T) {
	for _, c := range []struct {
		name       string
		parameters int
		macs, unit float64 // millions
	}{
		{"mobilenetv1", 4_253_864, 569, 1},
		{"mobilenetv1-0.75", 2_601_976, 325, 1},
		{"mobilenetv1-0.5", 1_342_536, 149, 1},
		{"mobilenetv1-0.25", 475_544, 41, 1},
		{"dscnn", 24_908, 2.66, 0.01},
	} {
		g := built(t, c.name)
		parameters, macs := cost(t, g)
		// A bias of the convolution before the normalization remains as such.
		each := 3
		if c.name == "dscnn" {
			each = 4
		}
		if parameters += each * normalized(g); parameters != c.parameters {
			t.Errorf("%s has %d parameters, want %d", c.name, parameters, c.parameters)
		}
		if m := float64(macs) / 1e6; math.Abs(m-c.macs) > c.unit {
			t.Errorf("%s has %.2f M multiply-accumulates, want %g", c.name, m, c.macs)
		}
	}
}

// Without any normalization to unfold: SqueezeNet of torchvision, and the models of
// MLPerf Tiny less the four values a channel that Keras counts for normalization.
func TestCostOfNetworksWithBiases(t *testing.T) {
	for _, c := range []struct {
		name       string
		parameters int
		macs, unit float64 // millions
	}{
		{"squeezenet1.1", 1_235_496, 349, 1},
		{"resnet8", 78_666 - 4*(3*16+2*32+2*64), 12.50, 0.01},
		{"autoencoder", 269_992 - 4*(8*128+8), 0.264, 0.001},
	} {
		parameters, macs := cost(t, built(t, c.name))
		if parameters != c.parameters {
			t.Errorf("%s has %d parameters, want %d", c.name, parameters, c.parameters)
		}
		if m := float64(macs) / 1e6; math.Abs(m-c.macs) > c.unit {
			t.Errorf("%s has %.3f M multiply-accumulates, want %g", c.name, m, c.macs)
		}
	}
}

// torch.nn.TransformerEncoderLayer(512, 8) has that many parameters; the products follow
// from the shapes.
func TestEncoderCost(t *testing.T) {
	parameters, macs := cost(t, built(t, "encoder"))
	if want := 128*(512*1536+512*512+2*512*2048) + 2*128*128*512; macs != int64(want) {
		t.Errorf("%d multiply-accumulates, want %d", macs, want)
	}
	if parameters != 3_152_384 {
		t.Errorf("%d parameters", parameters)
	}
}
