package zoo

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

const resNetSeed = 2015

// resNet describes a network of K. He, X. Zhang, S. Ren and J. Sun, "Deep Residual
// Learning for Image Recognition", CVPR 2016.
type resNet struct {
	name   string
	stages []int // blocks
	deep   bool  // blocks of 1×1, 3×3 and 1×1 convolutions instead of two 3×3 ones
}

// imageNet returns the form for ImageNet: input "image" float32
// [1,3,resolution,resolution], output "scores" float32 [1,1000]. As in torchvision, the
// 3×3 convolution of a deep block has the stride ("version 1.5"). A stem for small images
// has a kernel of 3.
func (r resNet) imageNet(f form, resolution int) *graph.Graph {
	b := newSeeded(f, fmt.Sprintf("%s-%d", r.name, resolution), resNetSeed)
	x := b.image(resolution)
	kernel, stride := 7, b.stride(2)
	if stride == 1 {
		kernel = 3
	}
	x = relu(b, "stem_relu", b.conv("stem", x, 64, kernel, stride))
	x = b.maxPool("stem_pool", x, 3, 2, 1)
	b.classify("scores", b.flatten("flatten", b.pool("pool", r.residual(b, x, 64))), b.classes(imageNetClasses))
	return b.g
}

// cifar returns the form for CIFAR-10: input "image" float32 [1,3,resolution,resolution], output "scores"
// float32 [1,10]. Shortcuts between stages are 1×1 convolutions.
func (r resNet) cifar(f form, resolution int) *graph.Graph {
	const classes = 10
	b := newSeeded(f, r.name, resNetSeed)
	x := b.image(resolution)
	b.kept = 0 // made for small images
	x = relu(b, "stem_relu", b.conv("stem", x, 16, 3, 1))
	b.classify("scores", b.flatten("flatten", b.pool("pool", r.residual(b, x, 16))), b.classes(classes))
	return b.g
}

// residual adds the stages; width is that of the first.
func (r resNet) residual(b *seeded, x feature, width int) feature {
	for i, blocks := range r.stages {
		for j := range blocks {
			stride := 1
			if i > 0 && j == 0 {
				stride = 2
			}
			x = r.block(b, fmt.Sprintf("stage%d_block%d", i, j), x, width<<i, b.stride(stride))
		}
	}
	return x
}

func (r resNet) block(b *seeded, name string, x feature, width, stride int) feature {
	var y feature
	if r.deep {
		y = relu(b, name+"_relu1", b.conv(name+"_conv1", x, width, 1, 1))
		y = relu(b, name+"_relu2", b.conv(name+"_conv2", y, width, 3, stride))
		y = b.conv(name+"_conv3", y, 4*width, 1, 1)
	} else {
		y = relu(b, name+"_relu1", b.conv(name+"_conv1", x, width, 3, stride))
		y = b.conv(name+"_conv2", y, width, 3, 1)
	}
	if stride > 1 || x.channels() != y.channels() {
		x = b.conv(name+"_shortcut", x, y.channels(), 1, stride)
	}
	return relu(b, name+"_relu", b.add(name+"_add", y, x))
}
