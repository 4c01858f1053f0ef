package quant

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// synthetic returns a smooth input for every input of g, unknown sizes taken as size.
func synthetic(g *graph.Graph, seed, size int) sample {
	s := sample{}
	for _, v := range g.Inputs {
		shape := make([]int, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			switch {
			case d.Known():
				shape[i] = d.Size
			case i == 0:
				shape[i] = 1
			default:
				shape[i] = size
			}
		}
		x := tensor.New(v.Type.DType, shape...)
		for i := range x.Len() {
			x.SetFloat(i, 0.7*math.Sin(float64(i)*0.013*float64(1+seed)+float64(seed))+0.3*math.Sin(float64(i)*2.3))
		}
		s[v.Name] = x
	}
	return s
}

// Real networks come through: what can be is quantized, the rest has a reason, both
// executors and ONNX Runtime agree on the result.
func TestRealNetworks(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates many networks")
	}
	dir := filepath.Join(testdata.Dir(t), "models")
	for _, name := range []string{
		"mnist_cnn.onnx", "resnet8_cifar10_float.tflite", "ch_ppocr_mobile_v2.0_cls_infer.onnx",
		"hand_landmark_lite.onnx",
	} {
		t.Run(name, func(t *testing.T) {
			read := func(path string) (*graph.Graph, error) { return onnx.Read(path, onnx.ReadOptions{}) }
			if strings.HasSuffix(name, ".tflite") {
				read = tflite.Read
			}
			g, err := read(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if g, err = Prepare(g); err != nil {
				t.Fatal(err)
			}
			samples := []sample{synthetic(g, 0, 64), synthetic(g, 1, 64)}
			r := quantize(t, g, calibrate(t, g, samples), Config{Method: MSE})
			fixed, _, err := CorrectBias(context.Background(), g, r, Slice(samples...), BiasConfig{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			layers, ints := 0, 0
			for _, y := range fixed.Layers {
				if y.Op == "Conv" || y.Op == "Gemm" || y.Op == "MatMul" {
					layers++
					if y.Quantized {
						ints++
					} else {
						t.Logf("%s (%s) %s", y.Node, y.Op, y.Reason)
					}
				}
				if !y.Quantized && y.Reason == "" {
					t.Errorf("%s (%s) stays float without a reason", y.Node, y.Op)
				}
			}
			if ints < layers*9/10 || ints == 0 {
				t.Errorf("%d of %d layers with weights are quantized", ints, layers)
			}
			shapes := map[string][]int{}
			for k, v := range samples[0] {
				shapes[k] = v.Shape()
			}
			plan, err := engine.Compile(fixed.Graph, engine.Options{Shapes: shapes})
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range plan.Notes() {
				t.Logf("float: %s (%s) %s", n.Node, n.Op, n.Reason)
			}
			for _, s := range plan.Steps() {
				if s.Fallback {
					t.Logf("fallback: %s (%s) %s", s.Name, s.Op, s.Reason)
				}
			}
			t.Logf("%d layers, %.1f dB, corrected %.1f dB", ints, sqnr(t, g, r.Graph, samples), sqnr(t, g, fixed.Graph, samples))
			w := witness.Find(t)
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := onnx.Write(path, fixed.Graph, onnx.Options{}); err != nil {
				t.Fatal(err)
			}
			out, err := w.Run(witness.ORT, path, samples[0])
			if err != nil {
				t.Fatal(err)
			}
			ours := run(t, Engine(1), fixed.Graph, samples[:1])[0]
			var p power
			for i, v := range fixed.Graph.Outputs {
				if err := p.addTensors(out[v.Name], ours[i]); err != nil {
					t.Fatal(err)
				}
			}
			t.Logf("ONNX Runtime: %.1f dB from ours", p.dB())
			if p.dB() < 15 {
				t.Error("ONNX Runtime computes something else")
			}
		})
	}
}
