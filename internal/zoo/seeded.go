package zoo

import (
	"math"
	"math/rand/v2"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// seeded builds a convolution network with random weights whose activations keep the
// range that batch normalization gives trained ones. Weights alone, even He-normal ones,
// do not: means pile up from layer to layer until the answer hardly depends on the
// input. So a few small synthetic images are carried through the network as it is built,
// and each convolution gets the batch normalization that their statistics call for,
// with a random scale and shift, folded into its weights and bias.
//
// Float sums are written so that no platform contracts them: the weights are the same
// everywhere.
type seeded struct {
	g     *graph.Graph
	rng   *rand.Rand
	value *graph.Value // the last one added
	size  int          // its height and width
	zero  *graph.Value
	six   *graph.Value

	probe probe
	saved probe // the probe at the shortcut
}

// Size and number of the images that are carried along.
const (
	probeSize   = 64
	probeImages = 6
)

func newSeeded(g *graph.Graph, seed uint64, channels, size int) *seeded {
	b := &seeded{g: g, rng: rand.New(rand.NewPCG(seed, 0)), size: size}
	b.value = g.Input("image", graph.TensorType(tensor.Float32, 1, channels, size, size))
	b.zero = g.Constant("zero", tensor.Scalar(float32(0)))
	b.six = g.Constant("six", tensor.Scalar(float32(6)))
	b.probe = newProbe(b.rng, channels)
	return b
}

func (b *seeded) channels() int { return b.probe.channels }

// keep remembers the probe for a later add.
func (b *seeded) keep() { b.saved = b.probe }

// conv adds a square convolution with bias, padded by half its kernel.
func (b *seeded) conv(name string, outputs, kernel, stride int, depthwise bool) {
	inputs, groups := b.channels(), 1
	if depthwise {
		inputs, groups = 1, outputs
	}
	fan := inputs * kernel * kernel
	w := b.heNormal(outputs*fan, fan)
	b.probe = b.probe.conv(w, outputs, kernel, stride, depthwise)
	bias := make([]float32, outputs)
	for c := range outputs {
		mean, deviation := b.probe.statistics(c)
		scale := (0.6 + float64(0.8*b.rng.Float64())) / max(deviation, 1e-3)
		shift := float64(0.3 * b.rng.NormFloat64())
		bias[c] = float32(shift - float64(scale*mean))
		for i := c * fan; i < (c+1)*fan; i++ {
			w[i] = float32(float64(w[i]) * scale)
		}
		b.probe.affine(c, float32(scale), bias[c])
	}
	b.size = (b.size-1)/stride + 1
	pad, k, s := int64(kernel/2), int64(kernel), int64(stride)
	b.put(b.g.Add("Conv", name, graph.Attrs{
		"kernel_shape": []int64{k, k},
		"pads":         []int64{pad, pad, pad, pad},
		"strides":      []int64{s, s},
		"group":        int64(groups),
	}, b.value,
		b.g.Constant(name+".weight", tensor.Of(w, outputs, inputs, kernel, kernel)),
		b.g.Constant(name+".bias", tensor.Of(bias, outputs))))
}

func (b *seeded) relu6(name string) {
	for i, v := range b.probe.data {
		b.probe.data[i] = min(max(v, 0), 6)
	}
	b.put(b.g.Add("Clip", name, nil, b.value, b.zero, b.six))
}

// add adds the shortcut that keep remembered.
func (b *seeded) add(name string, shortcut *graph.Value) {
	for i, v := range b.saved.data {
		b.probe.data[i] += v
	}
	b.put(b.g.Add("Add", name, nil, shortcut, b.value))
}

// classify adds global average pooling and a fully connected layer. Its bias takes the
// mean of the scores off, so that they tell inputs apart.
func (b *seeded) classify(name string, classes int) {
	channels := b.channels()
	pooled := b.probe.pool()
	w := b.heNormal(classes*channels, channels)
	bias := make([]float32, classes)
	for c := range classes {
		var sum, squares float64
		for image := range probeImages {
			score := float64(dot(w[c*channels:(c+1)*channels], pooled[image*channels:(image+1)*channels]))
			sum += score
			squares += float64(score * score)
		}
		mean := sum / probeImages
		deviation := math.Sqrt(max(squares/probeImages-float64(mean*mean), 1e-12))
		scale := 2 / deviation
		for i := c * channels; i < (c+1)*channels; i++ {
			w[i] = float32(float64(w[i]) * scale)
		}
		bias[c] = float32(-mean * scale)
	}
	b.size = 1
	b.put(b.g.Add("GlobalAveragePool", "pool", nil, b.value))
	flat := b.g.Add("Flatten", "flatten", nil, b.value)
	flat.Type = graph.TensorType(tensor.Float32, 1, channels)
	out := b.g.Add("Gemm", name, graph.Attrs{"transB": int64(1)}, flat,
		b.g.Constant(name+".weight", tensor.Of(w, classes, channels)),
		b.g.Constant(name+".bias", tensor.Of(bias, classes)))
	out.Type = graph.TensorType(tensor.Float32, 1, classes)
	b.g.Output(out)
}

// put makes v the last value.
func (b *seeded) put(v *graph.Value) {
	v.Type = graph.TensorType(tensor.Float32, 1, b.channels(), b.size, b.size)
	b.value = v
}

// heNormal draws n weights of variance 2/fan.
func (b *seeded) heNormal(n, fan int) []float32 {
	w := make([]float32, n)
	scale := math.Sqrt(2 / float64(fan))
	for i := range w {
		w[i] = float32(b.rng.NormFloat64() * scale)
	}
	return w
}
