package train

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"

	"github.com/edgewise-ml/edgewise/internal/autodiff"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// This file decides what a step keeps of its forward pass and what it makes again.

// Recomputation says what a step makes again rather than keep.
type Recomputation struct {
	Values int   // that are made again
	MACs   int64 // multiply-accumulates which that costs in each step
	Bytes  int64 // that it moves in each step
	Before int   // working memory without it, bytes
}

// ErrMemory is wrapped by errors about bounds that a step cannot meet.
var ErrMemory = errors.New("the step does not fit its memory")

// Memory is what a process that trains holds, in bytes. RunBytes is measured of this program;
// the rest follows from shapes.
type Memory struct {
	Work    int // intermediate tensors at their peak and scratch of the workers
	Weights int // constants that steps use, as they are packed too, of a teacher too, and those of the network as it was given
	States  int // parameters, their moments and averages, statistics; twice where the best are kept
	Batches int // inputs and targets made ahead, and outputs
	Run     int // the program itself and what its runtime leaves unused
}

// RunBytes is the resident size of this program without a model, and slack bounds what is
// garbage at a time, as a share of the rest and at least.
const (
	RunBytes   = 20 << 20
	slackShare = 0.04
	slackLeast = 8 << 20
)

// Total adds up.
func (m Memory) Total() int { return m.Work + m.Weights + m.States + m.Batches + m.Run }

func (m Memory) String() string {
	return fmt.Sprintf("%s: %s of work, %s of weights, %s of states, %s of batches, %s of program", bytesText(m.Total()),
		bytesText(m.Work), bytesText(m.Weights), bytesText(m.States), bytesText(m.Batches), bytesText(m.Run))
}

// memory counts what a training holds besides the working memory of its step.
func (t *Trainer) memory() Memory {
	var m Memory
	counted := map[*tensor.Tensor]bool{}
	for _, g := range []*graph.Graph{t.network, t.program.Graph, t.program.Update} {
		if g == nil {
			continue
		}
		for _, v := range g.Constants() {
			if !counted[v.Const] {
				counted[v.Const] = true
				m.Weights += v.Const.SizeBytes()
			}
		}
	}
	for _, s := range t.program.States {
		m.States += s.Init.SizeBytes()
	}
	if t.cfg.Evaluate != nil {
		m.States *= 2
	}
	p := t.program
	size := func(values []*graph.Value) (n int) {
		for _, v := range values {
			s, _ := v.Type.Static()
			elements, err := tensor.NumElements(s)
			if err == nil {
				n += v.Type.DType.Bytes(elements)
			}
		}
		return n
	}
	m.Batches = (ahead+1)*size(p.Graph.Inputs[:p.Data+1]) + size(p.Graph.Outputs[:1+p.Outputs])
	return m
}

// plan compiles the step within the bound of the whole memory.
func (t *Trainer) compile() error {
	m := t.memory()
	var err error
	if u := t.program.Update; u != nil {
		if t.update, err = engine.Compile(u, engine.Options{Threads: t.cfg.Threads, States: len(u.Outputs)}); err != nil {
			return err
		}
		m.Work += t.update.ArenaBytes()
		m.Weights += t.update.WeightBytes()
	}
	sum := func(step int) int {
		return m.Total() + step + RunBytes + max(int(slackShare*float64(m.Total()+step)), slackLeast)
	}
	room, bound := 0, t.cfg.Spec.RAM
	if bound > 0 {
		// The slack grows with the step, so that the room is what leaves enough for both.
		room = max(min(bound-sum(0), int((float64(bound-RunBytes)/(1+slackShare)))-m.Total()), 1)
	}
	t.plan, t.again, err = t.program.compile(engine.Options{Threads: t.cfg.Threads}, room)
	var little *roomError
	if errors.As(err, &little) {
		return fmt.Errorf("%w of %s; hint: it takes %d MB at least with this batch; a smaller one, with accumulate, takes less",
			ErrMemory, bytesText(bound), (sum(little.least)+999_999)/1e6)
	}
	if err != nil {
		return err
	}
	m.Run = sum(stepBytes(t.plan)) - m.Total() - stepBytes(t.plan)
	m.Work += t.plan.ArenaBytes()
	m.Weights += t.plan.WeightBytes()
	t.held = m
	return nil
}

// stepBytes is what a compiled step holds: its tensors, and constants as it uses them.
func stepBytes(p *engine.Plan) int { return p.ArenaBytes() + p.WeightBytes() }

// roomError says that a step cannot be held in its room.
type roomError struct{ room, least int }

func (e *roomError) Error() string {
	return fmt.Sprintf("a step takes %d bytes at least, there is room for %d", e.least, e.room)
}

// Memory returns what the training holds while it runs.
func (t *Trainer) Memory() Memory { return t.held }

// Full returns what updating all weights would take, nil where that is what is done.
func (t *Trainer) Full() (*Memory, error) {
	spec := t.cfg.Spec
	if spec.Update.Kind == "" || spec.Update.Kind == UpdateAll {
		return nil, nil
	}
	spec.Update, spec.RAM = Update{}, 0
	p, err := NewProgram(t.network, spec)
	if err != nil {
		return nil, err
	}
	all := &Trainer{cfg: t.cfg, network: t.network, program: p}
	all.cfg.Spec = spec
	if err := all.compile(); err != nil {
		return nil, err
	}
	return &all.held, nil
}

// Recomputation returns what a step makes again to hold no more.
func (t *Trainer) Recomputation() Recomputation { return t.again }

// tidy makes the runtime collect garbage before it is much beside what lives, until the
// function that it returns is called.
func tidy() (restore func()) {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	percent := int(100 * max(slackShare, slackLeast/float64(s.HeapAlloc+1)))
	was := debug.SetGCPercent(min(max(percent, 1), 100))
	return func() { debug.SetGCPercent(was) }
}

// compile plans the step. Values that take no multiply-accumulates to make are made again
// where that lowers the memory; beyond that as many as it takes to stay within room bytes
// of working memory and weights, if room is not 0. The engine's own plan is what is compared.
func (p *Program) compile(o engine.Options, room int) (*engine.Plan, Recomputation, error) {
	o.Recompute, o.States = true, p.written
	rungs := autodiff.NewTape(p.Graph, p.Graph.Outputs[0]).Ladder()
	plans := map[int]*engine.Plan{}
	at := func(n int) (*engine.Plan, error) {
		if plans[n] != nil {
			return plans[n], nil
		}
		g, err := p.keeping(rungs[:n])
		if err != nil {
			return nil, err
		}
		plans[n], err = engine.Compile(g, o)
		return plans[n], err
	}
	without, err := at(0)
	if err != nil {
		return nil, Recomputation{}, err
	}
	cheap := slices.IndexFunc(rungs, func(r autodiff.Rung) bool { return r.MACs > 0 })
	if cheap < 0 {
		cheap = len(rungs)
	}
	n := cheap
	if plan, err := at(n); err != nil {
		return nil, Recomputation{}, err
	} else if room > 0 && stepBytes(plan) > room {
		fits := func(n int) bool {
			plan, e := at(n)
			if e != nil {
				err = e
				return true
			}
			return stepBytes(plan) <= room
		}
		n += sort.Search(len(rungs)-n, func(k int) bool { return fits(cheap + k) })
		if err == nil && !fits(n) {
			return nil, Recomputation{}, &roomError{room, stepBytes(plans[n])}
		}
		if err != nil {
			return nil, Recomputation{}, err
		}
	}
	plan := plans[n]
	if plan.ArenaBytes() >= without.ArenaBytes() {
		return without, Recomputation{Before: without.ArenaBytes()}, nil
	}
	r := Recomputation{Values: n, Before: without.ArenaBytes()}
	if n > 0 {
		r.MACs, r.Bytes = rungs[n-1].MACs, rungs[n-1].Bytes
	}
	return plan, r, nil
}

// keeping returns a copy of the step's graph that makes the values of the rungs again.
func (p *Program) keeping(rungs []autodiff.Rung) (*graph.Graph, error) {
	again := map[int]bool{}
	for _, r := range rungs {
		again[r.Value.ID] = true
	}
	g := p.Graph.Clone()
	t := autodiff.NewTape(g, g.Outputs[0])
	t.Rewrite(slices.DeleteFunc(slices.Clone(t.Kept), func(v *graph.Value) bool { return again[v.ID] }))
	return g, g.Verify()
}

// bytesText writes a size as people say it.
func bytesText(n int) string {
	if n < 10e6 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%d MB", (n+5e5)/1e6)
}
