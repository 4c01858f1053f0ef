package engine

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// reference adds a step that computes n by the operator's own evaluation. Outputs of
// known size go to the arena; the rest are heap values.
func (l *lowerer) reference(n *graph.Node, reason string) {
	r := &referenceStep{node: n, consts: make([]op.Value, len(n.Inputs)), in: make([]*ref, len(n.Inputs)), out: make([]*ref, len(n.Outputs))}
	st := &step{name: n.Label(), op: n.Op, kernel: "reference", fallback: true, reason: reason, exec: r.exec}
	for i, v := range n.Inputs {
		switch {
		case v == nil:
		case v.Const != nil:
			r.consts[i] = v.Const
		default:
			r.in[i] = l.whole(v)
			st.reads = append(st.reads, r.in[i])
		}
	}
	for _, b := range n.Bodies() {
		body := newBody(b)
		for _, v := range body.captures {
			ref := l.whole(v)
			body.refs = append(body.refs, ref)
			st.reads = append(st.reads, ref)
		}
		body.compile(l)
		r.bodies = append(r.bodies, body)
	}
	for i, v := range n.Outputs {
		if v == nil {
			continue
		}
		if _, ok := v.Type.Static(); ok && v.Type.DType != tensor.String {
			r.out[i] = l.makeRaw(v)
		} else {
			r.out[i] = l.heapRef(v)
			l.setForms(v, r.out[i])
			r.keeps = true
		}
		st.writes = append(st.writes, r.out[i])
	}
	r.keeps = r.keeps || len(r.bodies) > 0
	l.add(st)
}

// whole returns v as the reference evaluation sees it.
func (l *lowerer) whole(v *graph.Value) *ref {
	if r := l.first(v); r.buf.place == inHeap {
		return r
	}
	return l.plain(v)
}

// referenceStep computes one node by op.Evaluate.
type referenceStep struct {
	node    *graph.Node
	consts  []op.Value
	in, out []*ref // nil where absent or constant
	bodies  []*body

	// keeps: an output may hold on to an input, so inputs must not be views of
	// memory that is used again.
	keeps bool
}

func (r *referenceStep) exec(s *Session) error {
	e := &op.Eval{Node: r.node, In: slices.Clone(r.consts), Out: make([]op.Value, len(r.out)), Ctx: s.ctx}
	for i, in := range r.in {
		if in == nil {
			continue
		}
		v, err := s.own(in, r.keeps)
		if err != nil {
			return fmt.Errorf("%v: input %s: %w", r.node, in.buf.name, err)
		}
		e.In[i] = v
	}
	if len(r.bodies) > 0 {
		captured := make(map[*graph.Graph][]op.Value, len(r.bodies))
		e.Run = func(g *graph.Graph, inputs []op.Value) ([]op.Value, error) {
			for _, b := range r.bodies {
				if b.graph != g {
					continue
				}
				vals, ok := captured[g]
				if !ok {
					for _, ref := range b.refs {
						v, err := s.own(ref, true)
						if err != nil {
							return nil, err
						}
						vals = append(vals, v)
					}
					captured[g] = vals
				}
				return b.run(s, inputs, vals)
			}
			return nil, fmt.Errorf("%v: body %s is not one of the node's", r.node, g.Name)
		}
	}
	if err := op.Evaluate(e); err != nil {
		return err
	}
	for i, out := range r.out {
		if out == nil {
			continue
		}
		if err := s.store(out, e.Out[i]); err != nil {
			return fmt.Errorf("%v: output %s: %w", r.node, out.buf.name, err)
		}
	}
	return nil
}

// own returns the value of r; with keep, one that stays good.
func (s *Session) own(r *ref, keep bool) (op.Value, error) {
	v, err := s.value(r)
	if t, ok := v.(*tensor.Tensor); ok && keep && err == nil && r.buf.place != inHeap {
		return t.Clone(), nil
	}
	return v, err
}

// store puts a value where r says.
func (s *Session) store(r *ref, v op.Value) error {
	if r.buf.place == inHeap {
		s.heap[r.buf.index] = v
		return nil
	}
	t, ok := v.(*tensor.Tensor)
	if !ok || t.DType() != r.dtype || !slices.Equal(t.Shape(), r.shape) {
		return fmt.Errorf("the evaluation gave %v where %v%v was inferred", v, r.dtype, tensor.FormatShape(r.shape))
	}
	copy(s.bytes(r), t.Bytes())
	return nil
}
