package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/engine"
)

// tuneFlags are the flags of tune.
type tuneFlags struct {
	out    string
	budget time.Duration
	seed   uint64
}

// tuneReport is what tune --json writes.
type tuneReport struct {
	Model   string           `json:"model"`
	File    string           `json:"file"` // "" where none was written
	Version string           `json:"version"`
	Threads int              `json:"threads"`
	Tier    string           `json:"tier"`
	Inputs  map[string][]int `json:"inputs"`
	Seconds float64          `json:"seconds"`
	Rounds  int              `json:"rounds"` // candidates that some step has besides the first
	Done    int              `json:"rounds_measured"`
	Before  *float64         `json:"latency_ms_before"` // null where no step was faster
	After   *float64         `json:"latency_ms_after"`
	Gained  bool             `json:"gained"`
	Steps   []tuneStep       `json:"steps"`
}

// tuneStep is a step with several candidates.
type tuneStep struct {
	Name   string   `json:"name"`
	Op     string   `json:"op"`
	Kernel string   `json:"kernel"`
	Best   string   `json:"best"`
	Before *float64 `json:"latency_ms_before"` // null where it was not measured
	After  *float64 `json:"latency_ms_after"`
}

func (a *app) tune() *cobra.Command {
	f := tuneFlags{}
	cmd := &cobra.Command{
		Use:   "tune MODEL [-o FILE]",
		Short: "Measure which kernels run a model the fastest here",
		Long: `Measures the kernels that each convolution and matrix product can be computed with on
this machine, and stores those that are faster than what the cost model takes in
MODEL` + edgewise.TuningSuffix + `. Other verbs and edgewise.Open heed that file for the same model,
processor, threads, shapes and version of Edgewise, and say so where it does not fit.
Integer results stay the same bit for bit, floats within the tolerance of kernels.
An interrupt ends the search and keeps what was found.`,
		Example: `  edgewise tune model.onnx --threads 2
  edgewise bench model.onnx --threads 2 --ops
  edgewise bench model.onnx --threads 2 --tuning none`,
		Args: arguments(1, 1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runTune(cmd.Context(), args[0], f) },
	}
	a.modelFlags(cmd)
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.StringVarP(&f.out, "output", "o", "", "`file` to write; MODEL"+edgewise.TuningSuffix+" by default")
	fl.DurationVar(&f.budget, "budget", 20*time.Second, "time that measuring may take")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of made-up inputs")
	return cmd
}

func (a *app) runTune(ctx context.Context, path string, f tuneFlags) error {
	if f.budget <= 0 {
		return usagef("--budget must be above 0")
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	if f.out == "" {
		if strings.HasPrefix(path, edgewise.ZooPrefix) {
			return hinted(usagef("%s is no file that a tuning could lie beside", path), "name one with -o, and give it to other verbs with --tuning")
		}
		f.out = path + edgewise.TuningSuffix
	}
	if err := modelOutput(f.out, path); err != nil {
		return err
	}
	opts.Tuning = edgewise.NoTuning
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	a.remark(m)
	given, err := a.shapeFlags(m)
	if err != nil {
		return err
	}
	shapes, err := a.boundShapes(m, given)
	if err != nil {
		return err
	}
	values, err := complete(m, nil, shapes, f.seed)
	if err != nil {
		return err
	}
	start, load := time.Now(), readLoad()
	found, err := m.Tune(ctx, opts, shapes, values, engine.TuneOptions{Budget: f.budget,
		Progress: func(round, rounds int) { a.progress.at("measuring kernels", round, rounds) }})
	if err != nil {
		return err
	}
	a.progress.clear()
	others := readLoad().others(load)
	plan, err := m.Plan(opts, shapes)
	if err != nil {
		return err
	}
	written, err := m.WriteTuning(f.out, opts, shapes, found)
	if err != nil {
		return err
	}
	r := describeTuning(found)
	r.Model, r.Version, r.Inputs, r.Seconds = path, version(), shapes, time.Since(start).Seconds()
	r.Threads, r.Tier = plan.Threads(), plan.Level().String()
	if written {
		r.File = f.out
	}
	if a.json {
		err = a.writeJSON(r)
	} else {
		a.printTuning(r)
	}
	switch {
	case ctx.Err() != nil:
		a.note("interrupted: what was measured until then counts")
	case r.Done < r.Rounds:
		a.warn("the budget allowed %d of %d rounds; --budget sets more", r.Done, r.Rounds)
	}
	if others > 0.25 {
		a.warn("other programs kept %.1f cores busy meanwhile: tune again when they are done", others)
	}
	return err
}

func describeTuning(t *engine.Tuning) *tuneReport {
	ms := func(d time.Duration) *float64 {
		if d == 0 {
			return nil
		}
		v := milliseconds(d)
		return &v
	}
	r := &tuneReport{Rounds: t.Rounds, Done: t.Done, Before: ms(t.Before), After: ms(t.After),
		Gained: len(t.Choices) > 0, Steps: []tuneStep{}}
	for _, s := range t.Steps {
		r.Steps = append(r.Steps, tuneStep{s.Name, s.Op, s.Kernel, s.Best, ms(s.Before), ms(s.After)})
	}
	return r
}

func (a *app) printTuning(r *tuneReport) {
	fmt.Fprintf(a.out, "%s: %d threads, %s, %d steps with several kernels\n", r.Model, r.Threads, r.Tier, len(r.Steps))
	t := &table{head: []string{"ms before", "after", "operators", "kernel before", "after", "name"}}
	faster := 0
	for _, s := range r.Steps {
		if s.Best == s.Kernel || s.Before == nil {
			continue
		}
		faster++
		t.add(fmt.Sprintf("%.4f", *s.Before), fmt.Sprintf("%.4f", *s.After), s.Op, s.Kernel, s.Best, s.Name)
	}
	if faster > 0 {
		fmt.Fprintln(a.out)
		t.write(a.out)
		fmt.Fprintln(a.out)
	}
	switch {
	case faster == 0:
		fmt.Fprintln(a.out, "nothing gained: no step is faster with another kernel")
	case !r.Gained && r.After != nil:
		fmt.Fprintf(a.out, "nothing gained: with these kernels all steps take %.3f ms, without %.3f\n", *r.After, *r.Before)
	case !r.Gained:
		fmt.Fprintln(a.out, "nothing gained: there was no time to compare whole plans")
	default:
		fmt.Fprintf(a.out, "all steps take %.3f ms, before %.3f (%.1f %% less)\n", *r.After, *r.Before, 100*(1 - *r.After / *r.Before))
	}
	if r.File != "" {
		fmt.Fprintf(a.out, "written to %s\n", r.File)
	}
}
