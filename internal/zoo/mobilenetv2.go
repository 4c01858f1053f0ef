package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

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

const mobileNetV2Seed = 2018

// mobileNetV2 returns the network of M. Sandler, A. Howard, M. Zhu, A. Zhmoginov and
// L.-C. Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR 2018, with
// its batch normalizations folded into the convolutions and ReLU6 as Clip: input "image"
// float32 [1,3,resolution,resolution] with values in [-1,1], output "scores" float32
// [1,1000]. The width must be in [0.1, 2], the resolution a multiple of 32 up to 1024.
//
// Convolutions are padded alike on all sides. The weights are random but fixed; see
// seeded for what makes them behave like trained ones.
func mobileNetV2(f form, width float64, resolution int) (*graph.Graph, error) {
	name, err := variant{width, resolution}.name(f, "mobilenetv2")
	if err != nil {
		return nil, err
	}
	b := newSeeded(f, name, mobileNetV2Seed)
	x := b.image(resolution)
	x = relu6(b, "stem_relu6", b.conv("stem", x, divisible(float64(32*width)), 3, b.stride(2)))
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
			x = b.bottleneck(name, x, bottleneck{x.channels() * row.t, outputs, 3, stride, relu6, nil})
		}
	}
	x = relu6(b, "head_relu6", b.conv("head", x, divisible(float64(1280*max(1, width))), 1, 1))
	x = b.dropout("dropout", b.flatten("flatten", b.pool("pool", x)), 0.2)
	b.classify("scores", x, b.classes(imageNetClasses))
	return b.g, nil
}

// bottleneck is an inverted residual block: expansion by a 1×1 convolution, a depthwise
// one, and projection without an activation.
type bottleneck struct {
	expanded, outputs, kernel, stride int
	act                               activation
	between                           func(name string, x feature) feature // after the depthwise activation, or nil
}

func (b *seeded) bottleneck(name string, x feature, k bottleneck) feature {
	y := x
	k.stride = b.stride(k.stride)
	if k.expanded != x.channels() {
		y = k.act(b, name+"_expand_act", b.conv(name+"_expand", y, k.expanded, 1, 1))
	}
	y = k.act(b, name+"_depthwise_act", b.depthwise(name+"_depthwise", y, k.kernel, k.stride))
	if k.between != nil {
		y = k.between(name, y)
	}
	y = b.conv(name+"_project", y, k.outputs, 1, 1)
	if k.stride == 1 && x.channels() == k.outputs {
		y = b.add(name+"_add", x, y)
	}
	return y
}
