package op

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// gradReshape is the rule of whatever gives the elements another shape.
func gradReshape(c *Gradient) error {
	if c.Wants(0) {
		c.Set(0, c.like(c.Dy(), c.In(0)))
	}
	return nil
}

func gradTranspose(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	p, err := permutation(c.Attrs().Ints("perm"), len(c.Shape(c.In(0))))
	if err != nil {
		return err
	}
	inverse := make([]int, len(p))
	for i, k := range p {
		inverse[k] = i
	}
	c.Set(0, c.transpose(c.Dy(), inverse...))
	return nil
}

func gradExpand(c *Gradient) error {
	c.SetBroadcast(0, c.Dy)
	return nil
}

// gradTile sums over the repetitions of every axis.
func gradTile(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	var pairs, axes []int
	for i, r := range c.known(1).Ints() {
		axes = append(axes, len(pairs))
		pairs = append(pairs, int(r), c.Shape(c.In(0))[i])
	}
	c.Set(0, c.sum(c.reshape(c.Dy(), pairs), false, axes...))
	return nil
}

func gradConcat(c *Gradient) error {
	axis, at := c.axis(0), 0
	for i, x := range c.node.Inputs {
		n := c.Shape(x)[axis]
		if c.Wants(i) {
			c.Set(i, c.cut(c.Dy(), axis, at, at+n))
		}
		at += n
	}
	return nil
}

// gradSplit joins the parts; one that does not matter is zero.
func gradSplit(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	parts := make([]*graph.Value, len(c.node.Outputs))
	for i, y := range c.node.Outputs {
		if parts[i] = c.dy[i]; parts[i] == nil {
			if y == nil {
				c.Fail("output %d is absent", i)
			}
			parts[i] = c.fill(0, y)
		}
	}
	c.Set(0, c.opWith("Concat", graph.Attrs{"axis": int64(c.axis(0))}, parts...))
	return nil
}

// gradPad cuts off what a constant border added; other borders fold back by gradMove.
func gradPad(c *Gradient) error {
	if c.Attrs().String("mode", "constant") != "constant" {
		return gradMove(c)
	}
	if !c.Wants(0) {
		return nil
	}
	var axes []int64
	if c.In(3) != nil {
		axes = c.known(3).Ints()
	}
	before, after, err := padding(c.known(1).Ints(), axes, len(c.Shape(c.In(0))))
	if err != nil {
		return err
	}
	for i := range before {
		before[i], after[i] = -before[i], -after[i]
	}
	c.Set(0, c.op("Pad", c.Dy(), c.Ints(append(before, after...)...)))
	return nil
}

// gradSlice fills what was cut away with zeros.
func gradSlice(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	if c.In(4) != nil && slices.ContainsFunc(c.known(4).Ints(), func(s int64) bool { return s != 1 }) {
		return gradMove(c)
	}
	in := c.Shape(c.In(0))
	before, after := make([]int, len(in)), make([]int, len(in))
	starts, axes := c.known(1).Ints(), []int64(nil)
	if c.In(3) != nil {
		axes = c.known(3).Ints()
	}
	for i, s := range starts {
		axis := i
		if axes != nil {
			axis, _ = ResolveAxis(axes[i], len(in))
		}
		if s < 0 {
			s += int64(in[axis])
		}
		before[axis] = int(max(0, min(s, int64(in[axis]))))
	}
	for i, n := range c.Shape(c.Out(0)) {
		after[i] = in[i] - before[i] - n
	}
	c.Set(0, c.op("Pad", c.Dy(), c.Ints(append(before, after...)...)))
	return nil
}

// gradMove is the rule of any operator whose output elements are elements of input 0 or
// constants, placed by inputs that are known: it runs the operator on the numbers of the
// elements, and so learns where each came from.
func gradMove(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	shape := c.Shape(c.In(0))
	number := make([]int64, volume(shape))
	for i := range number {
		number[i] = int64(i) + 1 // zero is left for constants
	}
	e := &Eval{Node: c.node, In: make([]Value, len(c.node.Inputs)), Out: make([]Value, len(c.node.Outputs))}
	e.In[0] = tensor.Of(number, shape...)
	for i := 1; i < len(e.In); i++ {
		if v := c.In(i); v != nil && !v.Type.DType.IsFloat() {
			e.In[i] = c.known(i)
		}
	}
	if err := Evaluate(e); err != nil {
		return err
	}
	var from, to []int64
	for place, source := range e.Out[0].(*tensor.Tensor).Ints() {
		if source > 0 {
			from, to = append(from, int64(place)), append(to, source-1)
		}
	}
	dy := c.reshape(c.Dy(), []int{volume(c.Shape(c.Dy()))})
	if len(from) != volume(c.Shape(c.Dy())) {
		dy = c.op("Gather", dy, c.Graph.Ints("", from...))
	}
	zero := c.expand(c.Number(0, dy), []int{volume(shape)})
	sum := c.opWith("ScatterElements", graph.Attrs{"reduction": "add"}, zero, c.Graph.Ints("", to...), dy)
	c.Set(0, c.reshape(sum, shape))
	return nil
}

// gradGather adds the gradient of every picked slice to the slice it was picked from.
func gradGather(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	data, indices := c.Shape(c.In(0)), c.Shape(c.In(1))
	axis := c.axis(0)
	outer, inner, picks := data[:axis], data[axis+1:], volume(indices)
	// dy is [outer, picks, inner]; the scattering wants the picked axis first.
	flat := c.reshape(c.Dy(), []int{volume(outer), picks, volume(inner)})
	first := c.transpose(flat, 1, 0, 2)
	zero := c.expand(c.Number(0, c.Dy()), []int{data[axis], volume(outer), volume(inner)})
	at := c.reshape(c.In(1), []int{picks, 1})
	sum := c.opWith("ScatterND", graph.Attrs{"reduction": "add"}, zero, at, first)
	c.Set(0, c.reshape(c.transpose(sum, 1, 0, 2), data))
	return nil
}

func gradGatherElements(c *Gradient) error {
	if c.Wants(0) {
		a := graph.Attrs{"axis": int64(c.axis(0)), "reduction": "add"}
		c.Set(0, c.opWith("ScatterElements", a, c.fill(0, c.In(0)), c.In(1), c.Dy()))
	}
	return nil
}

func gradGatherND(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	if c.Attrs().Int("batch_dims", 0) != 0 {
		return gradMove(c)
	}
	c.Set(0, c.opWith("ScatterND", graph.Attrs{"reduction": "add"}, c.fill(0, c.In(0)), c.In(1), c.Dy()))
	return nil
}

// gradScatter: what was written over has no gradient, what was written has its own. With
// reduction add, both have.
func gradScatter(gather string) func(*Gradient) error {
	return func(c *Gradient) error {
		reduction := c.Attrs().String("reduction", "none")
		if reduction != "none" && reduction != "add" {
			c.Fail("reduction %s has no gradient", reduction)
		}
		var a graph.Attrs
		if gather == "GatherElements" {
			a = graph.Attrs{"axis": int64(c.axis(0))}
		}
		if c.Wants(0) {
			dx := c.Dy()
			if reduction == "none" {
				dx = c.opWith(c.node.Op, a, dx, c.In(1), c.fill(0, c.In(2)))
			}
			c.Set(0, dx)
		}
		if c.Wants(2) {
			c.Set(2, c.opWith(gather, a, c.Dy(), c.In(1)))
		}
		return nil
	}
}

// gradTopK: the values stand where Indices say; the indices do not move.
func gradTopK(c *Gradient) error {
	if !c.Wants(0) || c.dy[0] == nil {
		return nil
	}
	if c.Out(1) == nil {
		c.Fail("the node does not give its indices")
	}
	a := graph.Attrs{"axis": int64(c.axis(-1)), "reduction": "add"}
	c.Set(0, c.opWith("ScatterElements", a, c.fill(0, c.In(0)), c.Out(1), c.Dy()))
	return nil
}

func gradTrilu(c *Gradient) error {
	if c.Wants(0) {
		in := []*graph.Value{c.Dy()}
		if c.In(1) != nil {
			in = append(in, c.In(1))
		}
		c.Set(0, c.opWith("Trilu", c.Attrs(), in...))
	}
	return nil
}
