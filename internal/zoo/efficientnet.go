package zoo

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// efficientStages is Table 1 of the paper for B0: expansion, kernel, stride of the first
// block, channels, blocks.
var efficientStages = []struct{ expansion, kernel, stride, channels, blocks int }{
	{1, 3, 1, 16, 1},
	{6, 3, 2, 24, 2},
	{6, 5, 2, 40, 2},
	{6, 3, 2, 80, 3},
	{6, 5, 1, 112, 3},
	{6, 5, 2, 192, 4},
	{6, 3, 1, 320, 1},
}

// efficientScales are the coefficients of B0 to B4, which the lite models share; these
// differ from the others in resolution.
var efficientScales = []struct {
	width, depth                 float64
	resolution, resolutionOfLite int
	dropout                      float64
}{
	{1.0, 1.0, 224, 224, 0.2},
	{1.0, 1.1, 240, 240, 0.2},
	{1.1, 1.2, 260, 260, 0.3},
	{1.2, 1.4, 300, 280, 0.3},
	{1.4, 1.8, 380, 300, 0.4},
}

const efficientNetSeed = 2019

// efficientNet returns the builder of EfficientNet B0 to B4 (M. Tan and Q. Le,
// "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019)
// at a resolution: input "image" float32 [1,3,resolution,resolution], output "scores"
// float32 [1,1000].
//
// The lite form is that of the authors' repository: no squeeze-and-excite, ReLU6 instead
// of SiLU, and the stem, the head and the depth of the first and last stage not scaled.
func efficientNet(scale int, lite bool) func(f form, resolution int) *graph.Graph {
	s := efficientScales[scale]
	return func(f form, resolution int) *graph.Graph {
		kind, act := "b", activation(silu)
		stem, head := divisible(float64(32*s.width)), divisible(float64(1280*s.width))
		if lite {
			kind, act, stem, head = "lite", relu6, 32, 1280
			s.dropout = min(s.dropout, 0.3)
		}
		b := newSeeded(f, fmt.Sprintf("efficientnet-%s%d-%d", kind, scale, resolution), efficientNetSeed)
		x := b.image(resolution)
		x = act(b, "stem_act", b.conv("stem", x, stem, 3, b.stride(2)))
		block := 0
		for i, stage := range efficientStages {
			blocks := int(math.Ceil(float64(float64(stage.blocks) * s.depth)))
			if lite && (i == 0 || i == len(efficientStages)-1) {
				blocks = stage.blocks
			}
			for j := range blocks {
				stride := 1
				if j == 0 {
					stride = stage.stride
				}
				inputs := x.channels()
				k := bottleneck{inputs * stage.expansion, divisible(float64(float64(stage.channels) * s.width)), stage.kernel, stride, act, nil}
				if !lite {
					k.between = func(name string, x feature) feature {
						return b.squeezeExcite(name, x, inputs/4, silu, sigmoid)
					}
				}
				x = b.bottleneck(fmt.Sprintf("block%d", block), x, k)
				block++
			}
		}
		x = act(b, "head_act", b.conv("head", x, head, 1, 1))
		x = b.dropout("dropout", b.flatten("flatten", b.pool("pool", x)), s.dropout)
		b.classify("scores", x, b.classes(imageNetClasses))
		return b.g
	}
}
