package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// mobileNetV3 is a table of the paper: per block the kernel, channels after expansion and
// projection, squeeze-and-excite, h-swish instead of ReLU, stride; and the width of the
// hidden layer of the classifier.
type mobileNetV3 struct {
	hidden int
	blocks []mobileNetV3Block
}

type mobileNetV3Block struct {
	kernel, expanded, outputs int
	squeeze, swish            bool
	stride                    int
}

var mobileNetV3Large = mobileNetV3{hidden: 1280, blocks: []mobileNetV3Block{
	{3, 16, 16, false, false, 1},
	{3, 64, 24, false, false, 2},
	{3, 72, 24, false, false, 1},
	{5, 72, 40, true, false, 2},
	{5, 120, 40, true, false, 1},
	{5, 120, 40, true, false, 1},
	{3, 240, 80, false, true, 2},
	{3, 200, 80, false, true, 1},
	{3, 184, 80, false, true, 1},
	{3, 184, 80, false, true, 1},
	{3, 480, 112, true, true, 1},
	{3, 672, 112, true, true, 1},
	{5, 672, 160, true, true, 2},
	{5, 960, 160, true, true, 1},
	{5, 960, 160, true, true, 1},
}}

var mobileNetV3Small = mobileNetV3{hidden: 1024, blocks: []mobileNetV3Block{
	{3, 16, 16, true, false, 2},
	{3, 72, 24, false, false, 2},
	{3, 88, 24, false, false, 1},
	{5, 96, 40, true, true, 2},
	{5, 240, 40, true, true, 1},
	{5, 240, 40, true, true, 1},
	{5, 120, 48, true, true, 1},
	{5, 144, 48, true, true, 1},
	{5, 288, 96, true, true, 2},
	{5, 576, 96, true, true, 1},
	{5, 576, 96, true, true, 1},
}}

const mobileNetV3Seed = 2019

// build returns the network of A. Howard et al., "Searching for MobileNetV3", ICCV 2019,
// with the details of the torchvision models: input "image" float32
// [1,3,resolution,resolution], output "scores" float32 [1,1000].
func (m mobileNetV3) build(base string) func(f form, width float64, resolution int) (*graph.Graph, error) {
	return func(f form, width float64, resolution int) (*graph.Graph, error) {
		name, err := variant{width, resolution}.name(f, base)
		if err != nil {
			return nil, err
		}
		scaled := func(channels int) int { return divisible(float64(float64(channels) * width)) }
		b := newSeeded(f, name, mobileNetV3Seed)
		x := b.image(resolution)
		x = hardSwish(b, "stem_act", b.conv("stem", x, scaled(16), 3, b.stride(2)))
		for i, row := range m.blocks {
			k := bottleneck{scaled(row.expanded), scaled(row.outputs), row.kernel, row.stride, relu, nil}
			if row.swish {
				k.act = hardSwish
			}
			if row.squeeze {
				k.between = func(name string, x feature) feature {
					return b.squeezeExcite(name, x, divisible(float64(x.channels()/4)), relu, hardSigmoid)
				}
			}
			x = b.bottleneck(fmt.Sprintf("block%d", i), x, k)
		}
		x = hardSwish(b, "head_act", b.conv("head", x, 6*x.channels(), 1, 1))
		x = b.flatten("flatten", b.pool("pool", x))
		x = hardSwish(b, "hidden_act", b.hidden("hidden", x, scaled(m.hidden)))
		b.classify("scores", b.dropout("dropout", x, 0.2), b.classes(imageNetClasses))
		return b.g, nil
	}
}
