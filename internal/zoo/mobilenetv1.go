package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// separable is one block of MobileNet: outputs and stride.
type separable struct{ outputs, stride int }

// mobileNetV1Blocks is Table 1 of the paper.
var mobileNetV1Blocks = []separable{
	{64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}, {512, 2},
	{512, 1}, {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1},
}

const mobileNetV1Seed = 2017

// mobileNetV1 returns the network of A. Howard et al., "MobileNets: Efficient
// Convolutional Neural Networks for Mobile Vision Applications", 2017, with ReLU6 as its
// authors' code has it: input "image" float32 [1,3,resolution,resolution], output
// "scores" float32 [1,1000].
func mobileNetV1(f form, width float64, resolution int) (*graph.Graph, error) {
	name, err := variant{width, resolution}.name(f, "mobilenetv1")
	if err != nil {
		return nil, err
	}
	scaled := func(channels int) int { return max(8, int(float64(float64(channels)*width))) }
	b := newSeeded(f, name, mobileNetV1Seed)
	x := b.image(resolution)
	x = relu6(b, "stem_act", b.conv("stem", x, scaled(32), 3, b.stride(2)))
	for i, k := range mobileNetV1Blocks {
		x = b.separable(fmt.Sprintf("block%d", i), x, separable{scaled(k.outputs), k.stride}, 3, relu6)
	}
	x = b.dropout("dropout", b.flatten("flatten", b.pool("pool", x)), 0.001)
	b.classify("scores", x, b.classes(imageNetClasses))
	return b.g, nil
}

// separable adds a depthwise and a 1×1 convolution, each with an activation.
func (b *seeded) separable(name string, x feature, k separable, kernel int, act activation) feature {
	x = act(b, name+"_depthwise_act", b.depthwise(name+"_depthwise", x, kernel, b.stride(k.stride)))
	return act(b, name+"_pointwise_act", b.conv(name+"_pointwise", x, k.outputs, 1, 1))
}

// mobileNet1D returns MobileNet's blocks over a signal, for windows of motion sensors as
// in the UCI HAR data set: input "signal" float32 [1,9,length], output "scores" float32
// [1,6].
func mobileNet1D(f form, length int) *graph.Graph {
	const channels, classes, kernel = 9, 6, 5
	b := newSeeded(f, "mobilenet1d", mobileNetV1Seed)
	x := b.input("signal", []int{1, channels, length}, 1, length)
	x = relu(b, "stem_act", b.conv("stem", x, 32, kernel, 2))
	for i, k := range []separable{{64, 1}, {64, 1}, {128, 2}, {128, 1}, {256, 2}} {
		x = b.separable(fmt.Sprintf("block%d", i), x, k, kernel, relu)
	}
	b.classify("scores", b.flatten("flatten", b.pool("pool", x)), b.classes(classes))
	return b.g
}
