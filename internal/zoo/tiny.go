package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

const (
	leNetSeed = 1998
	tinySeed  = 2021
)

// leNet returns a network for handwritten digits with the layers of LeNet-5 (Y. LeCun et
// al., "Gradient-Based Learning Applied to Document Recognition", Proceedings of the IEEE,
// 1998), in today's dress: more maps, ReLU, normalizations, and maxima where the paper
// takes averages. Input "image" float32 [1,1,28,28], output "scores" float32 [1,10].
func leNet(f form) *graph.Graph {
	const size, classes = 28, 10
	b := newSeeded(f, "lenet", leNetSeed)
	x := b.input("image", []int{1, 1, size, size}, size, size)
	x = relu(b, "conv1_act", b.conv("conv1", x, 16, 5, 1))
	x = b.maxPool("pool1", x, 2, 2, 0)
	second := square(32, 5, 1, 1)
	second.before, second.after = [2]int{}, [2]int{}
	x = relu(b, "conv2_act", b.convolve("conv2", x, second))
	x = b.flatten("flatten", b.maxPool("pool2", x, 2, 2, 0))
	x = relu(b, "hidden1_act", b.dense("hidden1", x, 120))
	x = relu(b, "hidden2_act", b.dense("hidden2", x, 84))
	b.classify("scores", b.dropout("dropout", x, 0.2), b.classes(classes))
	return b.g
}

// dsCNN returns the keyword spotter of MLPerf Tiny (C. Banbury et al., "MLPerf Tiny
// Benchmark", 2021), after Y. Zhang et al., "Hello Edge: Keyword Spotting on
// Microcontrollers", 2017: input "features" float32 [1,1,49,10], ten cepstral
// coefficients of 49 frames, output "scores" float32 [1,12].
func dsCNN(f form) *graph.Graph {
	const frames, coefficients, classes = 49, 10, 12
	b := newSeeded(f, "dscnn", tinySeed)
	x := b.input("features", []int{1, 1, frames, coefficients}, frames, coefficients)
	b.spot(x, classes)
	return b.g
}

// autoencoder returns the anomaly detector of MLPerf Tiny: input "frames" float32
// [1,640], five frames of 128 mel bands, output "restored" of the same shape.
func autoencoder(f form, features int) *graph.Graph {
	const width, code = 128, 8
	b := newSeeded(f, "autoencoder", tinySeed)
	x := b.input("frames", []int{1, features}, 1, 1)
	for i, outputs := range []int{width, width, width, width, code, width, width, width, width} {
		x = relu(b, fmt.Sprintf("layer%d_act", i), b.dense(fmt.Sprintf("layer%d", i), x, outputs))
	}
	b.g.Output(b.hidden("restored", x, features).value)
	return b.g
}
