// Package engine is the fast executor. It compiles a graph once into a Plan and
// then runs the plan many times without allocation.
//
// Compilation goes through four stages:
//
//	bind    clone the graph, fix its input shapes, infer every type, fold constants
//	lower   choose for every node, or group of nodes, a step over buffers: a prepared
//	        kernel operator, a view, or the operator's reference evaluation
//	plan    give every buffer an offset in one arena by the time it is alive
//	run     a Session owns an arena and a worker pool and walks the steps
//
// Invariants:
//
//   - A Plan is read-only once compiled; any number of sessions share it.
//   - A step reads and writes only the buffers it names, so liveness is known.
//   - What has no fast step runs as a reference step: the engine runs every graph
//     that package interp runs, and says in Steps which parts are slow and why.
//   - Integer steps give the bytes that the reference evaluation gives.
package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Options say how to compile. The zero value is the best that this machine does on
// one thread.
type Options struct {
	Level    cpu.Level        // kernels to use; Generic (0) means cpu.Best unless Portable is set
	Portable bool             // take Level literally even where it is Generic
	Threads  int              // workers of each session, the caller included; below 1 counts as 1, at most 1024
	Shapes   map[string][]int // sizes for inputs with unknown dimensions, by input name
	Disable  []string         // names of lowering rules to leave out, see Rules

	// Recompute leaves equal nodes apart: a training step computes values again so as not to
	// keep them.
	Recompute bool

	// States is how many of the last outputs are new values of as many last inputs, in the
	// same order, which a caller of RunInto may give the same memory.
	States int

	// Choices names the micro-kernels of steps, by the steps' names, in place of those that
	// lowering takes; each is one of StepInfo.Candidates. What cannot be had is an error
	// that wraps kernel.ErrChoice.
	Choices map[string]string
}

// maxThreads keeps a slip of the finger from starting a million workers.
const maxThreads = 1024

// Plan is a compiled graph.
type Plan struct {
	name    string
	graph   *graph.Graph // as lowered
	notes   []Note
	inputs  []Port
	outputs []Port
	steps   []*step
	level   cpu.Level
	threads int

	packing    *kernel.Packing // of the weights
	taken      []*graph.Value  // constants whose contents are packed, once per operator
	disabled   []string        // lowering rules left out
	choices    map[string]string
	bodies     []*Plan // of control flow
	buffers    []*buffer
	outRefs    []*ref // how each output is stored, plain
	inHeap     []int  // heap slot of each input that is no static tensor, else -1
	heapSlots  int
	arenaBytes int // planned tensors and the workers' scratch
	scratch    int // per worker
	weights    int
	fused      map[string]int // rule name → times applied
}

// Port describes an input or output of a plan. Shape is nil where it depends on data.
type Port struct {
	Name  string
	Type  graph.Type
	Shape []int
}

// static reports whether the port is a tensor whose storage size is known.
func (p Port) static() bool { return p.Shape != nil }

// Compile plans g for the given options. The graph itself is not changed; its
// constants are shared and must not change while the plan lives.
func Compile(g *graph.Graph, o Options) (*Plan, error) {
	c, notes, err := bind(g, o.Shapes, o.Recompute)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", g.Name, err)
	}
	for _, name := range o.Disable {
		if !slices.Contains(Rules(), name) {
			return nil, fmt.Errorf("compile: no lowering rule is named %q (have %v)", name, Rules())
		}
	}
	level := o.Level
	if level == cpu.Generic && !o.Portable {
		level = cpu.Best()
	}
	if !slices.Contains(cpu.Levels(), level) {
		return nil, fmt.Errorf("compile: this machine does not run level %v", level)
	}
	if o.Threads > maxThreads {
		return nil, fmt.Errorf("compile: %d threads are over the limit of %d", o.Threads, maxThreads)
	}
	if o.States < 0 || o.States > min(len(c.Inputs), len(c.Outputs)) {
		return nil, fmt.Errorf("compile: %d states are more than the %d inputs or %d outputs", o.States, len(c.Inputs), len(c.Outputs))
	}
	p := newPlan(c, level, o.Threads, notes)
	p.packing = &kernel.Packing{}
	if err := p.build(o); err != nil {
		return nil, fmt.Errorf("compile %s: %w", g.Name, err)
	}
	return p, nil
}

// newPlan returns a plan for the lowered graph that has no steps yet.
func newPlan(g *graph.Graph, level cpu.Level, threads int, notes []Note) *Plan {
	p := &Plan{name: g.Name, graph: g, level: level, threads: max(threads, 1), notes: notes, fused: map[string]int{}}
	for _, v := range g.Inputs {
		p.inputs = append(p.inputs, portOf(v))
	}
	for _, v := range g.Outputs {
		p.outputs = append(p.outputs, portOf(v))
	}
	return p
}

// build lowers and plans. What inference let pass and a lowering trips over becomes an
// error here: graphs come from files.
func (p *Plan) build(o Options) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the graph cannot be lowered: %v", r)
		}
	}()
	if err := checkSizes(p.graph); err != nil {
		return err
	}
	l := newLowerer(p, p.graph, o.Disable)
	l.choices = o.Choices
	if err := l.lower(); err != nil {
		return err
	}
	p.disabled, p.choices, p.taken = o.Disable, o.Choices, l.taken
	if o.States > 0 {
		if err := p.updateEarly(o.States); err != nil {
			return err
		}
	}
	if err := p.packing.Finish(p.threads); err != nil {
		return err
	}
	return p.place()
}

func portOf(v *graph.Value) Port {
	p := Port{Name: v.Name, Type: v.Type}
	if s, ok := v.Type.Static(); ok && v.Type.DType != tensor.String {
		p.Shape = s
	}
	return p
}

// Name returns the name of the graph.
func (p *Plan) Name() string { return p.name }

// Graph returns the graph as it was lowered, after simplification and legalization:
// what the plan computes. It must not be changed.
func (p *Plan) Graph() *graph.Graph { return p.graph }

// Notes lists the parts of a quantized graph that stayed in floating point, with reasons.
func (p *Plan) Notes() []Note { return slices.Clone(p.notes) }

// Inputs describes the inputs in order.
func (p *Plan) Inputs() []Port { return slices.Clone(p.inputs) }

// Outputs describes the outputs in order.
func (p *Plan) Outputs() []Port { return slices.Clone(p.outputs) }

// Level returns the instruction set level of the kernels.
func (p *Plan) Level() cpu.Level { return p.level }

// Threads returns the number of workers of a session.
func (p *Plan) Threads() int { return p.threads }

// ArenaBytes returns the working memory of one session: all intermediate tensors at
// their peak and the scratch of its workers. Inputs, outputs and values of a size
// that is known only at run time are not in it.
func (p *Plan) ArenaBytes() int { return p.arenaBytes }

// WeightBytes returns the size of the constants that steps use, shared by all sessions.
func (p *Plan) WeightBytes() int { return p.weights }

// Fused returns how often each lowering rule was applied.
func (p *Plan) Fused() map[string]int {
	out := make(map[string]int, len(p.fused))
	for k, n := range p.fused {
		out[k] = n
	}
	return out
}

var errClosed = errors.New("the session is closed")
