package quant

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// biasBits are those of integer biases on their way through training; see maxBias.
const biasBits = 31

// Fake returns the form of a quantized graph that is trained: everything that r.Graph
// stores in integers is a float value that goes through FakeQuantize, on the same grid and
// at the same place. g is the float graph that r was made from; its weights are what is
// rounded, while biases begin as r has them, corrected or not.
//
// Scales of weights and activations are constants of the graph that training may move
// (FakeQuantize has a gradient for them); zero points stay. The grid of a bias is the
// product of the scales of its layer's input and weights, and follows both. Batch
// normalization is folded in g already, as Prepare leaves it.
//
// What Deploy makes of the result computes what r.Graph does as long as nothing was trained.
func Fake(g *graph.Graph, r *Result) (*graph.Graph, error) {
	f := &faker{g: r.Graph.Clone(), weights: map[string]*graph.Value{}, shared: map[*graph.Value]*graph.Value{}, fakes: map[*graph.Node]*graph.Node{}}
	for _, n := range g.Nodes {
		f.weights[n.Label()] = n.In(1)
	}
	if err := f.layers(r.Layers); err != nil {
		return nil, fmt.Errorf("fake-quantize %s: %w", g.Name, err)
	}
	if err := f.values(); err != nil {
		return nil, fmt.Errorf("fake-quantize %s: %w", g.Name, err)
	}
	if _, err := op.InferTypes(f.g); err != nil {
		return nil, fmt.Errorf("fake-quantize %s: %w", g.Name, err)
	}
	return f.g, f.g.Verify()
}

type faker struct {
	g       *graph.Graph
	weights map[string]*graph.Value       // of the float graph, by layer
	shared  map[*graph.Value]*graph.Value // its constants, as they stand in g
	fakes   map[*graph.Node]*graph.Node   // what takes the place of a DequantizeLinear
}

// layers prepares the weights and biases of quantized layers.
func (f *faker) layers(list []Layer) error {
	byName := map[string]*graph.Node{}
	for _, n := range f.g.Nodes {
		byName[n.Label()] = n
	}
	for _, y := range list {
		if !y.Quantized || y.Weights == nil {
			continue
		}
		n, w := byName[y.Node], f.weights[y.Node]
		if n == nil || w == nil || w.Const == nil || n.In(1) == nil || n.In(1).Def == nil || !n.In(1).Def.Is("DequantizeLinear") {
			return fmt.Errorf("layer %s is not in both graphs", y.Node)
		}
		d := n.In(1).Def
		if _, ok := f.fakes[d]; ok {
			continue
		}
		attrs := graph.Attrs{"bits": int64(y.Weights.Bits), "signed": int64(1), "axis": d.Attrs.Int("axis", 0)}
		if y.Weights.Bits == 8 {
			attrs["narrow"] = int64(1)
		}
		f.fake(d, attrs, f.constant(w), d.In(1), nil)
		if b := n.In(2); b != nil && b.Def != nil && b.Def.Is("DequantizeLinear") {
			if err := f.bias(n, b.Def); err != nil {
				return err
			}
		}
	}
	return nil
}

// bias makes the int32 bias of layer n, dequantized by d, a float one.
func (f *faker) bias(n, d *graph.Node) error {
	x := n.In(0).Def
	if x == nil || !x.Is("DequantizeLinear") {
		return fmt.Errorf("%v: its input is not quantized", n)
	}
	real, err := dequantized(d)
	if err != nil {
		return fmt.Errorf("%v: %w", n, err)
	}
	v := f.g.Constant(d.In(0).Name+"_trained", real)
	scale := f.g.NewNode("Mul", "", d.In(1).Name, graph.Attrs{}, []*graph.Value{x.In(1), n.In(1).Def.In(1)}, d.In(1).Name)
	f.fake(d, graph.Attrs{"bits": int64(biasBits), "signed": int64(1), "axis": int64(0)}, v, scale.Outputs[0], nil)
	return nil
}

// constant returns the float graph's constant v in g, under its own name.
func (f *faker) constant(v *graph.Value) *graph.Value {
	if c := f.shared[v]; c != nil {
		return c
	}
	c := f.g.Constant(v.Name, v.Const)
	c.Name = v.Name // which was given free with the float weights
	f.shared[v] = c
	return c
}

// fake notes the node that takes the place of d.
func (f *faker) fake(d *graph.Node, attrs graph.Attrs, x, scale, zero *graph.Value) {
	in := []*graph.Value{x, scale}
	if zero != nil {
		in = append(in, zero)
	}
	f.fakes[d] = &graph.Node{Name: d.Name, Op: "FakeQuantize", Domain: graph.DomainEdgewise, Inputs: in, Outputs: d.Outputs, Attrs: attrs}
}

// values replaces every pair of QuantizeLinear and DequantizeLinear, and every dequantized
// constant.
func (f *faker) values() error {
	uses := f.g.Uses()
	for _, n := range f.g.Nodes {
		if !n.Is("DequantizeLinear") || f.fakes[n] != nil {
			continue
		}
		q := n.In(0)
		attrs := graph.Attrs{"bits": int64(8), "signed": int64(0), "axis": n.Attrs.Int("axis", 0)}
		if q.Type.DType == tensor.Int8 {
			attrs["signed"] = int64(1)
		}
		switch {
		case q.Const != nil && (q.Type.DType == tensor.Int8 || q.Type.DType == tensor.Uint8):
			real, err := dequantized(n)
			if err != nil {
				return fmt.Errorf("%v: %w", n, err)
			}
			f.fake(n, attrs, f.g.Constant(q.Name+"_trained", real), n.In(1), n.In(2))
		case q.Def != nil && q.Def.Is("QuantizeLinear") && uses[q.ID] == 1 && n.In(2) != nil && n.In(2).Const != nil:
			f.fake(n, attrs, q.Def.In(0), n.In(1), n.In(2))
		default:
			return fmt.Errorf("%v: only graphs with float inputs and outputs can be trained", n)
		}
	}
	nodes := f.g.Nodes
	f.g.Nodes = nil
	for _, n := range nodes {
		m := f.fakes[n]
		switch {
		case m != nil:
			if s := m.In(1).Def; s != nil {
				f.g.Nodes = append(f.g.Nodes, s)
			}
			m.Outputs[0].Def = m
			f.g.Nodes = append(f.g.Nodes, m)
		case n.Is("QuantizeLinear"):
		default:
			f.g.Nodes = append(f.g.Nodes, n)
		}
	}
	f.g.Prune()
	return f.g.Sort()
}

// dequantized returns the real values of a constant.
func dequantized(d *graph.Node) (*tensor.Tensor, error) {
	e := &op.Eval{Node: d, In: make([]op.Value, len(d.Inputs)), Out: make([]op.Value, 1)}
	for i, v := range d.Inputs {
		if v == nil {
			continue
		}
		if v.Const == nil {
			return nil, fmt.Errorf("%v is not constant", v)
		}
		e.In[i] = v.Const
	}
	if err := op.Evaluate(e); err != nil {
		return nil, err
	}
	return e.Out[0].(*tensor.Tensor), nil
}

// Deploy turns what training made of a graph from Fake into the integer graph that is
// deployed, in the QDQ form that Quantize gives. There is no calibration: every scale is
// the one that was trained with, and every integer the one that FakeQuantize rounded to.
func Deploy(fake *graph.Graph) (*graph.Graph, error) {
	g := fake.Clone()
	nodes := g.Nodes
	g.Nodes = nil
	for _, n := range nodes {
		if n.Domain != graph.DomainEdgewise || n.Op != "FakeQuantize" {
			g.Nodes = append(g.Nodes, n)
			continue
		}
		made, err := deployed(g, n)
		if err != nil {
			return nil, fmt.Errorf("deploy %s: %v: %w", fake.Name, n, err)
		}
		g.Nodes = append(g.Nodes, made...)
	}
	g.Prune()
	return g, g.Verify()
}

// deployed returns the nodes that take n's place.
func deployed(g *graph.Graph, n *graph.Node) ([]*graph.Node, error) {
	grid, err := op.FakeGrid(n.Attrs)
	if err != nil {
		return nil, err
	}
	scale, err := constantScale(g, n.In(1))
	if err != nil {
		return nil, err
	}
	zero := n.In(2)
	if zero == nil {
		zero = g.Constant(n.In(0).Name+"_zero_point", tensor.New(grid.DType, scale.Const.Shape()...))
	}
	attrs := graph.Attrs{}
	if scale.Const.Rank() > 0 {
		attrs["axis"] = n.Attrs.Int("axis", 0)
	}
	x := n.In(0)
	var nodes []*graph.Node
	q := &graph.Value{}
	if x.Const != nil {
		ints, err := op.FakeLevels(n.Attrs, x.Const, scale.Const, zero.Const)
		if err != nil {
			return nil, err
		}
		q = g.Constant(x.Name+"_quantized", ints)
	} else {
		a := g.NewNode("QuantizeLinear", "", x.Name+"_quantize", attrs.Clone(), []*graph.Value{x, scale, zero}, x.Name+"_q")
		q = a.Outputs[0]
		q.Type = graph.Type{DType: grid.DType, Shape: x.Type.Shape.Clone()}
		nodes = append(nodes, a)
	}
	d := &graph.Node{Name: n.Name, Op: "DequantizeLinear", Attrs: attrs, Inputs: []*graph.Value{q, scale, zero}, Outputs: n.Outputs}
	d.Outputs[0].Def = d
	return append(nodes, d), nil
}

// constantScale returns the scale v as a constant: as it stands, or the product that a bias
// is scaled by.
func constantScale(g *graph.Graph, v *graph.Value) (*graph.Value, error) {
	t := v.Const
	if t == nil {
		a, b := (*graph.Value)(nil), (*graph.Value)(nil)
		if v.Def != nil && v.Def.Is("Mul") {
			a, b = v.Def.In(0), v.Def.In(1)
		}
		if a == nil || b == nil || a.Const == nil || b.Const == nil || a.Const.Len() != 1 {
			return nil, fmt.Errorf("its scale is neither constant nor the product of two")
		}
		t = tensor.New(tensor.Float32, b.Const.Shape()...)
		for i, s := range b.Const.F32() {
			t.F32()[i] = a.Const.F32()[0] * s
		}
		v = g.Constant(v.Name, t)
	}
	for _, s := range t.F32() {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return nil, fmt.Errorf("training took its scale %s to %v; hint: a lower learning rate, or scales: fixed", v.Name, s)
		}
	}
	return v, nil
}
