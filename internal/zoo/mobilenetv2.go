package zoo

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// parseVariant reads "width" or "width-resolution".
func parseVariant(s string) (width float64, resolution int, err error) {
	w, r, both := strings.Cut(s, "-")
	if width, err = strconv.ParseFloat(w, 64); err != nil {
		return 0, 0, fmt.Errorf("width multiplier %q is not a number", w)
	}
	if !both {
		return width, 224, nil
	}
	if resolution, err = strconv.Atoi(r); err != nil {
		return 0, 0, fmt.Errorf("resolution %q is not a number", r)
	}
	return width, resolution, nil
}

// bottlenecks is Table 2 of the paper: expansion t, output channels c, repeats n, stride
// s of the first.
var bottlenecks = []struct{ t, c, n, s int }{
	{1, 16, 1, 1},
	{6, 24, 2, 2},
	{6, 32, 3, 2},
	{6, 64, 4, 2},
	{6, 96, 3, 1},
	{6, 160, 3, 2},
	{6, 320, 1, 1},
}

const (
	mobileNetClasses = 1000
	mobileNetSeed    = 2018
)

// MobileNetV2 returns the network of M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and
// L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, with
// its batch normalizations folded into the convolutions and ReLU6 as Clip: input "image"
// float32 [1,3,resolution,resolution] with values in [-1,1], output "scores" float32
// [1,1000]. The width must be in [0.1, 2], the resolution a multiple of 32 up to 1024.
//
// Convolutions are padded alike on all sides. The weights are random but fixed; see
// seeded for what makes them behave like trained ones.
func MobileNetV2(width float64, resolution int) (*graph.Graph, error) {
	if !(width >= 0.1 && width <= 2) {
		return nil, fmt.Errorf("zoo: mobilenetv2: width multiplier %g is not in [0.1, 2]", width)
	}
	if resolution < 32 || resolution > 1024 || resolution%32 != 0 {
		return nil, fmt.Errorf("zoo: mobilenetv2: resolution %d is not a multiple of 32 in [32, 1024]", resolution)
	}
	g := graph.New(fmt.Sprintf("mobilenetv2-%s-%d", strconv.FormatFloat(width, 'g', -1, 64), resolution))
	g.Doc = "MobileNetV2 (Sandler et al. 2018) with seeded random weights: for measuring speed, not for classifying."
	b := newSeeded(g, mobileNetSeed, 3, resolution)
	b.conv("stem", divisible(float64(32*width)), 3, 2, false)
	b.relu6("stem_relu6")
	block := 0
	for _, row := range bottlenecks {
		outputs := divisible(float64(float64(row.c) * width))
		for i := range row.n {
			stride := 1
			if i == 0 {
				stride = row.s
			}
			name := fmt.Sprintf("block%d", block)
			block++
			shortcut := b.value
			residual := stride == 1 && b.channels() == outputs
			if residual {
				b.keep()
			}
			if row.t > 1 {
				b.conv(name+"_expand", b.channels()*row.t, 1, 1, false)
				b.relu6(name + "_expand_relu6")
			}
			b.conv(name+"_depthwise", b.channels(), 3, stride, true)
			b.relu6(name + "_depthwise_relu6")
			b.conv(name+"_project", outputs, 1, 1, false)
			if residual {
				b.add(name+"_add", shortcut)
			}
		}
	}
	b.conv("head", divisible(float64(1280*max(1, width))), 1, 1, false)
	b.relu6("head_relu6")
	b.classify("scores", mobileNetClasses)
	return g, nil
}

// divisible rounds a channel count to a multiple of eight, at least eight, and not below
// nine tenths of it, as the authors' code does.
func divisible(channels float64) int {
	n := max(8, int(channels+4)/8*8)
	if float64(n) < 0.9*channels {
		n += 8
	}
	return n
}
