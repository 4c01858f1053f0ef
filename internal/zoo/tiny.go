package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

const tinySeed = 2021

// dsCNN returns the keyword spotter of MLPerf Tiny (C. Banbury et al., "MLPerf Tiny
// Benchmark", 2021), after Y. Zhang et al., "Hello Edge: Keyword Spotting on
// Microcontrollers", 2017: input "features" float32 [1,1,49,10], ten cepstral
// coefficients of 49 frames, output "scores" float32 [1,12].
func dsCNN() *graph.Graph {
	const frames, coefficients, width, classes = 49, 10, 64, 12
	b := newSeeded(graph.New("dscnn"), tinySeed)
	x := b.input("features", []int{1, 1, frames, coefficients}, frames, coefficients)
	// Padded so that the output has half the size, rounded up.
	x = b.convolve("stem", x, geometry{width, 1, [2]int{10, 4}, [2]int{2, 2}, [2]int{4, 1}, [2]int{5, 1}})
	x = relu(b, "stem_act", x)
	for i := range 4 {
		x = b.separable(fmt.Sprintf("block%d", i), x, separable{width, 1}, 3, relu)
	}
	b.classify("scores", b.flatten("flatten", b.pool("pool", x)), classes)
	return b.g
}

// autoencoder returns the anomaly detector of MLPerf Tiny: input "frames" float32
// [1,640], five frames of 128 mel bands, output "restored" of the same shape.
func autoencoder() *graph.Graph {
	const features, width, code = 640, 128, 8
	b := newSeeded(graph.New("autoencoder"), tinySeed)
	x := b.input("frames", []int{1, features}, 1, 1)
	for i, outputs := range []int{width, width, width, width, code, width, width, width, width} {
		x = relu(b, fmt.Sprintf("layer%d_act", i), b.hidden(fmt.Sprintf("layer%d", i), x, outputs))
	}
	b.g.Output(b.hidden("restored", x, features).value)
	return b.g
}
