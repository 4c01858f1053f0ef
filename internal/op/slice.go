package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// sliceRange resolves start, end and step over an axis of the given size into the first
// index and the count, clamping as the standard says.
func sliceRange(start, end, step int64, size int) (first, count int, err error) {
	n := int64(size)
	if step == 0 {
		return 0, 0, fmt.Errorf("a step is 0")
	}
	if start < 0 {
		start += n
	}
	if end < 0 {
		end = max(end, -n-1) + n // stays below 0 when it was below -n
	}
	if step > 0 {
		start, end = min(max(start, 0), n), min(max(end, 0), n)
		if end <= start {
			return 0, 0, nil
		}
		return int(start), int((end-start-1)/step + 1), nil
	}
	start, end = min(max(start, 0), n-1), min(max(end, -1), n-1)
	if start <= end {
		return 0, 0, nil
	}
	// -step overflows for the least integer, where one element is taken.
	if step == -step {
		return int(start), 1, nil
	}
	return int(start), int((start-end-1)/-step + 1), nil
}

// sliceArgs pairs axes with their starts, ends and steps.
func sliceArgs(starts, ends, axes, steps []int64, rank int) (axis []int, step []int64, err error) {
	if len(starts) != len(ends) || axes != nil && len(axes) != len(starts) || steps != nil && len(steps) != len(starts) {
		return nil, nil, fmt.Errorf("starts %v, ends %v, axes %v and steps %v differ in length", starts, ends, axes, steps)
	}
	if axes == nil && len(starts) > rank {
		return nil, nil, fmt.Errorf("%d starts for rank %d", len(starts), rank)
	}
	if _, err := resolveAxes(axes, rank); err != nil {
		return nil, nil, err
	}
	for i := range starts {
		a, s := i, int64(1)
		if axes != nil {
			a, _ = ResolveAxis(axes[i], rank)
		}
		if steps != nil {
			s = steps[i]
		}
		axis, step = append(axis, a), append(step, s)
	}
	return axis, step, nil
}

func inferSlice(c *Infer) error {
	in := c.Shape(0)
	if in == nil {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	starts, ok1 := c.KnownInts(1)
	ends, ok2 := c.KnownInts(2)
	axes, ok3 := c.KnownInts(3)
	steps, ok4 := c.KnownInts(4)
	out := in.Clone()
	if c.Has(3) && !ok3 {
		c.SetTensor(0, c.DType(0), unknownShape(len(in)))
		return nil
	}
	if !ok1 || !ok2 || c.Has(4) && !ok4 {
		// Only the axes are known to change.
		for i := range out {
			if axes == nil {
				out[i] = graph.Unknown
			}
		}
		for _, a := range axes {
			k, err := ResolveAxis(a, len(in))
			if err != nil {
				return err
			}
			out[k] = graph.Unknown
		}
		c.SetTensor(0, c.DType(0), out)
		return nil
	}
	axis, step, err := sliceArgs(starts, ends, axes, steps, len(in))
	if err != nil {
		return err
	}
	for i, a := range axis {
		if !in[a].Known() {
			if starts[i] != 0 || ends[i] < 1<<31-1 || step[i] != 1 {
				out[a] = graph.Unknown
			}
			continue
		}
		_, n, err := sliceRange(starts[i], ends[i], step[i], in[a].Size)
		if err != nil {
			return err
		}
		out[a] = graph.Dim{Size: n}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalSlice(e *Eval) error {
	x := e.T(0)
	starts, ends := e.Ints(1), e.Ints(2)
	axis, step, err := sliceArgs(starts, ends, e.Ints(3), e.Ints(4), x.Rank())
	if err != nil {
		return err
	}
	shape, stride := slices.Clone(x.Shape()), tensor.Strides(x.Shape())
	at := 0
	for i, a := range axis {
		first, n, err := sliceRange(starts[i], ends[i], step[i], shape[a])
		if err != nil {
			return err
		}
		at += first * stride[a]
		shape[a] = n
		if n > 1 { // else the step is not used and may be beyond any index
			stride[a] *= int(step[i])
		}
	}
	copyStrided(e.Result(0, x.DType(), shape...), x, shape, stride, at)
	return nil
}
