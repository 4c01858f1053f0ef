package edgewise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Seal compiles the model for inputs of the given shapes, by name, and returns the outcome
// as a file: Open then takes it in the model's place and a Session starts at once. The file
// also holds the model, from which programs of another build and machines with other
// instructions compile as ever. It is checked that the sealed plan computes what the
// model does. The context can stop it between compiling, packing and that check.
func (m *Model) Seal(ctx context.Context, o Options, shapes map[string][]int) ([]byte, error) {
	if m.sealed != nil {
		return nil, errors.New("seal: the model is a sealed plan already")
	}
	for _, v := range m.graph.Inputs {
		if _, ok := v.Type.Static(); !ok && shapes[v.Name] == nil {
			return nil, fmt.Errorf("seal: the shape of input %v is not known", v)
		}
	}
	p, err := m.Plan(o, shapes)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	source, err := m.source()
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	data, err := p.Seal(source)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if err := engine.VerifySealed(ctx, data, p); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	return data, nil
}

// encoded returns g as an ONNX file.
func encoded(g *graph.Graph) func() ([]byte, error) {
	return func() ([]byte, error) { return onnx.Encode(g, onnx.Options{}) }
}

// openSealed reads a sealed plan or, where this program cannot use it, the model in it.
func openSealed(path string) (*Model, error) {
	data, err := mapfile.Read(path)
	if err != nil {
		return nil, err
	}
	network := sync.OnceValues(func() (*graph.Graph, error) {
		model, err := engine.SealedModel(data)
		if err != nil {
			return nil, err
		}
		if tflite.Sniff(model) {
			return tflite.Decode(model)
		}
		return onnx.Decode(model, "")
	})
	s, unfit := engine.Unseal(data)
	if unfit != nil {
		g, err := network()
		if err != nil {
			if err.Error() != unfit.Error() {
				unfit = fmt.Errorf("%w; %w", unfit, err)
			}
			return nil, fmt.Errorf("open %s: %w", path, unfit)
		}
		m := FromGraph(g)
		m.note(unfit)
		return m, nil
	}
	m := FromGraph(s.Graph())
	m.sealed, m.network = s, network
	return m, nil
}

// note remembers why a sealed plan was not used.
func (m *Model) note(reason error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes["sealed"] = fmt.Sprintf("%v; the model inside it is compiled instead", reason)
}

// Sealed returns the instruction set level that the model is a sealed plan for, "" where
// it is none, or none that this program uses.
func (m *Model) Sealed() string {
	if m.sealed == nil {
		return ""
	}
	return m.sealed.Level().String()
}

// CheckSealed reads the model inside a sealed plan, which other uses leave alone, and
// returns what is wrong with it. Without a sealed plan there is nothing to check.
func (m *Model) CheckSealed() error {
	if m.sealed == nil {
		return nil
	}
	_, err := m.network()
	return err
}

// Note returns why the sealed plan that was opened, or the tuning that came with the model,
// is not used, "" where all is.
func (m *Model) Note() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Values(m.notes)), "; ")
}

// compile makes a plan, from the sealed one where that serves.
func (m *Model) compile(opts Options, o engine.Options) (*engine.Plan, error) {
	if m.sealed == nil {
		if o.Choices = m.tuned(opts, o); len(o.Choices) > 0 {
			p, err := engine.Compile(m.graph, o)
			if err == nil {
				return p, nil
			}
			m.untuned(cmp.Or(opts.Tuning, m.file+TuningSuffix), err)
			o.Choices = nil
		}
		return engine.Compile(m.graph, o)
	}
	for _, v := range m.graph.Inputs {
		want, ok := o.Shapes[v.Name]
		if s, _ := v.Type.Static(); ok && !slices.Equal(s, want) {
			return nil, fmt.Errorf("input %s cannot have shape %s: the plan was sealed for %s", v.Name, tensor.FormatShape(want), tensor.FormatShape(s))
		}
	}
	var reason error
	if o.Portable && o.Level != m.sealed.Level() {
		reason = fmt.Errorf("the sealed plan is for %v, asked for is %v", m.sealed.Level(), o.Level)
	} else {
		p, err := m.sealed.Plan(o.Threads)
		if err == nil {
			return p, nil
		}
		reason = err
	}
	g, err := m.network()
	if err == nil && !(sameNames(g.Inputs, m.graph.Inputs) && sameNames(g.Outputs, m.graph.Outputs)) {
		err = errors.New("the model inside it is another one")
	}
	if err != nil {
		return nil, errors.Join(reason, err)
	}
	m.note(reason)
	o.Shapes = map[string][]int{}
	for _, v := range m.graph.Inputs {
		o.Shapes[v.Name], _ = v.Type.Static()
	}
	return engine.Compile(g, o)
}

func sameNames(a, b []*graph.Value) bool {
	return slices.EqualFunc(a, b, func(x, y *graph.Value) bool { return x.Name == y.Name })
}
