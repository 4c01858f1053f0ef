package op

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// FoldBudget bounds the bytes of the constants that folding makes of one graph: a small file
// must not unfold into all the memory there is, however many nodes share the work.
type FoldBudget struct{ left int64 }

// budgetBytes is what folding may make of a graph without constants; budgetFactor times
// the bytes of its constants come on top, for weights stored in few bits and for the
// intermediate forms on their way.
const (
	budgetBytes  = 1 << 30
	budgetFactor = 16
)

// NewFoldBudget returns the budget for g.
func NewFoldBudget(g *graph.Graph) *FoldBudget {
	b := &FoldBudget{budgetBytes}
	for _, v := range g.Constants() {
		b.left += budgetFactor * int64(v.Const.SizeBytes())
	}
	return b
}

// Spend takes the bytes of n's outputs, whose sizes must be known, out of the budget. It
// reports false, and takes nothing, where they are not known, one is above limit, or
// too little is left.
func (b *FoldBudget) Spend(n *graph.Node, limit int) bool {
	var sum int64
	for _, o := range n.Outputs {
		if o == nil {
			continue
		}
		s, ok := o.Type.Static()
		if !ok {
			return false
		}
		k, err := tensor.NumElements(s)
		if err != nil {
			return false
		}
		size := o.Type.DType.Bytes(k)
		if size > limit {
			return false
		}
		sum += int64(size)
	}
	if sum > b.left {
		return false
	}
	b.left -= sum
	return true
}
