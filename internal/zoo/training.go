package zoo

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TrainingOptions say how a network to be trained differs from that of its paper. Zero
// fields keep what the paper or the name has.
type TrainingOptions struct {
	Classes    int // number of scores; the encoder gets a classifier only where it is given
	Resolution int // height and width of the input, 16 to 1024; of a signal its length
	Channels   int // of the input
	Seed       uint64
}

// BuildTraining returns a network as Build does, in the form in which it is trained: every
// convolution without a bias and followed by a batch normalization (scale 1, shift 0, mean
// 0, variance 1), weights drawn from the seed, and the dropout of the paper as nodes.
// Inputs have the names, and constants the first part of the names, of the other form;
// with the normalizations folded the two have the same layers.
//
// Networks for ImageNet halve the image five times, which leaves nothing of a small one.
// The first halvings are left out: two for a resolution up to 32, one up to 64. A
// convolution then has stride 1, a pooling is not there, and ResNet's stem has a kernel of
// 3 instead of 7. An image of 32×32 so ends as 4×4.
func BuildTraining(name string, o TrainingOptions) (*graph.Graph, error) {
	switch {
	case o.Classes < 0 || o.Classes > 1<<20:
		return nil, &NameError{fmt.Errorf("zoo: %s: %d classes", name, o.Classes)}
	case o.Channels < 0 || o.Channels > 1<<12:
		return nil, &NameError{fmt.Errorf("zoo: %s: %d channels", name, o.Channels)}
	case o.Resolution != 0 && (o.Resolution < 16 || o.Resolution > 1024):
		return nil, &NameError{fmt.Errorf("zoo: %s: resolution %d is not in [16, 1024]", name, o.Resolution)}
	}
	return build(name, form{training: true, TrainingOptions: o})
}

// form is one of the two that a network has; the zero form is that for inference.
type form struct {
	training bool
	TrainingOptions
}

// resolution returns the one asked for, or else that of the network.
func (f form) resolution(own int) int {
	if f.Resolution > 0 {
		return f.Resolution
	}
	return own
}

// lost returns how many strides of the trunk become 1.
func (f form) lost(resolution int) int {
	switch {
	case !f.training || resolution > 64:
		return 0
	case resolution > 32:
		return 1
	}
	return 2
}

// stride returns what the form makes of the next stride of the trunk.
func (b *seeded) stride(s int) int {
	if s > 1 && b.kept > 0 {
		b.kept--
		return 1
	}
	return s
}

// classes returns the number asked for, or else that of the network.
func (b *seeded) classes(own int) int {
	if b.form.Classes > 0 {
		return b.form.Classes
	}
	return own
}

// headSpread makes of He's deviation that of a classifier: 1/√(3·fan), with which first
// scores are small beside those that training ends with.
var headSpread = math.Sqrt(1. / 6)

// normal draws from the normal distribution. For training that is the sum of twelve
// uniform integers (Irwin and Hall): exact, where the logarithms of other ways differ
// from platform to platform.
func (b *seeded) normal() float64 {
	if !b.form.training {
		return b.rng.NormFloat64()
	}
	const uniforms, size = 12, 1 << 16
	sum := 0
	for range uniforms / 4 {
		for bits := b.rng.Uint64(); bits > 0; bits /= size {
			sum += int(bits % size)
		}
	}
	return float64(2*sum-uniforms*(size-1)) / (2 * size)
}

// normalize adds a batch normalization that does nothing yet.
func (b *seeded) normalize(name string, x feature) feature {
	constant := func(part string, v float32) *graph.Value {
		t := tensor.New(tensor.Float32, x.channels())
		for i := range t.F32() {
			t.F32()[i] = v
		}
		return b.g.Constant(name+"."+part, t)
	}
	return b.put(b.g.Add("BatchNormalization", name+"_bn", graph.Attrs{"epsilon": float32(1e-5)}, x.value,
		constant("scale", 1), constant("bias", 0), constant("mean", 0), constant("var", 1)), x.probe, x.shape())
}

// dropout adds one to the form for training.
func (b *seeded) dropout(name string, x feature, ratio float64) feature {
	return feature{b.drop(name, x.value, ratio), x.probe}
}

func (b *seeded) drop(name string, x *graph.Value, ratio float64) *graph.Value {
	if !b.form.training {
		return x
	}
	y := b.g.Add("Dropout", name, nil, x, b.g.Constant(name+".ratio", tensor.Scalar(float32(ratio))))
	y.Type = x.Type
	return y
}
