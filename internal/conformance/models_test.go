package conformance

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// modelTol is the error allowed in a model's float outputs, relative to the largest
// magnitude of the output.
const modelTol = 1e-4

// runner runs a model once; inputs and outputs are by name.
type runner func(inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error)

// TestONNXModels holds every real ONNX model against ONNX Runtime, over several inputs
// each and over chained steps where a model has state.
func TestONNXModels(t *testing.T) {
	client := witness.Find(t)
	for _, path := range modelFiles(t, "*.onnx") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			g := readModel(t, path)
			for _, run := range modelRuns(t, path, g) {
				want, err := chain(g, run, func(in map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
					return client.Run(witness.ORT, path, in)
				})
				if err != nil {
					t.Fatalf("%s: ONNX Runtime: %v", run.name, err)
				}
				compareModel(t, g, run, "engine", want, engineRunner(t, g, engine.Options{}))
				if !testing.Short() && cheap(t, g, run) {
					short := run
					short.steps = run.steps[:min(len(run.steps), 3)]
					compareModel(t, g, short, "interp", want, interpRunner(g))
				}
			}
		})
	}
}

// chain runs all steps, handing the state on.
func chain(g *graph.Graph, run modelRun, f runner) ([]map[string]*tensor.Tensor, error) {
	state := map[string]*tensor.Tensor{}
	for in := range run.state {
		state[in] = firstState(g, in)
	}
	var all []map[string]*tensor.Tensor
	for i, step := range run.steps {
		inputs := map[string]*tensor.Tensor{}
		for name, x := range step {
			inputs[name] = x
		}
		for name, x := range state {
			inputs[name] = x
		}
		out, err := f(inputs)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
		for in, from := range run.state {
			if state[in] = out[from]; state[in] == nil {
				return nil, fmt.Errorf("step %d gives no output %s", i, from)
			}
		}
		all = append(all, out)
	}
	return all, nil
}

// compareModel runs the steps of run and holds every output against want.
func compareModel(t *testing.T, g *graph.Graph, run modelRun, name string, want []map[string]*tensor.Tensor, f runner) {
	t.Helper()
	got, err := chain(g, run, f)
	if err != nil {
		t.Errorf("%s, %s: %v", name, run.name, err)
		return
	}
	worst := 0.0
	for i := range got {
		for _, o := range g.Outputs {
			y, x := got[i][o.Name], want[i][o.Name]
			if x == nil || y == nil {
				t.Errorf("%s, %s, step %d: output %s is %v, want %v", name, run.name, i, o.Name, y, x)
				continue
			}
			worst = max(worst, relative(y, x))
			if isQuantized(g) {
				continue // decisions are compared instead, see TestQOperatorDecisions
			}
			if err := near(y, x, modelTol, 0); err != nil {
				t.Errorf("%s, %s, step %d: output %s: %v", name, run.name, i, o.Name, err)
			}
			if flat(x) {
				t.Errorf("%s, step %d: output %s of the witness says nothing: all of %v is %v", run.name, i, o.Name, x, x.Float(0))
			}
		}
	}
	t.Logf("%-7s %s, %d steps: within %.2g of the largest magnitude", name, run.name, len(got), worst)
}

// relative returns the largest difference over the largest magnitude wanted.
func relative(got, want *tensor.Tensor) float64 {
	if got.Len() != want.Len() {
		return math.Inf(1)
	}
	diff, size := 0.0, 0.0
	for i := range want.Len() {
		diff = max(diff, math.Abs(got.Float(i)-want.Float(i)))
		size = max(size, math.Abs(want.Float(i)))
	}
	if diff == 0 {
		return 0
	}
	return diff / size
}

// flat reports whether a tensor of several elements holds one value only.
func flat(x *tensor.Tensor) bool {
	for i := range x.Len() {
		if x.Float(i) != x.Float(0) {
			return false
		}
	}
	return x.Len() > 1
}

// isQuantized reports whether a graph computes with quantized integers.
func isQuantized(g *graph.Graph) bool {
	for _, n := range g.Nodes {
		if strings.HasPrefix(n.Op, "QLinear") || n.Op == "QuantizeLinear" {
			return true
		}
	}
	return false
}

// engineRunner compiles g for each set of input shapes that comes and keeps the session.
func engineRunner(t testing.TB, g *graph.Graph, o engine.Options) runner {
	sessions := map[string]*engine.Session{}
	return func(inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		values, key := inOrder(g, inputs)
		s := sessions[key]
		if s == nil {
			p, err := engine.Compile(g, shaped(g, inputs, o))
			if err != nil {
				return nil, err
			}
			if s, err = p.NewSession(); err != nil {
				return nil, err
			}
			t.Cleanup(s.Close)
			sessions[key] = s
		}
		out, err := s.Run(context.Background(), values)
		return byOutput(g, out, err)
	}
}

func interpRunner(g *graph.Graph) runner {
	return func(inputs map[string]*tensor.Tensor) (map[string]*tensor.Tensor, error) {
		values, _ := inOrder(g, inputs)
		out, err := interp.Run(context.Background(), g, values)
		return byOutput(g, out, err)
	}
}

// shaped adds the shapes of inputs to o.
func shaped(g *graph.Graph, inputs map[string]*tensor.Tensor, o engine.Options) engine.Options {
	o.Shapes = map[string][]int{}
	for _, v := range g.Inputs {
		o.Shapes[v.Name] = inputs[v.Name].Shape()
	}
	return o
}

// inOrder returns the inputs in the graph's order and a key of their shapes.
func inOrder(g *graph.Graph, inputs map[string]*tensor.Tensor) (values []op.Value, key string) {
	for _, v := range g.Inputs {
		x := inputs[v.Name]
		if x == nil {
			values = append(values, nil)
			continue
		}
		values = append(values, x)
		key += tensor.FormatShape(x.Shape())
	}
	return values, key
}

func byOutput(g *graph.Graph, out []op.Value, err error) (map[string]*tensor.Tensor, error) {
	if err != nil {
		return nil, err
	}
	m := map[string]*tensor.Tensor{}
	for i, v := range g.Outputs {
		x, ok := out[i].(*tensor.Tensor)
		if !ok {
			return nil, errors.New("output " + v.Name + " is no tensor")
		}
		m[v.Name] = x
	}
	return m, nil
}

// cheap reports whether the reference executor runs a model in reasonable time.
func cheap(t testing.TB, g *graph.Graph, run modelRun) bool {
	inputs := map[string]*tensor.Tensor{}
	for name, x := range run.steps[0] {
		inputs[name] = x
	}
	for name := range run.state {
		inputs[name] = firstState(g, name)
	}
	p, err := engine.Compile(g, shaped(g, inputs, engine.Options{}))
	if err != nil {
		t.Fatal(err)
	}
	return macs(p) < 200e6
}
