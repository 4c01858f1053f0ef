package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// inferCarried infers a body whose values in and out are carried from one iteration to
// the next, starting with the types init, and returns types that hold for every
// iteration. Sizes that change are forgotten and the body is inferred anew.
func (c *Infer) inferCarried(body *graph.Graph, in, out []*graph.Value, init []graph.Type) ([]graph.Type, error) {
	stated := map[*graph.Value]graph.Type{}
	body.Walk(func(_ *graph.Graph, n *graph.Node) {
		for _, v := range n.Outputs {
			if v != nil {
				stated[v] = v.Type.Clone()
			}
		}
		for _, b := range n.Bodies() {
			for _, v := range b.Inputs {
				stated[v] = v.Type.Clone()
			}
		}
	})
	carried := make([]graph.Type, len(init))
	for i, t := range init {
		carried[i] = t.Clone()
		// What the node is given counts; the file's word for the body fills gaps.
		if v := in[i].Type; t.Kind == graph.KindTensor && t.DType == tensor.Invalid && t.Shape == nil {
			carried[i] = v.Clone()
		}
	}
	for round := 0; ; round++ {
		for i, v := range in {
			v.Type = carried[i].Clone()
		}
		if err := c.InferBody(body); err != nil {
			return nil, err
		}
		stable := true
		for i, v := range out {
			next := widen(carried[i], v.Type)
			if !next.Equal(carried[i]) {
				stable = false
				if carried[i] = next; round >= 4 {
					carried[i] = graph.Type{Kind: next.Kind, DType: next.DType}
				}
			}
		}
		if stable {
			return carried, nil
		}
		for v, t := range stated {
			v.Type = t.Clone()
			delete(c.facts.known, v)
		}
	}
}

func inferLoop(c *Infer) error {
	body := c.Attrs().Graph("body")
	n := max(len(c.Node.Inputs)-2, 0)
	if err := checkBody(body, 2+n, 1+len(c.Node.Outputs)); err != nil {
		return err
	}
	if len(c.Node.Outputs) < n {
		return fmt.Errorf("%d carried values for %d outputs", n, len(c.Node.Outputs))
	}
	body.Inputs[0].Type = graph.TensorType(tensor.Int64)
	body.Inputs[1].Type = graph.TensorType(tensor.Bool)
	init := make([]graph.Type, n)
	for i := range init {
		init[i] = c.Type(2 + i)
	}
	carried, err := c.inferCarried(body, body.Inputs[2:], body.Outputs[1:1+n], init)
	if err != nil {
		return err
	}
	trips := graph.Unknown
	if m, ok := c.KnownInts(0); ok && len(m) == 1 && !c.Has(1) && m[0] >= 0 && m[0] <= tensor.MaxElements {
		trips.Size = int(m[0])
	}
	for i := range c.Node.Outputs {
		t := body.Outputs[1+i].Type.Clone()
		if i < n {
			// An optional may go in and what it holds come out.
			if carried[i].Kind != graph.KindOptional || t.Kind == graph.KindTensor {
				t = carried[i]
			}
			c.Set(i, t)
			continue
		}
		if t.Kind == graph.KindTensor && t.Shape != nil {
			t.Shape = slices.Insert(t.Shape, 0, trips)
		}
		c.Set(i, t)
	}
	return nil
}

func evalLoop(e *Eval) error {
	body := e.Attrs().Graph("body")
	n := max(len(e.In)-2, 0)
	if err := checkBody(body, 2+n, 1+len(e.Out)); err != nil {
		return err
	}
	limit := int64(-1)
	if e.Has(0) {
		limit = max(e.Int(0), 0)
	}
	more := true
	if e.Has(1) {
		var err error
		if more, err = condition(e.In[1], "cond"); err != nil {
			return err
		}
	}
	state := make([]Value, 0, n)
	for i := range n {
		state = append(state, e.In[2+i])
	}
	scans := newScanOutputs(len(e.Out) - n)
	for i := int64(0); more && (limit < 0 || i < limit); i++ {
		if err := e.Ctx.Err(); err != nil {
			return err
		}
		out, err := e.Run(body, append([]Value{tensor.Scalar(i), tensor.Scalar(more)}, state...))
		if err != nil {
			return fmt.Errorf("iteration %d: %w", i, err)
		}
		again, err := condition(out[0], "the body's condition")
		if err != nil {
			return err
		}
		more = again || !e.Has(1)
		state = append(state[:0:0], out[1:1+n]...)
		if err := scans.add(out[1+n:]); err != nil {
			return err
		}
	}
	copy(e.Out, state)
	for k := range scans.parts {
		e.Set(n+k, scans.join(e, k, 0, false, body.Outputs[1+n+k].Type))
	}
	return nil
}

// scanOutputs collects what a body gives in every iteration.
type scanOutputs struct {
	parts [][]*tensor.Tensor
	bytes int
}

func newScanOutputs(n int) *scanOutputs {
	return &scanOutputs{parts: make([][]*tensor.Tensor, max(n, 0))}
}

func (s *scanOutputs) add(vs []Value) error {
	for k, v := range vs {
		t, ok := v.(*tensor.Tensor)
		if !ok {
			return fmt.Errorf("scan output %d is a %T, not a tensor", k, v)
		}
		if s.bytes += t.SizeBytes() + 1; s.bytes > MaxEvalBytes {
			return fmt.Errorf("scan outputs are over the limit of %d bytes", int64(MaxEvalBytes))
		}
		s.parts[k] = append(s.parts[k], t)
	}
	return nil
}

// join stacks the parts of output k along axis. Without any iteration the shape follows
// from the body's type, unknown sizes being 0.
func (s *scanOutputs) join(e *Eval, k int, axis int64, reverse bool, t graph.Type) *tensor.Tensor {
	parts := s.parts[k]
	if len(parts) == 0 {
		a := e.Axis(axis, len(t.Shape)+1)
		shape := make([]int, 0, len(t.Shape)+1)
		for _, d := range t.Shape {
			shape = append(shape, max(d.Size, 0))
		}
		return e.Make(t.DType, slices.Insert(shape, a, 0))
	}
	if reverse {
		parts = slices.Clone(parts)
		slices.Reverse(parts)
	}
	return e.stack(parts, axis)
}
