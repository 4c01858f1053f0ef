package quant

import (
	"context"
	"math"
	"path/filepath"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestHeartbeatKeepsAccuracy(t *testing.T) {
	g, cal, eval, labels := heartbeat(t, 200, 500)
	c := calibrate(t, g, cal)
	float := accuracy(t, g, eval, labels)
	for _, m := range Methods() {
		r := quantize(t, g, c, Config{Method: m})
		got := accuracy(t, r.Graph, eval, labels)
		db := sqnr(t, g, r.Graph, eval[:50])
		t.Logf("%v: %.2f %% of %.2f %%, %.1f dB", m, got, float, db)
		bound := 1.0
		if m == Entropy {
			bound = 3 // it clips rare peaks, which is what tells these classes apart
		}
		if float-got > bound {
			t.Errorf("%v: %.2f %% against %.2f %% in floating point", m, got, float)
		}
	}
}

// Every step of a quantized network has an integer kernel, and the engine gives the bytes
// of the reference evaluation of the integer operators.
func TestEngineIsExactOnQuantized(t *testing.T) {
	g, samples := mobilenet(t, 4, false)
	c := calibrate(t, g, samples)
	for _, d := range []tensor.DType{tensor.Uint8, tensor.Int8} {
		for _, perTensor := range []bool{false, true} {
			r := quantize(t, g, c, Config{Activation: d, PerTensor: perTensor})
			plan, err := engine.Compile(r.Graph, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range plan.Steps() {
				if s.Fallback {
					t.Errorf("%v: step %s (%s) is a fallback: %s", d, s.Name, s.Op, s.Reason)
				}
			}
			for _, n := range plan.Notes() {
				t.Errorf("%v: %s (%s) %s", d, n.Node, n.Op, n.Reason)
			}
			want := run(t, Interpreter(), plan.Graph(), samples[:1])
			got := run(t, Engine(1), r.Graph, samples[:1])
			if !slices.Equal(want[0][0].Bytes(), got[0][0].Bytes()) {
				t.Errorf("%v: the engine differs from the reference", d)
			}
			if db := sqnr(t, g, r.Graph, samples); db < 3 && !perTensor {
				t.Errorf("%v: output SQNR is %.1f dB", d, db)
			} else {
				t.Logf("%v per tensor %v: %.1f dB", d, perTensor, db)
			}
		}
	}
}

func TestEveryLayerIsReported(t *testing.T) {
	g, samples := mobilenet(t, 2, false)
	r := quantize(t, g, calibrate(t, g, samples), Config{Keep: map[string]string{"head": "for the test"}})
	if err := Measure(context.Background(), g, r, Slice(samples...), nil, nil); err != nil {
		t.Fatal(err)
	}
	convs := 0
	for _, y := range r.Layers {
		if y.Op == "Conv" || y.Op == "Gemm" {
			convs++
		}
		switch {
		case y.Node == "head":
			if y.Quantized || y.Reason != "for the test" || y.Bits != 32 {
				t.Errorf("kept layer is reported as %+v", y)
			}
		case !y.Quantized:
			t.Errorf("%s stays float: %s", y.Node, y.Reason)
		case !(y.SQNR > 3), y.Params.Scale <= 0, y.Bits != 8, y.Weights != nil && !(y.Weights.SQNR > 30):
			t.Errorf("%+v", y)
		}
	}
	if want := 53; convs != want {
		t.Errorf("%d layers with weights are reported, want %d", convs, want)
	}
}

func TestIntegerIO(t *testing.T) {
	g, cal, eval, _ := heartbeat(t, 20, 3)
	c := calibrate(t, g, cal)
	float, ints := quantize(t, g, c, Config{}), quantize(t, g, c, Config{IntegerIO: true})
	in, out := ints.Graph.Inputs[0], ints.Graph.Outputs[0]
	if in.Type.DType != tensor.Uint8 || out.Type.DType != tensor.Uint8 || in.Name != "ecg" || out.Name != g.Outputs[0].Name {
		t.Fatalf("input %v, output %v", in, out)
	}
	first := float.Layers[len(float.Layers)-1].Params
	p := paramsOf(c.Values["ecg"].Range(MinMax, 0), tensor.Uint8)
	want := run(t, Engine(1), float.Graph, eval)
	var q []sample
	for _, s := range eval {
		q = append(q, sample{"ecg": quantizeTensor(s["ecg"], p, tensor.Uint8)})
	}
	for i, got := range run(t, Engine(1), ints.Graph, q) {
		for j, v := range want[i][0].F32() {
			if f := float32(got[0].Int(j)-int64(first.Zero)) * first.Scale; f != v {
				t.Fatalf("sample %d: score %d is %v, want %v", i, j, f, v)
			}
		}
	}
}

// What is written loads in ONNX Runtime, and decides alike.
func TestRuntimeAgrees(t *testing.T) {
	w := witness.Find(t)
	g, cal, eval, _ := heartbeat(t, 100, 200)
	c := calibrate(t, g, cal)
	for name, cfg := range map[string]Config{"uint8": {}, "int8": {Activation: tensor.Int8}, "per-tensor": {PerTensor: true}, "integer-io": {IntegerIO: true}} {
		r := quantize(t, g, c, cfg)
		path := filepath.Join(t.TempDir(), name+".onnx")
		if err := onnx.Write(path, r.Graph, onnx.Options{}); err != nil {
			t.Fatal(err)
		}
		if err := w.Check(witness.ORT, path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if cfg.IntegerIO {
			continue
		}
		same, worst := 0, 0.0
		ours := run(t, Engine(1), r.Graph, eval)
		step := float64(r.Layers[len(r.Layers)-1].Params.Scale)
		for i, s := range eval {
			out, err := w.Run(witness.ORT, path, s)
			if err != nil {
				t.Fatal(err)
			}
			theirs := out[g.Outputs[0].Name]
			if argmax(theirs) == argmax(ours[i][0]) {
				same++
			}
			for j := range theirs.Len() {
				worst = max(worst, math.Abs(theirs.Float(j)-ours[i][0].Float(j))/step)
			}
		}
		t.Logf("%s: %d of %d equal decisions, at most %.0f steps apart", name, same, len(eval), worst)
		if same*100 < 99*len(eval) {
			t.Errorf("%s: only %d of %d equal decisions", name, same, len(eval))
		}
	}
}
