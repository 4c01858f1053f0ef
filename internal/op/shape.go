package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// shapeOps rearrange, repeat and describe shapes; values only move.
func shapeOps() []Def {
	same := Quant{Kind: QuantSame}
	return []Def{
		{Name: "Reshape", In: "data shape", Out: "reshaped", Attrs: "allowzero:int", Infer: inferReshape, Eval: evalReshape, Quant: same},
		{Name: "Flatten", In: "input", Out: "output", Attrs: "axis:int", Infer: inferFlatten, Eval: evalFlatten, Quant: same},
		{Name: "Squeeze", In: "data axes?", Out: "squeezed", Infer: inferSqueeze, Eval: evalSqueeze, Quant: same},
		{Name: "Unsqueeze", In: "data axes", Out: "expanded", Infer: inferUnsqueeze, Eval: evalUnsqueeze, Quant: same},
		{Name: "Transpose", In: "data", Out: "transposed", Attrs: "perm:ints", Infer: inferTranspose, Eval: evalTranspose, Quant: same},
		{Name: "Expand", In: "input shape", Out: "output", Infer: inferExpand, Eval: evalExpand, Quant: same},
		{Name: "Tile", In: "input repeats", Out: "output", Infer: inferTile, Eval: evalTile, Quant: same},
		{Name: "Shape", In: "data", Out: "shape", Attrs: "start:int end:int", Infer: inferShapeOf, Eval: evalShapeOf},
		{Name: "Size", In: "data", Out: "size", Infer: inferSize, Eval: evalSize},
		{Name: "Identity", In: "input", Out: "output", Elementwise: true, Infer: inferLike(0), Eval: evalIdentity, Quant: same},
	}
}

// evalReshaped makes output 0 from input 0 with another shape over the same storage.
func (e *Eval) evalReshaped(shape []int) error {
	t, err := e.T(0).Reshape(shape...)
	if err != nil {
		return err
	}
	e.Set(0, t)
	return nil
}

// inferReshape resolves zeros from the input and at most one -1 from the element count.
func inferReshape(c *Infer) error {
	want, ok := c.KnownInts(1)
	if !ok {
		var s graph.Shape
		if r := c.Shape(1); len(r) == 1 && r[0].Known() {
			s = unknownShape(r[0].Size)
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	in := c.Shape(0)
	allowZero := c.Attrs().Bool("allowzero", false)
	out := make(graph.Shape, len(want))
	infer := -1
	for i, d := range want {
		switch {
		case d > 0 || d == 0 && allowZero:
			out[i] = graph.Dim{Size: int(d)}
		case d == 0:
			out[i] = graph.Unknown
			if in != nil {
				if i >= len(in) {
					return fmt.Errorf("shape %v copies size %d of an input of shape %v", want, i, in)
				}
				out[i] = in[i]
			}
		case d == -1 && infer < 0:
			infer = i
			out[i] = graph.Unknown
		default:
			return fmt.Errorf("shape %v is not valid", want)
		}
	}
	if sizes, known := in.Static(); known && infer >= 0 {
		n, err := tensor.NumElements(sizes)
		if err != nil {
			return err
		}
		rest := 1
		for i, d := range out {
			if i != infer {
				rest *= d.Size
			}
		}
		if rest == 0 || n%rest != 0 {
			return fmt.Errorf("cannot reshape %v to %v", sizes, want)
		}
		out[infer] = graph.Dim{Size: n / rest}
	} else if infer >= 0 && in != nil {
		out[infer] = remainingDim(in, out, infer)
	}
	if a, ok := in.Static(); ok {
		if b, ok := out.Static(); ok && sizeOf(a) != sizeOf(b) {
			return fmt.Errorf("cannot reshape %v to %v", a, want)
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

// remainingDim finds the size at index infer when the unknown sizes of in reappear in
// out and cancel, leaving a number or a single symbol.
func remainingDim(in, out graph.Shape, infer int) graph.Dim {
	left := slices.Clone(in)
	num, den := 1, 1
	for i, d := range out {
		if i == infer {
			continue
		}
		if d.Known() {
			den *= d.Size
			continue
		}
		k := slices.IndexFunc(left, d.Same)
		if k < 0 {
			return graph.Unknown
		}
		left = slices.Delete(left, k, k+1)
	}
	sym := graph.Unknown
	syms := 0
	for _, d := range left {
		if d.Known() {
			num *= d.Size
		} else {
			sym = d
			syms++
		}
	}
	switch {
	case syms == 0 && den > 0 && num%den == 0:
		return graph.Dim{Size: num / den}
	case syms == 1 && num == den:
		return sym
	}
	return graph.Unknown
}

func unknownShape(rank int) graph.Shape {
	if rank < 0 || rank > 1024 {
		return nil
	}
	s := make(graph.Shape, rank)
	for i := range s {
		s[i] = graph.Unknown
	}
	return s
}

func evalReshape(e *Eval) error {
	x := e.T(0)
	want := e.Ints(1)
	allowZero := e.Attrs().Bool("allowzero", false)
	out := make([]int, len(want))
	infer, rest := -1, 1
	for i, d := range want {
		switch {
		case d > 0 || d == 0 && allowZero:
			out[i] = int(d)
		case d == 0:
			if i >= x.Rank() {
				return fmt.Errorf("shape %v copies size %d of %v", want, i, x)
			}
			out[i] = x.Dim(i)
		case d == -1 && infer < 0:
			infer = i
			continue
		default:
			return fmt.Errorf("shape %v is not valid", want)
		}
		if rest != 0 && out[i] > tensor.MaxElements/rest {
			return fmt.Errorf("shape %v has too many elements", want)
		}
		rest *= out[i]
	}
	if infer >= 0 {
		if rest == 0 || x.Len()%rest != 0 {
			return fmt.Errorf("cannot reshape %v to %v", x, want)
		}
		out[infer] = x.Len() / rest
	}
	return e.evalReshaped(out)
}

func flattenAxis(axis int64, rank int) (int, error) {
	if axis == int64(rank) {
		return rank, nil
	}
	return ResolveAxis(axis, max(rank, 1))
}

func inferFlatten(c *Infer) error {
	in := c.Shape(0)
	if in == nil {
		c.SetTensor(0, c.DType(0), unknownShape(2))
		return nil
	}
	axis, err := flattenAxis(c.Attrs().Int("axis", 1), len(in))
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), graph.Shape{productDim(in[:axis]), productDim(in[axis:])})
	return nil
}

// productDim multiplies sizes; one symbol among ones is kept.
func productDim(s graph.Shape) graph.Dim {
	p := graph.Dim{Size: 1}
	for _, d := range s {
		switch {
		case d.Known() && d.Size == 0:
			return d
		case d.Known() && d.Size == 1:
		case p.Known() && p.Size == 1:
			p = d
		case d.Known() && p.Known() && p.Size <= tensor.MaxElements/d.Size:
			p.Size *= d.Size
		default:
			p = graph.Unknown
		}
	}
	return p
}

func evalFlatten(e *Eval) error {
	x := e.T(0)
	axis, err := flattenAxis(e.Attrs().Int("axis", 1), x.Rank())
	if err != nil {
		return err
	}
	return e.evalReshaped([]int{sizeOf(x.Shape()[:axis]), sizeOf(x.Shape()[axis:])})
}

// sizes converts a shape given as data, refusing negative sizes.
func (e *Eval) sizes(i int) []int {
	v := e.Ints(i)
	out := make([]int, len(v))
	for k, d := range v {
		if d < 0 || d > tensor.MaxElements {
			e.Fail("input %s: size %d is not valid in %v", e.inputName(i), d, v)
		}
		out[k] = int(d)
	}
	return out
}

// dims converts a shape given as data; ok is false when it is not known.
func (c *Infer) dims(i int) (s graph.Shape, ok bool, err error) {
	v, ok := c.KnownInts(i)
	if !ok {
		return nil, false, nil
	}
	s = make(graph.Shape, len(v))
	for k, d := range v {
		if d < 0 || d > tensor.MaxElements {
			return nil, false, fmt.Errorf("size %d is not valid in %v", d, v)
		}
		s[k] = graph.Dim{Size: int(d)}
	}
	return s, true, nil
}
