package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// padOps add and remove borders.
func padOps() []Def {
	return []Def{
		{Name: "Pad", In: "data pads constant_value? axes?", Out: "output", Attrs: "mode:string", Infer: inferPad, Eval: evalPad, Quant: Quant{Kind: QuantSame, Form: fillsWithZero}},
		{Name: "CenterCropPad", In: "input_data shape", Out: "output_data", Attrs: "axes:ints", Infer: inferCenterCropPad, Eval: evalCenterCropPad},
	}
}

// padding spreads pads, given for axes (nil: all), over the whole rank.
func padding(pads, axes []int64, rank int) (before, after []int, err error) {
	n := rank
	if axes != nil {
		n = len(axes)
	}
	if len(pads) != 2*n {
		return nil, nil, fmt.Errorf("pads %v must have two entries for each of %d axes", pads, n)
	}
	if _, err := resolveAxes(axes, rank); err != nil {
		return nil, nil, err
	}
	before, after = make([]int, rank), make([]int, rank)
	for i := range n {
		a := i
		if axes != nil {
			a, _ = ResolveAxis(axes[i], rank)
		}
		for _, p := range []int64{pads[i], pads[n+i]} {
			if p > tensor.MaxElements || p < -tensor.MaxElements {
				return nil, nil, fmt.Errorf("pad %d is not valid", p)
			}
		}
		before[a], after[a] = int(pads[i]), int(pads[n+i])
	}
	return before, after, nil
}

func inferPad(c *Infer) error {
	in := c.Shape(0)
	pads, ok := c.KnownInts(1)
	axes, ok3 := c.KnownInts(3)
	if in == nil || !ok || c.Has(3) && !ok3 {
		var s graph.Shape
		if in != nil {
			s = unknownShape(len(in))
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	before, after, err := padding(pads, axes, len(in))
	if err != nil {
		return err
	}
	out := in.Clone()
	for i, d := range in {
		switch {
		case before[i] == 0 && after[i] == 0:
		case !d.Known():
			out[i] = graph.Unknown
		case d.Size+before[i]+after[i] < 0:
			return fmt.Errorf("pads %v remove more than shape %v has", pads, in)
		default:
			out[i].Size += before[i] + after[i]
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalPad(e *Eval) error {
	x := e.T(0)
	before, after, err := padding(e.Ints(1), e.Ints(3), x.Rank())
	if err != nil {
		return err
	}
	value := e.Make(x.DType(), nil)
	if v := e.T(2); v != nil {
		if v.DType() != x.DType() || v.Len() != 1 {
			return fmt.Errorf("constant_value %v does not fit %v", v, x)
		}
		copyElement(value, 0, v, 0)
	}
	return e.pad(x, before, after, e.Attrs().String("mode", "constant"), value)
}

// pad makes output 0. Negative amounts cut first; borders then continue what is left.
func (e *Eval) pad(x *tensor.Tensor, before, after []int, mode string, value *tensor.Tensor) error {
	shape := slices.Clone(x.Shape())
	for i := range shape {
		if shape[i] += before[i] + after[i]; shape[i] < 0 {
			return fmt.Errorf("pads remove more than %v has along axis %d", x, i)
		}
	}
	out := e.Result(0, x.DType(), shape...)
	if out.Len() == 0 {
		return nil
	}
	// from[axis][i] is where index i of the result comes from, -1 for the constant.
	from := make([][]int, len(shape))
	for a, n := range shape {
		lo := max(0, -before[a])
		size := x.Dim(a) - lo - max(0, -after[a])
		from[a] = make([]int, n)
		for i := range n {
			k, err := BorderIndex(i-max(0, before[a]), size, mode)
			if err != nil {
				return fmt.Errorf("%v, axis %d: %w", x, a, err)
			}
			from[a][i] = k
			if k >= 0 {
				from[a][i] += lo
			}
		}
	}
	pick(out, x, from, value)
	return nil
}

var errNothingToContinue = errors.New("an empty axis has nothing to continue")

// BorderIndex maps an index that may lie outside 0..n-1 to where its value comes from,
// -1 for the constant.
func BorderIndex(i, n int, mode string) (int, error) {
	if mode != "constant" && n < 1 {
		return 0, errNothingToContinue
	}
	switch mode {
	case "constant":
		if i < 0 || i >= n {
			return -1, nil
		}
		return i, nil
	case "edge":
		return min(max(i, 0), n-1), nil
	case "wrap":
		return (i%n + n) % n, nil
	case "reflect":
		if n == 1 {
			return 0, nil
		}
		period := 2 * (n - 1)
		i = (i%period + period) % period
		return min(i, period-i), nil
	}
	return 0, fmt.Errorf("mode %q is not one of constant, reflect, edge, wrap", mode)
}

// centered returns the axes and sizes that CenterCropPad brings them to.
func centered(axes []int64, sizes []int, rank int) (map[int]int, error) {
	if axes == nil {
		for i := range rank {
			axes = append(axes, int64(i))
		}
	}
	if len(sizes) != len(axes) {
		return nil, fmt.Errorf("shape %v must have a size for each of %d axes", sizes, len(axes))
	}
	if _, err := resolveAxes(axes, rank); err != nil {
		return nil, err
	}
	to := map[int]int{}
	for i, a := range axes {
		k, _ := ResolveAxis(a, rank)
		to[k] = sizes[i]
	}
	return to, nil
}

func inferCenterCropPad(c *Infer) error {
	in := c.Shape(0)
	s, ok, err := c.dims(1)
	if err != nil || in == nil {
		c.SetTensor(0, c.DType(0), nil)
		return err
	}
	out := unknownShape(len(in))
	if ok {
		sizes, _ := s.Static()
		to, err := centered(c.Attrs().Ints("axes"), sizes, len(in))
		if err != nil {
			return err
		}
		out = in.Clone()
		for a, n := range to {
			out[a] = graph.Dim{Size: n}
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalCenterCropPad(e *Eval) error {
	x := e.T(0)
	to, err := centered(e.Attrs().Ints("axes"), e.sizes(1), x.Rank())
	if err != nil {
		return err
	}
	before, after := make([]int, x.Rank()), make([]int, x.Rank())
	for a, n := range to {
		// The odd element is cut or added behind.
		if d := n - x.Dim(a); d < 0 {
			before[a] = -(-d / 2)
			after[a] = d - before[a]
		} else {
			before[a] = d / 2
			after[a] = d - before[a]
		}
	}
	return e.pad(x, before, after, "constant", e.Make(x.DType(), nil))
}

// fillsWithZero reports whether a pad adds zeros at most.
func fillsWithZero(c *Infer) bool {
	if c.Attrs().String("mode", "constant") != "constant" || !c.Has(2) {
		return true
	}
	t := c.Known(2)
	return t != nil && t.Len() == 1 && t.Float(0) == 0
}
