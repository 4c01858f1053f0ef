package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func random(r *rand.Rand, scale float64, shape ...int) *tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.Len() {
		x.SetFloat(i, r.NormFloat64()*scale)
	}
	return x
}

// small is a convolutional classifier for 1×8×8 images and three classes, with batch
// normalization, a residual, dropout and a softmax at its end.
func small(r *rand.Rand) *graph.Graph {
	g := graph.New("small")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 1, 8, 8))
	weight := func(name string, scale float64, shape ...int) *graph.Value {
		return g.Constant(name, random(r, scale, shape...))
	}
	full := func(name string, v float32, n int) *graph.Value {
		t := tensor.New(tensor.Float32, n)
		for i := range t.F32() {
			t.F32()[i] = v
		}
		return g.Constant(name, t)
	}
	pads := graph.Attrs{"pads": []int64{1, 1, 1, 1}}
	c := g.Add("Conv", "conv1", pads, x, weight("conv1.weight", 0.4, 8, 1, 3, 3))
	c = g.Add("BatchNormalization", "bn1", nil, c, full("bn1.scale", 1, 8), full("bn1.shift", 0, 8), full("bn1.mean", 0, 8), full("bn1.var", 1, 8))
	c = g.Add("Relu", "relu1", nil, c)
	d := g.Add("Conv", "conv2", graph.Attrs{"pads": []int64{1, 1, 1, 1}, "group": int64(8)}, c, weight("conv2.weight", 0.3, 8, 1, 3, 3), full("conv2.bias", 0, 8))
	d = g.Add("Clip", "clip", nil, d, g.Constant("low", tensor.Scalar[float32](-1)), g.Constant("high", tensor.Scalar[float32](1)))
	c = g.Add("Add", "residual", nil, c, d)
	c = g.Add("MaxPool", "pool", graph.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, c)
	c = g.Add("Dropout", "drop", nil, c, g.Constant("ratio", tensor.Of([]float32{0.1})))
	c = g.Add("Reshape", "flat", nil, c, g.Ints("flat.shape", 1, -1))
	c = g.Add("Gemm", "head", nil, c, weight("head.weight", 0.05, 128, 3), full("head.bias", 0, 3))
	g.Output(g.Add("Softmax", "y", nil, c))
	return g
}

// bright makes images whose class is where they are bright.
func bright(r *rand.Rand, n int) (x, label *tensor.Tensor) {
	x, label = random(r, 0.3, n, 1, 8, 8), tensor.New(tensor.Int64, n)
	for i := range n {
		c := r.IntN(3)
		label.SetInt(i, int64(c))
		for k := range 16 {
			x.F32()[i*64+c*16+k]++
		}
	}
	return x, label
}

// step is one call of a program: its inputs and outputs, states in place.
type step struct {
	p       *Program
	in, out []*tensor.Tensor
}

func newStep(t testing.TB, p *Program, rate float64) *step {
	t.Helper()
	s := &step{p: p, in: make([]*tensor.Tensor, len(p.Graph.Inputs)), out: make([]*tensor.Tensor, len(p.Graph.Outputs))}
	s.in[p.Data+1], s.in[p.Data+2] = tensor.Of([]float32{float32(rate)}, []int{}...), tensor.Of([]float32{0}, []int{}...)
	for i := range s.out {
		shape, ok := p.Graph.Outputs[i].Type.Static()
		if !ok {
			t.Fatalf("output %v has no known shape", p.Graph.Outputs[i])
		}
		s.out[i] = tensor.New(p.Graph.Outputs[i].Type.DType, shape...)
	}
	for i, st := range p.States {
		v := st.Init.Clone()
		s.in[p.Data+3+i], s.out[1+p.Outputs+i] = v, v
	}
	return s
}

// run makes steps, for each of which batch sets the data, and returns the loss of the first
// and of the last.
func (s *step) run(t *testing.T, steps int, batch func()) (first, last float64) {
	t.Helper()
	plan, err := engine.Compile(s.p.Graph, engine.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for k := range steps {
		batch()
		s.in[s.p.Data+2].SetFloat(0, float64(k+1))
		if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
			t.Fatal(err)
		}
		if last = s.out[0].Float(0); k == 0 {
			first = last
		}
	}
	return first, last
}

func TestAStepLowersTheLoss(t *testing.T) {
	for _, o := range []Optimizer{
		{Kind: "sgd", Rate: 0.05, Momentum: 0.9, Nesterov: true, Decay: 1e-4}, {Kind: "adamw", Rate: 0.01, Decay: 0.01},
		{Kind: "rmsprop", Rate: 0.003, Momentum: 0.5}, {Kind: "lamb", Rate: 0.02}, {Kind: "lars", Rate: 2, Momentum: 0.9, Trust: 0.02},
	} {
		r := rand.New(rand.NewPCG(1, 2))
		p, err := NewProgram(small(r), Spec{Batch: 16, Loss: Loss{Kind: CrossEntropy, Smoothing: 0.05}, Optimizer: o, Clip: 5, Average: 0.9})
		if err != nil {
			t.Fatal(err)
		}
		s := newStep(t, p, o.Rate)
		first, last := s.run(t, 60, func() { s.in[0], s.in[p.Data] = bright(r, 16) })
		if !(last < first/2) {
			t.Errorf("%s: the loss went from %.3f to %.3f", o.Kind, first, last)
		}
	}
}

func TestExecutorsAgreeOnAStep(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	agree(t, r, small(r), Spec{Batch: 4, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "adam", Rate: 0.01}})
}

// TestNormalizationsTakeTheirActivation holds a step whose normalizations are fused with
// what follows them, there and back, or are frozen.
func TestNormalizationsTakeTheirActivation(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 6))
	b := &bare{g: graph.New("clipped"), r: r}
	x := layer{b.g.Input("x", graph.TensorType(tensor.Float32, 1, 1, 8, 8)), 1}
	x = b.conv(x, 24, 3, 1, 1)
	x.v = b.add("Clip", nil, x.v, b.g.Constant("low", tensor.Scalar[float32](-0.5)), b.g.Constant("high", tensor.Scalar[float32](1)))
	x = b.relu(b.conv(x, 24, 3, 2, 24))
	network := b.classify(b.conv(x, 7, 1, 1, 1), 3)
	s := Spec{Batch: 4, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.1, Momentum: 0.9}}
	have := map[string]bool{}
	for _, st := range agree(t, r, network, s).Steps() {
		have[st.Op] = true
	}
	for _, name := range []string{"BatchNormalization+Clip", "BatchNormalization+Relu", "ClipGradient+BatchNormalizationGradient", "ReluGradient+BatchNormalizationGradient"} {
		if !have[name] {
			t.Errorf("no step computes %s", name)
		}
	}
	s.FrozenStatistics = true
	for _, st := range agree(t, r, network, s).Steps() {
		if st.Op == "BatchNormalization" && st.Fallback {
			t.Errorf("step %s: %s", st.Name, st.Reason)
		}
	}
}

// TestNormalizationsTakeTheirResidual is the same for blocks with a projection and an
// identity beside them, whose gradients meet before they are let through.
func TestNormalizationsTakeTheirResidual(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 6))
	b := &bare{g: graph.New("residual"), r: r}
	x := b.relu(b.conv(layer{b.g.Input("x", graph.TensorType(tensor.Float32, 1, 1, 8, 8)), 1}, 16, 3, 1, 1))
	for stride := 2; stride > 0; stride-- {
		y := b.conv(b.relu(b.conv(x, 20, 3, stride, 1)), 20, 3, 1, 1)
		if stride > 1 {
			x = b.conv(x, 20, 1, stride, 1)
		}
		x = b.relu(layer{b.add("Add", nil, y.v, x.v), 20})
	}
	s := Spec{Batch: 4, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.1, Momentum: 0.9}}
	have := map[string]bool{}
	for _, st := range agree(t, r, b.classify(x, 3), s).Steps() {
		have[st.Op+" "+st.Kernel] = true
	}
	for _, name := range []string{"BatchNormalization+Add+Relu normalize, add", "Add+ReluGradient gate and channel sums"} {
		if !have[name] {
			t.Errorf("no step computes %s", name)
		}
	}
}

// agree holds the engine's step against the reference executor's.
func agree(t *testing.T, r *rand.Rand, network *graph.Graph, spec Spec) *engine.Plan {
	t.Helper()
	p, err := NewProgram(network, spec)
	if err != nil {
		t.Fatal(err)
	}
	s := newStep(t, p, 0.01)
	s.in[0], s.in[p.Data] = bright(r, 4)
	s.in[p.Data+2].SetFloat(0, 1)
	values := make([]op.Value, len(s.in))
	for i, v := range s.in {
		values[i] = v.Clone()
	}
	want, err := interp.Run(context.Background(), p.Graph, values)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := engine.Compile(p.Graph, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		w := w.(*tensor.Tensor)
		for k := range w.Len() {
			if a, b := s.out[i].Float(k), w.Float(k); math.Abs(a-b) > 1e-4*(1+math.Abs(b)) {
				t.Fatalf("output %v, element %d: engine %v, reference %v", p.Graph.Outputs[i], k, a, b)
			}
		}
	}
	return plan
}

func TestLossesOfAStep(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	ignore := int64(2)
	for _, c := range []struct {
		loss Loss
		soft bool
	}{
		{Loss{Kind: CrossEntropy, Weights: []float32{1, 2, 3}, Ignore: &ignore}, false}, {Loss{Kind: CrossEntropy, Smoothing: 0.1}, true},
		{Loss{Kind: KL}, true}, {Loss{Kind: MSE}, false}, {Loss{Kind: L1}, false}, {Loss{Kind: Huber, Delta: 0.5}, false}, {Loss{Kind: BCE}, false},
	} {
		if _, err := NewProgram(small(r), Spec{Batch: 2, Loss: c.loss, Soft: c.soft, Optimizer: Optimizer{Kind: "sgd", Rate: 1}}); err != nil {
			t.Errorf("%+v: %v", c.loss, err)
		}
	}
	for name, s := range map[string]Spec{
		"rate":      {Batch: 2, Loss: Loss{Kind: MSE}, Optimizer: Optimizer{Kind: "sgd"}},
		"optimizer": {Batch: 2, Loss: Loss{Kind: MSE}, Optimizer: Optimizer{Kind: "newton", Rate: 1}},
		"loss":      {Batch: 2, Loss: Loss{Kind: "hinge"}, Optimizer: Optimizer{Kind: "sgd", Rate: 1}},
		"frozen":    {Batch: 2, Loss: Loss{Kind: MSE}, Optimizer: Optimizer{Kind: "sgd", Rate: 1}, Frozen: func(string) bool { return true }},
	} {
		if _, err := NewProgram(small(r), s); err == nil {
			t.Errorf("%s: a wrong step is accepted", name)
		}
	}
}

func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		s    Schedule
		want map[int]float64
	}{
		{Schedule{}, map[int]float64{0: 1, 99: 1}},
		{Schedule{Warmup: 4}, map[int]float64{0: 0.25, 3: 1, 50: 1}},
		{Schedule{Kind: "step", Milestones: []int{5, 8}}, map[int]float64{0: 1, 49: 1, 50: 0.1, 80: 0.01}},
		{Schedule{Kind: "cosine", Floor: 0.1}, map[int]float64{0: 1, 99: 0.1}},
		{Schedule{Kind: "one-cycle", Peak: 0.5}, map[int]float64{0: 0.04, 99: 0}},
	} {
		for step, want := range c.want {
			if got := c.s.rate(step, 100, 10); math.Abs(got-want) > 1e-9 {
				t.Errorf("%+v: rate at step %d is %v, want %v", c.s, step, got, want)
			}
		}
	}
}
