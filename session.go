package edgewise

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Session runs a model. It owns working memory and worker threads; calls of Run follow
// each other. For runs at the same time open several sessions: they share the weights.
type Session struct {
	model *Model
	opts  Options

	mu     sync.Mutex
	closed bool
	ready  *recent[string, *engine.Session] // by input shapes
}

// keptSessions bounds the working memories that a session holds for different shapes.
const keptSessions = 4

// NewSession prepares to run the model.
func (m *Model) NewSession(o Options) (*Session, error) {
	if _, err := o.engine(); err != nil {
		return nil, err
	}
	s := &Session{model: m, opts: o, ready: newRecent[string](keptSessions, (*engine.Session).Close)}
	if m.static() {
		shapes := map[string][]int{}
		for _, v := range m.graph.Inputs {
			shapes[v.Name], _ = v.Type.Static()
		}
		if _, err := s.engine(shapes); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// engine returns the working session for the given input shapes. The caller holds mu,
// or is alone.
func (s *Session) engine(shapes map[string][]int) (*engine.Session, error) {
	var key strings.Builder
	for _, v := range s.model.graph.Inputs {
		fmt.Fprint(&key, shapes[v.Name], ";")
	}
	if e, ok := s.ready.get(key.String()); ok {
		return e, nil
	}
	p, err := s.model.Plan(s.opts, shapes)
	if err != nil {
		return nil, err
	}
	e, err := p.NewSession()
	if err != nil {
		return nil, err
	}
	s.ready.put(key.String(), e)
	return e, nil
}

// Run computes the outputs for the given inputs, both by name. Every input must be
// there, with the element type and shape that the model wants. The results are fresh
// tensors. The context can stop a run between two steps.
func (s *Session) Run(ctx context.Context, inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
	g := s.model.graph
	values := make([]op.Value, len(g.Inputs))
	shapes := make(map[string][]int, len(g.Inputs))
	for i, v := range g.Inputs {
		t := inputs[v.Name]
		switch {
		case t == nil && v.Type.Kind == graph.KindOptional:
			values[i] = op.Optional{}
			continue
		case t == nil:
			return nil, fmt.Errorf("input %s is missing (the model takes %s)", v.Name, names(g.Inputs))
		case v.Type.Kind == graph.KindSequence:
			return nil, fmt.Errorf("input %s is a sequence, which Run does not take", v.Name)
		}
		if _, err := graph.Merge(v.Type, graph.TypeOf(t)); err != nil && v.Type.Kind == graph.KindTensor {
			return nil, fmt.Errorf("input %s: %w", v.Name, err)
		}
		values[i] = t
		if v.Type.Kind == graph.KindTensor {
			shapes[v.Name] = t.Shape()
		}
	}
	if len(inputs) > len(g.Inputs) {
		return nil, fmt.Errorf("%d inputs were given, the model takes %s", len(inputs), names(g.Inputs))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the session is closed")
	}
	e, err := s.engine(shapes)
	if err != nil {
		return nil, err
	}
	results, err := e.Run(ctx, values)
	if err != nil {
		return nil, err
	}
	out := make(map[string]*tensor.Tensor, len(results))
	for i, v := range g.Outputs {
		switch r := results[i].(type) {
		case *tensor.Tensor:
			out[v.Name] = r
		case op.Optional:
			if t, ok := r.Value.(*tensor.Tensor); ok {
				out[v.Name] = t
			}
		default:
			return nil, fmt.Errorf("output %s is a %T, which Run does not return", v.Name, r)
		}
	}
	return out, nil
}

func names(vs []*graph.Value) string {
	list := make([]string, len(vs))
	for i, v := range vs {
		list[i] = v.String()
	}
	sort.Strings(list)
	return strings.Join(list, ", ")
}

// Close frees the working memory and ends the workers. It waits for a run that is
// going on.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.ready.clear()
	return nil
}
