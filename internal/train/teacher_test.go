package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// integer is a teacher in QDQ form with an integer input, whose real values are 0..255, and
// integer scores behind a quantized softmax.
func integer(r *rand.Rand) *graph.Graph {
	g := graph.New("integer")
	number := func(name string, v float32) *graph.Value {
		return g.Constant(name, tensor.Of([]float32{v}, []int{}...))
	}
	zero := func(name string, v int8) *graph.Value {
		return g.Constant(name, tensor.Of([]int8{v}, []int{}...))
	}
	weight := func(name string, shape ...int) *graph.Value {
		w := tensor.New(tensor.Int8, shape...)
		for i := range w.Len() {
			w.SetInt(i, int64(r.IntN(200)-100))
		}
		return g.Add("DequantizeLinear", name, nil, g.Constant(name+".stored", w), number(name+".scale", 0.01), zero(name+".zero", 0))
	}
	quantize := func(name string, v *graph.Value, scale float32, z int8) (stored, real *graph.Value) {
		s, o := number(name+".scale", scale), zero(name+".zero", z)
		stored = g.Add("QuantizeLinear", name, nil, v, s, o)
		return stored, g.Add("DequantizeLinear", name+"/real", nil, stored, s, o)
	}
	x := g.Input("image", graph.TensorType(tensor.Int8, 1, 1, 8, 8))
	c := g.Add("DequantizeLinear", "image/real", nil, x, number("image.scale", 1), zero("image.zero", -128))
	c = g.Add("Conv", "conv", graph.Attrs{"pads": []int64{1, 1, 1, 1}}, c, weight("conv.weight", 16, 1, 3, 3))
	_, c = quantize("features", g.Add("Relu", "relu", nil, c), 4, -128)
	c = g.Add("Reshape", "flat", nil, c, g.Ints("shape", 1, -1))
	c = g.Add("Gemm", "head", graph.Attrs{"transB": int64(1)}, c, weight("head.weight", 3, 1024))
	_, c = quantize("scores", c, 64, 0)
	q, _ := quantize("probabilities", g.Add("Softmax", "softmax", nil, c), 1.0/256, -128)
	g.Output(q)
	return g
}

// compiled returns the steps of a training that belong to its teacher.
func compiled(t *testing.T, student *graph.Graph, s Spec) []engine.StepInfo {
	t.Helper()
	p, err := NewProgram(student, s)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := engine.Compile(p.Graph, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var out []engine.StepInfo
	for _, st := range plan.Steps() {
		if strings.HasPrefix(st.Name, teacherPrefix) {
			out = append(out, st)
		}
	}
	return out
}

func sgd(d *Distillation) Spec {
	return Spec{Batch: 4, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.01}, Distill: d}
}

func TestIntegerTeachersRunOnIntegerKernels(t *testing.T) {
	r := rand.New(rand.NewPCG(29, 31))
	lessons := []Lesson{{Kind: KD}, {Kind: Hint, Teacher: "features", Student: "relu1"}, {Kind: Attention, Teacher: "features/real", Student: "relu1"}}
	a := &Adaptation{Scale: []float32{64}, Shift: []float32{128}}
	convolutions := 0
	for _, st := range compiled(t, small(r), sgd(&Distillation{Teacher: integer(r), Input: a, Lessons: lessons})) {
		if st.Fallback {
			t.Errorf("%s (%s) has no kernel: %s", st.Name, st.Op, st.Reason)
		}
		if st.MACs > 0 {
			convolutions++
			if !strings.HasPrefix(st.Op, "QLinear") && !strings.HasPrefix(st.Op, "QGemm") {
				t.Errorf("%s is computed as %s", st.Name, st.Op)
			}
		}
	}
	if convolutions != 2 {
		t.Errorf("the teacher has %d products, want 2", convolutions)
	}
}

func TestATeacherFromTFLite(t *testing.T) {
	teacher, err := tflite.Read(testdata.Path(t, "models", "resnet8_cifar10_int8.tflite"))
	if err != nil {
		t.Fatal(err)
	}
	student, err := zoo.Build("resnet8")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, st := range compiled(t, student, sgd(&Distillation{Teacher: teacher, Lessons: []Lesson{{Kind: KD}}})) {
		if st.Fallback {
			t.Errorf("%s (%s) has no kernel: %s", st.Name, st.Op, st.Reason)
		}
		if strings.HasPrefix(st.Op, "QLinearConv") {
			n++
		}
	}
	if n != 9 {
		t.Errorf("%d integer convolutions, want 9", n)
	}
}

// TestTheTeacherSeesItsInput compares what the teacher is given with its own preparation of
// the same pixels.
func TestTheTeacherSeesItsInput(t *testing.T) {
	pixels := []float32{0, 10, 200, 255, 30, 40, 60, 90, 100, 110, 128, 7} // [1,3,2,2]
	mean, std := []float32{0.5, 0.25, 0.125}, []float32{0.5, 2, 1}
	x := tensor.New(tensor.Float32, 1, 3, 2, 2) // (v/255 - mean)/std
	var a Adaptation                            // to v, BGR, channels last
	for c := range 3 {
		for k := range 4 {
			x.F32()[c*4+k] = (pixels[c*4+k]/255 - mean[c]) / std[c]
		}
		a.Scale, a.Shift = append(a.Scale, 255*std[c]), append(a.Shift, 255*mean[c])
	}
	a.Reverse, a.TeacherLast = true, true
	want := make([]int64, 12)
	for k := range 4 {
		for c := range 3 {
			want[k*3+c] = int64(pixels[(2-c)*4+k])
		}
	}
	given := a
	given.QScale, given.QZero = 1, -128
	for name, c := range map[string]struct {
		a     Adaptation
		dtype tensor.DType
		zero  int64
	}{"float": {a, tensor.Float32, 0}, "grid of the graph": {a, tensor.Int8, -128}, "grid as given": {given, tensor.Int8, -128}} {
		g, teacher := graph.New("adapted"), graph.New("teacher")
		in := g.Input("x", graph.TypeOf(x))
		to := teacher.Input("image", graph.TensorType(c.dtype, 1, 2, 2, 3))
		if c.dtype == tensor.Int8 && c.a.QScale == 0 {
			teacher.Add("DequantizeLinear", "real", nil, to, teacher.Constant("s", tensor.Of([]float32{1}, []int{}...)), teacher.Constant("z", tensor.Of([]int8{-128}, []int{}...)))
		}
		err := op.Build(g, op.NewFacts(), "input", func(o *op.Builder) error {
			g.Output((&pupil{Builder: o, Distillation: &Distillation{Input: &c.a}}).adapt(in, to, teacher))
			return nil
		})
		if err != nil {
			t.Fatal(name, err)
		}
		out, err := interp.Run(context.Background(), g, []op.Value{x})
		if err != nil {
			t.Fatal(name, err)
		}
		y := out[0].(*tensor.Tensor)
		got := make([]int64, y.Len())
		for i := range got {
			if got[i] = y.Int(i); c.dtype == tensor.Float32 {
				got[i] = int64(y.Float(i) + 0.5)
			}
			got[i] -= c.zero
		}
		if !slices.Equal(got, want) || y.DType() != c.dtype {
			t.Errorf("%s: the teacher sees %v %v, want %v", name, y.DType(), got, want)
		}
	}
}

func TestDistillationsThatCannotBe(t *testing.T) {
	r := rand.New(rand.NewPCG(37, 41))
	teacher := large(r)
	for want, d := range map[string]Distillation{
		`"kdd" is not one of kd, kd-standardized`:               {Lessons: []Lesson{{Kind: "kdd"}}},
		"no loss against the teacher":                           {},
		"weight -1":                                             {Lessons: []Lesson{{Kind: KD, Weight: -1}}},
		"loss kd has no gamma":                                  {Lessons: []Lesson{{Kind: KD, Gamma: 1}}},
		"name one of the teacher and one of the student":        {Lessons: []Lesson{{Kind: Hint, Teacher: "features"}}},
		"the teacher has no tensor named":                       {Lessons: []Lesson{{Kind: Hint, Teacher: "feature", Student: "relu1"}}},
		"near names: features":                                  {Lessons: []Lesson{{Kind: Hint, Teacher: "feature", Student: "relu1"}}},
		`student has no tensor named "relu"; near names: relu1`: {Lessons: []Lesson{{Kind: Hint, Teacher: "features", Student: "relu"}}},
		"of the same rank":                                      {Lessons: []Lesson{{Kind: Attention, Teacher: "head", Student: "relu1"}}},
		"do not compare with the student's":                     {Lessons: []Lesson{{Kind: KD}}, Classes: []int{0, 1}},
		"2 scales or shifts are given for the 1 channels":       {Lessons: []Lesson{{Kind: KD}}, Input: &Adaptation{Scale: []float32{1, 2}, TeacherLast: true}},
		"cannot be made of the student's":                       {Lessons: []Lesson{{Kind: KD}}, Input: &Adaptation{}},
	} {
		d.Teacher = teacher
		if _, err := NewProgram(small(r), sgd(&d)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not say %q", err, want)
		}
	}
}

// unlabelled hides the labels of images.
type unlabelled struct{ images }

func (s unlabelled) Sample(i int, _ *tensor.Tensor) (Sample, error) {
	x, err := s.images.Sample(i, nil)
	x.Label = -1
	return x, err
}

// taught is a training by a teacher that has learnt.
func taught(t *testing.T) Config {
	t.Helper()
	tr, err := New(network(), config())
	if err != nil {
		t.Fatal(err)
	}
	teacher, err := tr.Run(context.Background(), newImages(200))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.Augment.Mixup = 0.2
	cfg.Spec.Average = 0.5
	cfg.Spec.Distill = &Distillation{Teacher: teacher.Network, Lessons: []Lesson{{Kind: DKD, Beta: 1}, {Kind: Hint, Teacher: "relu1", Student: "relu1", Weight: 0.1}}}
	return cfg
}

func TestATeacherAloneTeaches(t *testing.T) {
	student := small(rand.New(rand.NewPCG(8, 8)))
	tr, err := New(student, taught(t))
	if err != nil {
		t.Fatal(err)
	}
	r, err := tr.Run(context.Background(), unlabelled{newImages(200)})
	if err != nil {
		t.Fatal(err)
	}
	if last := r.History[len(r.History)-1]; last.Metrics["accuracy"] < 0.95 {
		t.Errorf("history %+v; want accuracy 0.95 in 4 epochs without labels", r.History)
	}
	if got, want := len(r.Network.Constants()), len(student.Constants()); got != want {
		t.Errorf("the student has %d constants, had %d: something of the training is left", got, want)
	}
}

func TestInterruptedDistillationEndsTheSame(t *testing.T) {
	cfg, source := taught(t), unlabelled{newImages(96)}
	run := func(stop int) (*Result, error) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		cfg.Progress = func(Event) {
			if stop--; stop == 0 {
				cancel()
			}
		}
		tr, err := New(network(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return tr.Run(ctx, source)
	}
	want, err := run(0)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Checkpoint = filepath.Join(t.TempDir(), "training.npz")
	if _, err := run(9); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	got, err := run(0)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Resumed || !bytes.Equal(weights(got.Network), weights(want.Network)) {
		t.Error("the weights differ from those of a training that was not interrupted")
	}
	if _, err := run(9); err != nil {
		t.Fatal(err) // it is finished
	}
	cfg.Spec.Distill.Teacher = small(rand.New(rand.NewPCG(5, 5)))
	if _, err := run(0); err == nil || !strings.Contains(err.Error(), "another training") {
		t.Errorf("the checkpoint of a training by another teacher is taken: %v", err)
	}
}

// TestBothSidesAreComparedAlike lets a network be taught by itself: whatever ends it and
// whatever the loss, there is nothing to learn.
func TestBothSidesAreComparedAlike(t *testing.T) {
	for _, end := range []string{"", "Softmax", "Sigmoid"} {
		for _, loss := range []string{CrossEntropy, BCE, MSE} {
			for _, lesson := range []string{Scores, KD} {
				g := graph.New("one layer")
				w := tensor.New(tensor.Float32, 64, 3)
				for i := range w.F32() {
					w.F32()[i] = float32(i%7) / 20
				}
				x := g.Input("x", graph.TensorType(tensor.Float32, 1, 1, 8, 8))
				y := g.Add("MatMul", "head", nil, g.Add("Flatten", "flat", nil, x), g.Constant("w", w))
				if end != "" {
					y = g.Add(end, "end", nil, y)
				}
				g.Output(y)
				cfg := config()
				cfg.Epochs, cfg.Evaluate, cfg.Augment = 1, nil, Augment{}
				cfg.Spec = Spec{Batch: 8, Loss: Loss{Kind: loss}, Optimizer: Optimizer{Kind: "sgd", Rate: 1e-30},
					Distill: &Distillation{Teacher: g, Lessons: []Lesson{{Kind: lesson}}}}
				tr, err := New(g, cfg)
				if err != nil {
					t.Fatal(err)
				}
				r, err := tr.Run(t.Context(), newImages(8))
				if err != nil {
					t.Fatal(err)
				}
				if d := r.History[0].Loss; math.Abs(d) > 1e-5 {
					t.Errorf("%s with %s at the end, loss %s: a distance of %v from itself", lesson, end, loss, d)
				}
			}
		}
	}
}
