package zoo

import (
	"math"
	"math/rand/v2"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// seeded builds a network with random weights, in one of two forms.
//
// For inference activations keep the range that normalization gives trained ones. Weights
// alone, even He-normal ones, do not: means pile up from layer to layer until the answer
// hardly depends on the input. So a few small synthetic images are carried through the
// network as it is built, and each convolution gets the batch normalization that their
// statistics call for, with a random scale and shift, folded into its weights and bias.
//
// For training the weights are He-normal and the normalizations stand as nodes; nothing
// is carried along. training.go says what else differs.
//
// Float sums are written so that no platform contracts them: the weights are the same
// everywhere.
type seeded struct {
	g         *graph.Graph
	form      form
	rng       *rand.Rand
	kept      int          // strides of the trunk that small images have yet to lose
	zero, six *graph.Value // bounds of ReLU6, once it is used
}

// feature is a value of the network with its probe. The two have as many channels but
// may differ in height and width.
type feature struct {
	value *graph.Value
	probe probe
}

func (f feature) channels() int { return f.probe.channels }

// shape is that of the value, [1, channels, ...].
func (f feature) shape() []int {
	s, _ := f.value.Type.Static() // put made it
	return s
}

// Size and number of the images that are carried along. Networks for images that are
// smaller than probeSize are probed at their own size.
const (
	probeSize   = 32
	probeImages = 16
)

func newSeeded(f form, name string, seed uint64) *seeded {
	if f.training {
		seed = f.Seed
	}
	return &seeded{g: graph.New(name), form: f, rng: rand.New(rand.NewPCG(seed, 0))}
}

// input adds an input float32 of a shape [1,channels,...]; probes of it have the given
// height and width.
func (b *seeded) input(name string, shape []int, probeHeight, probeWidth int) feature {
	images := probeImages
	if b.form.training {
		images = 0
	}
	if b.form.Channels > 0 {
		shape[1] = b.form.Channels
	}
	p := newProbe(b.rng, images, shape[1], probeHeight, probeWidth)
	return b.put(b.g.Input(name, graph.TensorType(tensor.Float32, shape...)), p, shape)
}

// image adds the input "image" float32 [1,3,resolution,resolution].
func (b *seeded) image(resolution int) feature {
	b.kept = b.form.lost(resolution)
	return b.input("image", []int{1, 3, resolution, resolution}, probeSize, probeSize)
}

// conv adds a normalized convolution, padded by half its kernel.
func (b *seeded) conv(name string, x feature, outputs, kernel, stride int) feature {
	return b.convolve(name, x, x.window(outputs, kernel, stride, 1))
}

// depthwise is as conv, with a kernel for each channel.
func (b *seeded) depthwise(name string, x feature, kernel, stride int) feature {
	return b.convolve(name, x, x.window(x.channels(), kernel, stride, x.channels()))
}

// convolve is as conv, of any geometry.
func (b *seeded) convolve(name string, x feature, g geometry) feature {
	fan := x.channels() / g.groups * g.kernel[0] * g.kernel[1]
	w := b.heNormal(g.outputs*fan, fan)
	p := x.probe.conv(w, g)
	if b.form.training {
		return b.normalize(name, b.putConv(name, x, g, w, nil, p))
	}
	bias := make([]float32, g.outputs)
	means, deviations := p.normalization()
	for c, mean := range means {
		scale := (0.6 + float64(0.8*b.rng.Float64())) / max(deviations[c], 1e-3)
		shift := float64(0.3 * b.rng.NormFloat64())
		bias[c] = float32(shift - float64(scale*mean))
		rescale(w[c*fan:(c+1)*fan], scale)
		p.affine(c, float32(scale), bias[c])
	}
	return b.putConv(name, x, g, w, bias, p)
}

// bare adds a 1×1 convolution that no normalization follows. Its outputs have a root mean
// square of spread over the probe, before the bias.
func (b *seeded) bare(name string, x feature, outputs int, spread float64) feature {
	g := square(outputs, 1, 1, 1)
	w, bias, p := b.linear(x, outputs, spread)
	return b.putConv(name, x, g, w, bias, p)
}

// linear draws the weights [outputs][channels] and biases of a layer over channels whose
// outputs have a root mean square of spread before the bias.
func (b *seeded) linear(x feature, outputs int, spread float64) (w, bias []float32, p probe) {
	fan := x.channels()
	w = b.heNormal(outputs*fan, fan)
	p = x.probe.conv(w, square(outputs, 1, 1, 1))
	bias = make([]float32, outputs)
	if b.form.training {
		return w, bias, p
	}
	for c := range outputs {
		mean, deviation := p.statistics(c)
		scale := spread / max(math.Sqrt(float64(mean*mean)+float64(deviation*deviation)), 1e-3)
		bias[c] = float32(0.3 * b.rng.NormFloat64())
		rescale(w[c*fan:(c+1)*fan], scale)
		p.affine(c, float32(scale), bias[c])
	}
	return w, bias, p
}

func (b *seeded) putConv(name string, x feature, g geometry, w, bias []float32, p probe) feature {
	in := x.shape()
	attrs := g.attrs(len(in))
	attrs["group"] = int64(g.groups)
	shape := append([]int{g.outputs, in[1] / g.groups}, g.kernel[4-len(in):]...)
	return b.put(b.g.Add("Conv", name, attrs, b.operands(name, x, tensor.Of(w, shape...), bias)...), p, g.shape(in))
}

// operands are the inputs of a layer over x; a layer before a normalization has no bias.
func (b *seeded) operands(name string, x feature, w *tensor.Tensor, bias []float32) []*graph.Value {
	in := []*graph.Value{x.value, b.g.Constant(name+".weight", w)}
	if bias != nil {
		in = append(in, b.g.Constant(name+".bias", tensor.Of(bias, len(bias))))
	}
	return in
}

// hidden adds a fully connected layer over [1,channels].
func (b *seeded) hidden(name string, x feature, outputs int) feature {
	w, bias, p := b.linear(x, outputs, 1)
	return b.gemm(name, x, w, bias, p)
}

// dense is hidden with a normalization.
func (b *seeded) dense(name string, x feature, outputs int) feature {
	if !b.form.training {
		return b.hidden(name, x, outputs)
	}
	w, _, p := b.linear(x, outputs, 1)
	return b.normalize(name, b.gemm(name, x, w, nil, p))
}

func (b *seeded) gemm(name string, x feature, w, bias []float32, p probe) feature {
	return b.put(b.g.Add("Gemm", name, graph.Attrs{"transB": int64(1)},
		b.operands(name, x, tensor.Of(w, p.channels, x.channels()), bias)...), p, []int{1, p.channels})
}

// classify adds the fully connected layer that scores classes and makes it the output.
// Its bias takes the mean of the scores off, so that they tell inputs apart.
func (b *seeded) classify(name string, x feature, classes int) {
	fan := x.channels()
	w := b.heNormal(classes*fan, fan)
	p := x.probe.conv(w, square(classes, 1, 1, 1))
	bias := make([]float32, classes)
	if b.form.training {
		rescale(w, headSpread)
	} else {
		means, deviations := p.normalization()
		for c, mean := range means {
			scale := 2 / max(deviations[c], 1e-6)
			rescale(w[c*fan:(c+1)*fan], scale)
			bias[c] = float32(-mean * scale)
		}
	}
	b.g.Output(b.gemm(name, x, w, bias, p).value)
}

// put states the shape of v and joins it with its probe.
func (b *seeded) put(v *graph.Value, p probe, shape []int) feature {
	v.Type = graph.TensorType(tensor.Float32, shape...)
	return feature{v, p}
}

// heNormal draws n weights of variance 2/fan.
func (b *seeded) heNormal(n, fan int) []float32 {
	w := make([]float32, n)
	scale := math.Sqrt(2 / float64(fan))
	for i := range w {
		w[i] = float32(b.normal() * scale)
	}
	return w
}

func rescale(w []float32, scale float64) {
	for i, v := range w {
		w[i] = float32(float64(v) * scale)
	}
}
