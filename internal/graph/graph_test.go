package graph

import (
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/tensor"
)

func sample() *Graph {
	g := New("sample")
	x := g.Input("x", TensorType(tensor.Float32, 2, 3))
	y := g.Add("Relu", "y", nil, x)
	body := g.NewBody("then")
	body.Output(body.Add("Add", "sum", nil, y, body.Constant("one", tensor.Scalar(float32(1)))))
	other := g.NewBody("else")
	other.Output(other.Add("Neg", "neg", nil, x))
	cond := g.Input("cond", TensorType(tensor.Bool))
	g.Output(g.Add("If", "z", Attrs{"then_branch": body, "else_branch": other}, cond))
	return g
}

func TestVerify(t *testing.T) {
	if err := sample().Verify(); err != nil {
		t.Fatal(err)
	}
	for want, breakIt := range map[string]func(*Graph){
		"before it is defined":    func(g *Graph) { g.Nodes[0], g.Nodes[1] = g.Nodes[1], g.Nodes[0] },
		"share ID":                func(g *Graph) { g.Inputs[0].ID = g.Inputs[1].ID },
		"two values are named":    func(g *Graph) { g.Inputs[0].Name = "y" },
		"defining node":           func(g *Graph) { g.Nodes[0].Outputs[0].Def = nil },
		"defined twice":           func(g *Graph) { g.Nodes[0].Outputs = append(g.Nodes[0].Outputs, g.Nodes[0].Outputs[0]) },
		"enclosing graph":         func(g *Graph) { g.Nodes[1].Attrs.Graph("then_branch").Outer = nil },
		"an output is nil":        func(g *Graph) { g.Outputs[0] = nil },
		"holds a":                 func(g *Graph) { g.Outputs[0] = g.Ints("k", 1); g.Outputs[0].Type = Type{} },
		"has a defining node":     func(g *Graph) { g.Nodes[0].Outputs[0].Const = tensor.New(tensor.Float32, 2, 3) },
		"node 0 has no operator":  func(g *Graph) { g.Nodes[0].Op = "" },
		"listed as an input":      func(g *Graph) { g.Inputs[0].Const = tensor.New(tensor.Float32, 2, 3) },
		"has ID 1000 outside":     func(g *Graph) { g.Inputs[0].ID = 1000 },
		"value 0 has no name":     func(g *Graph) { g.Inputs[0].Name = "" },
		"not the outermost graph": func(g *Graph) { g.Outer = New("around") },
	} {
		g := sample()
		breakIt(g)
		if err := g.Verify(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

func TestCloneIsIndependent(t *testing.T) {
	g := sample()
	before := g.String()
	c := g.Clone()
	if c.String() != before {
		t.Fatalf("clone differs:\n%s\n%s", before, c)
	}
	if err := c.Verify(); err != nil {
		t.Fatal(err)
	}
	c.Nodes[0].Op = "Neg"
	c.Inputs[0].Type.Shape[0].Size = 9
	c.Nodes[1].Attrs.Graph("then_branch").Nodes[0].Op = "Sub"
	if g.String() != before {
		t.Error("changing the clone changed the original")
	}
}

func TestSortFindsCycleAndKeepsOrder(t *testing.T) {
	g := sample()
	before := g.String()
	g.Nodes[0], g.Nodes[1] = g.Nodes[1], g.Nodes[0]
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if g.String() != before {
		t.Errorf("order not restored:\n%s", g)
	}
	g.Nodes[0].Inputs[0] = g.Nodes[1].Outputs[0]
	if err := g.Sort(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("cycle not found: %v", err)
	}
}

func TestCapturesUsesAndPrune(t *testing.T) {
	g := sample()
	caps := g.Nodes[1].Attrs.Graph("then_branch").Captures()
	if len(caps) != 1 || caps[0].Name != "y" {
		t.Fatalf("captures = %v", caps)
	}
	if n := g.Prune(); n != 0 {
		t.Fatalf("pruned %d live nodes", n)
	}
	g.ReplaceUses(g.Nodes[0].Outputs[0], g.Inputs[0])
	if n := g.Prune(); n != 1 {
		t.Fatalf("pruned %d nodes, want the unused Relu", n)
	}
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
}

func TestMerge(t *testing.T) {
	a := Type{DType: tensor.Float32, Shape: Shape{Sym("N"), {Size: 3}}}
	b := Type{Shape: Dims(2, 3)}
	m, err := Merge(a, b)
	if err != nil || m.String() != "float32[2x3]" {
		t.Fatalf("Merge = %v, %v", m, err)
	}
	if _, err := Merge(m, TensorType(tensor.Float32, 2, 4)); err == nil {
		t.Error("contradiction not found")
	}
}

func TestLabel(t *testing.T) {
	for _, c := range []struct {
		node        *Node
		label, text string
	}{
		{&Node{Name: "conv1", Op: "Conv", Outputs: []*Value{{Name: "y"}}}, "conv1", "conv1 (Conv)"},
		{&Node{Op: "QGemm", Domain: DomainMicrosoft, Outputs: []*Value{{Name: "y"}}}, "y", "y (com.microsoft.QGemm)"},
		{&Node{Op: "LSTM", Outputs: []*Value{nil, {Name: "h"}}}, "", " (LSTM)"},
	} {
		if c.node.Label() != c.label || c.node.String() != c.text {
			t.Errorf("label %q and text %q, want %q and %q", c.node.Label(), c.node.String(), c.label, c.text)
		}
	}
}

func TestAbsorb(t *testing.T) {
	g, src := sample(), sample()
	n := len(g.Nodes)
	g.Absorb(src, "two/", []*Value{g.Nodes[0].Outputs[0], g.Inputs[1]})
	g.Output(src.Outputs[0])
	if err := g.Verify(); err != nil {
		t.Fatal(err)
	}
	branch := g.Nodes[n+1]
	if len(g.Nodes) != 2*n || branch.Name != "two/z" || branch.Inputs[0] != g.Inputs[1] || g.Nodes[n].Inputs[0] != g.Nodes[0].Outputs[0] {
		t.Errorf("the nodes did not come over with their inputs:\n%v", g)
	}
	if sum := branch.Attrs.Graph("then_branch").Nodes[0]; sum.Inputs[0] != g.Nodes[n].Outputs[0] || sum.Outputs[0].Name != "two/sum" {
		t.Errorf("a body uses %v and makes %v", sum.Inputs[0], sum.Outputs[0])
	}
}
