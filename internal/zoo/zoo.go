// Package zoo builds networks as graphs: the heartbeat classifier, which is trained and
// comes with its data, and architectures of the literature with their true shapes and
// seeded random weights, for measuring speed and memory where no trained file is at
// hand, and in another form for training them.
package zoo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// builder makes a form of a network from the options that follow its name after a hyphen,
// if given.
type builder func(f form, options string, given bool) (*graph.Graph, error)

// Network describes what Build makes of a name without options.
type Network struct {
	Name       string
	Source     string // paper, and whose details it follows
	Input      []int
	Parameters int   // with normalizations folded into the layers before them
	MACs       int64 // multiply-accumulates of one inference

	build builder
}

// Networks returns all there are.
func Networks() []Network { return slices.Clone(networks) }

var networks = []Network{
	{"heartbeat", "trained here on synthetic signals (McSharry et al. 2003)", []int{1, 1, 256}, 34_693, 2_272_736, fixed(heartbeat)},
	{"mobilenet1d", "after Howard et al. 2017, over one dimension", []int{1, 9, 128}, 69_638, 1_869_312, signal(128, mobileNet1D)},
	{"mobilenetv1", "Howard et al. 2017", []int{1, 3, 224, 224}, 4_221_032, 568_740_352, scalable(mobileNetV1)},
	{"mobilenetv2", "Sandler et al. 2018", []int{1, 3, 224, 224}, 3_487_816, 300_774_272, scalable(mobileNetV2)},
	{"mobilenetv3-large", "Howard et al. 2019, as in torchvision", []int{1, 3, 224, 224}, 5_470_832, 216_589_760, scalable(mobileNetV3Large.build("mobilenetv3-large"))},
	{"mobilenetv3-small", "Howard et al. 2019, as in torchvision", []int{1, 3, 224, 224}, 2_536_800, 56_510_400, scalable(mobileNetV3Small.build("mobilenetv3-small"))},
	{"efficientnet-b0", "Tan and Le 2019", []int{1, 3, 224, 224}, 5_267_540, 385_814_752, sized(224, efficientNet(0, false))},
	{"efficientnet-b1", "Tan and Le 2019", []int{1, 3, 240, 240}, 7_763_160, 686_802_832, sized(240, efficientNet(1, false))},
	{"efficientnet-b2", "Tan and Le 2019", []int{1, 3, 260, 260}, 9_076_210, 993_561_872, sized(260, efficientNet(2, false))},
	{"efficientnet-b3", "Tan and Le 2019", []int{1, 3, 300, 300}, 12_189_584, 1_827_141_392, sized(300, efficientNet(3, false))},
	{"efficientnet-b4", "Tan and Le 2019", []int{1, 3, 380, 380}, 19_279_016, 4_393_771_024, sized(380, efficientNet(4, false))},
	{"efficientnet-lite0", "Tan and Le 2019, lite of their repository", []int{1, 3, 224, 224}, 4_631_000, 385_187_552, sized(224, efficientNet(0, true))},
	{"efficientnet-lite1", "Tan and Le 2019, lite of their repository", []int{1, 3, 240, 240}, 5_389_848, 600_185_232, sized(240, efficientNet(1, true))},
	{"efficientnet-lite2", "Tan and Le 2019, lite of their repository", []int{1, 3, 260, 260}, 6_063_024, 859_736_272, sized(260, efficientNet(2, true))},
	{"efficientnet-lite3", "Tan and Le 2019, lite of their repository", []int{1, 3, 280, 280}, 8_158_760, 1_383_321_872, sized(280, efficientNet(3, true))},
	{"efficientnet-lite4", "Tan and Le 2019, lite of their repository", []int{1, 3, 300, 300}, 12_950_384, 2_553_034_336, sized(300, efficientNet(4, true))},
	{"resnet8", "MLPerf Tiny; after He et al. 2016", []int{1, 3, 32, 32}, 77_706, 12_501_632, sized(32, resNet{"resnet8", []int{1, 1, 1}, false}.cifar)},
	{"resnet20", "He et al. 2016, for CIFAR-10", []int{1, 3, 32, 32}, 271_690, 40_813_184, sized(32, resNet{"resnet20", []int{3, 3, 3}, false}.cifar)},
	{"resnet56", "He et al. 2016, for CIFAR-10", []int{1, 3, 32, 32}, 853_642, 125_747_840, sized(32, resNet{"resnet56", []int{9, 9, 9}, false}.cifar)},
	{"resnet18", "He et al. 2016", []int{1, 3, 224, 224}, 11_684_712, 1_814_073_344, sized(224, resNet{"resnet18", []int{2, 2, 2, 2}, false}.imageNet)},
	{"resnet50", "He et al. 2016, v1.5 as in torchvision", []int{1, 3, 224, 224}, 25_530_472, 4_089_184_256, sized(224, resNet{"resnet50", []int{3, 4, 6, 3}, true}.imageNet)},
	{"shufflenetv2", "Ma et al. 2018", []int{1, 3, 224, 224}, 2_270_514, 144_907_992, scalable(shuffleNetV2)},
	{"squeezenet1.1", "Iandola et al. 2016", []int{1, 3, 224, 224}, 1_235_496, 349_151_936, sized(224, squeezeNet)},
	{"lenet", "after LeCun et al. 1998", []int{1, 1, 28, 28}, 120_382, 1_700_520, fixed(leNet)},
	{"dscnn", "MLPerf Tiny; after Zhang et al. 2017", []int{1, 1, 49, 10}, 22_604, 2_656_768, fixed(dsCNN)},
	{"kws-8k", "the same over log-mel energies that it computes", []int{1, 8000}, 98_420, 14_337_792, fixed(keyword(8000))},
	{"kws-16k", "the same over log-mel energies that it computes", []int{1, 16000}, 305_268, 24_473_344, fixed(keyword(16000))},
	{"dcnn", "after Li, Ding and Sun 2018", []int{1, 14, 30}, 45_372, 1_356_700, signal(30, lifetime)},
	{"autoencoder", "MLPerf Tiny", []int{1, 640}, 265_864, 264_192, signal(640, autoencoder)},
	{"encoder", "Vaswani et al. 2017, as PyTorch exports it", []int{1, 128, 512}, 3_152_384, 419_430_400, fixed(encoder)},
}

// Trained reports whether the network that Build makes of a name comes with trained weights,
// where others have seeded random ones.
func Trained(name string) bool { return name == "heartbeat" }

// Names returns the names that Build takes, without the optional suffixes.
func Names() []string {
	out := make([]string, len(networks))
	for i, n := range networks {
		out[i] = n.Name
	}
	return out
}

// NameError says that Build makes nothing of a name.
type NameError struct{ err error }

func (e *NameError) Error() string { return e.err.Error() }
func (e *NameError) Unwrap() error { return e.err }

// Build returns the network of a name, one of Names with options after a hyphen: a width
// multiplier and a resolution for MobileNets and ShuffleNet, as in "mobilenetv2-0.35" and
// "mobilenetv2-1.0-192"; a resolution for the others that classify images.
func Build(name string) (*graph.Graph, error) { return build(name, form{}) }

func build(name string, f form) (*graph.Graph, error) {
	for _, n := range networks {
		rest, ok := strings.CutPrefix(name, n.Name)
		if !ok || rest != "" && rest[0] != '-' {
			continue
		}
		g, err := n.build(f, strings.TrimPrefix(rest, "-"), rest != "")
		if err == nil {
			return g, nil
		}
		if !strings.HasPrefix(err.Error(), "zoo: ") {
			err = fmt.Errorf("zoo: %s: %w", name, err)
		}
		return nil, &NameError{err}
	}
	return nil, &NameError{fmt.Errorf("zoo: no network %q; there are %s", name, strings.Join(Names(), ", "))}
}
