package zoo

import (
	"math"
	"testing"
)

// The figures of the papers themselves, in millions, beside those of cost_test.go that
// have every digit. A figure may be off by what rounding took; where it is off by more,
// the reason stands beside it. Parameters count two for each normalized channel; 0 is
// where the paper has no figure.
func TestCostIsThatOfThePapers(t *testing.T) {
	for _, c := range []struct {
		name           string
		parameters, by float64
		macs, distance float64
		source         string
	}{
		{"mobilenetv1", 4.2, 0.05, 569, 0.5, "Howard et al. 2017, table 6"},
		{"mobilenetv1-0.75", 2.6, 0.05, 325, 0.5, "the same"},
		{"mobilenetv1-0.5", 1.3, 0.05, 149, 0.5, "the same"},
		{"mobilenetv1-0.25", 0.5, 0.05, 41, 0.5, "the same"},
		{"mobilenetv1-1-192", 4.2, 0.05, 418, 0.5, "the same, table 7"},
		{"mobilenetv1-1-128", 4.2, 0.05, 186, 0.5, "the same, table 7"},
		// The authors' code has 3.47 without the shifts of normalizations.
		{"mobilenetv2", 3.4, 0.11, 300, 1, "Sandler et al. 2018, table 4"},
		// Hidden layers and squeezed widths are torchvision's, which rounds them otherwise.
		{"mobilenetv3-large", 5.4, 0.09, 219, 3, "Howard et al. 2019, table 3"},
		{"mobilenetv3-small", 2.5, 0.05, 56, 1, "the same"},
		// The table rounds to two or three digits from counts that include some sums.
		{"efficientnet-b0", 5.3, 0.05, 390, 5, "Tan and Le 2019, table 2"},
		{"efficientnet-b1", 7.8, 0.05, 700, 14, "the same"},
		{"efficientnet-b2", 9.2, 0.1, 1000, 50, "the same"},
		{"efficientnet-b3", 12, 0.5, 1800, 50, "the same"},
		{"efficientnet-b4", 19, 0.5, 4200, 200, "the same"},
		// Those of the lite models count sums too, some 5 %.
		{"efficientnet-lite0", 4.7, 0.05, 407, 25, "the authors' repository"},
		{"efficientnet-lite1", 5.4, 0.05, 631, 35, "the same"},
		{"efficientnet-lite2", 6.1, 0.05, 899, 45, "the same"},
		{"efficientnet-lite3", 8.2, 0.05, 1440, 60, "the same"},
		{"efficientnet-lite4", 13.0, 0.05, 2640, 90, "the same"},
		{"resnet20", 0.27, 0.005, 0, 0, "He et al. 2016, table 6"},
		{"resnet56", 0.85, 0.006, 0, 0, "the same"},
		{"resnet18", 0, 0, 1800, 50, "the same, table 1"},
		// The stride stands at the 3×3 convolution, which costs 7 % more.
		{"resnet50", 0, 0, 3800, 300, "the same, table 1"},
		// The table counts sums and pooling too, some 1 %.
		{"shufflenetv2-0.5", 1.4, 0.05, 41, 1, "Ma et al. 2018, table 8"},
		{"shufflenetv2", 2.3, 0.05, 146, 2, "the same"},
		{"shufflenetv2-1.5", 3.5, 0.05, 299, 4, "the same"},
		{"shufflenetv2-2", 7.4, 0.05, 591, 9, "the same"},
		{"squeezenet1.1", 1.24, 0.005, 0, 0, "Iandola et al. 2016, authors' repository"},
		{"dscnn", 0, 0, 2.7, 0.05, "Zhang et al. 2017, table 5: 5.4 million operations"},
	} {
		if tooLarge(c.name) {
			continue
		}
		g := built(t, c.name)
		p, m := cost(t, g)
		if c.name != "squeezenet1.1" {
			p += normalized(g)
		}
		parameters, macs := float64(p)/1e6, float64(m)/1e6
		if c.parameters > 0 && math.Abs(parameters-c.parameters) > c.by {
			t.Errorf("%s has %.3f M parameters, %s says %g", c.name, parameters, c.source, c.parameters)
		}
		if c.macs > 0 && math.Abs(macs-c.macs) > c.distance {
			t.Errorf("%s has %.2f M multiply-accumulates, %s says %g", c.name, macs, c.source, c.macs)
		}
	}
}
