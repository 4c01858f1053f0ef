// Package zoo builds networks as graphs: the heartbeat classifier, which is trained and
// comes with its data, and architectures of the literature with their true shapes and
// seeded random weights, for measuring speed and memory where no trained file is at
// hand.
package zoo

import (
	"fmt"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// builder makes a network from the options that follow its name after a hyphen, if given.
type builder func(options string, given bool) (*graph.Graph, error)

// networks lists all there are. A name that begins with another one stands before it.
var networks = []struct {
	name, source string
	build        builder
}{
	{"heartbeat", "trained here on synthetic signals (McSharry et al. 2003)", fixed(Heartbeat)},
	{"mobilenet1d", "after Howard et al. 2017, over one dimension", fixed(mobileNet1D)},
	{"mobilenetv1", "Howard et al. 2017", scalable(mobileNetV1)},
	{"mobilenetv2", "Sandler et al. 2018", scalable(MobileNetV2)},
	{"mobilenetv3-large", "Howard et al. 2019, as in torchvision", scalable(mobileNetV3Large.build("mobilenetv3-large"))},
	{"mobilenetv3-small", "Howard et al. 2019, as in torchvision", scalable(mobileNetV3Small.build("mobilenetv3-small"))},
	{"efficientnet-b0", "Tan and Le 2019", sized(224, efficientNet(0, false))},
	{"efficientnet-b1", "Tan and Le 2019", sized(240, efficientNet(1, false))},
	{"efficientnet-b2", "Tan and Le 2019", sized(260, efficientNet(2, false))},
	{"efficientnet-b3", "Tan and Le 2019", sized(300, efficientNet(3, false))},
	{"efficientnet-b4", "Tan and Le 2019", sized(380, efficientNet(4, false))},
	{"efficientnet-lite0", "Tan and Le 2019, lite of their repository", sized(224, efficientNet(0, true))},
	{"efficientnet-lite1", "Tan and Le 2019, lite of their repository", sized(240, efficientNet(1, true))},
	{"efficientnet-lite2", "Tan and Le 2019, lite of their repository", sized(260, efficientNet(2, true))},
	{"efficientnet-lite3", "Tan and Le 2019, lite of their repository", sized(280, efficientNet(3, true))},
	{"efficientnet-lite4", "Tan and Le 2019, lite of their repository", sized(300, efficientNet(4, true))},
	{"resnet8", "MLPerf Tiny; after He et al. 2016", fixed(resNet{"resnet8", []int{1, 1, 1}, false}.cifar)},
	{"resnet20", "He et al. 2016, for CIFAR-10", fixed(resNet{"resnet20", []int{3, 3, 3}, false}.cifar)},
	{"resnet56", "He et al. 2016, for CIFAR-10", fixed(resNet{"resnet56", []int{9, 9, 9}, false}.cifar)},
	{"resnet18", "He et al. 2016", sized(224, resNet{"resnet18", []int{2, 2, 2, 2}, false}.imageNet)},
	{"resnet50", "He et al. 2016, v1.5 as in torchvision", sized(224, resNet{"resnet50", []int{3, 4, 6, 3}, true}.imageNet)},
	{"shufflenetv2", "Ma et al. 2018", scalable(shuffleNetV2)},
	{"squeezenet1.1", "Iandola et al. 2016", sized(224, squeezeNet)},
	{"dscnn", "MLPerf Tiny; after Zhang et al. 2017", fixed(dsCNN)},
	{"autoencoder", "MLPerf Tiny", fixed(autoencoder)},
	{"encoder", "Vaswani et al. 2017, as PyTorch exports it", fixed(encoder)},
}

// Names returns the names that Build takes, without the optional suffixes.
func Names() []string {
	out := make([]string, len(networks))
	for i, n := range networks {
		out[i] = n.name
	}
	return out
}

// Build returns the network of a name, one of Names with options after a hyphen: a width
// multiplier and a resolution for MobileNets and ShuffleNet, as in "mobilenetv2-0.35" and
// "mobilenetv2-1.0-192"; a resolution for the others that classify ImageNet.
func Build(name string) (*graph.Graph, error) {
	for _, n := range networks {
		rest, ok := strings.CutPrefix(name, n.name)
		if !ok || rest != "" && rest[0] != '-' {
			continue
		}
		g, err := n.build(strings.TrimPrefix(rest, "-"), rest != "")
		if err != nil && !strings.HasPrefix(err.Error(), "zoo: ") {
			err = fmt.Errorf("zoo: %s: %w", name, err)
		}
		return g, err
	}
	return nil, fmt.Errorf("zoo: no network %q; there are %s", name, strings.Join(Names(), ", "))
}
