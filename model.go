package edgewise

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Model is a network that can be run. It is safe for concurrent use.
type Model struct {
	graph  *graph.Graph           // of a sealed plan: as lowered, with hollow constants
	source func() ([]byte, error) // the model as a file
	file   string                 // that it was read from, "" where there is none

	sealed  *engine.Sealed               // nil: compile graph
	network func() (*graph.Graph, error) // that sealed was made from

	mu    sync.Mutex
	plans *recent[string, *planned]
	notes map[string]string // why what came with the model is not used
}

// planned is a plan that is compiled by whoever asks for it first.
type planned struct {
	once sync.Once
	plan *engine.Plan
	err  error
}

// keptPlans bounds the plans of a model: each holds packed weights.
const keptPlans = 8

// FromGraph wraps a graph, which must not be changed afterwards.
func FromGraph(g *graph.Graph) *Model {
	return &Model{graph: g, source: encoded(g), notes: map[string]string{}, plans: newRecent[string, *planned](keptPlans, nil)}
}

// Graph returns the network as it was read. Of a sealed plan it is the model inside, or,
// where that is damaged, a graph without nodes. Who needs inputs, outputs and metadata
// only asks Signature, which costs nothing.
func (m *Model) Graph() *graph.Graph {
	if m.sealed == nil {
		return m.graph
	}
	g, err := m.network()
	if err != nil {
		m.note(err)
		g = m.graph.Clone()
		g.Nodes = nil
	}
	return g
}

// Signature returns a graph with the inputs, outputs and metadata of the model. Its nodes
// may be those of another form of the network and are not to be used.
func (m *Model) Signature() *graph.Graph { return m.graph }

// Name returns the name that the file gives the network.
func (m *Model) Name() string { return m.graph.Name }

// Value describes an input or output of a model. A size that is known only when the
// model runs is -1; Shape is nil where not even the rank is known.
type Value struct {
	Name  string
	DType tensor.DType // Invalid for a sequence or optional
	Shape []int
}

// Inputs describes the inputs in order.
func (m *Model) Inputs() []Value { return describe(m.graph.Inputs) }

// Outputs describes the outputs in order.
func (m *Model) Outputs() []Value { return describe(m.graph.Outputs) }

func describe(vs []*graph.Value) []Value {
	out := make([]Value, len(vs))
	for i, v := range vs {
		out[i] = Value{Name: v.Name, DType: v.Type.DType}
		if v.Type.Shape != nil {
			out[i].Shape = make([]int, len(v.Type.Shape))
			for k, d := range v.Type.Shape {
				out[i].Shape[k] = d.Size
			}
		}
	}
	return out
}

// Options say how to run a model. The zero value suits the machine.
type Options struct {
	// Threads is the number of workers, the caller included. 0 takes the environment
	// variable EDGEWISE_THREADS or, where that is unset or 0, all usable cores.
	Threads int

	// ISA names the instruction set level of the kernels, as "avx2"; "" takes the best
	// that the machine has and EDGEWISE_ISA allows.
	ISA string

	// Tuning names a file of measured kernels, as edgewise tune writes it; "" takes the one
	// beside the model if there is one, NoTuning none. One that is not for this model,
	// machine and use is not taken, which Model.Note tells.
	Tuning string
}

// ThreadsVariable is the environment variable that sets the default of Options.Threads.
const ThreadsVariable = "EDGEWISE_THREADS"

// engine translates the options.
func (o Options) engine() (engine.Options, error) {
	e := engine.Options{Threads: o.Threads}
	if e.Threads <= 0 {
		e.Threads = cpu.Cores()
		if s := os.Getenv(ThreadsVariable); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 {
				return e, fmt.Errorf("%s=%q is not a number of threads", ThreadsVariable, s)
			}
			if n > 0 {
				e.Threads = n
			}
		}
	}
	if o.ISA != "" {
		l, err := cpu.ParseLevel(o.ISA)
		if err != nil {
			return e, err
		}
		e.Level, e.Portable = l, true
	}
	return e, nil
}

// Plan returns the compiled form of the model for inputs of the given shapes, by input
// name; inputs whose shape the file states may be left out. Equal plans are shared.
func (m *Model) Plan(o Options, shapes map[string][]int) (*engine.Plan, error) {
	eo, err := o.engine()
	if err != nil {
		return nil, err
	}
	eo.Shapes = shapes
	for name := range shapes { // a name that the key would not show
		if !slices.ContainsFunc(m.graph.Inputs, func(v *graph.Value) bool { return v.Name == name }) {
			return nil, fmt.Errorf("there is no input %q to give a shape", name)
		}
	}
	var key strings.Builder
	fmt.Fprintf(&key, "%d %s %q", eo.Threads, o.ISA, o.Tuning)
	for _, v := range m.graph.Inputs {
		s, ok := shapes[v.Name]
		if !ok {
			s, ok = v.Type.Static()
		}
		if ok {
			fmt.Fprintf(&key, " %q%v", v.Name, s)
		}
	}
	m.mu.Lock()
	p, ok := m.plans.get(key.String())
	if !ok {
		p = &planned{}
		m.plans.put(key.String(), p)
	}
	m.mu.Unlock()
	p.once.Do(func() { p.plan, p.err = m.compile(o, eo) })
	return p.plan, p.err
}

// static reports whether the file states all input shapes.
func (m *Model) static() bool {
	for _, v := range m.graph.Inputs {
		if _, ok := v.Type.Static(); !ok {
			return false
		}
	}
	return true
}
