package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// unpooled returns the size that MaxPool with the same attributes reduces to x.
func unpooled(a graph.Attrs, x []int) ([]int, error) {
	if len(x) < 3 {
		return nil, fmt.Errorf("input %v has no spatial dimensions", x)
	}
	w, err := poolWindow(a, len(x)-2)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(x)
	for i, d := range x[2:] {
		out[2+i] = (d-1)*w.stride[i] + w.kernel[i] - w.lo[i] - w.hi[i]
	}
	return out, nil
}

func inferMaxUnpool(c *Infer) error {
	s := c.Shape(0)
	if want, ok := c.KnownInts(2); ok {
		out := graph.Shape{}
		for _, d := range want {
			out = append(out, graph.Dim{Size: int(max(d, 0))})
		}
		c.SetTensor(0, c.DType(0), out)
		return nil
	}
	if x, ok := s.Static(); ok && !c.Has(2) {
		out, err := unpooled(c.Attrs(), x)
		if err != nil {
			return err
		}
		c.SetTensor(0, c.DType(0), graph.Dims(out...))
		return nil
	}
	for i := range s {
		s = s.Clone()
		s[i] = graph.Unknown
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

// evalMaxUnpool puts every value back where its index says. Indices count over the size
// that the attributes give, also where output_shape asks for a larger one.
func evalMaxUnpool(e *Eval) error {
	x, index := e.number(0), e.Ints(1)
	if len(index) != x.Len() {
		e.Fail("indices %v do not fit X %v", e.T(1), x)
	}
	from, err := unpooled(e.Attrs(), x.Shape())
	if err != nil {
		return err
	}
	shape := from
	if e.Has(2) {
		shape = nil
		for _, d := range e.Ints(2) {
			shape = append(shape, int(d))
		}
		if len(shape) != len(from) {
			e.Fail("output_shape %v does not fit X %v", shape, x)
		}
	}
	out := e.Result(0, x.DType(), shape...)
	strides := tensor.Strides(shape)
	total, err := tensor.NumElements(from)
	if err != nil {
		return err
	}
	for i, flat := range index {
		if flat < 0 || flat >= int64(total) {
			e.Fail("index %d is outside %v", flat, from)
		}
		rest, to := int(flat), 0
		for d := len(from) - 1; d >= 0; d-- {
			at := rest % from[d]
			rest /= from[d]
			if at >= shape[d] {
				e.Fail("index %d is outside output_shape %v", flat, shape)
			}
			to += at * strides[d]
		}
		copyElement(out, to, x, i)
	}
	return nil
}
