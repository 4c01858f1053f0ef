package engine

import (
	"context"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// bind returns a copy of g with its input sizes fixed, optimized, every type inferred
// anew, and all that does not depend on inputs computed.
func bind(g *graph.Graph, shapes map[string][]int, recompute bool) (*graph.Graph, []Note, error) {
	c := g.Clone()
	if err := bindShapes(c, shapes); err != nil {
		return nil, nil, err
	}
	notes, err := optimize(c, recompute)
	if err != nil {
		return nil, nil, err
	}
	facts, err := inferAnew(c)
	if err != nil {
		return nil, nil, err
	}
	if foldConstants(c, facts) {
		// What is a constant now may tell more, and a sealed plan learns no less.
		if _, err := inferAnew(c); err != nil {
			return nil, nil, err
		}
	}
	return c, notes, c.Verify()
}

// inferAnew forgets the types of inner values and infers them. What a file states of them
// is often wrong; only what follows from the inputs may decide the size of a buffer.
func inferAnew(c *graph.Graph) (*op.Facts, error) {
	c.Walk(func(_ *graph.Graph, n *graph.Node) {
		for _, o := range n.Outputs {
			if o != nil {
				o.Type = graph.Type{}
			}
		}
	})
	facts, err := op.InferTypes(c)
	if err != nil {
		return nil, fmt.Errorf("infer types: %w", err)
	}
	return facts, nil
}

// optimize runs the graph passes. It is the only place that calls them.
func optimize(c *graph.Graph, recompute bool) ([]Note, error) {
	var o rewrite.Options
	if recompute {
		o.Disable = []string{"merge-duplicates"}
	}
	if _, err := rewrite.Simplify(c, o); err != nil {
		return nil, err
	}
	_, notes, err := rewrite.Legalize(c, rewrite.Options{})
	return notes, err
}

// Note is a remark on a node that could not be made as fast as its surroundings.
type Note = rewrite.Note

// bindShapes gives inputs the sizes asked for. A name binds every unknown size of the
// same symbol, so that one input can fix the others.
func bindShapes(c *graph.Graph, shapes map[string][]int) error {
	symbols := map[string]int{}
	for name, want := range shapes {
		var v *graph.Value
		for _, in := range c.Inputs {
			if in.Name == name {
				v = in
			}
		}
		if v == nil {
			return fmt.Errorf("there is no input %q to give a shape", name)
		}
		if v.Type.Kind != graph.KindTensor {
			return fmt.Errorf("input %v cannot be given a shape", v)
		}
		merged, err := graph.Merge(v.Type, graph.Type{DType: v.Type.DType, Shape: graph.Dims(want...)})
		if err != nil {
			return fmt.Errorf("input %s: %w", v, err)
		}
		for i, d := range v.Type.Shape {
			if !d.Known() && d.Sym != "" {
				if n, ok := symbols[d.Sym]; ok && n != want[i] {
					return fmt.Errorf("input %s: size %s is %d here and %d elsewhere", v, d.Sym, want[i], n)
				}
				symbols[d.Sym] = want[i]
			}
		}
		v.Type = merged
	}
	for _, v := range c.Inputs {
		for i, d := range v.Type.Shape {
			if n, ok := symbols[d.Sym]; ok && !d.Known() && d.Sym != "" {
				v.Type.Shape[i] = graph.Dim{Size: n}
			}
		}
	}
	return nil
}

// maxFold bounds a tensor computed at compile time. Weights stored in fewer bits grow
// beyond their file size here; nothing else should be large.
const maxFold = 512 << 20

// foldConstants turns into constants what inference knows already and what can be
// computed from constants alone, dequantized weights among it. It reports whether that
// was anything.
func foldConstants(c *graph.Graph, facts *op.Facts) bool {
	swap := map[*graph.Value]*graph.Value{}
	budget := op.NewFoldBudget(c)
	set := func(v *graph.Value, t *tensor.Tensor) {
		k := c.Constant(v.Name+"_folded", t)
		swap[v] = k
	}
	for _, n := range c.Nodes {
		for i, v := range n.Inputs {
			if k := swap[v]; k != nil {
				n.Inputs[i] = k
			}
		}
		for _, b := range n.Bodies() {
			swapInBody(b, swap)
		}
		done := true
		for _, o := range n.Outputs {
			if o == nil {
				continue
			}
			if t := facts.Known(o); t != nil {
				set(o, t)
			} else {
				done = false
			}
		}
		if !done && foldable(n) && budget.Spend(n, maxFold) {
			e := &op.Eval{Node: n, In: make([]op.Value, len(n.Inputs)), Out: make([]op.Value, len(n.Outputs)), Ctx: context.Background()}
			for i, v := range n.Inputs {
				if v != nil {
					e.In[i] = v.Const
				}
			}
			if op.Evaluate(e) != nil {
				continue // reported, with values, when the model runs
			}
			for i, o := range n.Outputs {
				if t, ok := e.Out[i].(*tensor.Tensor); ok && o != nil && swap[o] == nil {
					set(o, t)
				}
			}
		}
	}
	for i, v := range c.Outputs {
		if k := swap[v]; k != nil {
			c.Outputs[i] = k
		}
	}
	c.Prune()
	return len(swap) > 0
}

func foldable(n *graph.Node) bool {
	d := op.Of(n)
	if d == nil || d.Impure || d.Eval == nil || len(n.Bodies()) > 0 {
		return false
	}
	for _, v := range n.Inputs {
		if v != nil && v.Const == nil {
			return false
		}
	}
	return true
}

func swapInBody(b *graph.Graph, swap map[*graph.Value]*graph.Value) {
	for i, v := range b.Outputs {
		if k := swap[v]; k != nil {
			b.Outputs[i] = k
		}
	}
	b.Walk(func(_ *graph.Graph, n *graph.Node) {
		for i, v := range n.Inputs {
			if k := swap[v]; k != nil {
				n.Inputs[i] = k
			}
		}
		for _, inner := range n.Bodies() {
			for i, v := range inner.Outputs {
				if k := swap[v]; k != nil {
					inner.Outputs[i] = k
				}
			}
		}
	})
}
