package recipe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Quantize says that the network learns to be computed in integers.
type Quantize struct {
	Weights     int                  `yaml:"weights"`     // bits, 2 to 8; 0 means 8
	Activations int                  `yaml:"activations"` // bits: 8
	Scales      string               `yaml:"scales"`      // lsq, learned with the weights, or fixed
	Layers      map[string]Exception `yaml:"layers"`      // by name or pattern
	Samples     int                  `yaml:"samples"`     // of the training part, for calibration; 0 means 500
}

// Exception says how a layer differs from the others.
type Exception struct {
	Weights int `yaml:"weights"` // bits, 2 to 8; 32 for a layer that stays in floating point
}

// FloatBits says that a layer is not quantized.
const FloatBits = 32

func (q *Quantize) validate() error {
	if q == nil {
		return nil
	}
	bits := func(key string, b int) error {
		if b != 0 && (b < 2 || b > 8) {
			return fmt.Errorf("quantize: %s: weights of %d bits are not possible, only 2 to 8", key, b)
		}
		return nil
	}
	if err := bits("weights", q.Weights); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(q.Layers)) {
		if _, err := path.Match(name, ""); err != nil {
			return fmt.Errorf("quantize: layers: %q is no pattern: %w", name, err)
		}
		if b := q.Layers[name].Weights; b != FloatBits {
			if err := bits("layers: "+name, b); err != nil {
				return err
			}
		}
	}
	switch {
	case q.Activations != 0 && q.Activations != 8:
		return fmt.Errorf("quantize: activations of %d bits have no integer kernels, only 8", q.Activations)
	case q.Scales != "" && q.Scales != "lsq" && q.Scales != "fixed":
		return fmt.Errorf("quantize: scales: %q is not lsq or fixed", q.Scales)
	case q.Samples < 0 || q.Samples > 1<<20:
		return fmt.Errorf("quantize: samples: %d is not within 0..%d", q.Samples, 1<<20)
	}
	return nil
}

// Quantization reports what a training of integers set out from, and what it is measured by.
type Quantization struct {
	Bits    int    `json:"weight_bits"`
	Start   string `json:"start"`            // how the network was quantized before the training
	Trained bool   `json:"trained"`          // false where no epoch was better than the start
	Layers  int    `json:"quantized_layers"` // that compute on integers
	Kept    int    `json:"float_layers"`
	Packed  int    `json:"packed_bytes"` // saved by weights of 4 bits and fewer, two to a byte

	Float        Parts `json:"float"`         // the network as given
	PostTraining Parts `json:"post_training"` // the start
}

// Parts is how a network does on the parts of the data that judge.
type Parts struct {
	Validation *Score `json:"validation,omitempty"`
	Test       *Score `json:"test,omitempty"`
}

// quantized is what a quantized training sets out from.
type quantized struct {
	float  *graph.Graph // prepared
	start  *quant.Result
	report *Quantization
}

// calibrated and corrected are how many samples find ranges and correct biases; the latter
// measures layer after layer.
const (
	calibrated = 500
	corrected  = 128
)

// quantize takes the best form that quantization without training gives the network and
// puts its fake-quantized form in the network's place.
func (j *job) quantize(ctx context.Context) error {
	r := j.r
	if r.fresh() {
		return errors.New("quantize: random weights have no ranges to begin with; hint: train in floating point first and quantize the model.onnx that comes of it")
	}
	g, err := quant.Prepare(j.network)
	if err != nil {
		return err
	}
	cfg := quant.Config{Bits: r.Quantize.Weights, LayerBits: map[string]int{}, Keep: map[string]string{}}
	if err := r.Quantize.exceptions(g, &cfg); err != nil {
		return err
	}
	samples := j.calibration(g, cmp.Or(r.Quantize.Samples, calibrated))
	progress := func(stage string, done, total int) { j.report(Event{Stage: stage, Done: done, Total: total}) }
	cal, err := quant.Calibrate(ctx, g, samples, quant.CalibrationConfig{Executor: quant.Engine(j.threads)}, progress)
	if err != nil {
		return err
	}
	q := &quantized{float: g, report: &Quantization{Bits: cmp.Or(r.Quantize.Weights, 8)}}
	if err := j.begin(ctx, q, cal, cfg, progress); err != nil {
		return err
	}
	for _, y := range q.start.Layers {
		if y.Quantized {
			q.report.Layers++
		} else {
			q.report.Kept++
		}
	}
	j.note("quantized without training: %s", q.report.Start)
	j.quant = q
	j.network, err = quant.Fake(g, q.start)
	return err
}

// begin finds the best start: every method once, then the best one for each kind of weights
// with its biases corrected.
func (j *job) begin(ctx context.Context, q *quantized, cal *quant.Calibration, cfg quant.Config, progress quant.Progress) error {
	few := j.calibration(q.float, corrected)
	var best float64
	keep := func(s *quant.Result, mark float64, how string) {
		if q.start == nil || mark > best {
			best, q.start, q.report.Start = mark, s, how
		}
	}
	for _, mse := range []bool{false, true} {
		var chosen *quant.Result
		var highest float64
		var how string
		for _, m := range []quant.Method{quant.MinMax, quant.Percentile, quant.MSE} {
			cfg.Method, cfg.WeightMSE = m, mse
			s, err := quant.Quantize(q.float, cal, cfg)
			if err != nil {
				return err
			}
			mark, err := j.mark(ctx, q.float, s)
			if err != nil {
				return err
			}
			if chosen == nil || mark > highest {
				chosen, highest, how = s, mark, "ranges by "+m.String()
			}
		}
		if mse {
			how += ", weights by least squares"
		}
		keep(chosen, highest, how)
		s, _, err := quant.CorrectBias(ctx, q.float, chosen, few, quant.BiasConfig{Sequential: true, Executor: quant.Engine(j.threads)}, progress)
		if err != nil {
			return err
		}
		mark, err := j.mark(ctx, q.float, s)
		if err != nil {
			return err
		}
		keep(s, mark, how+", biases corrected")
	}
	return nil
}

// mark tells how well a quantized network does: on the part that chooses epochs, or by the
// noise of its outputs where there is none.
func (j *job) mark(ctx context.Context, g *graph.Graph, s *quant.Result) (float64, error) {
	if j.judge == nil {
		return quant.SQNR(ctx, g, s.Graph, j.calibration(g, 64), quant.Engine(j.threads))
	}
	score, err := evaluate(ctx, s.Graph, j.judge, j.threads, nil)
	switch {
	case err != nil:
		return 0, err
	case score.RMSE != nil:
		return -*score.RMSE, nil
	}
	return *score.Accuracy, nil
}

// calibration yields samples of the training part, spread over it.
func (j *job) calibration(g *graph.Graph, n int) quant.Samples {
	chosen := j.learned.data.Spread(n, j.r.Seed)
	return func(yield func(map[string]*tensor.Tensor, error) bool) {
		for _, i := range chosen {
			x := tensor.New(tensor.Float32, j.pre.Shape...)
			err := j.learned.fill(x, i)
			if !yield(map[string]*tensor.Tensor{g.Inputs[0].Name: x}, err) || err != nil {
				return
			}
		}
	}
}

// exceptions writes what layers have of their own. A pattern that fits no layer is refused.
func (q *Quantize) exceptions(g *graph.Graph, cfg *quant.Config) error {
	var names []string
	for _, n := range g.Nodes {
		names = append(names, n.Label())
	}
	for _, p := range slices.Sorted(maps.Keys(q.Layers)) {
		found := false
		for _, n := range names {
			if !train.Fits(p, n) {
				continue
			}
			found = true
			if b := q.Layers[p].Weights; b == FloatBits {
				cfg.Keep[n] = "kept by the recipe"
			} else {
				cfg.LayerBits[n] = b
			}
		}
		if !found {
			return fmt.Errorf("quantize: layers: no layer is named %q; hint: edgewise inspect --dump simplified shows the names", p)
		}
	}
	return nil
}

// deployed turns a trained network into the form that is written: integers where it was
// trained for them, otherwise with its normalizations folded.
func (j *job) deployed(trained *graph.Graph) (*graph.Graph, error) {
	if j.quant == nil {
		return train.Folded(trained)
	}
	g, err := quant.Deploy(trained)
	if err != nil {
		return nil, err
	}
	g, j.quant.report.Packed = quant.Pack(g)
	return g, nil
}

// compare measures the network as given and the start on the parts that judge.
func (j *job) compare(ctx context.Context, epoch int) (*Quantization, error) {
	q := j.quant
	if q == nil {
		return nil, nil
	}
	q.report.Trained = epoch > 0
	for _, c := range []struct {
		s  *samples
		g  *graph.Graph
		to **Score
	}{
		{j.judge, q.float, &q.report.Float.Validation}, {j.test, q.float, &q.report.Float.Test},
		{j.judge, q.start.Graph, &q.report.PostTraining.Validation}, {j.test, q.start.Graph, &q.report.PostTraining.Test},
	} {
		if c.s == nil {
			continue
		}
		score, err := evaluate(ctx, c.g, c.s, j.threads, nil)
		if err != nil {
			return nil, err
		}
		score.Confusion = nil
		*c.to = score
	}
	return q.report, nil
}
