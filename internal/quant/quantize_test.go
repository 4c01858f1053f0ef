package quant

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestHeartbeatKeepsAccuracy(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates many networks")
	}
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

// A pre-activation that reaches far into the flat tail of its activation gets a range
// that spends no steps there.
func TestFlatTailsAreCut(t *testing.T) {
	for name, want := range map[string]Range{"Sigmoid": {-6.9, 6.9}, "HardSwish": {-3, 30}, "Swish": {-5.3, 30}, "Tanh": {-3.5, 3.5}, "Elu": {-3.5, 30}, "Relu": {0, 30}} {
		g := graph.New(name)
		x := g.Input("x", graph.TensorType(tensor.Float32, 1, 8))
		eye := tensor.New(tensor.Float32, 8, 8)
		for i := range 8 {
			eye.F32()[i*9] = 1
		}
		h := g.Add("Gemm", "fc", nil, x, g.Constant("w", eye))
		y := g.Add(name, "f", nil, h)
		g.Output(g.Add("Gemm", "scores", nil, y, g.Constant("w2", eye)))
		if name == "Relu" {
			g.Output(h)
		}
		g, err := Prepare(g)
		if err != nil {
			t.Fatal(err)
		}
		s := sample{"x": tensor.Of([]float32{-80, -20, -3, -1, 0, 1, 5, 30}, 1, 8)}
		r := quantize(t, g, calibrate(t, g, []sample{s}), Config{})
		var got Range
		for _, y := range r.Layers {
			if y.Node == "fc" {
				got = y.Range
			}
		}
		if name == "Relu" {
			want = Range{-80, 30} // the value is a result too
		}
		if math.Abs(got.Lo-want.Lo) > 0.6 || math.Abs(got.Hi-want.Hi) > 0.6 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
		a, b := run(t, Engine(1), g, []sample{s})[0][0], run(t, Engine(1), r.Graph, []sample{s})[0][0]
		for i, v := range a.F32() {
			if math.Abs(float64(v-b.F32()[i])) > 0.3 {
				t.Errorf("%s: %v becomes %v", name, v, b.F32()[i])
			}
		}
	}
}

// Any set of layers may stay float: the rest is quantized around them, nothing more is
// lost than with everything in integers, and with all of them nothing is.
func TestAnyLayersMayStayFloat(t *testing.T) {
	g, cal, eval, _ := heartbeat(t, 30, 20)
	block, blockSamples := transformerBlock(t)
	for _, c := range []struct {
		g         *graph.Graph
		cal, eval []sample
	}{{g, cal, eval}, {block, blockSamples, blockSamples}} {
		stats := calibrate(t, c.g, c.cal)
		all := quantize(t, c.g, stats, Config{})
		worst := sqnr(t, c.g, all.Graph, c.eval)
		rng := rand.New(rand.NewPCG(9, 9))
		for round := range 12 {
			keep := map[string]string{}
			for _, y := range all.Layers {
				if y.Quantized && (round == 0 || rng.IntN(2) == 0) {
					keep[y.Node] = "for the test"
				}
			}
			r := quantize(t, c.g, stats, Config{Keep: keep})
			for _, y := range r.Layers {
				if _, kept := keep[y.Node]; kept && (y.Quantized || y.Reason != "for the test") {
					t.Errorf("%+v", y)
				}
			}
			db := sqnr(t, c.g, r.Graph, c.eval)
			if db < worst-4 || round == 0 && !math.IsInf(db, 1) {
				t.Errorf("%d layers kept: %.1f dB, %.1f dB with none", len(keep), db, worst)
			}
			plan, err := engine.Compile(r.Graph, engine.Options{})
			if err != nil {
				t.Fatal(err)
			}
			a, b := run(t, Interpreter(), plan.Graph(), c.eval[:1])[0][0], run(t, Engine(1), r.Graph, c.eval[:1])[0][0]
			if ok, abs, _ := tensor.CloseTo(b, a, 0.2, 0.05); !ok {
				t.Errorf("%d layers kept: the executors differ by %g", len(keep), abs)
			}
		}
	}
}
