package quant

import (
	"context"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A function of one value often has tails that its result hardly shows: x·sigmoid(x) is
// nearly 0 below -8, HardSwish is 0 below -3. Where such functions are all that reads a
// value, steps spent on the tails are lost, and networks do reach far into them. The
// range is cut to what still makes a difference of a quarter of a step of the result.

// narrow cuts the ranges of values that only functions of one value read.
func (q *quantizer) narrow() {
	members := map[*stored]int{}
	for _, t := range q.tag {
		members[t.root()]++
	}
	for _, s := range q.layout.islands {
		if !s.on || s.role == same || s.out == nil {
			continue
		}
		t := q.tag[s.out].root()
		users := q.layout.users[s.out.ID]
		if members[t] != 1 || len(users) == 0 || slices.Contains(q.g.Outputs, s.out) {
			continue
		}
		var cut *Range
		for _, u := range users {
			f := q.layout.of[u]
			r, ok := q.relevant(f, s.out, t.range_)
			if !ok {
				cut = nil
				break
			}
			if cut == nil {
				cut = &r
			}
			cut.Lo, cut.Hi = min(cut.Lo, r.Lo), max(cut.Hi, r.Hi)
		}
		if cut != nil && cut.Lo < cut.Hi {
			t.range_ = *cut
		}
	}
}

// gridPoints is the resolution at which a function's tails are looked at.
const gridPoints = 2048

// relevant returns the part of r outside which f's result differs from that at the
// nearer end by at most a quarter of a step. ok is false when f is no function of v alone.
func (q *quantizer) relevant(f *island, v *graph.Value, r Range) (Range, bool) {
	if !f.on || f.role != elementwise || len(f.inputs) != 1 || f.inputs[0] != v || len(f.consts) > 0 {
		return r, false
	}
	lo, hi := min(r.Lo, 0), max(r.Hi, 0)
	x := tensor.New(tensor.Float32, gridPoints)
	for i := range x.F32() {
		x.F32()[i] = float32(lo + float64((hi-lo)*float64(i)/(gridPoints-1)))
	}
	y := f.evaluate(v, x)
	first := f.evaluate(v, tensor.Of(x.F32()[:gridPoints/2:gridPoints/2], gridPoints/2))
	if y == nil || first == nil || !slices.Equal(y.F32()[:gridPoints/2], first.F32()) {
		return r, false
	}
	out := q.tag[f.out].root().range_
	least := (max(out.Hi, 0) - min(out.Lo, 0)) / (levels - 1) / 4
	tail := func(at func(i int) float64) int {
		bottom, top, end := at(0), at(0), 0
		for i := 1; i < gridPoints; i++ {
			bottom, top = min(bottom, at(i)), max(top, at(i))
			if at(i)-bottom > least || top-at(i) > least {
				break
			}
			end = i
		}
		return end
	}
	low := tail(func(i int) float64 { return float64(y.F32()[i]) })
	high := gridPoints - 1 - tail(func(i int) float64 { return float64(y.F32()[gridPoints-1-i]) })
	if low >= high {
		return r, true // the function is flat everywhere
	}
	return Range{min(float64(x.F32()[low]), 0), max(float64(x.F32()[high]), 0)}, true
}

// evaluate returns the island's result for x in the place of v, nil when it has none of
// the same size.
func (s *island) evaluate(v *graph.Value, x *tensor.Tensor) *tensor.Tensor {
	vals := map[*graph.Value]op.Value{v: x}
	for _, n := range s.nodes {
		e := &op.Eval{Node: n, In: make([]op.Value, len(n.Inputs)), Out: make([]op.Value, len(n.Outputs)), Ctx: context.Background()}
		for i, in := range n.Inputs {
			switch {
			case in == nil:
			case in.Const != nil:
				e.In[i] = in.Const
			case vals[in] != nil:
				e.In[i] = vals[in]
			default:
				return nil
			}
		}
		if op.Evaluate(e) != nil {
			return nil
		}
		for i, o := range n.Outputs {
			if o != nil {
				vals[o] = e.Out[i]
			}
		}
	}
	y, ok := vals[s.out].(*tensor.Tensor)
	if !ok || y.DType() != tensor.Float32 || y.Len() != x.Len() {
		return nil
	}
	return y
}
