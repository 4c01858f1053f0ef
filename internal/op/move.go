package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// moveOps join, cut and rearrange blocks of elements.
func moveOps() []Def {
	same := Quant{Kind: QuantSame}
	return []Def{
		{Name: "Concat", In: "inputs+", Out: "concat_result", Attrs: "axis:int!", Infer: inferConcat, Eval: evalConcat, Quant: Quant{Kind: QuantElementwise}},
		{Name: "Split", In: "input split?", Out: "outputs+", Attrs: "axis:int num_outputs:int", Infer: inferSplit, Eval: evalSplit, Quant: same},
		{Name: "Slice", In: "data starts ends axes? steps?", Out: "output", Infer: inferSlice, Eval: evalSlice, Quant: same},
		{Name: "ReverseSequence", In: "input sequence_lens", Out: "Y", Attrs: "batch_axis:int time_axis:int", Infer: inferLike(0), Eval: evalReverseSequence, Quant: same},
		{Name: "DepthToSpace", In: "input", Out: "output", Attrs: "blocksize:int! mode:string", Infer: inferDepthToSpace, Eval: evalDepthToSpace, Quant: same},
		{Name: "SpaceToDepth", In: "input", Out: "output", Attrs: "blocksize:int!", Infer: inferSpaceToDepth, Eval: evalSpaceToDepth, Quant: same},
	}
}

func inferConcat(c *Infer) error {
	shapes := make([]graph.Shape, len(c.Node.Inputs))
	for i := range shapes {
		shapes[i] = c.Shape(i)
	}
	s, err := concatDims(shapes, c.Attrs().Int("axis", 0))
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

// concatDims returns the shape of a concatenation; nil when a rank is unknown.
func concatDims(shapes []graph.Shape, axis int64) (graph.Shape, error) {
	for _, s := range shapes {
		if s == nil {
			return nil, nil
		}
	}
	out := shapes[0].Clone()
	a, err := ResolveAxis(axis, len(out))
	if err != nil {
		return nil, err
	}
	for _, s := range shapes[1:] {
		if len(s) != len(out) {
			return nil, fmt.Errorf("shapes %v have different ranks", shapes)
		}
		for i, d := range s {
			switch o := &out[i]; {
			case i == a && o.Known() && d.Known():
				o.Size += d.Size
			case i == a:
				*o = graph.Unknown
			case !o.Known():
				if d.Known() {
					*o = d
				}
			case d.Known() && d.Size != o.Size:
				return nil, fmt.Errorf("shapes %v differ outside axis %d", shapes, a)
			}
		}
	}
	return out, nil
}

func evalConcat(e *Eval) error {
	in := make([]*tensor.Tensor, len(e.In))
	for i := range in {
		in[i] = e.T(i)
	}
	e.Set(0, e.concat(in, e.Attrs().Int("axis", 0)))
	return nil
}

// concat joins tensors of one type and rank along axis.
func (e *Eval) concat(in []*tensor.Tensor, axis int64) *tensor.Tensor {
	if len(in) == 0 {
		e.Fail("there is nothing to concatenate")
	}
	first := in[0]
	a := e.Axis(axis, first.Rank())
	shape := slices.Clone(first.Shape())
	shape[a] = 0
	for _, t := range in {
		if t.DType() != first.DType() || t.Rank() != first.Rank() {
			e.Fail("cannot concatenate %v and %v", first, t)
		}
		for i, d := range t.Shape() {
			if i != a && d != shape[i] {
				e.Fail("cannot concatenate %v and %v along axis %d", first, t, a)
			}
		}
		shape[a] += t.Dim(a)
	}
	out := e.Make(first.DType(), shape)
	if out.Len() == 0 {
		return out
	}
	outer, row := sizeOf(shape[:a]), sizeOf(shape[a:])
	at := 0
	for _, t := range in {
		n := sizeOf(t.Shape()[a:])
		for o := range outer {
			copyRun(out, o*row+at, t, o*n, n)
		}
		at += n
	}
	return out
}

// splitSizes resolves how an axis of the given size is cut: explicitly, or in equal
// parts of which only the last may be smaller.
func splitSizes(split []int64, given bool, parts, size int) ([]int, error) {
	if !given {
		if parts < 1 {
			return nil, fmt.Errorf("cannot split into %d parts", parts)
		}
		chunk := (size + parts - 1) / parts
		out := make([]int, parts)
		for i := range out {
			out[i] = min(chunk, max(size-i*chunk, 0))
		}
		return out, nil
	}
	out := make([]int, len(split))
	left := int64(size)
	for i, n := range split {
		if n < 0 || n > left {
			return nil, fmt.Errorf("split %v does not fit an axis of size %d", split, size)
		}
		left -= n
		out[i] = int(n)
	}
	if left != 0 {
		return nil, fmt.Errorf("split %v does not cover an axis of size %d", split, size)
	}
	return out, nil
}

func inferSplit(c *Infer) error {
	in := c.Shape(0)
	if in == nil {
		for i := range c.Node.Outputs {
			c.SetTensor(i, c.DType(0), nil)
		}
		return nil
	}
	axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(in))
	if err != nil {
		return err
	}
	split, known := c.KnownInts(1)
	var sizes []int
	switch {
	case c.Has(1) && known && len(split) != len(c.Node.Outputs):
		return fmt.Errorf("split %v has not one entry for each of %d outputs", split, len(c.Node.Outputs))
	case in[axis].Known() && (known || !c.Has(1)):
		if sizes, err = splitSizes(split, known, len(c.Node.Outputs), in[axis].Size); err != nil {
			return err
		}
	}
	for i := range c.Node.Outputs {
		s := in.Clone()
		switch {
		case sizes != nil:
			s[axis] = graph.Dim{Size: sizes[i]}
		case known && split[i] >= 0:
			s[axis] = graph.Dim{Size: int(split[i])}
		default:
			s[axis] = graph.Unknown
		}
		c.SetTensor(i, c.DType(0), s)
	}
	return nil
}

func evalSplit(e *Eval) error {
	x := e.T(0)
	axis := e.Axis(e.Attrs().Int("axis", 0), x.Rank())
	if n := e.Attrs().Int("num_outputs", int64(len(e.Out))); n != int64(len(e.Out)) {
		return fmt.Errorf("num_outputs is %d, the node has %d outputs", n, len(e.Out))
	}
	sizes, err := splitSizes(e.Ints(1), e.Has(1), len(e.Out), x.Dim(axis))
	if err != nil {
		return err
	}
	if len(sizes) != len(e.Out) {
		return fmt.Errorf("split %v has not one entry for each of %d outputs", sizes, len(e.Out))
	}
	at := 0
	for i, n := range sizes {
		e.Set(i, e.cut(x, axis, at, n))
		at += n
	}
	return nil
}

// cut returns the part [at, at+n) of an axis.
func (e *Eval) cut(x *tensor.Tensor, axis, at, n int) *tensor.Tensor {
	shape := slices.Clone(x.Shape())
	shape[axis] = n
	out := e.Make(x.DType(), shape)
	if out.Len() == 0 {
		return out
	}
	inner := sizeOf(shape[axis+1:])
	for o := range sizeOf(shape[:axis]) {
		copyRun(out, o*n*inner, x, (o*x.Dim(axis)+at)*inner, n*inner)
	}
	return out
}

func evalReverseSequence(e *Eval) error {
	x, lens := e.T(0), e.Ints(1)
	if x.Rank() < 2 {
		return fmt.Errorf("input must have rank 2 or more, it is %v", x)
	}
	b := e.Axis(e.Attrs().Int("batch_axis", 1), x.Rank())
	t := e.Axis(e.Attrs().Int("time_axis", 0), x.Rank())
	if b > 1 || t > 1 || b == t {
		return fmt.Errorf("batch_axis %d and time_axis %d must be 0 and 1 in some order", b, t)
	}
	if len(lens) != x.Dim(b) {
		return fmt.Errorf("%d sequence_lens for a batch of %d", len(lens), x.Dim(b))
	}
	out := e.Result(0, x.DType(), x.Shape()...)
	if x.Len() == 0 {
		return nil
	}
	inner := sizeOf(x.Shape()[2:])
	stride := [2]int{x.Dim(1) * inner, inner}
	for i, n := range lens {
		if n < 0 || n > int64(x.Dim(t)) {
			return fmt.Errorf("sequence length %d is not within 0..%d", n, x.Dim(t))
		}
		for k := range x.Dim(t) {
			from := k
			if k < int(n) {
				from = int(n) - 1 - k
			}
			copyRun(out, i*stride[b]+k*stride[t], x, i*stride[b]+from*stride[t], inner)
		}
	}
	return nil
}
