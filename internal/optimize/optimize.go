// Package optimize is the main job: a trained model goes in, a smaller and faster one
// comes out, with a report that proves it.
//
// Run opens the model and the data, settles how samples become inputs, evaluates the
// original first, calibrates once, makes candidates (see candidates.go), measures each on
// the very kernels that deploy, and picks the fastest that keeps the accuracy bound.
//
// It writes into the output folder
//
//	model.onnx        the picked point: standard QDQ, which other runtimes load unchanged
//	points/NAME.onnx  every point of the report
//	report.html       one self-contained page
//	report.json       the same figures, in the form of Report
//
// report.json has `original` and `points[]`, each with `name file accuracy samples
// latency_ms_p50 latency_ms_p95 size_bytes arena_bytes origin`, and `picked`, the name
// of a point. Accuracy lies in 0..1 and means what `goal.metric` says; drops are in
// points, hundredths of it. `layers[]` tells what became of each layer of the picked
// point, `tried[]` what was accepted and rejected and why.
package optimize

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"slices"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/page"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Config says what to optimize and how far. Its zero value runs the built-in example.
type Config struct {
	Model   string  // path, or "zoo:" and a name; "" is Example
	Data    string  // what package dataset opens; "" only for Example
	Spec    string  // path of a dataset.yaml, "" to use the data's own
	Out     string  // output folder; "" writes nothing
	Force   bool    // overwrite results in Out that no earlier run wrote
	MaxDrop float64 // greatest loss of accuracy in points, against the original in the same run

	Threads     int    // of one inference, 0 means 1
	Seed        uint64 // of every selection of samples
	Limit       int    // evaluate at most so many samples, 0 = all
	Calibration int    // samples for calibration, 0 means 200

	Progress Progress // may be nil
	Command  []string // the command line, for the report
	Version  string   // of the tool; "" takes that of the build

	turn time.Duration // of each model when latency is measured; tests shorten it
}

// Sizes of what calibrates, and of what serves the cheap comparison of candidates.
const (
	defaultCalibration = 200
	proxySamples       = 48
)

func (c *Config) proxy() int { return min(proxySamples, max(c.Calibration/4, 1)) }

func (c *Config) fill() error {
	switch {
	case c.Limit < 0, c.Calibration < 0, c.Threads < 0:
		return errors.New("numbers of samples and threads cannot be negative")
	case math.IsNaN(c.MaxDrop) || math.IsInf(c.MaxDrop, 0):
		return fmt.Errorf("a drop of %v points means nothing", c.MaxDrop)
	}
	if c.Model == "" {
		c.Model = Example
	}
	if c.Calibration == 0 {
		c.Calibration = defaultCalibration
	}
	c.Threads = max(c.Threads, 1)
	if c.turn == 0 {
		c.turn = fullTurn
	}
	if c.Version == "" {
		c.Version = "devel"
		if b, ok := debug.ReadBuildInfo(); ok && b.Main.Version != "" {
			c.Version = b.Main.Version
		}
	}
	return nil
}

// Result is the outcome of a run.
type Result struct {
	Report *Report
	Graph  *graph.Graph // of the picked point
	Out    string       // folder that was written, "" if none

	job    *job // how it came about
	picked *candidate
}

// job is a run going on.
type job struct {
	ctx  context.Context
	cfg  Config
	src  *source
	task *task
	rep  reporter

	split split
	eval  *feed
	pool  *feed
	calN  int // the first calN samples of the pool calibrate, the rest is the proxy

	prep      *graph.Graph // the original, simplified, every node named
	quantized bool         // the original computes in integers somewhere
	cal       *quant.Calibration
	original  *score
	inference time.Duration // of the original on one core, roughly
	points    []*candidate
	input     *tensor.Tensor // the sample that latency is measured on

	report *Report
}

// Run optimizes. It returns a result also when no point holds the bound; Report.Met
// tells. Files appear whole, and only when everything is done.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	start := time.Now()
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	j := &job{ctx: ctx, cfg: cfg, rep: reporter{to: cfg.Progress}, report: &Report{
		Format: ReportFormat, Created: start.UTC().Truncate(time.Second), Command: cfg.Command, Seed: cfg.Seed,
		Goal: Goal{MaxDrop: cfg.MaxDrop}, Tried: []Trial{}, Layers: []LayerInfo{}, Warnings: []string{},
	}}
	if err := j.open(); err != nil {
		return nil, err
	}
	if err := j.evaluateOriginal(); err != nil {
		return nil, fmt.Errorf("original model: %w", err)
	}
	if err := j.makeCandidates(); err != nil {
		return nil, err
	}
	st, err := j.writeModels()
	if err != nil {
		return nil, err
	}
	if st != nil {
		defer st.discard()
	}
	if err := j.measure(); err != nil {
		return nil, err
	}
	picked := j.pick()
	if err := j.describe(picked); err != nil {
		return nil, err
	}
	j.report.Seconds = math.Round(time.Since(start).Seconds()*10) / 10
	if st != nil {
		if err := j.finish(st, picked); err != nil {
			return nil, err
		}
	}
	return &Result{Report: j.report, Graph: picked.graph, Out: cfg.Out, job: j, picked: picked}, nil
}

// warn adds a warning to the report, once.
func (j *job) warn(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	if slices.Contains(j.report.Warnings, s) {
		return
	}
	j.report.Warnings = append(j.report.Warnings, s)
	j.rep.warning(s)
}

// open reads model and data and settles what is measured and how.
func (j *job) open() error {
	var err error
	j.rep.begin("open", 0)
	if j.cfg.Out != "" {
		if err := checkOccupied(j.cfg.Out, j.cfg.Model, j.cfg.Force); err != nil {
			return err
		}
	}
	if j.src, err = openModel(j.cfg.Model); err != nil {
		return err
	}
	d, err := openData(&j.cfg)
	if err != nil {
		return err
	}
	if j.cfg.Out != "" {
		if err := prepareOutput(j.cfg.Out, 4*j.src.bytes); err != nil {
			return err
		}
	}
	j.rep.note("data: " + d.Describe())
	if j.task, err = newTask(j.src.graph, d); err != nil {
		return err
	}
	if d.HasLabels() && j.task.metric != metricTop1 {
		j.warn("the data has %s, but no output of the model is a vector of scores: %s takes the place of accuracy", page.Plural(d.NumClasses(), "class", "classes"), j.task.metric)
	}
	j.split = divide(d, &j.cfg)
	j.rep.note(j.split.note)
	if !j.split.disjoint {
		j.warn("what calibrates is evaluated too: on other data the 8-bit points may lose more than here")
	}
	if c := cpu.Cores(); j.cfg.Threads > c {
		j.warn("%d threads share %s: latencies are those of threads that wait for each other; take --threads %d", j.cfg.Threads, page.Counted(c, "usable core"), c)
	}
	pre, err := j.choosePreprocess()
	if err != nil {
		return err
	}
	j.rep.note("preprocessing: " + pre.String())
	j.eval = newFeed(j.split.eval, pre, j.task.input.Name)
	j.pool = newFeed(j.split.pool, pre, j.task.input.Name)
	if err := j.checkLabels(); err != nil {
		return err
	}
	j.calN = j.split.calibrating
	if j.input, err = j.eval.get(0); err != nil {
		return err
	}
	j.report.Data = DataInfo{Path: j.cfg.Data, Description: d.Describe(), Labelled: d.HasLabels(), Classes: d.NumClasses(),
		Evaluation: j.eval.len(), Calibration: j.calN, Proxy: j.pool.len() - j.calN, Disjoint: j.split.disjoint, Note: j.split.note}
	return nil
}

// chanceWarning begins the warning that overrules all others.
const chanceWarning = "THE ORIGINAL MODEL IS NO BETTER THAN CHANCE"

// evaluateOriginal finds the accuracy that drops are counted from.
func (j *job) evaluateOriginal() error {
	j.rep.begin("evaluate original", j.eval.len())
	start := time.Now()
	s, err := evaluate(j.ctx, j.task, j.src.graph, nil, j.eval, nil, j.rep.done)
	if err != nil {
		return err
	}
	j.original = s
	j.inference = time.Since(start) * time.Duration(min(cpu.Cores(), s.samples)) / time.Duration(s.samples)
	g := &j.report.Goal
	g.Metric = j.task.metric
	if g.Metric != metricTop1 {
		return nil
	}
	g.Chance = chance(j.eval, j.task.classes)
	right := 0
	for _, ok := range s.correct {
		if ok {
			right++
		}
	}
	j.rep.note(fmt.Sprintf("original: %.2f %% of %s (chance: %.2f %%)", 100*s.accuracy, page.Counted(s.samples, "sample"), 100*g.Chance))
	if g.ChanceLevel = atChance(right, s.samples, g.Chance); g.ChanceLevel {
		j.warn(chanceWarning+": %d of %s right (%.2f %%), where chance gives %.2f %% (binomial test, 95 %%). Preprocessing, label order or label offset are likely wrong, and then no figure of accuracy here means anything; state them in a dataset.yaml",
			right, page.Counted(s.samples, "sample"), 100*s.accuracy, 100*g.Chance)
	}
	return nil
}

// checkLabels refuses labels that the model has no output for.
func (j *job) checkLabels() error {
	if j.task.metric != metricTop1 {
		return nil
	}
	outputs, offset := max(j.task.classes, 2), j.eval.pre.LabelOffset
	for i := range j.eval.len() {
		if k := j.eval.label(i); k < 0 || k >= outputs {
			return fmt.Errorf("label %d of the data, with label offset %d, would be class %d, but output %s has %d classes (0 to %d); hint: set label_offset in a dataset.yaml, or correct the labels",
				j.eval.data.Label(i), offset, k, j.src.graph.Outputs[j.task.output].Name, outputs, outputs-1)
		}
	}
	return nil
}

// within reports whether a score holds the bound.
func (j *job) within(s *score) bool { return j.drop(s) <= j.cfg.MaxDrop+1e-9 }

// drop returns the loss of accuracy in points.
func (j *job) drop(s *score) float64 { return 100 * (j.original.accuracy - s.accuracy) }
