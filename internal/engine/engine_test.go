package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// compile compiles g and opens a session that the test closes.
func compile(t testing.TB, g *graph.Graph, o Options) *Session {
	t.Helper()
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	p, err := Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// against runs a session and the reference executor on the same inputs and compares.
func against(t testing.TB, s *Session, g *graph.Graph, atol, rtol float64, inputs ...op.Value) {
	t.Helper()
	got, err := s.Run(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	want, err := interp.Run(context.Background(), g, inputs)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		a, b := got[i].(*tensor.Tensor), want[i].(*tensor.Tensor)
		if ok, abs, rel := tensor.CloseTo(a, b, atol, rtol); !ok {
			t.Fatalf("output %s: %v differs from %v by %g absolute, %g relative", g.Outputs[i].Name, a, b, abs, rel)
		}
	}
}

func TestReferenceSteps(t *testing.T) {
	g := graph.New("g")
	a := g.Input("a", graph.TensorType(tensor.Bool, 2, 3))
	b := g.Input("b", graph.TensorType(tensor.Bool, 3))
	x := g.Add("And", "and", nil, a, b)
	y := g.Add("Not", "not", nil, x)
	g.Output(y, g.Add("Xor", "xor", nil, y, a), x, a)
	s := compile(t, g, Options{})
	for _, info := range s.Plan().Steps() {
		if info.Op != "layout" && !info.Fallback {
			t.Errorf("step %s is no fallback", info.Name)
		}
	}
	against(t, s, g, 0, 0, tensor.Of([]bool{true, false, true, false, true, true}, 2, 3), tensor.Of([]bool{true, true, false}, 3))
}

func TestRunIntoChecksTensors(t *testing.T) {
	g := graph.New("g")
	a := g.Input("a", graph.TensorType(tensor.Bool, 2))
	g.Output(g.Add("Not", "not", nil, a))
	s := compile(t, g, Options{})
	in, out := tensor.Of([]bool{true, false}, 2), tensor.New(tensor.Bool, 2)
	if err := s.RunInto(context.Background(), []*tensor.Tensor{in}, []*tensor.Tensor{out}); err != nil {
		t.Fatal(err)
	}
	if b := tensor.Data[bool](out); b[0] || !b[1] {
		t.Errorf("not = %v", b)
	}
	for _, bad := range [][]*tensor.Tensor{nil, {nil}, {tensor.New(tensor.Bool, 3)}, {tensor.New(tensor.Uint8, 2)}} {
		if s.RunInto(context.Background(), bad, []*tensor.Tensor{out}) == nil || s.RunInto(context.Background(), []*tensor.Tensor{in}, bad) == nil {
			t.Errorf("%v was accepted", bad)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if s.RunInto(ctx, []*tensor.Tensor{in}, []*tensor.Tensor{out}) == nil {
		t.Error("a cancelled run succeeded")
	}
	s.Close()
	if s.RunInto(context.Background(), []*tensor.Tensor{in}, []*tensor.Tensor{out}) == nil {
		t.Error("a closed session ran")
	}
}

func TestHugeTensorsAreRefused(t *testing.T) {
	g := graph.New("huge")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1<<20, 1))
	y := g.Input("y", graph.TensorType(tensor.Float32, 1, 1<<20))
	z := g.Add("Add", "outer", nil, x, y)
	g.Output(g.Add("ReduceMean", "mean", nil, z, g.Ints("axes", 0, 1)))
	if _, err := Compile(g, Options{}); err == nil || !strings.Contains(err.Error(), "over the limit") {
		t.Errorf("an intermediate tensor of terabytes: %v", err)
	}
}
