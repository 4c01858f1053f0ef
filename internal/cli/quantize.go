package cli

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

type quantizeFlags struct {
	mode, method, data, spec, out, activation string
	samples, bits, block                      int
	seed                                      uint64
	keep                                      []string
	perTensor, equalize, correct, tail        bool
	integerIO, random                         bool
	qat                                       qatFlags
}

// Modes of quantize.
const (
	modeStatic     = "static"
	modeDynamic    = "dynamic"
	modeWeightOnly = "weight-only"
)

// quantizeReport is what quantize --json writes.
type quantizeReport struct {
	Model        string        `json:"model"`
	File         string        `json:"file"`
	Mode         string        `json:"mode"`
	Method       string        `json:"method,omitempty"`
	Preprocess   string        `json:"preprocess,omitempty"`
	Samples      int           `json:"calibration_samples"`
	SizeBytes    int64         `json:"size_bytes"`
	OriginalSize int64         `json:"original_size_bytes"`
	SQNR         *float64      `json:"sqnr_db"` // of the outputs; null where it was not measured
	Layers       []layerReport `json:"layers"`
}

// layerReport tells what became of a layer.
type layerReport struct {
	Node      string   `json:"node"`
	Op        string   `json:"op"`
	Quantized bool     `json:"quantized"`
	Bits      int      `json:"bits"`
	Reason    string   `json:"kept_float_reason,omitempty"`
	SQNR      *float64 `json:"sqnr_db"`
}

func (a *app) quantize() *cobra.Command {
	f := quantizeFlags{}
	cmd := &cobra.Command{
		Use:   "quantize MODEL -o FILE.onnx",
		Short: "Quantize a model in one given way",
		Long: `Writes an 8-bit form of a float model, made in exactly the way the flags say; edgewise
optimize tries the ways and picks one by measurement.

  static       activations and weights in 8 bits; ranges come from samples (--data)
  dynamic      activations are quantized anew in every inference; needs no samples
  weight-only  weights in 8 or 4 bits, arithmetic in floating point

With --qat the network is trained for its integers, which are static ones with weights of
--bits 8 to 2: it begins with the best that calibration alone gives and learns from labels
and from the model as given. Where no epoch is better on samples set apart than the
beginning was, that is written. Fewer bits than 8 make files of 4 bits and fewer smaller, and nothing
faster.`,
		Example: `  edgewise quantize model.onnx --data images/ --method entropy -o model8.onnx
  edgewise quantize model.onnx --mode weight-only --bits 4 -o model4.onnx
  edgewise quantize model.onnx --qat --data images/ --bits 4 -o model4.onnx`,
		Args: arguments(1, 1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			if f.qat.on {
				return a.runQAT(cmd.Context(), args[0], f, given)
			}
			for _, name := range withTraining {
				if given(name) {
					return usagef("--%s goes with --qat", name)
				}
			}
			return a.runQuantize(cmd.Context(), args[0], f)
		},
	}
	a.modelFlags(cmd)
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "`file` to write")
	fl.StringVar(&f.mode, "mode", modeStatic, "static, dynamic or weight-only")
	fl.StringVar(&f.method, "method", quant.MinMax.String(), "how static ranges follow from samples: "+methodNames())
	fl.StringVar(&f.data, "data", "", "samples for calibration: folder, archive, npz, csv, idx, dataset.yaml")
	fl.StringVar(&f.spec, "spec", "", "a dataset.yaml `file` to use instead of the data's own")
	fl.IntVar(&f.samples, "samples", 200, "how many samples to calibrate on")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of the selection of samples")
	fl.BoolVar(&f.random, "random", false, "calibrate on made-up values: for measuring speed, not for use")
	fl.StringVar(&f.activation, "activation", "uint8", "type of static activations: uint8 or int8")
	fl.BoolVar(&f.perTensor, "per-tensor", false, "one scale per weight tensor instead of one per channel")
	fl.BoolVar(&f.equalize, "equalize", false, "balance the channels of neighbouring layers first")
	fl.BoolVar(&f.correct, "correct-bias", false, "take the mean error of each layer out of its bias")
	fl.BoolVar(&f.tail, "tail", false, "quantize also what comes after the last layer with weights")
	fl.BoolVar(&f.integerIO, "integer-io", false, "make inputs and outputs 8-bit too")
	fl.StringArrayVar(&f.keep, "keep", nil, "`node` that stays in floating point (repeatable)")
	fl.IntVar(&f.bits, "bits", 8, "bits of weights: 8 or 4 of weight-only, 8 to 2 of --qat")
	fl.IntVar(&f.block, "block", 32, "4-bit weights that share a scale")
	f.qat.register(fl)
	return cmd
}

func methodNames() string {
	var out []string
	for _, m := range quant.Methods() {
		out = append(out, m.String())
	}
	return strings.Join(out, ", ")
}

func (f *quantizeFlags) check() (quant.Config, error) {
	cfg := quant.Config{PerTensor: f.perTensor, Tail: f.tail, IntegerIO: f.integerIO, Keep: map[string]string{}}
	if !slices.Contains([]string{modeStatic, modeDynamic, modeWeightOnly}, f.mode) {
		return cfg, usagef("--mode %q is not one of static, dynamic, weight-only", f.mode)
	}
	var err error
	if cfg.Method, err = quant.ParseMethod(f.method); err != nil {
		return cfg, usagef("--method: %w", err)
	}
	switch f.activation {
	case "uint8":
		cfg.Activation = tensor.Uint8
	case "int8":
		cfg.Activation = tensor.Int8
	default:
		return cfg, usagef("--activation %q is neither uint8 nor int8", f.activation)
	}
	switch {
	case f.out == "":
		return cfg, hinted(usagef("-o is missing"), "name the file to write, as -o model8.onnx")
	case f.samples < 1:
		return cfg, usagef("--samples %d is not a positive number", f.samples)
	case f.bits != 8 && f.bits != 4:
		return cfg, usagef("--bits %d is neither 8 nor 4", f.bits)
	case f.block < 16 || f.block > 1<<20 || f.block&(f.block-1) != 0:
		return cfg, usagef("--block %d is not a power of two from 16 on", f.block)
	}
	for _, k := range f.keep {
		cfg.Keep[k] = "kept by --keep"
	}
	return cfg, nil
}

func (a *app) runQuantize(ctx context.Context, path string, f quantizeFlags) error {
	cfg, err := f.check()
	if err != nil {
		return err
	}
	if err := specForData(f.spec, f.data); err != nil {
		return err
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	if err := modelOutput(f.out, path); err != nil {
		return err
	}
	g, err := quant.Prepare(m.Graph())
	if err != nil {
		return err
	}
	for _, k := range f.keep {
		if err := hasNode(g, k); err != nil {
			return err
		}
	}
	r := &quantizeReport{Model: path, File: f.out, Mode: f.mode}
	samples, pre, err := a.calibrationSamples(ctx, m, &f, r)
	if err != nil {
		return err
	}
	exec := quant.Engine(max(opts.Threads, 1))
	var q *quant.Result
	switch f.mode {
	case modeStatic:
		r.Method = f.method
		if f.equalize {
			var e *quant.Equalization
			if g, e, err = quant.Equalize(g); err != nil {
				return err
			}
			a.note("equalized %d pairs of layers", len(e.Pairs))
		}
		cal, err := quant.Calibrate(ctx, g, samples, quant.CalibrationConfig{Executor: exec}, a.progress.at)
		if err != nil {
			return err
		}
		r.Samples = cal.Samples
		if q, err = quant.Quantize(g, cal, cfg); err != nil {
			return err
		}
		if f.correct {
			if q, _, err = quant.CorrectBias(ctx, g, q, samples, quant.BiasConfig{Executor: exec}, a.progress.at); err != nil {
				return err
			}
		}
	case modeDynamic:
		q, err = quant.Dynamic(g, quant.DynamicConfig{PerTensor: f.perTensor, Convolutions: true, Keep: cfg.Keep})
	case modeWeightOnly:
		q, err = quant.WeightOnly(g, quant.WeightOnlyConfig{Bits: f.bits, Block: f.block, PerTensor: f.perTensor, Keep: cfg.Keep})
	}
	if err != nil {
		return err
	}
	if samples != nil && !f.integerIO {
		probe := first(samples, 32)
		if f.mode == modeStatic {
			if err := quant.Measure(ctx, g, q, probe, exec, a.progress.at); err != nil {
				return err
			}
		}
		db, err := quant.SQNR(ctx, m.Graph(), q.Graph, probe, exec)
		if err != nil {
			return err
		}
		r.SQNR = figure(db)
	}
	meta := map[string]string{optimize.MetaVersion: version(), optimize.MetaHow: strings.TrimSpace(f.mode + " " + r.Method)}
	if pre != nil {
		meta[dataset.MetaKey] = pre.JSON()
	}
	if err := onnx.Write(f.out, q.Graph, onnx.Options{Metadata: meta}); err != nil {
		return err
	}
	r.describe(q)
	r.OriginalSize = originalSize(path, m.Graph())
	if info, err := os.Stat(f.out); err == nil {
		r.SizeBytes = info.Size()
	}
	if a.json {
		return a.writeJSON(r)
	}
	a.printQuantize(r)
	return nil
}

func hasNode(g *graph.Graph, name string) error {
	var all []string
	for _, n := range g.Nodes {
		if n.Name == name {
			return nil
		}
		all = append(all, n.Name)
	}
	err := usagef("--keep %s: the model has no such node", name)
	if near := nearest(name, all); near != "" {
		return hinted(err, "did you mean %s?", near)
	}
	return hinted(err, "edgewise inspect --dump simplified shows the names of the nodes")
}

// calibrationSamples returns what ranges and errors are measured on, nil where the mode
// can do without and nothing was given.
func (a *app) calibrationSamples(ctx context.Context, m *edgewise.Model, f *quantizeFlags, r *quantizeReport) (quant.Samples, *dataset.Preprocess, error) {
	g := m.Graph()
	switch {
	case f.random:
		given, err := a.shapeFlags(m)
		if err != nil {
			return nil, nil, err
		}
		shapes, err := a.boundShapes(m, given)
		if err != nil {
			return nil, nil, err
		}
		r.Preprocess = "made-up values"
		a.note("calibrating on made-up values: good for measuring speed, not for use")
		return func(yield func(map[string]*tensor.Tensor, error) bool) {
			for i := range f.samples {
				out := map[string]*tensor.Tensor{}
				for _, v := range g.Inputs {
					t, err := randomInput(v, shapes[v.Name], f.seed+uint64(i))
					if err != nil {
						yield(nil, err)
						return
					}
					out[v.Name] = t
				}
				if !yield(out, nil) {
					return
				}
			}
		}, nil, nil
	case f.data == "" && r.Model == edgewise.ZooPrefix+"heartbeat":
		x, labels, names := zoo.HeartbeatCalibration(f.samples)
		d, err := dataset.FromTensors("synthetic heartbeats", x, labels, names)
		if err != nil {
			return nil, nil, err
		}
		return a.calibrating(ctx, m, d, f, r)
	case f.data == "" && f.mode == modeStatic:
		return nil, nil, hinted(usagef("static ranges need samples"), "give a folder, archive or array file with --data, or choose --mode dynamic")
	case f.data == "":
		return nil, nil, nil
	}
	d, err := dataset.Open(f.data, dataset.Options{Spec: f.spec})
	if err != nil {
		return nil, nil, err
	}
	return a.calibrating(ctx, m, d, f, r)
}

// calibrating yields samples for calibration, spread over the part of the data that is
// meant for it.
func (a *app) calibrating(ctx context.Context, m *edgewise.Model, d *dataset.Dataset, f *quantizeFlags, r *quantizeReport) (quant.Samples, *dataset.Preprocess, error) {
	pre, err := a.preprocess(ctx, m, d, f.seed)
	if err != nil {
		return nil, nil, err
	}
	r.Preprocess = pre.String()
	if c := d.Calibration(); c != nil {
		d = c
	}
	return modelInputs(ctx, m, d, d.Spread(f.samples, f.seed), pre), &pre, nil
}

// first yields at most n samples.
func first(s quant.Samples, n int) quant.Samples {
	return func(yield func(map[string]*tensor.Tensor, error) bool) {
		i := 0
		for x, err := range s {
			if i == n || !yield(x, err) {
				return
			}
			i++
		}
	}
}

// figure returns a number as JSON can hold it: nil for one that was not measured.
func figure(x float64) *float64 {
	switch {
	case math.IsNaN(x) || math.IsInf(x, -1):
		return nil
	case math.IsInf(x, 1):
		x = equalSQNR
	}
	return &x
}

// originalSize returns the size of a model's file, for a built-in network that of the
// file it would have.
func originalSize(path string, g *graph.Graph) int64 {
	if info, err := os.Stat(path); err == nil {
		return info.Size()
	}
	b, err := onnx.Encode(g, onnx.Options{})
	if err != nil {
		return 0
	}
	return int64(len(b))
}

func (r *quantizeReport) describe(q *quant.Result) {
	r.Layers = []layerReport{}
	for _, l := range q.Layers {
		r.Layers = append(r.Layers, layerReport{Node: l.Node, Op: l.Op, Quantized: l.Quantized, Bits: l.Bits, Reason: l.Reason, SQNR: figure(l.SQNR)})
	}
}

func (a *app) printQuantize(r *quantizeReport) {
	w := a.out
	fmt.Fprintf(w, "%s → %s (%s %s)\n", r.Model, r.File, r.Mode, r.Method)
	fmt.Fprintf(w, "size %s → %s", bytesText(r.OriginalSize), bytesText(r.SizeBytes))
	if r.SizeBytes > 0 && r.OriginalSize > 0 {
		fmt.Fprintf(w, " (%.2f×)", float64(r.OriginalSize)/float64(r.SizeBytes))
	}
	fmt.Fprintln(w)
	if r.SQNR != nil {
		fmt.Fprintf(w, "outputs: %.1f dB signal to quantization noise\n", *r.SQNR)
	}
	done := 0
	var worst []layerReport
	for _, l := range r.Layers {
		if l.Quantized {
			done++
		}
		if l.SQNR != nil {
			worst = append(worst, l)
		}
	}
	fmt.Fprintf(w, "%d of %d layers quantized\n", done, len(r.Layers))
	slices.SortStableFunc(worst, func(x, y layerReport) int { return cmp.Compare(*x.SQNR, *y.SQNR) })
	if len(worst) > 0 {
		fmt.Fprintln(w, "\nthe layers with the most noise:")
		t := &table{head: []string{"dB", "operator", "name"}}
		for _, l := range worst[:min(3, len(worst))] {
			t.add(fmt.Sprintf("%.1f", *l.SQNR), l.Op, l.Node)
		}
		t.write(w)
	}
	t := &table{head: []string{"stays float", "name", "reason"}}
	for _, l := range r.Layers {
		if !l.Quantized && l.Reason != "" {
			t.add(l.Op, l.Node, l.Reason)
		}
	}
	if len(t.rows) > 0 {
		fmt.Fprintln(w)
		t.write(w)
	}
	a.note("edgewise compare %s %s shows the differences, edgewise bench %s the speed", r.Model, r.File, r.File)
}
