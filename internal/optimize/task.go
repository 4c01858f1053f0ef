package optimize

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/page"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Example is the model of the built-in example, which brings its own data.
const Example = edgewise.ZooPrefix + "heartbeat"

// Sizes of the built-in example's data.
const (
	exampleEvaluation  = 2000
	exampleCalibration = 320
)

// source is a model as it was given.
type source struct {
	path  string // as given: a file, or "zoo:" and a name
	graph *graph.Graph
	bytes int64 // size of the file; for a built-in network, that its ONNX file would have
}

func openModel(path string) (*source, error) {
	m, err := edgewise.Open(path)
	if err != nil {
		return nil, err
	}
	s := &source{path: path, graph: m.Graph()}
	if info, err := os.Stat(path); err == nil {
		s.bytes = info.Size()
		return s, nil
	}
	file, err := onnx.Encode(s.graph, onnx.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.bytes = int64(len(file))
	return s, nil
}

// openData opens what Config.Data names, or the data of the built-in example.
func openData(cfg *Config) (*dataset.Dataset, error) {
	if cfg.Data != "" {
		return dataset.Open(cfg.Data, dataset.Options{Spec: cfg.Spec, Limit: cfg.Limit})
	}
	if cfg.Model != Example {
		return nil, errors.New("without data neither accuracy nor ranges can be measured; hint: give a folder, archive or array file of samples with --data")
	}
	n := exampleEvaluation
	if cfg.Limit > 0 {
		n = min(n, cfg.Limit)
	}
	x, labels, names := zoo.HeartbeatData(n)
	d, err := dataset.FromTensors("synthetic heartbeats (McSharry et al. 2003)", x, labels, names)
	if err != nil {
		return nil, err
	}
	x, labels, names = zoo.HeartbeatCalibration(exampleCalibration)
	train, err := dataset.FromTensors("synthetic heartbeats for calibration", x, labels, names)
	if err != nil {
		return nil, err
	}
	return d.WithCalibration(train), nil
}

// Goals that Run can measure a model by.
const (
	metricTop1      = "top-1 accuracy"
	metricAgreement = "top-1 agreement with the original"
	metricFidelity  = "1 - relative RMS error against the original"
)

// task says what of a model is measured, and how.
type task struct {
	input   *graph.Value
	output  int // index of the graph output that decides
	classes int // of that output; 1 is a probability of class 1; 0 where it has no classes
	metric  string
	target  dataset.Target
}

// newTask finds the input to feed and the output to judge.
func newTask(g *graph.Graph, d *dataset.Dataset) (*task, error) {
	if len(g.Inputs) != 1 {
		return nil, fmt.Errorf("%s takes %d inputs %v; optimize can feed models of one input so far", g.Name, len(g.Inputs), names(g.Inputs))
	}
	if len(g.Outputs) == 0 {
		return nil, fmt.Errorf("%s has no outputs", g.Name)
	}
	t := &task{input: g.Inputs[0]}
	if t.input.Type.Kind != graph.KindTensor {
		return nil, fmt.Errorf("input %v is not a tensor", t.input)
	}
	need := 0
	if d.HasLabels() {
		need = d.NumClasses()
	}
	for i, v := range g.Outputs {
		n := dataset.Scores(v)
		if n > 0 && (n >= need || n == 1 && need == 2) {
			t.output, t.classes = i, n
			break
		}
		// Too few scores: an offset may make the labels fit, or they are told apart later.
		if n > max(t.classes, 1) {
			t.output, t.classes = i, n
		}
	}
	switch {
	case t.classes > 0 && d.HasLabels():
		t.metric = metricTop1
	case t.classes > 1:
		t.metric = metricAgreement
	default:
		t.metric, t.classes = metricFidelity, 0
	}
	t.target = dataset.TargetOf(g, t.input)
	t.target.Outputs = t.classes
	return t, nil
}

func names(vs []*graph.Value) []string {
	var out []string
	for _, v := range vs {
		out = append(out, v.Name)
	}
	return out
}

// decide returns the class that the scores tell, -1 where one is not a number.
func decide(scores *tensor.Tensor) int {
	n := scores.Len()
	if n == 1 {
		if v := scores.Float(0); v != v {
			return -1
		} else if v > 0.5 {
			return 1
		}
		return 0
	}
	best := 0
	for i := range n {
		v := scores.Float(i)
		if v != v {
			return -1
		}
		if v > scores.Float(best) {
			best = i
		}
	}
	return best
}

// split is which samples serve what.
type split struct {
	eval, pool  *dataset.Dataset // pool: for calibration and the proxy
	train       *dataset.Dataset // the data's own training part, nil where it has none
	calibrating int              // the first so many of the pool; the rest is the proxy
	disjoint    bool
	note        string
}

// Below poolLeast samples a set is too small to be divided.
const (
	poolLeast = 60
	poolShare = 5 // one in so many goes to calibration
)

// divide sets samples for calibration apart.
func divide(d *dataset.Dataset, cfg *Config) split {
	want := cfg.Calibration + cfg.proxy()
	s := split{eval: d, pool: d, train: d.Calibration(), disjoint: true}
	var from string
	switch {
	case s.train != nil:
		s.pool = s.train.Subset(s.train.Spread(want, cfg.Seed))
		from = page.Plural(s.pool.Len(), "sample of the data's own training part", "samples of the data's own training part")
	case d.Len() < poolLeast:
		s.disjoint = false
		from = page.Plural(d.Len(), "sample is too few to set one apart, so it is evaluated as well", "samples are too few to set some apart, so all are evaluated as well")
	default:
		pool := d.Spread(min(want, max(d.Len()/poolShare, poolLeast/3)), cfg.Seed)
		var rest []int
		for i := range d.Len() {
			if _, ok := slices.BinarySearch(pool, i); !ok {
				rest = append(rest, i)
			}
		}
		s.eval, s.pool = d.Subset(rest), d.Subset(pool)
		from = fmt.Sprintf("%d of %s set apart and not evaluated", len(pool), page.Counted(d.Len(), "sample"))
	}
	n := s.pool.Len()
	s.calibrating = max(n-cfg.proxy(), (n+1)/2)
	s.note = fmt.Sprintf("%s: %d for calibration, %d for comparing candidates", from, s.calibrating, n-s.calibrating)
	return s
}
