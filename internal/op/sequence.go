package op

import (
	"errors"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// sequenceOps work on sequences of tensors and on optional values.
func sequenceOps() []Def {
	return []Def{
		{Name: "SequenceConstruct", In: "inputs+", Out: "output_sequence", Infer: inferSequenceConstruct, Eval: evalSequenceConstruct},
		{Name: "SequenceEmpty", Out: "output", Attrs: "dtype:int", Infer: inferSequenceEmpty, Eval: evalSequenceEmpty},
		{Name: "SequenceInsert", In: "input_sequence tensor position?", Out: "output_sequence", Infer: inferSequenceInsert, Eval: evalSequenceInsert},
		{Name: "SequenceErase", In: "input_sequence position?", Out: "output_sequence", Infer: inferLike(0), Eval: evalSequenceErase},
		{Name: "SequenceAt", In: "input_sequence position", Out: "tensor", Infer: inferElement, Eval: evalSequenceAt},
		{Name: "SequenceLength", In: "input_sequence", Out: "length", Infer: inferScalar(tensor.Int64), Eval: evalSequenceLength},
		{Name: "SplitToSequence", In: "input split?", Out: "output_sequence", Attrs: "axis:int keepdims:int", Infer: inferSplitToSequence, Eval: evalSplitToSequence},
		{Name: "ConcatFromSequence", In: "input_sequence", Out: "concat_result", Attrs: "axis:int! new_axis:int", Infer: inferConcatFromSequence, Eval: evalConcatFromSequence},
		{Name: "Optional", In: "input?", Out: "output", Attrs: "type:type", Infer: inferOptional, Eval: evalOptional},
		{Name: "OptionalGetElement", In: "input", Out: "output", Infer: inferElement, Eval: evalOptionalGetElement},
		{Name: "OptionalHasElement", In: "input?", Out: "output", Infer: inferScalar(tensor.Bool), Eval: evalOptionalHasElement},
	}
}

// Seq returns input i as a sequence.
func (e *Eval) Seq(i int) Sequence {
	v := e.In[i]
	if o, ok := v.(Optional); ok {
		v = o.Value
	}
	s, ok := v.(Sequence)
	if !ok {
		e.Fail("input %s is a %T, not a sequence", e.inputName(i), v)
	}
	return s
}

// position reads input i, an index where n is allowed as well when inserting.
func (e *Eval) position(i, n int) int {
	p := e.Int(i)
	k := p
	if k < 0 {
		k += int64(n)
	}
	if k < 0 || k >= int64(n) {
		e.Fail("position %d is out of range for a sequence of %d", p, n)
	}
	return int(k)
}

// inferScalar gives output 0 a fixed element type and no dimensions.
func inferScalar(d tensor.DType) func(*Infer) error {
	return func(c *Infer) error {
		c.SetTensor(0, d, graph.Dims())
		return nil
	}
}

// widen returns the type that admits every value of a and of b. Where the kinds differ
// it is a.
func widen(a, b graph.Type) graph.Type {
	if a.Kind != b.Kind {
		return a
	}
	out := a.Clone()
	if a.DType != b.DType {
		out.DType = tensor.Invalid
	}
	if a.Kind != graph.KindTensor {
		if a.Elem == nil || b.Elem == nil {
			out.Elem = nil
			return out
		}
		elem := widen(*a.Elem, *b.Elem)
		out.Elem = &elem
		return out
	}
	if a.Shape == nil || b.Shape == nil || len(a.Shape) != len(b.Shape) {
		out.Shape = nil
		return out
	}
	for i, d := range b.Shape {
		if !out.Shape[i].Same(d) {
			out.Shape[i] = graph.Unknown
		}
	}
	return out
}

func inferSequenceConstruct(c *Infer) error {
	elem := c.Type(0)
	for i := 1; i < len(c.Node.Inputs); i++ {
		elem = widen(elem, c.Type(i))
	}
	c.Set(0, graph.SequenceOf(elem))
	return nil
}

func evalSequenceConstruct(e *Eval) error {
	s := Sequence{}
	for i := range e.In {
		t := e.T(i)
		if i > 0 && t.DType() != s.DType {
			return fmt.Errorf("elements of one sequence differ in type: %v and %v", s.DType, t)
		}
		s.DType = t.DType()
		s.Elems = append(s.Elems, t)
	}
	e.Set(0, s)
	return nil
}

func inferSequenceEmpty(c *Infer) error {
	d, err := dtypeAttr(c.Attrs().Int("dtype", int64(tensor.Float32)))
	if err != nil {
		return err
	}
	c.Set(0, graph.SequenceOf(graph.Type{DType: d}))
	return nil
}

func evalSequenceEmpty(e *Eval) error {
	d, err := dtypeAttr(e.Attrs().Int("dtype", int64(tensor.Float32)))
	if err != nil {
		return err
	}
	e.Set(0, Sequence{DType: d})
	return nil
}

func inferSequenceInsert(c *Infer) error {
	in := c.Type(0)
	if in.Kind == graph.KindOptional && in.Elem != nil {
		in = *in.Elem
	}
	if in.Kind != graph.KindSequence || in.Elem == nil {
		return nil
	}
	c.Set(0, graph.SequenceOf(widen(*in.Elem, c.Type(1))))
	return nil
}

func evalSequenceInsert(e *Eval) error {
	s, t := e.Seq(0), e.T(1)
	if len(s.Elems) > 0 && s.DType != t.DType() {
		return fmt.Errorf("cannot insert %v into a sequence of %v", t, s.DType)
	}
	at := len(s.Elems)
	if e.Has(2) {
		if p := e.Int(2); p != int64(at) {
			at = e.position(2, at)
		}
	}
	e.Set(0, Sequence{t.DType(), slices.Insert(slices.Clone(s.Elems), at, t)})
	return nil
}

func evalSequenceErase(e *Eval) error {
	s := e.Seq(0)
	at := len(s.Elems) - 1
	if e.Has(1) {
		at = e.position(1, len(s.Elems))
	}
	if at < 0 {
		return errors.New("the sequence is empty")
	}
	e.Set(0, Sequence{s.DType, slices.Delete(slices.Clone(s.Elems), at, at+1)})
	return nil
}

// inferElement gives output 0 the element type of a sequence or optional.
func inferElement(c *Infer) error {
	switch in := c.Type(0); {
	case in.Kind != graph.KindOptional && c.Node.Op == "OptionalGetElement":
		c.Set(0, in) // what is not optional is there
	case in.Kind != graph.KindTensor && in.Elem != nil:
		c.Set(0, *in.Elem)
	}
	return nil
}

func evalSequenceAt(e *Eval) error {
	s := e.Seq(0)
	e.Set(0, s.Elems[e.position(1, len(s.Elems))])
	return nil
}

func evalSequenceLength(e *Eval) error {
	e.Result(0, tensor.Int64).I64()[0] = int64(len(e.Seq(0).Elems))
	return nil
}

func inferSplitToSequence(c *Infer) error {
	in := c.Shape(0).Clone()
	if in != nil {
		axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(in))
		if err != nil {
			return err
		}
		split, known := c.KnownInts(1)
		switch {
		case !c.Has(1) && !c.Attrs().Bool("keepdims", true):
			in = slices.Delete(in, axis, axis+1)
		case !c.Has(1):
			in[axis] = graph.Dim{Size: 1}
		case known && len(split) > 0 && split[0] > 0 && len(c.Shape(1)) == 1 && slices.Max(split) == slices.Min(split):
			in[axis] = graph.Dim{Size: int(split[0])}
		default:
			in[axis] = graph.Unknown
		}
	}
	c.Set(0, graph.SequenceOf(graph.Type{DType: c.DType(0), Shape: in}))
	return nil
}

func evalSplitToSequence(e *Eval) error {
	x := e.T(0)
	axis := e.Axis(e.Attrs().Int("axis", 0), x.Rank())
	size := x.Dim(axis)
	var sizes []int
	switch split := e.Ints(1); {
	case e.Has(1) && e.T(1).Rank() == 0:
		// Equal pieces of the given size; the last one takes what is left.
		if split[0] < 1 {
			return fmt.Errorf("cannot split into pieces of %d", split[0])
		}
		for left := int64(size); left > 0; left -= split[0] {
			sizes = append(sizes, int(min(left, split[0])))
		}
	case e.Has(1):
		var err error
		if sizes, err = splitSizes(split, true, 0, size); err != nil {
			return err
		}
	default:
		if size > 1<<24 {
			return fmt.Errorf("%v has too many pieces along axis %d", x, axis)
		}
		sizes = slices.Repeat([]int{1}, size)
	}
	s := Sequence{DType: x.DType()}
	at := 0
	for _, n := range sizes {
		t := e.cut(x, axis, at, n)
		at += n
		if !e.Has(1) && !e.Attrs().Bool("keepdims", true) {
			var err error
			if t, err = t.Reshape(slices.Delete(slices.Clone(t.Shape()), axis, axis+1)...); err != nil {
				return err
			}
		}
		s.Elems = append(s.Elems, t)
	}
	e.Set(0, s)
	return nil
}

func inferConcatFromSequence(c *Infer) error {
	in := c.Type(0)
	if in.Kind != graph.KindSequence || in.Elem == nil {
		return nil
	}
	s := in.Elem.Shape.Clone()
	if s != nil {
		extra := 0
		if c.Attrs().Bool("new_axis", false) {
			extra = 1
		}
		axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(s)+extra)
		if err != nil {
			return err
		}
		if extra == 1 {
			s = slices.Insert(s, axis, graph.Unknown)
		}
		s[axis] = graph.Unknown
	}
	c.SetTensor(0, in.Elem.DType, s)
	return nil
}

func evalConcatFromSequence(e *Eval) error {
	s := e.Seq(0)
	axis := e.Attrs().Int("axis", 0)
	if e.Attrs().Bool("new_axis", false) {
		e.Set(0, e.stack(s.Elems, axis))
	} else {
		e.Set(0, e.concat(s.Elems, axis))
	}
	return nil
}

// stack joins tensors of one shape along a new axis.
func (e *Eval) stack(in []*tensor.Tensor, axis int64) *tensor.Tensor {
	if len(in) == 0 {
		e.Fail("there is nothing to stack")
	}
	a := e.Axis(axis, in[0].Rank()+1)
	parts := make([]*tensor.Tensor, len(in))
	for i, t := range in {
		var err error
		if parts[i], err = t.Reshape(slices.Insert(slices.Clone(t.Shape()), min(a, t.Rank()), 1)...); err != nil {
			e.Fail("%w", err)
		}
	}
	return e.concat(parts, int64(a))
}
