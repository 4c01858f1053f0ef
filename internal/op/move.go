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

// blockShape checks the input of DepthToSpace and SpaceToDepth.
func blockShape(in graph.Shape, block int64, depth bool) error {
	if block < 1 || block > 1<<15 {
		return fmt.Errorf("blocksize %d is not valid", block)
	}
	if in == nil {
		return nil
	}
	if len(in) != 4 {
		return fmt.Errorf("input must be [N,C,H,W], its shape is %v", in)
	}
	bad := func(d graph.Dim, by int64) bool { return d.Known() && int64(d.Size)%by != 0 }
	if depth && bad(in[1], block*block) || !depth && (bad(in[2], block) || bad(in[3], block)) {
		return fmt.Errorf("blocksize %d does not divide shape %v", block, in)
	}
	return nil
}

func scaleDim(d graph.Dim, mul, div int) graph.Dim {
	if !d.Known() {
		return graph.Unknown
	}
	return graph.Dim{Size: d.Size * mul / div}
}

func inferDepthToSpace(c *Infer) error {
	in, b := c.Shape(0), c.Attrs().Int("blocksize", 0)
	if err := blockShape(in, b, true); err != nil {
		return err
	}
	out := unknownShape(4)
	if n := int(b); in != nil {
		out = graph.Shape{in[0], scaleDim(in[1], 1, n*n), scaleDim(in[2], n, 1), scaleDim(in[3], n, 1)}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalDepthToSpace(e *Eval) error {
	x, block := e.T(0), e.Attrs().Int("blocksize", 0)
	if err := blockShape(graph.Dims(x.Shape()...), block, true); err != nil {
		return err
	}
	b := int(block)
	n, c, h, w := x.Dim(0), x.Dim(1)/(b*b), x.Dim(2), x.Dim(3)
	split, perm := []int{n, b, b, c, h, w}, []int{0, 3, 4, 1, 5, 2}
	switch mode := e.Attrs().String("mode", "DCR"); mode {
	case "DCR":
	case "CRD":
		split, perm = []int{n, c, b, b, h, w}, []int{0, 1, 4, 2, 5, 3}
	default:
		return fmt.Errorf("mode %q is not one of DCR, CRD", mode)
	}
	return e.shuffle(x, split, perm, n, c, h*b, w*b)
}

func inferSpaceToDepth(c *Infer) error {
	in, b := c.Shape(0), c.Attrs().Int("blocksize", 0)
	if err := blockShape(in, b, false); err != nil {
		return err
	}
	out := unknownShape(4)
	if n := int(b); in != nil {
		out = graph.Shape{in[0], scaleDim(in[1], n*n, 1), scaleDim(in[2], 1, n), scaleDim(in[3], 1, n)}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalSpaceToDepth(e *Eval) error {
	x, block := e.T(0), e.Attrs().Int("blocksize", 0)
	if err := blockShape(graph.Dims(x.Shape()...), block, false); err != nil {
		return err
	}
	b := int(block)
	n, c, h, w := x.Dim(0), x.Dim(1), x.Dim(2)/b, x.Dim(3)/b
	return e.shuffle(x, []int{n, c, h, b, w, b}, []int{0, 3, 5, 1, 2, 4}, n, c*b*b, h, w)
}

// shuffle views x as shape split, permutes its axes and views the result as out.
func (e *Eval) shuffle(x *tensor.Tensor, split, perm []int, out ...int) error {
	s := tensor.Strides(split)
	shape, stride := make([]int, len(perm)), make([]int, len(perm))
	for i, p := range perm {
		shape[i], stride[i] = split[p], s[p]
	}
	copyStrided(e.Result(0, x.DType(), out...), x, shape, stride, 0)
	return nil
}
