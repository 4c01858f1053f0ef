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
		{Name: "Identity", In: "input", Out: "output", Infer: inferLike(0), Eval: evalIdentity, Quant: same},
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
