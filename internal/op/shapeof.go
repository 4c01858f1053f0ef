package op

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// shapeRange returns the half-open range of axes that Shape's attributes select; both
// are clamped, as the standard says.
func shapeRange(a graph.Attrs, rank int) (lo, hi int) {
	clamp := func(v int64) int {
		if v < 0 {
			v += int64(rank)
		}
		return int(min(max(v, 0), int64(rank)))
	}
	lo, hi = clamp(a.Int("start", 0)), clamp(a.Int("end", int64(rank)))
	return lo, max(lo, hi)
}

func inferShapeOf(c *Infer) error {
	in := c.Shape(0)
	if in == nil {
		c.SetTensor(0, tensor.Int64, unknownShape(1))
		return nil
	}
	lo, hi := shapeRange(c.Attrs(), len(in))
	if sizes, ok := in[lo:hi].Static(); ok {
		v := make([]int64, len(sizes))
		for i, d := range sizes {
			v[i] = int64(d)
		}
		c.SetKnown(0, tensor.Of(v, len(v)))
		return nil
	}
	c.SetTensor(0, tensor.Int64, graph.Dims(hi-lo))
	return nil
}

func evalShapeOf(e *Eval) error {
	x := e.T(0).Shape()
	lo, hi := shapeRange(e.Attrs(), len(x))
	out := e.Result(0, tensor.Int64, hi-lo).I64()
	for i, d := range x[lo:hi] {
		out[i] = int64(d)
	}
	return nil
}

func inferSize(c *Infer) error {
	if n := productDim(c.Shape(0)); c.Shape(0) != nil && n.Known() {
		c.SetKnown(0, tensor.Scalar(int64(n.Size)))
		return nil
	}
	c.SetTensor(0, tensor.Int64, graph.Dims())
	return nil
}

func evalSize(e *Eval) error {
	e.Result(0, tensor.Int64).I64()[0] = int64(e.T(0).Len())
	return nil
}

func evalIdentity(e *Eval) error {
	v := e.In[0]
	if v == nil {
		v = Optional{}
	}
	e.Set(0, v)
	return nil
}
