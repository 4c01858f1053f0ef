package op

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// resolveAxes maps axes to a set over rank, refusing repetition.
func resolveAxes(axes []int64, rank int) ([]bool, error) {
	set := make([]bool, rank)
	for _, a := range axes {
		k, err := ResolveAxis(a, rank)
		if err != nil {
			return nil, err
		}
		if set[k] {
			return nil, fmt.Errorf("axis %d is given twice in %v", a, axes)
		}
		set[k] = true
	}
	return set, nil
}

func inferSqueeze(c *Infer) error {
	in := c.Shape(0)
	axes, known := c.KnownInts(1)
	if c.Has(1) && !known || in == nil {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	drop, err := resolveAxes(axes, len(in))
	if err != nil {
		return err
	}
	out := graph.Shape{}
	for i, d := range in {
		if !c.Has(1) && !d.Known() {
			c.SetTensor(0, c.DType(0), nil)
			return nil
		}
		switch {
		case drop[i] && d.Known() && d.Size != 1:
			return fmt.Errorf("axis %d of %v is not 1", i, in)
		case drop[i], !c.Has(1) && d.Size == 1:
		default:
			out = append(out, d)
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalSqueeze(e *Eval) error {
	x := e.T(0)
	drop, err := resolveAxes(e.Ints(1), x.Rank())
	if err != nil {
		return err
	}
	out := []int{}
	for i, d := range x.Shape() {
		if drop[i] && d != 1 {
			return fmt.Errorf("axis %d of %v is not 1", i, x)
		}
		if !drop[i] && (e.Has(1) || d != 1) {
			out = append(out, d)
		}
	}
	return e.evalReshaped(out)
}

func inferUnsqueeze(c *Infer) error {
	in := c.Shape(0)
	axes, known := c.KnownInts(1)
	if !known || in == nil {
		var s graph.Shape
		if a := c.Shape(1); in != nil && len(a) == 1 && a[0].Known() {
			s = unknownShape(len(in) + a[0].Size)
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	put, err := resolveAxes(axes, len(in)+len(axes))
	if err != nil {
		return err
	}
	out := make(graph.Shape, 0, len(put))
	for _, one := range put {
		if one {
			out = append(out, graph.Dim{Size: 1})
		} else {
			out = append(out, in[0])
			in = in[1:]
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalUnsqueeze(e *Eval) error {
	in := e.T(0).Shape()
	axes := e.Ints(1)
	put, err := resolveAxes(axes, len(in)+len(axes))
	if err != nil {
		return err
	}
	out := make([]int, 0, len(put))
	for _, one := range put {
		if one {
			out = append(out, 1)
		} else {
			out = append(out, in[0])
			in = in[1:]
		}
	}
	return e.evalReshaped(out)
}
