package optimize

import (
	"context"
	"testing"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Data that lack the last classes of a model must not be taken for a numbering with a
// background, and a numbering with one is found by what the model decides.
func TestLabelOffsetIsTried(t *testing.T) {
	for name, c := range map[string]struct{ outputs, step, largest, offset int }{
		"every other class":           {1000, 2, 998, 0},
		"background before":           {1001, 1, 999, 1},
		"1001 classes, no background": {1001, 7, 994, 0},
		"background and few classes":  {12, 1, 10, 1},
		"classes without samples":     {12, 1, 5, 0},
		"as many as labels":           {11, 1, 10, 0},
	} {
		g := graph.New("scores")
		x := g.Input("x", graph.TensorType(tensor.Float32, 1, c.outputs))
		y := g.Add("Identity", "y", nil, x)
		y.Type = graph.TensorType(tensor.Float32, 1, c.outputs)
		g.Output(y)
		var labels []int
		for l := 0; l <= c.largest; l += c.step {
			labels = append(labels, l)
		}
		samples := tensor.New(tensor.Float32, len(labels), c.outputs)
		for i, l := range labels {
			samples.F32()[i*c.outputs+l+c.offset] = 1
		}
		d, err := dataset.FromTensors("scores", samples, labels, nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Preprocess(context.Background(), g, d, 1, notes{t})
		if err != nil {
			t.Fatal(err)
		}
		if p.LabelOffset != c.offset {
			t.Errorf("%s: offset %d, want %d", name, p.LabelOffset, c.offset)
		}
	}
}

// The pictures are of every other class of ImageNet, so that the largest label of 1000
// classes is 998; the model's published accuracy is far above what a wrong offset gives.
func TestRealLabelOffset(t *testing.T) {
	if testing.Short() {
		t.Skip("long")
	}
	m, err := edgewise.Open(testdata.Path(t, "models", "mobilenetv2_1.0_224_qoperator.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Open(testdata.Path(t, "imagenet"), dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := Preprocess(context.Background(), m.Graph(), d, 1, notes{t})
	if err != nil {
		t.Fatal(err)
	}
	task, err := newTask(m.Graph(), d)
	if err != nil {
		t.Fatal(err)
	}
	sub := d.Subset(d.Spread(200, 2))
	s, err := evaluate(context.Background(), task, m.Graph(), nil, newFeed(sub, p, task.input.Name), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if t.Logf("%.1f %%, %s", 100*s.accuracy, p); s.accuracy < 0.7 {
		t.Errorf("%.1f %% of %d samples by %s", 100*s.accuracy, s.samples, p)
	}
}

// Ways that come out even are no finding.
func TestUndecidedPreprocessingIsAGuess(t *testing.T) {
	model, _ := writeNet(t, []int{1, 6}, false)
	m, err := edgewise.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	zeros := tensor.New(tensor.Float32, 4, 3, 8, 8)
	d, err := dataset.FromTensors("zeros", zeros, []int{3, 3, 3, 3}, nil)
	if err != nil {
		t.Fatal(err)
	}
	task, err := newTask(m.Graph(), d)
	if err != nil {
		t.Fatal(err)
	}
	c := &chooser{ctx: context.Background(), graph: m.Graph(), task: task, eval: d, seed: 1, rep: &reporter{}}
	p, trials, err := c.choose()
	if err != nil || len(trials) != 2 || p.LabelOffset != 0 || c.guess == "" {
		t.Errorf("%v after %v: %q, %v", p, trials, c.guess, err)
	}
}
