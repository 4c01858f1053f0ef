package op

import (
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// run evaluates one operator on tensors; nil inputs are absent.
func run(t *testing.T, domain, name string, attrs graph.Attrs, outputs int, in ...*tensor.Tensor) ([]Value, error) {
	t.Helper()
	g := graph.New("test")
	n := &graph.Node{Op: name, Domain: domain, Name: "n", Attrs: attrs}
	vals := make([]Value, len(in))
	for i, x := range in {
		if x == nil {
			n.Inputs = append(n.Inputs, nil)
			continue
		}
		n.Inputs = append(n.Inputs, g.Input("", graph.TypeOf(x)))
		vals[i] = x
	}
	for range outputs {
		v := g.NewValue("", graph.Type{})
		v.Def = n
		n.Outputs = append(n.Outputs, v)
	}
	if err := Check(n); err != nil {
		return nil, err
	}
	g.Nodes = append(g.Nodes, n)
	g.Output(n.Outputs...)
	if _, err := InferTypes(g); err != nil {
		return nil, err
	}
	e := &Eval{Node: n, In: vals, Out: make([]Value, outputs)}
	if err := Evaluate(e); err != nil {
		return nil, err
	}
	for i, o := range n.Outputs {
		// What inference states must hold for what evaluation gives.
		if got, ok := e.Out[i].(*tensor.Tensor); ok {
			if _, err := graph.Merge(o.Type, graph.TypeOf(got)); err != nil {
				t.Errorf("%s: inference disagrees with evaluation: %v", name, err)
			}
		}
	}
	return e.Out, nil
}

func TestCheckSignature(t *testing.T) {
	x := tensor.New(tensor.Bool, 2)
	for want, f := range map[string]func() error{
		"is not known":         func() error { _, err := run(t, "", "Nope", nil, 1, x); return err },
		"input B is missing":   func() error { _, err := run(t, "", "And", nil, 1, x); return err },
		"at most 2":            func() error { _, err := run(t, "", "And", nil, 1, x, x, x); return err },
		"not one of And's":     func() error { _, err := run(t, "", "And", graph.Attrs{"axis": int64(1)}, 1, x, x); return err },
		"direction is missing": func() error { _, err := run(t, "", "BitShift", nil, 1, x, x); return err },
		"want string": func() error {
			_, err := run(t, "", "BitShift", graph.Attrs{"direction": int64(1)}, 1, x, x)
			return err
		},
		"do not broadcast": func() error { _, err := run(t, "", "And", nil, 1, x, tensor.New(tensor.Bool, 3)); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestWhereBroadcasts(t *testing.T) {
	out, err := run(t, "", "Where", nil, 1, tensor.Of([]bool{true, false}, 2, 1),
		tensor.Of([]int32{1, 2, 3}, 3), tensor.Of([]int32{-1}, 1))
	if err != nil {
		t.Fatal(err)
	}
	got := out[0].(*tensor.Tensor)
	if want := tensor.Of([]int32{1, 2, 3, -1, -1, -1}, 2, 3); got.String() != want.String() || string(got.Bytes()) != string(want.Bytes()) {
		t.Errorf("got %v %v", got, got.Ints())
	}
}

func TestEvaluateNeverPanics(t *testing.T) {
	// A float where truth values are due fails inside Data; the driver must contain it.
	if _, err := run(t, "", "And", nil, 1, tensor.New(tensor.Float32, 1), tensor.New(tensor.Bool, 1)); err == nil {
		t.Error("And of float32 succeeded")
	}
}
