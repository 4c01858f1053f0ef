package train

import (
	"bytes"
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/tensor"
)

// quantized returns the fake-quantized form of the small network after a short training in
// floating point, with weights of the given bits.
func quantized(t *testing.T, bits int) *graph.Graph {
	t.Helper()
	cfg := config()
	cfg.Epochs, cfg.Evaluate = 2, nil
	tr, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	source := newImages(96)
	r, err := tr.Run(context.Background(), source)
	if err != nil {
		t.Fatal(err)
	}
	g, err := quant.Prepare(r.Network)
	if err != nil {
		t.Fatal(err)
	}
	var samples []map[string]*tensor.Tensor
	for i := range 32 {
		s, _ := source.Sample(i, nil)
		samples = append(samples, map[string]*tensor.Tensor{"x": s.X})
	}
	cal, err := quant.Calibrate(context.Background(), g, quant.Slice(samples...), quant.CalibrationConfig{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	q, err := quant.Quantize(g, cal, quant.Config{Bits: bits})
	if err != nil {
		t.Fatal(err)
	}
	fake, err := quant.Fake(g, q)
	if err != nil {
		t.Fatal(err)
	}
	return fake
}

func outputs(t *testing.T, g *graph.Graph, s images, run func(context.Context, *graph.Graph, []op.Value) ([]op.Value, error)) [][]byte {
	t.Helper()
	var out [][]byte
	for i := range 20 {
		x, _ := s.Sample(i, nil)
		y, err := run(context.Background(), g, []op.Value{x.X})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, bytes.Clone(y[0].(*tensor.Tensor).Bytes()))
	}
	return out
}

func onEngine(ctx context.Context, g *graph.Graph, in []op.Value) ([]op.Value, error) {
	plan, err := engine.Compile(g, engine.Options{})
	if err != nil {
		return nil, err
	}
	s, err := plan.NewSession()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Run(ctx, in)
}

// TestQuantizedTraining trains at every width. What is judged after an epoch is what is
// written: the file, opened again, gives the same bytes.
func TestQuantizedTraining(t *testing.T) {
	test := newImages(60)
	for _, c := range []struct {
		bits  int
		fixed bool
		kind  string
	}{{8, false, "adam"}, {4, false, "sgd"}, {3, true, "adam"}, {2, false, "lamb"}} {
		fake := quantized(t, c.bits)
		cfg := config()
		cfg.Epochs, cfg.Start, cfg.Deployed = 2, true, quant.Deploy
		cfg.Spec.Optimizer = Optimizer{Kind: c.kind, Rate: 2e-3}
		cfg.Spec.FixedScales = c.fixed
		var judged [][][]byte
		judge := accuracy(test)
		cfg.Evaluate = func(ctx context.Context, g *graph.Graph) (map[string]float64, error) {
			judged = append(judged, outputs(t, g, test, onEngine))
			return judge(ctx, g)
		}
		tr, err := New(fake, cfg)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tr.Run(context.Background(), newImages(96))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.History) != 3 || r.History[0].Epoch != 0 {
			t.Fatalf("%+v: history %+v does not begin before the training", c, r.History)
		}
		first, kept := r.History[0].Metrics["accuracy"], r.History[r.Epoch].Metrics["accuracy"]
		if kept < first {
			t.Errorf("%+v: accuracy %v was kept, the start had %v", c, kept, first)
		}
		deployed, err := quant.Deploy(r.Network)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "model.onnx")
		if err := onnx.Write(file, deployed, onnx.Options{}); err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Read(file, onnx.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i, y := range outputs(t, m, test, onEngine) {
			if !bytes.Equal(y, judged[r.Epoch][i]) {
				t.Errorf("%+v: sample %d of the written model differs from the evaluation", c, i)
			}
		}
		if moved := scalesMoved(fake, r.Network); moved == c.fixed && r.Epoch > 0 {
			t.Errorf("%+v: scales moved: %v", c, moved)
		}
	}
}

// scalesMoved reports whether any scale differs between two forms of a network.
func scalesMoved(a, b *graph.Graph) bool {
	values := map[string]*tensor.Tensor{}
	for _, v := range a.Constants() {
		values[v.Name] = v.Const
	}
	for _, v := range b.Constants() {
		if strings.HasSuffix(v.Name, "_scale") && !bytes.Equal(v.Const.Bytes(), values[v.Name].Bytes()) {
			return true
		}
	}
	return false
}

// TestUnitsChangeNothing: weights and scales that are trained in units make the same step
// as those of the network, bit for bit, and lie around 1.
func TestUnitsChangeNothing(t *testing.T) {
	for _, bits := range []int{8, 5, 2} {
		fake := quantized(t, bits)
		g := fake.Clone()
		f, err := inUnits(g)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Verify(); err != nil {
			t.Fatal(err)
		}
		test := newImages(60)
		want := outputs(t, fake, test, interp.Run)
		for i, y := range outputs(t, g, test, interp.Run) {
			if !bytes.Equal(y, want[i]) {
				t.Fatalf("%d bits: sample %d differs in units", bits, i)
			}
		}
		original := map[string]*tensor.Tensor{}
		for _, v := range fake.Constants() {
			original[v.Name] = v.Const
		}
		for v, unit := range f.units {
			s := State{Unit: unit}
			if !bytes.Equal(s.Real(v.Const).Bytes(), original[v.Name].Bytes()) {
				t.Errorf("%d bits: %s does not come back from its units", bits, v.Name)
			}
			if largest := largestOf(v.Const); strings.HasSuffix(v.Name, ".weight") && !(largest > 0.4 && largest < 4) {
				t.Errorf("%d bits: the largest weight of %s is %v in units", bits, v.Name, largest)
			}
		}
	}
}

func largestOf(t *tensor.Tensor) (m float64) {
	for i := range t.Len() {
		m = max(m, math.Abs(t.Float(i)))
	}
	return m
}
