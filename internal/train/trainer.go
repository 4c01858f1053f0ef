package train

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Config says how a whole training goes.
type Config struct {
	Spec     Spec
	Schedule Schedule
	Augment  Augment
	Epochs   int
	Seed     uint64
	Threads  int

	// Checkpoint is where the training can be taken up again, "" for nowhere; Every is how
	// often it is written besides after each epoch.
	Checkpoint string
	Every      time.Duration
	Also       string // what else makes this training another than others: its data, say

	// Evaluate judges a network after each epoch: with metrics by name, of which the first
	// that Better compares decides which weights are kept. nil keeps the last ones.
	Evaluate func(ctx context.Context, network *graph.Graph) (map[string]float64, error)
	Judge    string // the metric that is to be large
	Least    bool   // or, where this is set, small

	// Deployed turns the trained network into the form that is judged and deployed; nil
	// means Folded.
	Deployed func(network *graph.Graph) (*graph.Graph, error)

	// Start judges the network before the first step too, as epoch 0: where no epoch is
	// better, its weights are kept as they were.
	Start bool

	Progress func(Event)
	Saved    func([]EpochRecord) // all finished epochs, at first and whenever one more is in the checkpoint
}

// Event reports progress: after every step, and with metrics after every epoch.
type Event struct {
	Epoch, Step  int // counted from 1
	Epochs       int
	StepsInEpoch int
	Loss         float64 // mean over the epoch so far
	Rate         float64
	Finished     bool               // the epoch
	Metrics      map[string]float64 // nil before the end of an epoch
	Left         time.Duration      // estimated
}

// EpochRecord is what is kept of an epoch.
type EpochRecord struct {
	Epoch   int                `json:"epoch"`
	Loss    float64            `json:"loss"`
	Rate    float64            `json:"rate"`
	Metrics map[string]float64 `json:"metrics,omitempty"`
	Seconds float64            `json:"seconds"`
}

// Result is a finished training.
type Result struct {
	Network *graph.Graph // with the weights that were kept, in the form it was given
	Epoch   int          // whose weights they are
	History []EpochRecord
	Resumed bool
}

// Trainer runs the steps of one training.
type Trainer struct {
	cfg     Config
	network *graph.Graph
	program *Program
	plan    *engine.Plan
	update  *engine.Plan // nil where the plan updates
	again   Recomputation
	held    Memory

	identity string // "" until it is asked for

	samples int // of the source that Run was given
	states  []*tensor.Tensor
	best    []*tensor.Tensor // states of the best epoch so far
	at      position
}

// position is how far a training has come.
type position struct {
	Epoch    int // finished ones
	Step     int // finished ones of the epoch that is going on
	Loss     float64
	BestAt   int
	BestMark float64
	History  []EpochRecord
}

// New compiles a training of a network.
func New(network *graph.Graph, cfg Config) (*Trainer, error) {
	if cfg.Epochs < 1 || cfg.Epochs > 1<<20 {
		return nil, fmt.Errorf("%d epochs are not within 1..%d", cfg.Epochs, 1<<20)
	}
	if err := errors.Join(cfg.Schedule.Validate(), cfg.Augment.Validate(), cfg.Spec.Loss.Validate()); err != nil {
		return nil, err
	}
	if cfg.Augment.Mixup > 0 {
		cfg.Spec.Soft = true
	}
	p, err := NewProgram(network, cfg.Spec)
	if err != nil {
		return nil, err
	}
	if p.Data != 1 {
		return nil, fmt.Errorf("the network takes %d inputs; training feeds one", p.Data)
	}
	t := &Trainer{cfg: cfg, network: network, program: p, at: position{BestMark: math.Inf(-1)}}
	if err := t.compile(); err != nil {
		return nil, err
	}
	for _, s := range p.States {
		t.states = append(t.states, s.Init.Clone())
	}
	return t, nil
}

// Plan returns the program of a step, for its memory plan.
func (t *Trainer) Plan() *engine.Plan { return t.plan }

// Program returns the step as a graph.
func (t *Trainer) Program() *Program { return t.program }

// Rates returns the learning rate at so many steps, evenly from the first to the last of a
// training that Run has begun.
func (t *Trainer) Rates(n int) []float64 {
	steps, each := t.samples/t.cfg.Spec.Batch, max(t.cfg.Spec.Accumulate, 1)
	total, perEpoch := max(t.cfg.Epochs*steps/each, 1), max(steps/each, 1)
	out := make([]float64, min(n, total))
	for i := range out {
		step := i * (total - 1) / max(len(out)-1, 1)
		out[i] = t.cfg.Spec.Optimizer.Rate * t.cfg.Schedule.rate(step, total, perEpoch)
	}
	return out
}

// Run trains on the source until all epochs are done or ctx ends. Where a checkpoint of
// the same training is found, it goes on from there.
func (t *Trainer) Run(ctx context.Context, source Source) (*Result, error) {
	if source.Len() < t.cfg.Spec.Batch {
		return nil, fmt.Errorf("%d samples do not fill a batch of %d", source.Len(), t.cfg.Spec.Batch)
	}
	t.samples = source.Len()
	if batches := t.cfg.Epochs * (t.samples / t.cfg.Spec.Batch); batches < t.cfg.Spec.Accumulate {
		return nil, fmt.Errorf("accumulate: the training has %d batches in all, which are never the %d of an update", batches, t.cfg.Spec.Accumulate)
	}
	resumed, err := t.resume()
	if err != nil {
		return nil, err
	}
	r, err := t.newRun(source)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if t.cfg.Start && t.cfg.Evaluate != nil && len(t.at.History) == 0 && t.at.Step == 0 {
		if err := r.start(ctx); err != nil {
			return nil, err
		}
	}
	r.tell()
	defer tidy()()
	for t.at.Epoch < t.cfg.Epochs {
		if err := r.epoch(ctx); err != nil {
			return nil, err
		}
	}
	states := t.states
	if t.best != nil {
		states = t.best
	}
	network, err := t.export(states)
	if err != nil {
		return nil, err
	}
	epoch := t.at.Epoch
	if t.best != nil {
		epoch = t.at.BestAt
	}
	return &Result{Network: network, Epoch: epoch, History: t.at.History, Resumed: resumed}, nil
}

// export returns the network with the given states: averages in place of parameters where
// they are kept.
func (t *Trainer) export(states []*tensor.Tensor) (*graph.Graph, error) {
	values := map[string]*tensor.Tensor{}
	for _, kind := range []StateKind{Parameter, Statistic, Average} {
		for i, s := range t.program.States {
			if s.Kind != kind {
				continue
			}
			name := s.Name
			if kind == Average {
				name = s.Of
			}
			values[name] = s.Real(states[i])
		}
	}
	g := t.network.Clone()
	maps.Copy(values, t.program.merged(t.cfg.Spec.Update, g, states))
	for _, v := range g.Constants() {
		if x := values[v.Name]; x != nil {
			v.Const = x
			delete(values, v.Name)
		}
	}
	if len(values) > 0 {
		return nil, fmt.Errorf("%d weights of the training are not in the network", len(values))
	}
	return g, g.Verify()
}

// Folded returns a copy of a network in the form in which it is deployed: normalizations
// are folded into the weights before them.
func Folded(network *graph.Graph) (*graph.Graph, error) {
	g := network.Clone()
	_, err := rewrite.Simplify(g, rewrite.Options{})
	return g, err
}

// run is what the steps of one call of Run share.
type run struct {
	t       *Trainer
	session *engine.Session
	loader  *loader
	in, out []*tensor.Tensor
	steps   int // in an epoch

	// Of the update, where it is by itself.
	update      *engine.Session
	each        int // batches to an update
	reads, sets []*tensor.Tensor

	started time.Time
	done    int // steps since then
	saved   time.Time
}

func (t *Trainer) newRun(source Source) (*run, error) {
	p, spec := t.program, t.cfg.Spec
	session, err := t.plan.NewSession()
	if err != nil {
		return nil, err
	}
	shape := func(v *graph.Value) []int { s, _ := v.Type.Static(); return s }
	target := p.Graph.Inputs[p.Data]
	r := &run{t: t, session: session, each: 1, steps: source.Len() / spec.Batch, started: time.Now(), saved: time.Now()}
	r.loader = &loader{source: source, augment: t.cfg.Augment, seed: t.cfg.Seed, size: spec.Batch, workers: min(runtime.GOMAXPROCS(0), 4),
		x: shape(p.Graph.Inputs[0]), y: shape(target), dtype: target.Type.DType}
	if spec.Loss.Kind == CrossEntropy && spec.Soft || spec.Loss.Kind == KL {
		r.loader.classes = r.loader.y[1]
	}
	r.loader.untaught = spec.Distill != nil && spec.Distill.Hard == 0
	number := func() *tensor.Tensor { return tensor.New(tensor.Float32) }
	r.in = append(r.in, nil, nil, number(), number())
	for _, i := range p.read {
		r.in = append(r.in, t.states[i])
	}
	r.in = append(r.in, t.states[:p.written]...)
	for _, v := range p.Graph.Outputs[:1+p.Outputs] {
		r.out = append(r.out, tensor.New(v.Type.DType, shape(v)...))
	}
	r.out = append(r.out, t.states[:p.written]...) // a state is written where it was read
	if t.update == nil {
		return r, nil
	}
	if r.update, err = t.update.NewSession(); err != nil {
		r.close()
		return nil, err
	}
	r.each, r.sets = spec.Accumulate, t.states[p.written:]
	r.reads = append(r.reads, number(), number())
	for _, i := range p.sums {
		r.reads = append(r.reads, t.states[i])
	}
	r.reads = append(r.reads, r.sets...)
	return r, nil
}

func (r *run) close() {
	r.session.Close()
	if r.update != nil {
		r.update.Close()
	}
}

// step learns from a batch, the given one of the training, counted from 0. It is not
// interrupted: its states are half old and half new while it runs.
func (r *run) step(ctx context.Context, b *batch, step int, rate float64) error {
	ctx = context.WithoutCancel(ctx)
	r.in[0], r.in[1] = b.x, b.target
	r.in[2].SetFloat(0, rate)
	r.in[3].SetFloat(0, float64(step+1))
	if r.update == nil {
		return r.session.RunInto(ctx, r.in, r.out)
	}
	keep := 1.0
	if step%r.each == 0 {
		keep = 0
	}
	r.in[2].SetFloat(0, keep)
	if err := r.session.RunInto(ctx, r.in, r.out); err != nil || (step+1)%r.each != 0 {
		return err
	}
	r.reads[0].SetFloat(0, rate)
	r.reads[1].SetFloat(0, float64((step+1)/r.each))
	return r.update.RunInto(ctx, r.reads, r.sets)
}

// epoch does what is left of the epoch that is going on.
func (r *run) epoch(ctx context.Context) error {
	t, start := r.t, time.Now()
	total := t.cfg.Epochs * r.steps
	e := Event{Epoch: t.at.Epoch + 1, Epochs: t.cfg.Epochs, StepsInEpoch: r.steps}
	rate := func(step int) float64 {
		return t.cfg.Spec.Optimizer.Rate * t.cfg.Schedule.rate(step/r.each, total/r.each, max(r.steps/r.each, 1))
	}
	for b, err := range r.loader.epoch(ctx, t.at.Epoch, t.at.Step) {
		if err != nil {
			return r.interrupted(err)
		}
		step := t.at.Epoch*r.steps + t.at.Step
		e.Rate = rate(step)
		if err := r.step(ctx, b, step, e.Rate); err != nil {
			return err
		}
		loss := r.out[0].Float(0)
		if math.IsNaN(loss) || math.IsInf(loss, 0) {
			return fmt.Errorf("the loss became %v at step %d of epoch %d; hint: a lower learning rate, a warm-up or a bound on the gradients (clip) may help", loss, t.at.Step+1, e.Epoch)
		}
		t.at.Step++
		t.at.Loss += loss
		r.done++
		e.Step, e.Loss = t.at.Step, t.at.Loss/float64(t.at.Step)
		e.Left = time.Duration(float64(time.Since(r.started)) / float64(r.done) * float64(total-step-1))
		r.report(e)
		if t.cfg.Every > 0 && time.Since(r.saved) > t.cfg.Every && t.at.Step < r.steps {
			if err := r.save(); err != nil {
				return err
			}
		}
	}
	e.Rate = rate((t.at.Epoch+1)*r.steps - 1) // also where no batch was left to learn from
	record := EpochRecord{Epoch: e.Epoch, Loss: t.at.Loss / float64(r.steps), Rate: e.Rate}
	if err := r.judge(ctx, &record); err != nil {
		return r.interrupted(err)
	}
	record.Seconds = time.Since(start).Seconds()
	t.at.Epoch, t.at.Step, t.at.Loss = t.at.Epoch+1, 0, 0
	t.at.History = append(t.at.History, record)
	e.Step, e.Loss, e.Metrics, e.Finished = r.steps, record.Loss, record.Metrics, true
	r.report(e)
	if err := r.save(); err != nil {
		return err
	}
	r.tell()
	return nil
}

// tell passes on which epochs are finished for good.
func (r *run) tell() {
	if r.t.cfg.Saved != nil {
		r.t.cfg.Saved(slices.Clone(r.t.at.History))
	}
}

func (r *run) report(e Event) {
	if r.t.cfg.Progress != nil {
		r.t.cfg.Progress(e)
	}
}

// judge evaluates the network as it is deployed and keeps the best states.
func (r *run) judge(ctx context.Context, record *EpochRecord) error {
	t := r.t
	if t.cfg.Evaluate == nil {
		return nil
	}
	g, err := t.export(t.states)
	if err != nil {
		return err
	}
	deployed := t.cfg.Deployed
	if deployed == nil {
		deployed = Folded
	}
	if g, err = deployed(g); err != nil {
		return err
	}
	if record.Metrics, err = t.cfg.Evaluate(ctx, g); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(record.Metrics)) {
		if v := record.Metrics[name]; !finite(v) {
			return fmt.Errorf("%s became %v after epoch %d; hint: a lower learning rate, a warm-up or a bound on the gradients (clip) may help", name, v, record.Epoch)
		}
	}
	mark, ok := record.Metrics[t.cfg.Judge]
	if t.cfg.Least {
		mark = -mark
	}
	if ok && mark > t.at.BestMark {
		t.at.BestMark, t.at.BestAt = mark, record.Epoch
		t.best = make([]*tensor.Tensor, len(t.states))
		for i, s := range t.states {
			t.best[i] = s.Clone()
		}
	}
	return nil
}

// start judges the network as it was given.
func (r *run) start(ctx context.Context) error {
	record := EpochRecord{}
	begin := time.Now()
	if err := r.judge(ctx, &record); err != nil {
		return err
	}
	record.Seconds = time.Since(begin).Seconds()
	r.t.at.History = append(r.t.at.History, record)
	r.report(Event{Epochs: r.t.cfg.Epochs, StepsInEpoch: r.steps, Metrics: record.Metrics, Finished: true})
	return nil
}

// interrupted keeps what has been reached before the error goes up.
func (r *run) interrupted(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return errors.Join(err, r.save())
	}
	return err
}

func (r *run) save() error {
	r.saved = time.Now()
	return r.t.save()
}
