package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// gatherOps select elements by index and write elements at indices.
func gatherOps() []Def {
	same := Quant{Kind: QuantSame}
	return []Def{
		{Name: "Gather", In: "data indices", Out: "output", Attrs: "axis:int", Infer: inferGather, Eval: evalGather, Quant: same},
		{Name: "GatherElements", In: "data indices", Out: "output", Attrs: "axis:int", Infer: inferGatherElements, Eval: evalGatherElements, Quant: same},
		{Name: "GatherND", In: "data indices", Out: "output", Attrs: "batch_dims:int", Infer: inferGatherND, Eval: evalGatherND, Quant: same},
		{Name: "ScatterElements", In: "data indices updates", Out: "output", Attrs: "axis:int reduction:string", Infer: inferLike(0), Eval: evalScatterElements},
		{Name: "ScatterND", In: "data indices updates", Out: "output", Attrs: "reduction:string", Infer: inferLike(0), Eval: evalScatterND},
		{Name: "TensorScatter", In: "past_cache update write_indices?", Out: "present_cache", Attrs: "axis:int mode:string", Infer: inferLike(0), Eval: evalTensorScatter},
		{Name: "Compress", In: "input condition", Out: "output", Attrs: "axis:int", Infer: inferCompress, Eval: evalCompress, Quant: same},
	}
}

// index resolves an index into an axis of the given size; negative ones count from the
// end.
func (e *Eval) index(i int64, size int) int {
	k := i
	if k < 0 {
		k += int64(size)
	}
	if k < 0 || k >= int64(size) {
		e.Fail("index %d is out of range for an axis of size %d", i, size)
	}
	return int(k)
}

func inferGather(c *Infer) error {
	data, idx := c.Shape(0), c.Shape(1)
	if data == nil || idx == nil {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(data))
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), slices.Concat(graph.Shape{}, data[:axis], idx, data[axis+1:]))
	return nil
}

func evalGather(e *Eval) error {
	data := e.T(0)
	axis := e.Axis(e.Attrs().Int("axis", 0), data.Rank())
	idx := e.Ints(1)
	s := data.Shape()
	out := e.Result(0, data.DType(), slices.Concat(s[:axis], e.T(1).Shape(), s[axis+1:])...)
	if out.Len() == 0 {
		return nil
	}
	inner := sizeOf(s[axis+1:])
	for o := range sizeOf(s[:axis]) {
		for i, k := range idx {
			copyRun(out, (o*len(idx)+i)*inner, data, (o*s[axis]+e.index(k, s[axis]))*inner, inner)
		}
	}
	return nil
}

func inferGatherElements(c *Infer) error {
	c.SetTensor(0, c.DType(0), c.Shape(1))
	return nil
}

// elementTargets calls f with the flat place of each element of indices and the flat
// index in data that it names along axis (GatherElements, ScatterElements).
func (e *Eval) elementTargets(data, indices *tensor.Tensor, axis int, f func(i, at int)) {
	if indices.Rank() != data.Rank() {
		e.Fail("indices %v and data %v differ in rank", indices, data)
	}
	for a, n := range indices.Shape() {
		if a != axis && n > data.Dim(a) {
			e.Fail("indices %v do not fit data %v outside axis %d", indices, data, axis)
		}
	}
	if !indices.DType().IsInt() {
		e.Fail("indices must be integers, they are %v", indices)
	}
	stride := tensor.Strides(data.Shape())
	step := stride[axis]
	stride[axis] = 0
	rest := newStrided(indices.Shape(), stride, 0)
	for i := range indices.Len() {
		f(i, rest.next()+e.index(indices.Int(i), data.Dim(axis))*step)
	}
}

func evalGatherElements(e *Eval) error {
	data, idx := e.T(0), e.T(1)
	out := e.Result(0, data.DType(), idx.Shape()...)
	e.elementTargets(data, idx, e.Axis(e.Attrs().Int("axis", 0), data.Rank()), func(i, at int) {
		copyElement(out, i, data, at)
	})
	return nil
}

func inferGatherND(c *Infer) error {
	data, idx := c.Shape(0), c.Shape(1)
	b := int(c.Attrs().Int("batch_dims", 0))
	if data == nil || len(idx) == 0 || !idx[len(idx)-1].Known() {
		c.SetTensor(0, c.DType(0), nil)
		return nil
	}
	depth := idx[len(idx)-1].Size
	if b < 0 || b >= len(idx) || b+depth > len(data) {
		return fmt.Errorf("indices %v with batch_dims %d do not fit data %v", idx, b, data)
	}
	c.SetTensor(0, c.DType(0), slices.Concat(graph.Shape{}, idx[:len(idx)-1], data[b+depth:]))
	return nil
}

func evalGatherND(e *Eval) error {
	data, idx := e.T(0), e.T(1)
	b := int(e.Attrs().Int("batch_dims", 0))
	if idx.Rank() < 1 || data.Rank() < 1 || b < 0 || b >= idx.Rank() || b >= data.Rank() || b+idx.Dim(-1) > data.Rank() {
		return fmt.Errorf("indices %v with batch_dims %d do not fit data %v", idx, b, data)
	}
	for i := range b {
		if idx.Dim(i) != data.Dim(i) {
			return fmt.Errorf("batch sizes of data %v and indices %v differ", data, idx)
		}
	}
	depth := idx.Dim(-1)
	s, ix := data.Shape(), idx.Shape()
	out := e.Result(0, data.DType(), slices.Concat(ix[:len(ix)-1], s[b+depth:])...)
	if out.Len() == 0 {
		return nil
	}
	run := sizeOf(s[b+depth:])
	stride := tensor.Strides(s)
	perBatch := sizeOf(ix[b : len(ix)-1])
	block := sizeOf(s[b:])
	for i := range sizeOf(ix[:len(ix)-1]) {
		at := i / perBatch * block
		for k := range depth {
			at += e.index(idx.Int(i*depth+k), s[b+k]) * stride[b+k]
		}
		copyRun(out, i*run, data, at, run)
	}
	return nil
}

// reducer combines element j of src into element i of dst.
func (e *Eval) reducer(mode string) func(dst *tensor.Tensor, i int, src *tensor.Tensor, j int) {
	if mode == "none" {
		return copyElement
	}
	var ints func(a, b int64) int64
	var floats func(a, b float64) float64
	switch mode {
	case "add":
		ints = func(a, b int64) int64 { return a + b }
		floats = func(a, b float64) float64 { return a + b }
	case "mul":
		ints = func(a, b int64) int64 { return a * b }
		floats = func(a, b float64) float64 { return a * b }
	case "max":
		ints = func(a, b int64) int64 { return max(a, b) }
		floats = func(a, b float64) float64 { return max(a, b) }
	case "min":
		ints = func(a, b int64) int64 { return min(a, b) }
		floats = func(a, b float64) float64 { return min(a, b) }
	default:
		e.Fail("reduction %q is not one of none, add, mul, max, min", mode)
	}
	return func(dst *tensor.Tensor, i int, src *tensor.Tensor, j int) {
		switch d := dst.DType(); {
		case d.IsFloat():
			dst.SetFloat(i, floats(dst.Float(i), src.Float(j)))
		case d == tensor.Uint64 && (mode == "max" || mode == "min"):
			a, b := uint64(dst.Int(i)), uint64(src.Int(j))
			if mode == "max" {
				a = max(a, b)
			} else {
				a = min(a, b)
			}
			dst.SetInt(i, int64(a))
		case d.IsInt() || d == tensor.Bool:
			dst.SetInt(i, ints(dst.Int(i), src.Int(j)))
		default:
			e.Fail("reduction %s is not defined for %v", mode, d)
		}
	}
}

func evalScatterElements(e *Eval) error {
	data, idx, updates := e.T(0), e.T(1), e.T(2)
	e.sameType(0, 2)
	if !slices.Equal(idx.Shape(), updates.Shape()) {
		return fmt.Errorf("indices %v and updates %v differ in shape", idx, updates)
	}
	put := e.reducer(e.Attrs().String("reduction", "none"))
	out := data.Clone()
	e.elementTargets(data, idx, e.Axis(e.Attrs().Int("axis", 0), data.Rank()), func(i, at int) {
		put(out, at, updates, i)
	})
	e.Set(0, out)
	return nil
}

func evalScatterND(e *Eval) error {
	data, idx, updates := e.T(0), e.T(1), e.T(2)
	e.sameType(0, 2)
	if idx.Rank() < 1 || idx.Dim(-1) > data.Rank() {
		return fmt.Errorf("indices %v do not fit data %v", idx, data)
	}
	depth := idx.Dim(-1)
	s, ix := data.Shape(), idx.Shape()
	if want := slices.Concat(ix[:len(ix)-1], s[depth:]); !slices.Equal(updates.Shape(), want) {
		return fmt.Errorf("updates %v must have shape %v", updates, want)
	}
	put := e.reducer(e.Attrs().String("reduction", "none"))
	out := data.Clone()
	e.Set(0, out)
	if updates.Len() == 0 {
		return nil
	}
	run := sizeOf(s[depth:])
	stride := tensor.Strides(s)
	for i := range sizeOf(ix[:len(ix)-1]) {
		at := 0
		for k := range depth {
			at += e.index(idx.Int(i*depth+k), s[k]) * stride[k]
		}
		for r := range run {
			put(out, at+r, updates, i*run+r)
		}
	}
	return nil
}

// evalTensorScatter writes update into a cache along its sequence axis, at a place of
// its own for every sample of the batch.
func evalTensorScatter(e *Eval) error {
	cache, update := e.T(0), e.T(1)
	e.sameType(0, 1)
	axis := e.Axis(e.Attrs().Int("axis", -2), cache.Rank())
	mode := e.Attrs().String("mode", "linear")
	switch {
	case axis == 0:
		return fmt.Errorf("axis must not be the batch axis")
	case mode != "linear" && mode != "circular":
		return fmt.Errorf("mode %q is not one of linear, circular", mode)
	case update.Rank() != cache.Rank() || update.Dim(axis) > cache.Dim(axis):
		return fmt.Errorf("update %v does not fit cache %v", update, cache)
	}
	for i, d := range update.Shape() {
		if i != axis && d != cache.Dim(i) {
			return fmt.Errorf("update %v does not fit cache %v", update, cache)
		}
	}
	at := e.Ints(2)
	if at == nil {
		at = make([]int64, cache.Dim(0))
	}
	if len(at) != cache.Dim(0) {
		return fmt.Errorf("%d write_indices for a batch of %d", len(at), cache.Dim(0))
	}
	out := cache.Clone()
	e.Set(0, out)
	if update.Len() == 0 {
		return nil
	}
	n, limit := update.Dim(axis), cache.Dim(axis)
	inner := sizeOf(cache.Shape()[axis+1:])
	prefixes := sizeOf(cache.Shape()[:axis])
	for p := range prefixes {
		first := at[p/(prefixes/cache.Dim(0))]
		if mode == "linear" && (first < 0 || first > int64(limit-n)) {
			return fmt.Errorf("write index %d and %d new entries do not fit a cache of %d", first, n, limit)
		}
		for k := range n {
			to := (first%int64(limit) + int64(k)) % int64(limit)
			if to < 0 {
				to += int64(limit)
			}
			copyRun(out, (p*limit+int(to))*inner, update, (p*n+k)*inner, inner)
		}
	}
	return nil
}

func inferCompress(c *Infer) error {
	if !c.Attrs().Has("axis") {
		c.SetTensor(0, c.DType(0), unknownShape(1))
		return nil
	}
	out := c.Shape(0).Clone()
	if out != nil {
		axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(out))
		if err != nil {
			return err
		}
		out[axis] = graph.Unknown
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func evalCompress(e *Eval) error {
	x := e.T(0)
	outer, size, inner := 1, x.Len(), 1
	var shape []int
	axis := -1
	if e.Attrs().Has("axis") {
		axis = e.Axis(e.Attrs().Int("axis", 0), x.Rank())
		outer, size, inner = sizeOf(x.Shape()[:axis]), x.Dim(axis), sizeOf(x.Shape()[axis+1:])
		shape = slices.Clone(x.Shape())
	}
	var keep []int
	for i, take := range e.bools(1) {
		if take {
			if i >= size {
				return fmt.Errorf("condition selects entry %d of an axis of size %d", i, size)
			}
			keep = append(keep, i)
		}
	}
	if axis < 0 {
		shape = []int{len(keep)}
	} else {
		shape[axis] = len(keep)
	}
	out := e.Result(0, x.DType(), shape...)
	if out.Len() == 0 {
		return nil
	}
	for o := range outer {
		for i, k := range keep {
			copyRun(out, (o*len(keep)+i)*inner, x, (o*size+k)*inner, inner)
		}
	}
	return nil
}
