package witness_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// digits returns n different images in the shape of mnist_cnn's input, with a
// leading sample axis.
func digits(n int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, n, 1, 1, 28, 28)
	for i := range t.F32() {
		t.F32()[i] = float32((i*i + 7*i) % 256)
	}
	return t
}

func TestSamplesEqualSingleRuns(t *testing.T) {
	c := witness.Find(t)
	model := testdata.Path(t, "models", "mnist_cnn.onnx")
	info, err := c.Info(witness.ORT, model)
	if err != nil {
		t.Fatal(err)
	}
	in, out := info.Inputs[0], info.Outputs[0]
	if in.DType != "float32" || !cmp.Equal(in.Shape, []int{1, 1, 28, 28}) {
		t.Fatalf("input %+v", in)
	}
	all := digits(3)
	stacked, err := c.RunSamples(witness.ORT, model, map[string]*tensor.Tensor{in.Name: all})
	if err != nil {
		t.Fatal(err)
	}
	if got := stacked[out.Name].Shape(); !cmp.Equal(got, []int{3, 1, 10}) {
		t.Fatalf("stacked outputs have shape %v", got)
	}
	for i := range 3 {
		one := tensor.Of(all.F32()[i*784:(i+1)*784], 1, 1, 28, 28)
		got, err := c.Run(witness.ORT, model, map[string]*tensor.Tensor{in.Name: one})
		if err != nil {
			t.Fatal(err)
		}
		if want := stacked[out.Name].F32()[i*10 : (i+1)*10]; !cmp.Equal(got[out.Name].F32(), want) {
			t.Errorf("sample %d alone gives %v, stacked %v", i, got[out.Name].F32(), want)
		}
	}
}

func TestTFLite(t *testing.T) {
	c := witness.Find(t)
	model := testdata.Path(t, "models", "kws_dscnn_int8.tflite")
	in := tensor.New(tensor.Int8, 1, 49, 10, 1)
	for i := range tensor.Data[int8](in) {
		tensor.Data[int8](in)[i] = int8(i * 31)
	}
	builtin, err := c.Run(witness.TFLite, model, map[string]*tensor.Tensor{"0": in})
	if err != nil {
		t.Fatal(err)
	}
	xnnpack, err := c.Run(witness.XNNPACK, model, map[string]*tensor.Tensor{"input_1": in})
	if err != nil {
		t.Fatal(err)
	}
	a, b := tensor.Data[int8](builtin["Identity"]), tensor.Data[int8](xnnpack["Identity"])
	sum := 0
	for i := range a {
		if d := int(a[i]) - int(b[i]); d < -3 || d > 3 {
			t.Errorf("class %d: built-in kernels give %d, XNNPACK %d", i, a[i], b[i])
		}
		sum += int(a[i]) + 128
	}
	if sum < 250 || sum > 260 { // a softmax in steps of 1/256
		t.Errorf("probabilities sum to %d/256", sum)
	}
}

func TestNarrowFloats(t *testing.T) {
	c := witness.Find(t)
	model := testdata.Path(t, "onnx-backend", "node", "test_cast_FLOAT_to_BFLOAT16", "model.onnx")
	out, err := c.Run(witness.ORT, model, map[string]*tensor.Tensor{"input": tensor.Of([]float32{
		0, 1, -2, 0.5, 3, 1.0078125, 1 << 20, -1e-3, 7, 8, 9, 10}, 3, 4)})
	if err != nil {
		t.Fatal(err)
	}
	got := out["output"]
	if got.DType() != tensor.BFloat16 || got.Float(5) != 1.0078125 || got.Float(6) != 1<<20 {
		t.Errorf("got %v %v", got, got.Floats())
	}
}

func TestRefusals(t *testing.T) {
	c := witness.Find(t)
	model := testdata.Path(t, "models", "mnist_cnn.onnx")
	if err := c.Check(witness.ORT, model); err != nil {
		t.Errorf("a good model is refused: %v", err)
	}
	if err := c.Check(witness.ORT, testdata.Path(t, "README.md")); err == nil {
		t.Error("a text file is accepted as ONNX")
	}
	if err := c.Check(witness.TFLite, testdata.Path(t, "README.md")); err == nil {
		t.Error("a text file is accepted as TFLite")
	}
	custom, err := filepath.Glob(filepath.Join(testdata.Path(t, "edgetpu"), "*_edgetpu.tflite"))
	if err != nil || len(custom) == 0 {
		t.Fatalf("no Edge TPU models: %v", err)
	}
	if err := c.Check(witness.TFLite, custom[0]); err == nil || !strings.Contains(err.Error(), "edgetpu-custom-op") {
		t.Errorf("the custom operator is not named: %v", err)
	}
	for name, in := range map[string]*tensor.Tensor{
		"other": digits(1), "Input3": tensor.New(tensor.Int32, 1, 1, 28, 28),
	} {
		if _, err := c.Run(witness.ORT, model, map[string]*tensor.Tensor{name: in}); err == nil {
			t.Errorf("input %q of %v is accepted", name, in)
		}
	}
}

func TestBench(t *testing.T) {
	c := witness.Find(t)
	got, err := c.Bench(witness.ORT, testdata.Path(t, "models", "mnist_cnn.onnx"), 5)
	if err != nil {
		t.Fatal(err)
	}
	if got.Min <= 0 || got.P50 < got.Min || got.First < got.Min {
		t.Errorf("implausible timing %+v", got)
	}
}
