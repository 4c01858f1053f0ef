package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// shuffleNetChannels are the outputs of the three stages and the head by width, Table 5
// of the paper.
var shuffleNetChannels = map[float64][4]int{
	0.5: {48, 96, 192, 1024},
	1:   {116, 232, 464, 1024},
	1.5: {176, 352, 704, 1024},
	2:   {244, 488, 976, 2048},
}

const shuffleNetSeed = 2018

// shuffleNetV2 returns the network of N. Ma, X. Zhang, H. Zheng and J. Sun, "ShuffleNet
// V2: Practical Guidelines for Efficient CNN Architecture Design", ECCV 2018: input
// "image" float32 [1,3,resolution,resolution], output "scores" float32 [1,1000]. The
// width is 0.5, 1, 1.5 or 2.
func shuffleNetV2(f form, width float64, resolution int) (*graph.Graph, error) {
	name, err := variant{width, resolution}.name(f, "shufflenetv2")
	if err != nil {
		return nil, err
	}
	outputs, ok := shuffleNetChannels[width]
	if !ok {
		return nil, fmt.Errorf("zoo: shufflenetv2: width multiplier %g is not 0.5, 1, 1.5 or 2", width)
	}
	b := newSeeded(f, name, shuffleNetSeed)
	x := b.image(resolution)
	x = relu(b, "stem_act", b.conv("stem", x, 24, 3, b.stride(2)))
	x = b.maxPool("stem_pool", x, 3, 2, 1)
	for i, blocks := range []int{4, 8, 4} {
		for j := range blocks {
			x = b.shuffleBlock(fmt.Sprintf("stage%d_block%d", i, j), x, outputs[i]/2, j == 0)
		}
	}
	x = relu(b, "head_act", b.conv("head", x, outputs[3], 1, 1))
	b.classify("scores", b.flatten("flatten", b.pool("pool", x)), b.classes(imageNetClasses))
	return b.g, nil
}

// shuffleBlock adds two branches of half the outputs and shuffles their channels. The
// first branch is half of the input itself, or where the block halves the size a
// convolution of all of it, as the second is.
func (b *seeded) shuffleBlock(name string, x feature, half int, halves bool) feature {
	left, right, stride := x, x, 1
	if halves {
		stride = 2
		left = b.depthwise(name+"_left_depthwise", x, 3, stride)
		left = relu(b, name+"_left_act", b.conv(name+"_left_pointwise", left, half, 1, 1))
	} else {
		left, right = b.split(name+"_split", x)
	}
	right = relu(b, name+"_act1", b.conv(name+"_pointwise1", right, half, 1, 1))
	right = b.depthwise(name+"_depthwise", right, 3, stride)
	right = relu(b, name+"_act2", b.conv(name+"_pointwise2", right, half, 1, 1))
	return b.shuffle(name+"_shuffle", b.concat(name+"_concat", left, right))
}
