package train

import (
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// layers adds weighted layers with their batch normalization to a graph.
type layers struct {
	*graph.Graph
	r *rand.Rand
}

func (l layers) weight(name string, scale float64, shape ...int) *graph.Value {
	return l.Constant(name, random(l.r, scale, shape...))
}

func (l layers) full(name string, v float64, n int) *graph.Value {
	c := tensor.New(tensor.Float32, n)
	for i := range n {
		c.SetFloat(i, v)
	}
	return l.Constant(name, c)
}

// conv is a normalized 3×3 convolution with an activation.
func (l layers) conv(name, act string, x *graph.Value, in, out int) *graph.Value {
	x = l.Add("Conv", name, graph.Attrs{"pads": []int64{1, 1, 1, 1}}, x, l.weight(name+".weight", 0.3, out, in, 3, 3))
	x = l.Add("BatchNormalization", name+"_bn", nil, x, l.full(name+".scale", 1, out), l.full(name+".bias", 0, out),
		l.full(name+".mean", 0, out), l.full(name+".var", 1, out))
	return l.Add(act, name+"_act", nil, x)
}

// uNet tells for every pixel of a 1×16×16 image which of three classes it is of. On its
// way up are a ConvTranspose and a Resize, each joined with what was on the way down.
func uNet(r *rand.Rand) *graph.Graph {
	l := layers{graph.New("unet"), r}
	x := l.Input("x", graph.TensorType(tensor.Float32, 1, 1, 16, 16))
	halve := graph.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}
	a := l.conv("down1", "Relu", x, 1, 6)
	b := l.conv("down2", "HardSwish", l.Add("MaxPool", "pool1", halve, a), 6, 8)
	c := l.conv("bottom", "LeakyRelu", l.Add("AveragePool", "pool2", halve, b), 8, 8)
	up := l.Add("ConvTranspose", "up2", graph.Attrs{"strides": []int64{2, 2}}, c, l.weight("up2.weight", 0.3, 8, 8, 2, 2), l.full("up2.bias", 0, 8))
	b = l.conv("right2", "Relu", l.Add("Concat", "join2", graph.Attrs{"axis": int64(1)}, up, b), 16, 8)
	scales := l.Constant("scales", tensor.Of([]float32{1, 1, 2, 2}, 4))
	wide := l.Add("Resize", "up1", graph.Attrs{"mode": "linear"}, b, nil, scales)
	a = l.conv("right1", "Relu", l.Add("Concat", "join1", graph.Attrs{"axis": int64(1)}, wide, a), 14, 8)
	l.Output(l.Add("Conv", "scores", nil, a, l.weight("scores.weight", 0.3, 3, 8, 1, 1), l.full("scores.bias", 0, 3)))
	return l.Graph
}

// squares makes images with a bright and a dark square; the class of a pixel is which of
// them it lies in, or none.
func squares(r *rand.Rand, n int) (x, label *tensor.Tensor) {
	const size, side = 16, 5
	x, label = random(r, 0.3, n, 1, size, size), tensor.New(tensor.Int64, n, size, size)
	for i := range n {
		for class, light := range []float32{0, 1.5, -1.5} {
			if class == 0 {
				continue
			}
			top, left := r.IntN(size-side), r.IntN(size-side)
			for k := range side * side {
				at := (i*size+top+k/side)*size + left + k%side
				x.F32()[at] = light + x.F32()[at]/2
				label.SetInt(at, int64(class))
			}
		}
	}
	return x, label
}

// transformer tells which of its 8 tokens of 12 numbers is marked: a normalized attention
// of two heads and a hidden layer with Gelu, each with a residual.
func transformer(r *rand.Rand) *graph.Graph {
	const tokens, width = 8, 12
	l := layers{graph.New("transformer"), r}
	linear := func(name string, x *graph.Value, in, out int) *graph.Value {
		return l.Add("Add", name+"_add", nil, l.Add("MatMul", name, nil, x, l.weight(name+".weight", 0.3, in, out)), l.full(name+".bias", 0, out))
	}
	norm := func(name string, x *graph.Value) *graph.Value {
		return l.Add("LayerNormalization", name, nil, x, l.full(name+".scale", 1, width), l.full(name+".bias", 0, width))
	}
	x := l.Input("x", graph.TensorType(tensor.Float32, 1, tokens, width))
	y := l.Add("Add", "positions", nil, x, l.weight("position", 0.3, tokens, width))
	h := norm("norm1", y)
	heads := graph.Attrs{"q_num_heads": int64(2), "kv_num_heads": int64(2)}
	h = l.Add("Attention", "attention", heads, linear("query", h, width, width), linear("key", h, width, width), linear("value", h, width, width))
	y = l.Add("Add", "residual1", nil, y, linear("out", h, width, width))
	h = l.Add("Gelu", "gelu", graph.Attrs{"approximate": "tanh"}, linear("inner", norm("norm2", y), width, 4*width))
	y = l.Add("Add", "residual2", nil, y, linear("outer", h, 4*width, width))
	l.Output(linear("scores", l.Add("ReduceMean", "mean", graph.Attrs{"keepdims": int64(0)}, y, l.Ints("axes", 1)), width, tokens))
	return l.Graph
}

// marked makes sequences of which one token is lifted in its first number.
func marked(r *rand.Rand, n int, shape ...int) (x, label *tensor.Tensor) {
	x, label = random(r, 0.5, append([]int{n}, shape...)...), tensor.New(tensor.Int64, n)
	for i := range n {
		at := r.IntN(shape[0])
		label.SetInt(i, int64(at))
		x.F32()[(i*shape[0]+at)*shape[1]] += 4
	}
	return x, label
}

// Networks with the parts that today's have learn tasks that cannot be learnt by a bias.
func TestNetworksOfEveryKindLearn(t *testing.T) {
	built := func(name string, o zoo.TrainingOptions) *graph.Graph {
		g, err := zoo.BuildTraining(name, o)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name         string
		network      *graph.Graph
		batch, steps int
		rate, factor float64
		data         func(n int) (x, label *tensor.Tensor)
	}{
		{"U-Net", uNet(r), 8, 60, 0.01, 3, func(n int) (*tensor.Tensor, *tensor.Tensor) { return squares(r, n) }},
		{"transformer", transformer(r), 32, 200, 0.01, 3, func(n int) (*tensor.Tensor, *tensor.Tensor) { return marked(r, n, 8, 12) }},
		{"MobileNetV3", built("mobilenetv3-small-0.25", zoo.TrainingOptions{Classes: 3, Channels: 1, Resolution: 16}), 16, 40, 0.003, 3,
			func(n int) (x, label *tensor.Tensor) {
				x, label = random(r, 0.3, n, 1, 16, 16), tensor.New(tensor.Int64, n)
				for i := range n {
					k := r.IntN(3)
					label.SetInt(i, int64(k))
					for at := range 64 {
						x.F32()[i*256+k*80+at]++
					}
				}
				return x, label
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := NewProgram(c.network, Spec{Batch: c.batch, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "adam", Rate: c.rate}})
			if err != nil {
				t.Fatal(err)
			}
			s := newStep(t, p, c.rate)
			first, last := s.run(t, c.steps, func() { s.in[0], s.in[p.Data] = c.data(c.batch) })
			if t.Logf("from %.3f to %.3f", first, last); !(last < first/c.factor) {
				t.Errorf("the loss went from %.3f to %.3f", first, last)
			}
		})
	}
}

// The encoder of the zoo, as PyTorch writes one, learns two sequences of noise by heart.
func TestTheEncoderLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes long")
	}
	g, err := zoo.BuildTraining("encoder", zoo.TrainingOptions{Classes: 2})
	if err != nil {
		t.Fatal(err)
	}
	const rate = 3e-4
	p, err := NewProgram(g, Spec{Batch: 2, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "adam", Rate: rate}})
	if err != nil {
		t.Fatal(err)
	}
	s := newStep(t, p, rate)
	s.in[0], s.in[p.Data] = random(rand.New(rand.NewPCG(1, 2)), 1, 2, 128, 512), tensor.Of([]int64{0, 1}, 2)
	if first, last := s.run(t, 3, func() {}); !(last < first/2) {
		t.Errorf("the loss went from %.3f to %.3f", first, last)
	}
}
