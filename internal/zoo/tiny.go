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
// [1,640], five frames of 128 mel bands, output "restored" of the same shape. Of a signal of
// several channels all frames' values lie in the one dimension.
func autoencoder(f form, features int) *graph.Graph {
	const width, code = 128, 8
	features *= max(f.Channels, 1)
	f.Channels = 0
	b := newSeeded(f, "autoencoder", tinySeed)
	x := b.input("frames", []int{1, features}, 1, 1)
	for i, outputs := range []int{width, width, width, width, code, width, width, width, width} {
		x = relu(b, fmt.Sprintf("layer%d_act", i), b.dense(fmt.Sprintf("layer%d", i), x, outputs))
	}
	b.g.Output(b.hidden("restored", x, features).value)
	return b.g
}

// lifetime returns the estimator of remaining useful life of X. Li, Q. Ding and J. Sun,
// "Remaining useful life estimation in prognostics using deep convolution neural
// networks", 2018: convolutions along time alone, the same for every sensor, then two full
// layers. Normalizations and ReLU stand for the paper's tanh. Input "signal" float32
// [1,14,length], output "scores" float32 [1,1].
func lifetime(f form, length int) *graph.Graph {
	const sensors, filters, kernel, width = 14, 10, 10, 100
	b := newSeeded(f, "dcnn", tinySeed)
	signal := b.input("signal", []int{1, sensors, length}, 1, 1)
	n := signal.channels()
	images := signal.probe.images
	shape := []int{1, 1, n, length}
	x := b.put(b.g.Add("Unsqueeze", "map", nil, signal.value, b.g.Ints("map.axis", 1)), newProbe(b.rng, images, 1, n, length), shape)
	along := func(outputs, kernel int) geometry {
		return geometry{outputs, 1, [2]int{1, kernel}, [2]int{1, 1}, [2]int{0, (kernel - 1) / 2}, [2]int{0, kernel / 2}}
	}
	for i := range 4 {
		name := fmt.Sprintf("conv%d", i+1)
		x = relu(b, name+"_act", b.convolve(name, x, along(filters, kernel)))
	}
	x = relu(b, "conv5_act", b.convolve("conv5", x, along(1, 3)))
	x = b.dropout("dropout", b.flatten("flatten", x), 0.5)
	b.classify("scores", relu(b, "hidden_act", b.dense("hidden", x, width)), b.classes(1))
	return b.g
}
