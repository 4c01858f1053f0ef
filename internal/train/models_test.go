package train

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// realModels is the ledger of real files: the sizes of open dimensions where there are
// any, whether one step is run, and why a file is refused.
var realModels = map[string]struct {
	open    int // size of dimensions that the file leaves open, but for the batch
	runs    bool
	refused string
}{
	"ch_ppocr_mobile_v2.0_cls_infer.onnx": {open: 48, runs: true},
	"ch_ppocr_mobile_v2.0_det_infer.onnx": {open: 64},
	"deeplabv3_float.tflite":              {},
	"dtln_1.onnx":                         {runs: true},
	"dtln_1.tflite":                       {runs: true},
	"dtln_2.onnx":                         {runs: true},
	"dtln_2.tflite":                       {runs: true},
	"dtln_quant_1.tflite":                 {runs: true},
	"face_landmark.onnx":                  {runs: true},
	"face_landmark.tflite":                {runs: true},
	"hand_landmark_lite.onnx":             {},
	"hand_landmark_lite.tflite":           {},
	"kws_dscnn_float.tflite":              {runs: true},
	"mnist_cnn.onnx":                      {runs: true},
	"mnist_cnn_training_export.onnx":      {runs: true},
	"mobilenet_v1_0.25_224_float.tflite":  {runs: true},
	"resnet8_cifar10_float.tflite":        {runs: true},
	"silero_vad_16k_op15.onnx":            {open: 512, refused: "control flow"},
	"ultraface_rfb_320.onnx":              {},
	"yolox_nano.onnx":                     {},
	"yolox_nano_int8_quantize.tflite":     {},

	"kws_dscnn_int8.tflite":              {refused: "holds integers"},
	"mobilenet_v1_0.25_224_quant.tflite": {refused: "holds integers"},
	"mobilenet_v2_1.0_224_quant.tflite":  {refused: "holds integers"},
	"mobilenetv2_1.0_224_qoperator.onnx": {refused: "computes on integers"},
	"resnet8_cifar10_int8.tflite":        {refused: "holds integers"},
	"wakeword_alexa_int8.tflite":         {refused: "unsupported operators"},
}

func readModel(path string) (*graph.Graph, error) {
	if filepath.Ext(path) == ".tflite" {
		return tflite.Read(path)
	}
	return onnx.Read(path, onnx.ReadOptions{})
}

// Every real file with floating-point weights can be trained on, with a batch that it was
// not made for; the others are refused for a reason.
func TestRealModelsCanBeTrained(t *testing.T) {
	dir := testdata.Path(t, "models")
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name := f.Name()
		t.Run(name, func(t *testing.T) {
			want, ok := realModels[name]
			if !ok {
				t.Fatal("the ledger has no line for it")
			}
			g, err := readModel(filepath.Join(dir, name))
			if err == nil {
				fix(g, want.open)
				_, err = NewProgram(g, Spec{Batch: 2, Loss: Loss{Kind: MSE}, Optimizer: Optimizer{Kind: "adam", Rate: 1e-3}})
			}
			if want.refused != "" {
				if err == nil || !strings.Contains(err.Error(), want.refused) {
					t.Fatalf("error %v does not say %q", err, want.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sameForEachSample(t, g)
			if want.runs {
				learns(t, g)
			}
		})
	}
}

// fix gives open dimensions a size; batches become one.
func fix(g *graph.Graph, size int) {
	for _, v := range g.Inputs {
		v.Type = v.Type.Clone()
		for i, d := range v.Type.Shape {
			if !d.Known() {
				v.Type.Shape[i] = graph.Dim{Size: max(size, 1)}
			}
			if i == 0 {
				v.Type.Shape[i] = graph.Dim{Size: 1}
			}
		}
	}
}

// sameForEachSample holds the first output for a batch of two against that for each of its samples.
func sameForEachSample(t *testing.T, g *graph.Graph) {
	t.Helper()
	two := g.Clone()
	if err := rebatch(two, 2); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	both := samples(r, two, 1)
	got := runOnce(t, two, both)[0].(*tensor.Tensor)
	for k := range 2 {
		in := make([]op.Value, len(both))
		for i, v := range both {
			x := v.(*tensor.Tensor)
			half := x.Len() / 2
			in[i] = tensor.Of(x.F32()[k*half:(k+1)*half], append([]int{1}, x.Shape()[1:]...)...)
		}
		want := runOnce(t, g, in)[0].(*tensor.Tensor)
		if want.Len()*2 != got.Len() {
			t.Fatalf("%v for one sample, %v for two", want, got)
		}
		var distance, size float64
		for i, w := range want.F32() {
			distance = max(distance, math.Abs(float64(got.F32()[k*want.Len()+i]-w)))
			size = max(size, math.Abs(float64(w)))
		}
		if !(distance <= 1e-3*size) {
			t.Errorf("sample %d in a batch is off by %g of %g", k, distance, size)
		}
	}
}

// samples draws values for the inputs of a graph.
func samples(r *rand.Rand, g *graph.Graph, scale float64) []op.Value {
	in := make([]op.Value, len(g.Inputs))
	for i, v := range g.Inputs {
		s, _ := v.Type.Static()
		in[i] = random(r, scale, s...)
	}
	return in
}

func runOnce(t *testing.T, g *graph.Graph, in []op.Value) []op.Value {
	t.Helper()
	plan, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.Run(context.Background(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// learns pulls the first output towards other values on one batch.
func learns(t *testing.T, g *graph.Graph) {
	t.Helper()
	p, err := NewProgram(g, Spec{Batch: 2, Loss: Loss{Kind: MSE}, Optimizer: Optimizer{Kind: "adam", Rate: 1e-3}, FrozenStatistics: true, Clip: 10})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	s := newStep(t, p, 1e-3)
	for i := range p.Data {
		shape, _ := p.Graph.Inputs[i].Type.Static()
		s.in[i] = random(r, 0.5, shape...)
	}
	shape, _ := p.Graph.Inputs[p.Data].Type.Static()
	s.in[p.Data] = random(r, 0.5, shape...)
	first, last := s.run(t, 6, func() {})
	if !(last < first) {
		t.Errorf("the loss goes from %g to %g", first, last)
	}
}
