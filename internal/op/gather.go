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
	c.SetTensor(0, c.DType(0), append(graph.Shape{}, slices.Concat(data[:axis], idx, data[axis+1:])...))
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
	c.SetTensor(0, c.DType(0), append(graph.Shape{}, slices.Concat(idx[:len(idx)-1], data[b+depth:])...))
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
