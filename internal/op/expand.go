package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// permutation returns perm checked against rank; absent means reversed axes.
func permutation(perm []int64, rank int) ([]int, error) {
	out := make([]int, rank)
	if perm == nil {
		for i := range out {
			out[i] = rank - 1 - i
		}
		return out, nil
	}
	if len(perm) != rank {
		return nil, fmt.Errorf("perm %v does not fit rank %d", perm, rank)
	}
	if _, err := resolveAxes(perm, rank); err != nil {
		return nil, fmt.Errorf("perm %v: %w", perm, err)
	}
	for i, p := range perm {
		out[i], _ = ResolveAxis(p, rank)
	}
	return out, nil
}

func inferTranspose(c *Infer) error {
	in := c.Shape(0)
	perm := c.Attrs().Ints("perm")
	if in == nil {
		var s graph.Shape
		if perm != nil {
			s = unknownShape(len(perm))
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	p, err := permutation(perm, len(in))
	if err != nil {
		return err
	}
	out := make(graph.Shape, len(in))
	for i, k := range p {
		out[i] = in[k]
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalTranspose(e *Eval) error {
	x := e.T(0)
	p, err := permutation(e.Attrs().Ints("perm"), x.Rank())
	if err != nil {
		return err
	}
	shape, stride := make([]int, len(p)), make([]int, len(p))
	s := tensor.Strides(x.Shape())
	for i, k := range p {
		shape[i], stride[i] = x.Dim(k), s[k]
	}
	copyStrided(e.Result(0, x.DType(), shape...), x, shape, stride, 0)
	return nil
}

func inferExpand(c *Infer) error {
	in := c.Shape(0)
	s, ok, err := c.dims(1)
	if err != nil {
		return err
	}
	if !ok {
		var out graph.Shape
		if n := c.Shape(1); in != nil && len(n) == 1 && n[0].Known() {
			out = unknownShape(max(len(in), n[0].Size))
		}
		c.SetTensor(0, c.DType(0), out)
		return nil
	}
	out, err := BroadcastDims(in, s)
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalExpand(e *Eval) error {
	x := e.T(0)
	shape, err := BroadcastShape(x.Shape(), e.sizes(1))
	if err != nil {
		return err
	}
	out := e.Result(0, x.DType(), shape...)
	copyStrided(out, x, shape, newBroadcastIndex(x.Shape(), shape).stride, 0)
	return nil
}

func inferTile(c *Infer) error {
	in := c.Shape(0)
	r, ok, err := c.dims(1)
	if err != nil {
		return err
	}
	if in == nil {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	out := unknownShape(len(in))
	if ok {
		if len(r) != len(in) {
			return fmt.Errorf("%d repeats for shape %v", len(r), in)
		}
		for i := range out {
			out[i] = productDim(graph.Shape{in[i], r[i]})
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalTile(e *Eval) error {
	x := e.T(0)
	r := e.sizes(1)
	if len(r) != x.Rank() {
		return fmt.Errorf("%d repeats for %v", len(r), x)
	}
	// Every axis becomes a pair: the repetition, which does not move in x, and the axis.
	s := tensor.Strides(x.Shape())
	var shape, stride, out []int
	for i, d := range x.Shape() {
		if d > 0 && r[i] > tensor.MaxElements/d {
			return fmt.Errorf("repeats %v of %v are too many", r, x)
		}
		shape = append(shape, r[i], d)
		stride = append(stride, 0, s[i])
		out = append(out, r[i]*d)
	}
	copyStrided(e.Result(0, x.DType(), out...), x, shape, stride, 0)
	return nil
}
