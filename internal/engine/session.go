package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Session runs a plan. It owns the arena and the workers; runs of one session follow
// each other, runs of different sessions go on at the same time.
type Session struct {
	plan *Plan

	mu      sync.Mutex
	closed  bool
	pool    *kernel.Pool
	arena   []byte
	scratch [][]byte // per worker
	bodies  []*Session

	// Of the run going on.
	ctx     context.Context
	step    *step
	failure atomic.Pointer[error] // of a worker
	inputs  [][]byte
	outputs [][]byte
	heap    []op.Value
}

// NewSession allocates what runs need.
func (p *Plan) NewSession() (*Session, error) {
	s := &Session{plan: p, pool: kernel.NewPool(p.threads), arena: tensor.AlignedBytes(p.arenaBytes),
		inputs: make([][]byte, len(p.inputs)), outputs: make([][]byte, len(p.outputs)), heap: make([]op.Value, p.heapSlots)}
	at := p.arenaBytes - p.threads*p.scratch
	for range p.threads {
		s.scratch = append(s.scratch, s.arena[at:at+p.scratch:at+p.scratch])
		at += p.scratch
	}
	for _, b := range p.bodies {
		sub, err := b.NewSession()
		if err != nil {
			s.Close()
			return nil, err
		}
		s.bodies = append(s.bodies, sub)
	}
	return s, nil
}

// Plan returns the plan that the session runs.
func (s *Session) Plan() *Plan { return s.plan }

// Close ends the workers. It waits for a run that is going on.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.pool.Close()
		for _, b := range s.bodies {
			b.Close()
		}
		s.arena, s.scratch = nil, nil
	}
}

// RunUnits implements kernel.Runner for the current step.
func (s *Session) RunUnits(worker, lo, hi int) {
	defer s.tripped()
	s.step.run(s, worker, lo, hi)
}

// whole runs the current step where it is one that runs whole.
func (s *Session) whole() error {
	defer s.tripped()
	return s.step.exec(s)
}

// tripped is deferred around a step. What inference and lowering let pass and a step trips
// over ends the run, not the program: graphs come from files.
func (s *Session) tripped() {
	if r := recover(); r != nil {
		err := fmt.Errorf("step %s: %v", s.step.name, r)
		s.failure.CompareAndSwap(nil, &err)
	}
}

// Run executes the plan on one value per input and returns fresh outputs. Inputs are
// only read.
func (s *Session) Run(ctx context.Context, inputs []op.Value) ([]op.Value, error) {
	out, _, err := s.runValues(ctx, inputs, false)
	return out, err
}

func (s *Session) runValues(ctx context.Context, inputs []op.Value, timed bool) ([]op.Value, []time.Duration, error) {
	p := s.plan
	outs := make([]*tensor.Tensor, len(p.outputs))
	for i, o := range p.outputs {
		if !o.static() {
			continue
		}
		t, err := tensor.Make(o.Type.DType, o.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("output %s: %w", o.Name, err)
		}
		outs[i] = t
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(inputs) != len(p.inputs) {
		return nil, nil, fmt.Errorf("model %s takes %d inputs, got %d", p.name, len(p.inputs), len(inputs))
	}
	for i, v := range inputs {
		if slot := p.inHeap[i]; slot >= 0 {
			if err := s.bindHeap(i, slot, v); err != nil {
				return nil, nil, err
			}
			continue
		}
		t, _ := v.(*tensor.Tensor)
		if err := bindTensor(&s.inputs[i], "input", p.inputs[i], t); err != nil {
			return nil, nil, err
		}
	}
	for i, t := range outs {
		if t != nil {
			s.outputs[i] = t.Bytes()
		}
	}
	times, err := s.execute(ctx, timed)
	defer s.release()
	if err != nil {
		return nil, nil, err
	}
	out := make([]op.Value, len(outs))
	for i, t := range outs {
		if t != nil {
			out[i] = t
			continue
		}
		out[i] = cloneValue(s.heap[p.outRefs[i].buf.index])
	}
	return out, times, nil
}

// bindHeap takes an input whose size is known only now.
func (s *Session) bindHeap(i, slot int, v op.Value) error {
	p := s.plan.inputs[i]
	if p.Type.Kind == graph.KindTensor {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("input %s is missing", p.Name)
		}
		if _, err := graph.Merge(p.Type, graph.TypeOf(t)); err != nil {
			return fmt.Errorf("input %s: %w", p.Name, err)
		}
	}
	s.heap[slot] = v
	return nil
}

// cloneValue copies a value that may show the caller's input or a constant.
func cloneValue(v op.Value) op.Value {
	switch v := v.(type) {
	case *tensor.Tensor:
		return v.Clone()
	case op.Sequence:
		v.Elems = slices.Clone(v.Elems)
		for i, t := range v.Elems {
			v.Elems[i] = t.Clone()
		}
		return v
	case op.Optional:
		v.Value = cloneValue(v.Value)
		return v
	}
	return v
}

// RunInto is Run with tensors of the caller for the outputs, which must not overlap
// the inputs. It allocates nothing where every step is a fast one. Plans whose inputs
// or outputs are of unknown size need Run.
func (s *Session) RunInto(ctx context.Context, inputs, outputs []*tensor.Tensor) error {
	p := s.plan
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(inputs) != len(p.inputs) || len(outputs) != len(p.outputs) {
		return fmt.Errorf("model %s takes %d inputs and %d outputs, got %d and %d", p.name, len(p.inputs), len(p.outputs), len(inputs), len(outputs))
	}
	for i, t := range inputs {
		if err := bindTensor(&s.inputs[i], "input", p.inputs[i], t); err != nil {
			return err
		}
	}
	for i, t := range outputs {
		if err := bindTensor(&s.outputs[i], "output", p.outputs[i], t); err != nil {
			return err
		}
	}
	_, err := s.execute(ctx, false)
	s.release()
	return err
}

func bindTensor(slot *[]byte, what string, p Port, t *tensor.Tensor) error {
	switch {
	case t == nil:
		return fmt.Errorf("%s %s is missing", what, p.Name)
	case !p.static():
		return fmt.Errorf("%s %s has no size known ahead", what, p.Name)
	case t.DType() != p.Type.DType || !slices.Equal(t.Shape(), p.Shape):
		return fmt.Errorf("%s %s is %v, the plan has %v%v", what, p.Name, t, p.Type.DType, tensor.FormatShape(p.Shape))
	}
	*slot = t.Bytes()
	return nil
}

// execute walks the steps. The context is looked at between them.
func (s *Session) execute(ctx context.Context, timed bool) ([]time.Duration, error) {
	if s.closed {
		return nil, errClosed
	}
	if ctx == nil {
		ctx = context.Background()
	}
	s.ctx = ctx
	var times []time.Duration
	if timed {
		times = make([]time.Duration, len(s.plan.steps))
	}
	for i, st := range s.plan.steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("run of %s stopped before step %s: %w", s.plan.name, st.name, err)
		}
		var start time.Time
		if timed {
			start = time.Now()
		}
		s.step = st
		if st.exec != nil {
			if err := s.whole(); err != nil {
				return nil, err
			}
		} else {
			s.pool.Run(st.units, st.grain, s)
		}
		if err := s.failure.Load(); err != nil {
			s.failure.Store(nil)
			return nil, *err
		}
		if timed {
			times[i] = time.Since(start)
		}
	}
	return times, nil
}

// release forgets what a run borrowed.
func (s *Session) release() {
	clear(s.inputs)
	clear(s.outputs)
	clear(s.heap)
	s.ctx, s.step = nil, nil
}

// StepTime is the time that one step of a run took.
type StepTime struct {
	StepInfo
	Duration time.Duration
}

// Profile runs the plan once and returns the time of each step.
func (s *Session) Profile(ctx context.Context, inputs []op.Value) ([]StepTime, error) {
	_, times, err := s.runValues(ctx, inputs, true)
	if err != nil {
		return nil, err
	}
	if len(times) != len(s.plan.steps) {
		return nil, errors.New("profile: a run without times")
	}
	infos := s.plan.Steps()
	out := make([]StepTime, len(infos))
	for i := range infos {
		out[i] = StepTime{infos[i], times[i]}
	}
	return out, nil
}
