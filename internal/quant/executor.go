package quant

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Executor makes graphs runnable.
type Executor interface {
	Open(g *graph.Graph) (Runner, error)
}

// Runner runs one graph. The outputs of a run are valid until the next one.
type Runner interface {
	Run(ctx context.Context, sample map[string]*tensor.Tensor) ([]*tensor.Tensor, error)
	Close()
}

// Engine executes by package engine with the given number of threads. Plans are made
// for the shapes of the sample at hand.
func Engine(threads int) Executor { return engineExecutor{threads} }

// Interpreter executes by package interp: slow, and the reference for the engine.
func Interpreter() Executor { return interpreter{} }

func executorOr(e Executor) Executor {
	if e == nil {
		return Engine(1)
	}
	return e
}

// ordered returns the sample's tensors in the order of g's inputs.
func ordered(g *graph.Graph, sample map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	out := make([]*tensor.Tensor, len(g.Inputs))
	for i, v := range g.Inputs {
		t := sample[v.Name]
		if t == nil {
			have := make([]string, 0, len(sample))
			for name := range sample {
				have = append(have, name)
			}
			slices.Sort(have)
			return nil, fmt.Errorf("the sample has no tensor for input %q, only for %q", v.Name, have)
		}
		out[i] = t
	}
	return out, nil
}

type engineExecutor struct{ threads int }

func (e engineExecutor) Open(g *graph.Graph) (Runner, error) {
	return &engineRunner{graph: g, threads: e.threads}, nil
}

// engineRunner holds the session for the shapes that came last: a set of samples rarely
// mixes them.
type engineRunner struct {
	graph   *graph.Graph
	threads int

	key     string
	session *engine.Session
	outputs []*tensor.Tensor // nil where the size is not known ahead
	fixed   bool             // all outputs have storage
}

func (r *engineRunner) Close() {
	if r.session != nil {
		r.session.Close()
		r.session = nil
	}
}

func (r *engineRunner) bind(inputs []*tensor.Tensor) error {
	var key strings.Builder
	shapes := map[string][]int{}
	for i, t := range inputs {
		shapes[r.graph.Inputs[i].Name] = t.Shape()
		key.WriteString(tensor.FormatShape(t.Shape()))
	}
	if r.session != nil && r.key == key.String() {
		return nil
	}
	r.Close()
	plan, err := engine.Compile(r.graph, engine.Options{Threads: r.threads, Shapes: shapes})
	if err != nil {
		return err
	}
	if r.session, err = plan.NewSession(); err != nil {
		return err
	}
	r.key, r.fixed, r.outputs = key.String(), true, nil
	for _, p := range append(plan.Inputs(), plan.Outputs()...) {
		r.fixed = r.fixed && p.Shape != nil
	}
	if !r.fixed {
		return nil
	}
	for _, p := range plan.Outputs() {
		t, err := tensor.Make(p.Type.DType, p.Shape)
		if err != nil {
			return err
		}
		r.outputs = append(r.outputs, t)
	}
	return nil
}

func (r *engineRunner) Run(ctx context.Context, sample map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	inputs, err := ordered(r.graph, sample)
	if err != nil {
		return nil, err
	}
	if err := r.bind(inputs); err != nil {
		return nil, err
	}
	if r.fixed {
		return r.outputs, r.session.RunInto(ctx, inputs, r.outputs)
	}
	out, err := r.session.Run(ctx, values(inputs))
	if err != nil {
		return nil, err
	}
	return tensors(r.graph, out)
}

type interpreter struct{}

func (interpreter) Open(g *graph.Graph) (Runner, error) { return interpRunner{g}, nil }

type interpRunner struct{ graph *graph.Graph }

func (interpRunner) Close() {}

func (r interpRunner) Run(ctx context.Context, sample map[string]*tensor.Tensor) ([]*tensor.Tensor, error) {
	inputs, err := ordered(r.graph, sample)
	if err != nil {
		return nil, err
	}
	out, err := interp.Run(ctx, r.graph, values(inputs))
	if err != nil {
		return nil, err
	}
	return tensors(r.graph, out)
}

func values(ts []*tensor.Tensor) []op.Value {
	out := make([]op.Value, len(ts))
	for i, t := range ts {
		out[i] = t
	}
	return out
}

func tensors(g *graph.Graph, vs []op.Value) ([]*tensor.Tensor, error) {
	out := make([]*tensor.Tensor, len(vs))
	for i, v := range vs {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return nil, fmt.Errorf("output %s is a %T, not a tensor", g.Outputs[i].Name, v)
		}
		out[i] = t
	}
	return out, nil
}

// withOutputs returns a copy of g whose outputs are the named values and nothing else,
// without the nodes that they do not need.
func withOutputs(g *graph.Graph, names []string) (*graph.Graph, error) {
	c := g.Clone()
	byName := map[string]*graph.Value{}
	for _, v := range c.Inputs {
		byName[v.Name] = v
	}
	for _, n := range c.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				byName[v.Name] = v
			}
		}
	}
	for _, v := range c.Outputs {
		byName[v.Name] = v // constants among them
	}
	c.Outputs = nil
	for _, name := range names {
		v := byName[name]
		if v == nil {
			return nil, fmt.Errorf("graph %s has no value %q", g.Name, name)
		}
		c.Outputs = append(c.Outputs, v)
	}
	c.Prune()
	return c, nil
}

// sample is one set of inputs by name, outputs what a run gives in graph order.
type (
	sample  = map[string]*tensor.Tensor
	outputs = []*tensor.Tensor
)

// eachSample runs every sample through r. see must not keep the outputs.
func eachSample(ctx context.Context, r Runner, samples Samples, see func(i int, in sample, out outputs) error) (int, error) {
	i := 0
	for s, err := range samples {
		if err != nil {
			return i, fmt.Errorf("sample %d: %w", i, err)
		}
		out, err := r.Run(ctx, s)
		if err != nil {
			return i, fmt.Errorf("sample %d: %w", i, err)
		}
		if err := see(i, s, out); err != nil {
			return i, fmt.Errorf("sample %d: %w", i, err)
		}
		i++
	}
	if i == 0 {
		return 0, errNoSamples
	}
	return i, nil
}
