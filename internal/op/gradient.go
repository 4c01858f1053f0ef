package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Gradient is the context in which an operator's rule of differentiation writes nodes.
// Given the gradients of a loss by the outputs of one node, the rule sets those by its
// inputs. Rules work on graphs whose shapes are known, and use the operators of the
// canonical opset, or of domain graph.DomainEdgewise where those cannot say it well.
type Gradient struct {
	*Builder
	node *graph.Node

	dy    []*graph.Value
	wants []bool
	dx    []*graph.Value
}

// Differentiable reports whether n's operator has a rule of differentiation.
func Differentiable(n *graph.Node) bool { return gradientRule(Key{n.Domain, n.Op}) != nil }

// Decomposes reports whether n is differentiated in parts, see Decompose.
func Decomposes(n *graph.Node) bool {
	return !Differentiable(n) && decompositions()[Key{n.Domain, n.Op}] != nil
}

// Differentiate appends to g the nodes that compute the gradients by the inputs of n,
// given those by its outputs (nil where an output does not matter), and returns one
// value for each input, nil where wants is false or the gradient is zero everywhere.
// New types go into the facts of g.
func Differentiate(g *graph.Graph, facts *Facts, n *graph.Node, dy []*graph.Value, wants []bool) (dx []*graph.Value, err error) {
	rule := gradientRule(Key{n.Domain, n.Op})
	if rule == nil {
		return nil, fmt.Errorf("%v: operator %v has no gradient", n, Key{n.Domain, n.Op})
	}
	err = Build(g, facts, n.Label(), func(b *Builder) error {
		c := &Gradient{Builder: b, node: n, dy: dy, wants: wants, dx: make([]*graph.Value, len(n.Inputs))}
		dx = c.dx
		return rule(c)
	})
	if err != nil {
		return nil, fmt.Errorf("%v: gradient: %w", n, err)
	}
	return dx, nil
}

// Decompose appends nodes of simpler operators that compute what n computes to g and
// returns the values that stand for its outputs.
func Decompose(g *graph.Graph, facts *Facts, n *graph.Node) (out []*graph.Value, err error) {
	err = Build(g, facts, n.Label(), func(b *Builder) error {
		out = decompositions()[Key{n.Domain, n.Op}](&Gradient{Builder: b, node: n})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", n, err)
	}
	return out, nil
}

// Dy returns the gradient by output 0. A rule runs only when some output has one; where
// output 0 is not it, Dy is zero.
func (c *Gradient) Dy() *graph.Value {
	if c.dy[0] == nil {
		return c.fill(0, c.Out(0))
	}
	return c.dy[0]
}

// In returns input i, nil where absent.
func (c *Gradient) In(i int) *graph.Value { return c.node.In(i) }

// Out returns output i, nil where the node does not have it.
func (c *Gradient) Out(i int) *graph.Value { return c.node.Out(i) }

// Attrs returns the node's attributes.
func (c *Gradient) Attrs() graph.Attrs { return c.node.Attrs }

// Wants reports whether the gradient by input i is asked for.
func (c *Gradient) Wants(i int) bool { return i < len(c.wants) && c.wants[i] && c.node.In(i) != nil }

// Set states the gradient by input i, whose shape must be that input's.
func (c *Gradient) Set(i int, v *graph.Value) {
	if !c.Wants(i) {
		return
	}
	if got, want := c.Shape(v), c.Shape(c.In(i)); !slices.Equal(got, want) {
		c.Fail("the rule gives shape %v for input %d of shape %v", got, i, want)
	}
	c.dx[i] = v
}

// SetBroadcast states the gradient by an input that was broadcast: v is summed over the
// dimensions that were repeated. v is made only when it is wanted.
func (c *Gradient) SetBroadcast(i int, v func() *graph.Value) {
	if c.Wants(i) {
		c.Set(i, c.sumTo(v(), c.Shape(c.In(i))))
	}
}

// known returns the contents of an input that has to be constant.
func (c *Gradient) known(i int) *tensor.Tensor {
	t := c.Facts.Known(c.In(i))
	if t == nil {
		c.Fail("input %s is not constant", Of(c.node).InputName(i))
	}
	return t
}

// op appends a node of the default domain with one output.
func (c *Gradient) op(name string, in ...*graph.Value) *graph.Value { return c.Op(name, nil, in...) }

// opWith is op with attributes.
func (c *Gradient) opWith(name string, attrs graph.Attrs, in ...*graph.Value) *graph.Value {
	return c.Op(name, attrs, in...)
}

// own appends a node of domain graph.DomainEdgewise.
func (c *Gradient) own(name string, attrs graph.Attrs, outputs int, in ...*graph.Value) []*graph.Value {
	return c.Node(graph.DomainEdgewise, name, attrs, outputs, in...)
}

func (c *Gradient) add(a, b *graph.Value) *graph.Value { return c.op("Add", a, b) }
func (c *Gradient) sub(a, b *graph.Value) *graph.Value { return c.op("Sub", a, b) }
func (c *Gradient) mul(a, b *graph.Value) *graph.Value { return c.op("Mul", a, b) }
func (c *Gradient) div(a, b *graph.Value) *graph.Value { return c.op("Div", a, b) }
func (c *Gradient) neg(a *graph.Value) *graph.Value    { return c.op("Neg", a) }

// scale is a·v.
func (c *Gradient) scale(v *graph.Value, a float64) *graph.Value {
	return c.mul(v, c.Number(a, v))
}

// shift is v + a.
func (c *Gradient) shift(v *graph.Value, a float64) *graph.Value {
	return c.add(v, c.Number(a, v))
}

// square is v².
func (c *Gradient) square(v *graph.Value) *graph.Value { return c.mul(v, v) }

// where picks from a where the condition holds, else from b.
func (c *Gradient) where(condition, a, b *graph.Value) *graph.Value {
	return c.op("Where", condition, a, b)
}

// keep is v where the condition holds, else zero.
func (c *Gradient) keep(condition, v *graph.Value) *graph.Value {
	return c.where(condition, v, c.Number(0, v))
}

func (c *Gradient) above(v *graph.Value, a float64) *graph.Value {
	return c.op("Greater", v, c.Number(a, v))
}

func (c *Gradient) below(v *graph.Value, a float64) *graph.Value {
	return c.op("Less", v, c.Number(a, v))
}

// fill is a tensor of v in the type and shape of like.
func (c *Gradient) fill(v float64, like *graph.Value) *graph.Value {
	return c.expand(c.Number(v, like), c.Shape(like))
}

func (c *Gradient) reshape(v *graph.Value, shape []int) *graph.Value {
	if slices.Equal(c.Shape(v), shape) {
		return v
	}
	return c.opWith("Reshape", graph.Attrs{"allowzero": int64(1)}, v, c.Ints(shape...))
}

// like gives v the shape of another value with as many elements.
func (c *Gradient) like(v, shape *graph.Value) *graph.Value { return c.reshape(v, c.Shape(shape)) }

func (c *Gradient) expand(v *graph.Value, shape []int) *graph.Value {
	if slices.Equal(c.Shape(v), shape) {
		return v
	}
	return c.op("Expand", v, c.Ints(shape...))
}

func (c *Gradient) transpose(v *graph.Value, perm ...int) *graph.Value {
	p := make([]int64, len(perm))
	for i, x := range perm {
		p[i] = int64(x)
	}
	return c.opWith("Transpose", graph.Attrs{"perm": p}, v)
}

// sum adds over axes, which stay with size 1 if keep.
func (c *Gradient) sum(v *graph.Value, keep bool, axes ...int) *graph.Value {
	if len(axes) == 0 {
		return v
	}
	k := int64(0)
	if keep {
		k = 1
	}
	return c.opWith("ReduceSum", graph.Attrs{"keepdims": k}, v, c.Ints(axes...))
}

// mean is the mean over axes, which stay with size 1.
func (c *Gradient) mean(v *graph.Value, axes ...int) *graph.Value {
	return c.opWith("ReduceMean", graph.Attrs{"keepdims": int64(1)}, v, c.Ints(axes...))
}

// sumTo undoes a broadcast: v is summed over the dimensions in which shape has size 1
// or none.
func (c *Gradient) sumTo(v *graph.Value, shape []int) *graph.Value {
	have := c.Shape(v)
	if slices.Equal(have, shape) {
		return v
	}
	extra := len(have) - len(shape)
	var axes []int
	for i, d := range have {
		if i < extra || shape[i-extra] == 1 && d != 1 {
			axes = append(axes, i)
		}
	}
	return c.reshape(c.sum(v, true, axes...), shape)
}

// noGradient is the rule of an operator whose output does not move with its inputs, or
// only in steps.
func noGradient(*Gradient) error { return nil }

// derivative is the rule of a function of one number: d returns its slope, given the
// input and the output.
func derivative(d func(c *Gradient, x, y *graph.Value) *graph.Value) func(*Gradient) error {
	return func(c *Gradient) error {
		if c.Wants(0) {
			c.Set(0, c.mul(c.Dy(), d(c, c.In(0), c.Out(0))))
		}
		return nil
	}
}
