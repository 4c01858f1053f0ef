package op

import (
	"context"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Infer is the context of shape inference for one node.
type Infer struct {
	Node  *graph.Node
	facts *Facts
}

// Facts is what inference learns of a graph beyond the types it writes into the values:
// contents of small tensors that are known without running the model, such as the shape
// computations of an exported network.
type Facts struct {
	known map[*graph.Value]*tensor.Tensor
	room  int // elements that may still be remembered
}

// foldLimit bounds the elements of a tensor that inference computes ahead.
const foldLimit = 1 << 14

// foldTotal bounds the elements that inference remembers of a whole graph: every small
// node of a hostile one could ask for the most.
const foldTotal = 1 << 24

// foldMACs bounds the work of computing one: small tensors can still span a large
// product.
const foldMACs = 1 << 24

// Known returns the contents of v if they are a constant or were computed during
// inference, else nil.
func (f *Facts) Known(v *graph.Value) *tensor.Tensor {
	if v == nil {
		return nil
	}
	if v.Const != nil {
		return v.Const
	}
	if f == nil {
		return nil
	}
	return f.known[v]
}

// Type returns the type of input i; the zero Type when absent.
func (c *Infer) Type(i int) graph.Type {
	if v := c.Node.In(i); v != nil {
		return v.Type
	}
	return graph.Type{}
}

// Has reports whether input i is present.
func (c *Infer) Has(i int) bool { return c.Node.In(i) != nil }

// DType returns the element type of input i, Invalid when unknown.
func (c *Infer) DType(i int) tensor.DType { return c.Type(i).DType }

// Shape returns the shape of input i, nil when unknown.
func (c *Infer) Shape(i int) graph.Shape { return c.Type(i).Shape }

// Known returns the contents of input i when they are known, else nil.
func (c *Infer) Known(i int) *tensor.Tensor { return c.facts.Known(c.Node.In(i)) }

// KnownInts returns the contents of input i as integers when they are known.
func (c *Infer) KnownInts(i int) ([]int64, bool) {
	t := c.Known(i)
	if t == nil || !t.DType().IsInt() {
		return nil, false
	}
	return t.Ints(), true
}

// Attrs returns the node's attributes.
func (c *Infer) Attrs() graph.Attrs { return c.Node.Attrs }

// Set states the type of output i. It is merged with what is stated already (by the
// file); a contradiction in rank or size is resolved in favour of inference, since files
// are often wrong there.
func (c *Infer) Set(i int, t graph.Type) {
	v := c.Node.Out(i)
	if v == nil {
		return
	}
	merged, err := graph.Merge(t, v.Type)
	if err != nil {
		merged = t.Clone()
	}
	v.Type = merged
}

// SetTensor states a tensor type.
func (c *Infer) SetTensor(i int, d tensor.DType, s graph.Shape) {
	c.Set(i, graph.Type{DType: d, Shape: s})
}

// SetKnown states the contents of output i.
func (c *Infer) SetKnown(i int, t *tensor.Tensor) {
	if v := c.Node.Out(i); v != nil {
		c.Set(i, graph.TypeOf(t))
		if t.Len() <= foldLimit {
			c.facts.remember(v, t)
		}
	}
}

func (f *Facts) remember(v *graph.Value, t *tensor.Tensor) {
	if f.room >= t.Len() {
		f.room -= t.Len()
		f.known[v] = t
	}
}

// InferBody infers a body whose input types the caller has set.
func (c *Infer) InferBody(b *graph.Graph) error { return c.facts.infer(b) }

// NewFacts returns facts about nothing yet, for a builder that infers as it goes.
func NewFacts() *Facts { return &Facts{known: map[*graph.Value]*tensor.Tensor{}, room: foldTotal} }

// InferNode infers the outputs of one node whose inputs have been inferred.
func (f *Facts) InferNode(n *graph.Node) error {
	if err := f.node(n); err != nil {
		return fmt.Errorf("%v: %w", n, err)
	}
	return nil
}

// InferTypes runs inference over g and its bodies in order, writing types into the
// values, and returns the facts learnt. Operators that are not known leave their outputs
// as the file states them.
func InferTypes(g *graph.Graph) (*Facts, error) {
	f := NewFacts()
	return f, f.infer(g)
}

func (f *Facts) infer(g *graph.Graph) error {
	for _, n := range g.Nodes {
		if err := f.InferNode(n); err != nil {
			return err
		}
	}
	return nil
}

func (f *Facts) node(n *graph.Node) (err error) {
	d := Of(n)
	if d == nil || d.Infer == nil {
		return nil
	}
	c := &Infer{Node: n, facts: f}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("invalid shapes: %v", r)
		}
	}()
	if err := d.Infer(c); err != nil {
		return err
	}
	f.fold(d, n)
	return nil
}

// fold evaluates n when everything about it is known and small. Failure is no error
// here: it will be reported, with values, when the model runs.
func (f *Facts) fold(d *Def, n *graph.Node) {
	if d.Impure || d.Eval == nil || len(n.Bodies()) > 0 || f.known[n.Outputs[0]] != nil {
		return
	}
	in := make([]Value, len(n.Inputs))
	for i, v := range n.Inputs {
		if v == nil {
			continue
		}
		t := f.Known(v)
		if t == nil || t.Len() > foldLimit {
			return
		}
		in[i] = t
	}
	for _, o := range n.Outputs {
		if o == nil {
			continue
		}
		s, ok := o.Type.Static()
		if !ok {
			return
		}
		if k, err := tensor.NumElements(s); err != nil || k > foldLimit {
			return
		}
	}
	if n.Is("DequantizeLinear") && in[0].(*tensor.Tensor).Len() > 64 {
		return // stored weights, not a shape or a bound
	}
	if d.MACs != nil && d.MACs(&Infer{Node: n, facts: f}) > foldMACs {
		return
	}
	e := &Eval{Node: n, In: in, Out: make([]Value, len(n.Outputs)), Ctx: context.Background()}
	if Evaluate(e) != nil {
		return
	}
	for i, o := range n.Outputs {
		if t, ok := e.Out[i].(*tensor.Tensor); ok && o != nil {
			f.remember(o, t)
		}
	}
}
