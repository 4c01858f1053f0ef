package cli

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	runs, warmup int
	duration     time.Duration
	seed         uint64
	inputs       []string
	ops          bool
	csv, trace   string
}

// benchReport is what bench --json writes. Times cover one inference, from inputs in
// memory to outputs in memory.
type benchReport struct {
	Model       string           `json:"model"`
	Version     string           `json:"version"`
	Threads     int              `json:"threads"`
	Tier        string           `json:"tier"` // instruction set level of the kernels
	Inputs      map[string][]int `json:"inputs"`
	Warmup      int              `json:"warmup_runs"`
	Runs        int              `json:"runs"`
	Min         float64          `json:"latency_ms_min"`
	Mean        float64          `json:"latency_ms_mean"`
	P50         float64          `json:"latency_ms_p50"`
	P90         float64          `json:"latency_ms_p90"`
	P95         float64          `json:"latency_ms_p95"`
	P99         float64          `json:"latency_ms_p99"`
	Max         float64          `json:"latency_ms_max"`
	StdDev      float64          `json:"latency_ms_stddev"`
	Throughput  float64          `json:"inferences_per_s"`
	MACs        int64            `json:"macs"`
	GMACs       float64          `json:"gmacs_per_s"` // at the fastest run
	PeakShare   float64          `json:"peak_share"`  // of the time of the fastest run that its macs take at the peak
	Peak        peakReport       `json:"peak"`
	Load        float64          `json:"load_ms"`
	First       float64          `json:"first_result_ms"`
	PeakRSS     int64            `json:"peak_rss_kb"` // of the process; 0 where the system does not tell
	ArenaBytes  int              `json:"arena_bytes"`
	WeightBytes int              `json:"weight_bytes"`
	Warnings    []string         `json:"warnings"`
	Steps       []stepReport     `json:"steps,omitempty"`
}

func (a *app) bench() *cobra.Command {
	f := benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench MODEL",
		Short: "Measure how fast a model runs",
		Long: `Measures the latency of one inference on this machine: percentiles over many runs,
load time, memory, and with --ops where the time goes. Inputs are made up from a
seed unless --input gives them. Says so when the measurement looks unsound.`,
		Example: `  edgewise bench model.onnx --threads 1 --ops
  edgewise bench zoo:mobilenetv2 --runs 200 --json
  edgewise bench model.tflite --trace trace.json   # opens in Perfetto or chrome://tracing`,
		Args: arguments(1, 1, "one model"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.runBench(cmd.Context(), args[0], f) },
	}
	a.modelFlags(cmd)
	a.tuningFlag(cmd)
	a.jsonFlag(cmd)
	fl := cmd.Flags()
	fl.IntVar(&f.runs, "runs", 0, "timed runs; 0 takes as many as fit into --duration")
	fl.IntVar(&f.warmup, "warmup", 3, "runs before the timed ones")
	fl.DurationVar(&f.duration, "duration", 2*time.Second, "time for the timed runs where --runs is 0")
	fl.Uint64Var(&f.seed, "seed", 1, "seed of made-up inputs")
	fl.StringArrayVar(&f.inputs, "input", nil, "input file, as name=x.npy (repeatable; see edgewise run --help)")
	fl.BoolVar(&f.ops, "ops", false, "show the time of every operator")
	fl.StringVar(&f.csv, "csv", "", "write the times of every operator to a csv `file`")
	fl.StringVar(&f.trace, "trace", "", "write one run as a Chrome trace to a json `file`")
	return cmd
}

func (a *app) runBench(ctx context.Context, path string, f benchFlags) error {
	if f.runs < 0 || f.runs > maxRuns || f.warmup < 0 || f.warmup > maxRuns {
		return usagef("--runs and --warmup must be between 0 and %d", maxRuns)
	}
	if f.duration <= 0 {
		return usagef("--duration must be above 0")
	}
	for _, file := range []string{f.csv, f.trace} {
		if err := folderOf(file); err != nil { // of "": the working directory
			return err
		}
	}
	opts, err := a.options()
	if err != nil {
		return err
	}
	resume := quickStart(path)
	defer resume()
	start := time.Now()
	m, err := edgewise.Open(path)
	if err != nil {
		return err
	}
	load := time.Since(start)
	given, shapes, err := a.gather(m, f.inputs, nil, "")
	if err != nil {
		return err
	}
	start = time.Now()
	plan, err := m.Plan(opts, shapes)
	if err != nil {
		return err
	}
	a.remark(m)
	session, err := plan.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	load += time.Since(start)
	values, err := complete(m, given, shapes, f.seed)
	if err != nil {
		return err
	}
	run, err := runner(session, values)
	if err != nil {
		return err
	}
	start = time.Now()
	if err := run(ctx); err != nil {
		return err
	}
	first := load + time.Since(start)
	resume()

	for range f.warmup {
		if err := run(ctx); err != nil {
			return err
		}
	}
	before := readLoad()
	times, err := a.timed(ctx, run, f)
	if err != nil {
		return err
	}
	others := readLoad().others(before)
	r := benchReport{Model: path, Version: version(), Threads: plan.Threads(), Tier: plan.Level().String(), Inputs: shapes,
		Warmup: f.warmup, Load: milliseconds(load), First: milliseconds(first), ArenaBytes: plan.ArenaBytes(), WeightBytes: plan.WeightBytes(),
		Warnings: unsound(times, others, plan.Threads()), PeakRSS: peakRSS()}
	r.statistics(times)
	r.Peak = measurePeak(plan.Level())
	var least float64 // seconds
	for _, s := range plan.Steps() {
		r.MACs += s.MACs
		least += r.Peak.seconds(s.MACs, s.Kernel, plan.Threads())
	}
	if r.Min > 0 { // a coarse clock may tell 0
		r.GMACs = float64(r.MACs) / r.Min / 1e6
		r.PeakShare = least / r.Min * 1e3
	}
	if f.ops || f.csv != "" || f.trace != "" {
		if r.Steps, err = a.profile(ctx, session, values, len(times), f); err != nil {
			return err
		}
		for i := range r.Steps {
			s := &r.Steps[i]
			if s.Min > 0 {
				s.PeakShare = r.Peak.seconds(s.MACs, s.Kernel, plan.Threads()) / s.Min * 1e3
			}
		}
		if !f.ops {
			r.Steps = nil
		}
	}
	if a.json {
		return a.writeJSON(r)
	}
	a.printBench(&r)
	return nil
}

// maxRuns bounds the memory that the times take.
const maxRuns = 10_000_000

// runner returns one inference. Where all shapes are known it uses the same outputs each
// time, as a program that cares for speed does.
func runner(s *engine.Session, inputs []op.Value) (func(context.Context) error, error) {
	plain := func(ctx context.Context) error { _, err := s.Run(ctx, inputs); return err }
	ins, outs := make([]*tensor.Tensor, len(inputs)), make([]*tensor.Tensor, len(s.Plan().Outputs()))
	for i, v := range inputs {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return plain, nil
		}
		ins[i] = t
	}
	for i, p := range s.Plan().Outputs() {
		if p.Shape == nil || p.Type.DType == tensor.String || !p.Type.DType.Valid() {
			return plain, nil
		}
		t, err := tensor.Make(p.Type.DType, p.Shape)
		if err != nil {
			return nil, err
		}
		outs[i] = t
	}
	return func(ctx context.Context) error { return s.RunInto(ctx, ins, outs) }, nil
}

// leastRuns are done even where they take longer than --duration.
const leastRuns = 10

func (a *app) timed(ctx context.Context, run func(context.Context) error, f benchFlags) ([]time.Duration, error) {
	times := make([]time.Duration, 0, max(f.runs, 4096))
	begin := time.Now()
	for i := 0; ; i++ {
		if f.runs > 0 && i >= f.runs || f.runs == 0 && i >= leastRuns && time.Since(begin) >= f.duration || i >= maxRuns {
			return times, nil
		}
		t := time.Now()
		if err := run(ctx); err != nil {
			return nil, err
		}
		times = append(times, time.Since(t))
		if a.progress.terminal {
			a.progress.at("measuring", i+1, f.runs)
		}
	}
}

func (r *benchReport) statistics(times []time.Duration) {
	sorted := slices.Sorted(slices.Values(times))
	var sum, squares float64
	for _, t := range sorted {
		sum += milliseconds(t)
	}
	n := float64(len(sorted))
	r.Runs, r.Mean = len(sorted), sum/n
	for _, t := range sorted {
		d := milliseconds(t) - r.Mean
		squares += d * d
	}
	r.StdDev = math.Sqrt(squares / max(n-1, 1))
	r.Min, r.Max = milliseconds(sorted[0]), milliseconds(sorted[len(sorted)-1])
	r.P50, r.P90, r.P95, r.P99 = percentile(sorted, 50), percentile(sorted, 90), percentile(sorted, 95), percentile(sorted, 99)
	if r.Mean > 0 {
		r.Throughput = 1000 / r.Mean
	}
}

// percentile returns the smallest time that p per cent of the sorted times do not exceed.
func percentile(sorted []time.Duration, p int) float64 {
	return milliseconds(sorted[max((len(sorted)*p+99)/100-1, 0)])
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

func (a *app) printBench(r *benchReport) {
	fmt.Fprintf(a.out, "%s: %s, %s, %s MACs\n\n", r.Model, counted(r.Threads, "thread"), r.Tier, countText(r.MACs))
	t := &table{head: []string{"latency", "min", "mean", "p50", "p90", "p95", "p99", "max", "runs"}}
	t.add("ms", fmt.Sprintf("%.3f", r.Min), fmt.Sprintf("%.3f", r.Mean), fmt.Sprintf("%.3f", r.P50), fmt.Sprintf("%.3f", r.P90),
		fmt.Sprintf("%.3f", r.P95), fmt.Sprintf("%.3f", r.P99), fmt.Sprintf("%.3f", r.Max), r.Runs)
	t.write(a.out)
	fmt.Fprintf(a.out, "\n%.1f inferences/s; %.2f GMAC/s at best\n", r.Throughput, r.GMACs)
	r.Peak.write(a.out, r.PeakShare, r.Threads)
	fmt.Fprintf(a.out, "load %.1f ms, first result %.1f ms\n", r.Load, r.First)
	fmt.Fprintf(a.out, "weights %s, arena %s", bytesText(int64(r.WeightBytes)), bytesText(int64(r.ArenaBytes)))
	if r.PeakRSS > 0 {
		fmt.Fprintf(a.out, ", process at its peak %s", bytesText(r.PeakRSS<<10))
	}
	fmt.Fprintln(a.out)
	if len(r.Steps) > 0 {
		fmt.Fprintln(a.out)
		printSteps(a.out, r.Steps, r.Peak)
	}
	for _, w := range r.Warnings {
		a.warn("%s", w)
	}
}

// complete returns a value for each input: those given, and made-up ones for the rest.
func complete(m *edgewise.Model, given map[string]*tensor.Tensor, shapes map[string][]int, seed uint64) ([]op.Value, error) {
	var out []op.Value
	for _, v := range m.Signature().Inputs {
		t := given[v.Name]
		if t == nil {
			var err error
			if t, err = randomInput(v, shapes[v.Name], seed); err != nil {
				return nil, err
			}
		}
		out = append(out, t)
	}
	return out, nil
}

// errNoTime says that a profile came out empty.
var errNoTime = errors.New("the plan has no steps to profile")
