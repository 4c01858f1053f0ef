package quant

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// transformerBlock is a small network of products: MatMul of three dimensions with bias,
// a gate, a residual, and Gemm at the end.
func transformerBlock(t testing.TB) (*graph.Graph, []sample) {
	t.Helper()
	g := graph.New("block")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 6, 48))
	weights := func(name string, seed, scale float64, shape ...int) *graph.Value {
		w := tensor.New(tensor.Float32, shape...)
		for i := range w.F32() {
			w.F32()[i] = float32(scale * math.Sin(seed+float64(i)*1.7+float64(i%13)))
		}
		return g.Constant(name, w)
	}
	h := g.Add("MatMul", "up", nil, x, weights("up_w", 1, 0.2, 48, 96))
	h = g.Add("Add", "up_bias", nil, h, weights("up_b", 2, 0.3, 96))
	h = g.Add("Mul", "gate", nil, h, g.Add("Sigmoid", "sigmoid", nil, h))
	h = g.Add("MatMul", "down", nil, h, weights("down_w", 3, 0.1, 96, 48))
	h = g.Add("Add", "residual", nil, h, x)
	h = g.Add("ReduceMean", "mean", graph.Attrs{"keepdims": int64(0)}, h, g.Ints("axes", 1))
	g.Output(g.Add("Gemm", "scores", graph.Attrs{"transB": int64(1)}, h, weights("fc_w", 4, 0.4, 10, 48), weights("fc_b", 5, 0.2, 10)))
	p, err := Prepare(g)
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	for i := range 8 {
		s := tensor.New(tensor.Float32, 1, 6, 48)
		for j := range s.F32() {
			s.F32()[j] = float32(math.Sin(float64(i*288+j) * 0.37 * float64(1+i%3)))
		}
		samples = append(samples, sample{"x": s})
	}
	return p, samples
}

// Every mode gives a graph that both executors and ONNX Runtime run alike.
func TestModes(t *testing.T) {
	block, blockSamples := transformerBlock(t)
	net, _, netSamples, _ := heartbeat(t, 1, 8)
	must := func(r *Result, err error) *Result {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	cases := []struct {
		name    string
		g       *graph.Graph
		samples []sample
		r       *Result
		least   float64 // dB
		layers  int     // quantized ones with weights
		exact   bool    // ONNX Runtime computes nearly the same: it has integer shortcuts of its own
	}{
		{"static", block, blockSamples, must(Quantize(block, calibrate(t, block, blockSamples), Config{})), 20, 3, false},
		{"dynamic", block, blockSamples, must(Dynamic(block, DynamicConfig{})), 25, 3, true},
		{"dynamic per tensor", block, blockSamples, must(Dynamic(block, DynamicConfig{PerTensor: true})), 25, 3, true},
		{"dynamic convolutions", net, netSamples, must(Dynamic(net, DynamicConfig{Convolutions: true})), 20, 12, true},
		{"weights 8", block, blockSamples, must(WeightOnly(block, WeightOnlyConfig{})), 30, 3, true},
		{"weights 8 of convolutions", net, netSamples, must(WeightOnly(net, WeightOnlyConfig{})), 25, 12, true},
		{"weights 4", block, blockSamples, must(WeightOnly(block, WeightOnlyConfig{Bits: 4})), 12, 3, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			db := sqnr(t, c.g, c.r.Graph, c.samples)
			t.Logf("%.1f dB", db)
			if db < c.least {
				t.Errorf("%.1f dB, want %.0f", db, c.least)
			}
			layers := 0
			for _, y := range c.r.Layers {
				if y.Quantized && y.Weights != nil {
					layers++
				}
			}
			if layers != c.layers {
				t.Errorf("%d layers with quantized weights, want %d: %+v", layers, c.layers, c.r.Layers)
			}
			want, got := run(t, Interpreter(), c.r.Graph, c.samples[:2]), run(t, Engine(1), c.r.Graph, c.samples[:2])
			for i := range want {
				if ok, abs, _ := tensor.CloseTo(got[i][0], want[i][0], 0.05, 0.05); !ok {
					t.Errorf("the executors differ by %g", abs)
				}
			}
			w := witness.Find(t)
			path := filepath.Join(t.TempDir(), "model.onnx")
			if err := onnx.Write(path, c.r.Graph, onnx.Options{}); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				out, err := w.Run(witness.ORT, path, c.samples[i])
				if err != nil {
					t.Fatal(err)
				}
				tol := 0.1
				if c.exact {
					tol = 1e-2
				}
				if ok, abs, _ := tensor.CloseTo(out[c.g.Outputs[0].Name], got[i][0], tol, tol); !ok {
					t.Errorf("ONNX Runtime differs by %g: %v against %v", abs, out[c.g.Outputs[0].Name].Floats(), got[i][0].Floats())
				}
			}
		})
	}
}
