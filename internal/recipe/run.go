package recipe

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/internal/train"
)

// Options steer Run beyond what the recipe says.
type Options struct {
	Fresh    bool          // start anew where a training was begun
	Every    time.Duration // how often the checkpoint is written besides after each epoch; a minute if 0
	Version  string        // of the program, for the report
	Progress func(Event)
}

// Event is how far a training has come, or a note.
type Event struct {
	Note string // a finding worth a line of its own; the other fields are then unset

	Stage       string // what else is being done, as in "test"; then only Done and Total are set
	Done, Total int

	Epoch, Epochs int
	Step, Steps   int     // of the epoch
	Loss          float64 // mean over the epoch so far
	Metrics       map[string]float64
	Finished      bool    // the epoch, and Metrics are of it
	PerSecond     float64 // samples
	Left          time.Duration
}

// job is a running training.
type job struct {
	r       *Recipe
	o       Options
	digest  string
	out     *output
	parts   *parts
	network *graph.Graph
	pre     dataset.Preprocess
	learned *samples
	judge   *samples
	test    *samples
	threads int
	quant   *quantized // nil for a training in floating point
	trainer *train.Trainer
	ident   string // of the result

	started time.Time
	samples int // trained on since
	last    map[string]float64
}

// Run carries a recipe out. A training that was interrupted is taken up again; one that is
// finished is left alone and reported. A training that ctx ends can be taken up later.
func Run(ctx context.Context, r *Recipe, o Options) (*Result, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	j := &job{r: r, o: o, digest: r.Digest(), threads: r.Threads}
	if j.threads == 0 {
		j.threads = cpu.Cores()
	}
	if j.o.Every == 0 {
		j.o.Every = time.Minute
	}
	var err error
	if j.out, err = openOutput(r); err != nil {
		return nil, err
	}
	defer j.out.close()
	defer func() {
		if j.parts != nil {
			j.parts.close()
		}
	}()
	if err := j.prepare(ctx); err != nil {
		return nil, err
	}
	if o.Fresh { // not before all is known to be there that takes the old one's place
		if err := j.out.forget(); err != nil {
			return nil, err
		}
	}
	if j.ident, err = j.identity(); err != nil {
		return nil, err
	}
	if done := j.out.finished(j.ident); done != nil {
		return done, nil
	}
	return j.run(ctx)
}

// prepare opens network and data and compiles the step.
func (j *job) prepare(ctx context.Context) (err error) {
	r := j.r
	if j.parts, err = r.openData(); err != nil {
		return err
	}
	j.note("data: %s", j.parts.whole.Describe())
	for _, n := range j.parts.notes {
		j.note("%s", n)
	}
	teacher, err := r.openTeacher()
	if err != nil {
		return err
	}
	classes := 0
	switch {
	case j.parts.train.HasLabels():
		classes = j.parts.train.NumClasses()
	case teacher != nil:
		classes = dataset.Scores(teacher.Outputs[0])
	}
	if j.network, err = r.network(j.parts.train, classes); err != nil {
		return err
	}
	if j.pre, err = r.preprocess(ctx, j.network, j.parts, notes{j}); err != nil {
		return err
	}
	if r.fresh() {
		j.note("preprocessing: %s", j.pre)
	}
	j.learned = newSamples(j.parts.train, j.pre)
	if j.parts.judge != nil {
		if j.judge = newSamples(j.parts.judge, j.pre); !j.judge.judged() {
			return errors.New("data: validation: without labels or targets nothing tells which epoch is best")
		}
	}
	if j.parts.test != nil {
		if j.test = newSamples(j.parts.test, j.pre); !j.test.judged() {
			j.test = nil
		}
	}
	if !j.learned.judged() && teacher == nil {
		return fmt.Errorf("data: the samples have neither labels nor targets, so there is nothing to learn; hint: `labels` or `target` under data")
	}
	if r.Quantize != nil {
		if err := j.quantize(ctx); err != nil {
			return err
		}
	}
	cfg, err := j.config()
	if err != nil {
		return err
	}
	if cfg.Spec.Distill, err = j.distillation(ctx, teacher); err != nil {
		return err
	}
	if err := j.taughtBy(&cfg); err != nil {
		return err
	}
	if j.trainer, err = train.New(j.network, cfg); err != nil {
		return err
	}
	return j.tellMemory()
}

// tellMemory notes what the training holds, and what is done to hold no more.
func (j *job) tellMemory() error {
	m, again := j.trainer.Memory(), j.trainer.Recomputation()
	if j.r.RAM > 0 {
		for _, s := range j.all() {
			s.bound(max(int64(j.r.RAM)-int64(m.Total()), 0) / int64(len(j.all())))
		}
	}
	j.note("memory: %s; decoded samples take up to %.0f MB more", m, float64(j.kept())/1e6)
	if again.Values > 0 {
		j.note("memory: %d values are computed again in the backward pass, for a working memory of %.1f MB instead of %.1f MB",
			again.Values, float64(j.trainer.Plan().ArenaBytes())/1e6, float64(again.Before)/1e6)
	}
	full, err := j.trainer.Full()
	if full != nil {
		j.note("memory: updating all weights would hold %.1f MB of work and %.1f MB of states", float64(full.Work)/1e6, float64(full.States)/1e6)
	}
	return err
}

// all returns the parts of the data that there are.
func (j *job) all() []*samples {
	return slices.DeleteFunc([]*samples{j.learned, j.judge, j.test}, func(s *samples) bool { return s == nil })
}

// kept is how many bytes of decoded samples are kept at most.
func (j *job) kept() (n int) {
	for _, s := range j.all() {
		n += s.keeps()
	}
	return n
}

// config writes the recipe as package train takes it.
func (j *job) config() (train.Config, error) {
	r := j.r
	frozen, err := r.frozen(j.network)
	if err != nil {
		return train.Config{}, err
	}
	also, err := j.learned.identity()
	if err != nil {
		return train.Config{}, err
	}
	augment := r.Augment
	augment.Last, augment.Columns = last(j.pre), j.pre.Columns()
	cfg := train.Config{
		Spec: train.Spec{Batch: r.Batch, Loss: r.Loss, Optimizer: r.Optimizer, Clip: r.Clip, Average: r.Average,
			Accumulate: r.Accumulate, Update: r.Update, RAM: int(r.RAM),
			Frozen: frozen, FrozenStatistics: r.Statistics == "frozen"},
		Schedule: r.Schedule, Augment: augment, Epochs: r.Epochs, Seed: r.Seed, Threads: j.threads,
		Checkpoint: j.out.checkpoint(), Every: j.o.Every, Also: also,
		Progress: j.progress, Saved: j.out.journal,
	}
	if j.quant != nil {
		cfg.Deployed, cfg.Spec.FixedScales, cfg.Start = quant.Deploy, r.Quantize.Scales == "fixed", j.judge != nil
	}
	if j.judge != nil || j.test != nil {
		cfg.Evaluate = j.evaluate
	}
	if j.judge != nil {
		cfg.Judge = "validation_accuracy"
		if j.judge.data.HasTargets() {
			cfg.Judge, cfg.Least = "validation_rmse", true
		}
	}
	return cfg, nil
}

// evaluate judges an epoch: by the validation part, which chooses, or where there is none
// by the test part, which is only looked at.
func (j *job) evaluate(ctx context.Context, g *graph.Graph) (map[string]float64, error) {
	s, part := j.judge, "validation"
	if s == nil {
		s, part = j.test, "test"
	}
	score, err := evaluate(ctx, g, s, j.threads, nil)
	if err != nil {
		return nil, err
	}
	return score.metrics(part), nil
}

// identity tells the result from others, whatever folder it is written to: what the weights
// become, and what they are judged by.
func (j *job) identity() (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, j.trainer.Identity(), j.digest, j.o.Version)
	for _, s := range []*samples{j.judge, j.test} {
		if s == nil {
			continue
		}
		id, err := s.identity()
		if err != nil {
			return "", err
		}
		episodes, known := s.data.Episodes()
		fmt.Fprintln(h, id, episodes, known)
	}
	return fmt.Sprintf("%x", h.Sum(nil)), nil
}

func (j *job) run(ctx context.Context) (*Result, error) {
	j.started = time.Now()
	trained, err := j.trainer.Run(ctx, j.learned)
	switch {
	case errors.Is(err, train.ErrOther):
		return nil, fmt.Errorf("%w; hint: --fresh starts anew and forgets it, -o names another folder", err)
	case err != nil:
		return nil, err
	}
	g, err := j.deployed(trained.Network)
	if err != nil {
		return nil, err
	}
	result := j.result(trained)
	result.Weights = trained.Network
	for _, part := range []struct {
		name string
		s    *samples
		to   **Score
	}{{"validation", j.judge, &result.Validation}, {"test", j.test, &result.Test}} {
		if part.s == nil {
			continue
		}
		*part.to, err = evaluate(ctx, g, part.s, j.threads, func(n int) {
			j.report(Event{Stage: part.name, Done: n, Total: part.s.Len()})
		})
		if err != nil {
			return nil, err
		}
	}
	if result.Quantization, err = j.compare(ctx, trained.Epoch); err != nil {
		return nil, err
	}
	if err := j.alarms(ctx, g, result); err != nil {
		return nil, err
	}
	return result, j.out.write(g, j, result)
}

// result describes a finished training but for its scores.
func (j *job) result(trained *train.Result) *Result {
	r, plan := j.r, j.trainer.Plan()
	result := &Result{Recipe: r.name, Text: r.text, Digest: j.digest, Identity: j.ident, Output: j.out.dir,
		Epoch: trained.Epoch, Epochs: r.Epochs, Resumed: trained.Resumed, History: trained.History, Rates: j.trainer.Rates(rates),
		Data: j.parts.whole.Describe(), Trained: j.learned.Len(), Classes: j.parts.train.Classes(), Preprocess: j.pre.String(),
		Network: r.Model, Threads: j.threads, Version: j.o.Version, Created: time.Now().UTC().Truncate(time.Second),
		Machine: optimize.Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpu.Detect().Model, Cores: cpu.Cores(), Threads: j.threads, ISA: plan.Level().String()}}
	m := j.trainer.Memory()
	result.Memory = Memory{int64(m.Work), int64(m.Weights), int64(m.States), int64(m.Batches), int64(m.Run), int64(m.Total()), int64(j.kept())}
	for _, s := range j.trainer.Program().States {
		if s.Kind == train.Parameter || s.Kind == train.LowRank {
			result.Parameters += s.Init.Len()
		}
	}
	return result
}

// rates is how many learning rates the report shows.
const rates = 200

// progress passes on how far the training has come.
func (j *job) progress(e train.Event) {
	if !e.Finished {
		j.samples += j.r.Batch
	} else {
		j.last = maps.Clone(e.Metrics)
	}
	j.report(Event{Epoch: e.Epoch, Epochs: e.Epochs, Step: e.Step, Steps: e.StepsInEpoch, Loss: e.Loss, Metrics: j.last, Finished: e.Finished,
		PerSecond: float64(j.samples) / time.Since(j.started).Seconds(), Left: e.Left})
}

func (j *job) report(e Event) {
	if j.o.Progress != nil {
		j.o.Progress(e)
	}
}

func (j *job) note(format string, args ...any) { j.report(Event{Note: fmt.Sprintf(format, args...)}) }

// notes passes on the findings of package optimize.
type notes struct{ j *job }

func (n notes) Update(e optimize.Event) {
	if e.Note != "" {
		n.j.note("%s", e.Note)
	}
}
