package op

import (
	"context"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Value is what flows along an edge at run time: a *tensor.Tensor, a Sequence or an
// Optional. Values are immutable once made; an operator may return an input as its
// output.
type Value any

// Sequence is a list of tensors of one element type.
type Sequence struct {
	DType tensor.DType
	Elems []*tensor.Tensor
}

// Optional holds a tensor, a Sequence, or nothing.
type Optional struct{ Value Value }

// MaxEvalBytes bounds one tensor made during evaluation: a few numbers in a hostile
// model must not be able to ask for all memory there is.
const MaxEvalBytes = 1 << 30

// Eval is the context of one evaluation.
type Eval struct {
	Node *graph.Node
	In   []Value // nil where absent; same length as Node.Inputs
	Out  []Value // to be filled; same length as Node.Outputs

	Ctx context.Context

	// Run executes a body with the given inputs; captured values are the
	// executor's concern.
	Run func(body *graph.Graph, inputs []Value) ([]Value, error)
}

// Attrs returns the node's attributes.
func (e *Eval) Attrs() graph.Attrs { return e.Node.Attrs }

// Has reports whether input i is present.
func (e *Eval) Has(i int) bool { return i < len(e.In) && e.In[i] != nil }

// T returns input i as a tensor, nil when it is absent. A container where a tensor is
// due makes the evaluation fail through Failed in the driver.
func (e *Eval) T(i int) *tensor.Tensor {
	if !e.Has(i) {
		return nil
	}
	t, ok := e.In[i].(*tensor.Tensor)
	if !ok {
		panic(evalFailure{fmt.Errorf("input %s is a %T, not a tensor", e.inputName(i), e.In[i])})
	}
	return t
}

// evalFailure lets accessors deep inside an evaluation fail without an error path
// through every line of it; Evaluate turns it into an error.
type evalFailure struct{ err error }

// Fail ends the evaluation with an error.
func (e *Eval) Fail(format string, args ...any) {
	panic(evalFailure{fmt.Errorf(format, args...)})
}

func (e *Eval) inputName(i int) string {
	if d := Of(e.Node); d != nil {
		return d.InputName(i)
	}
	return fmt.Sprint("#", i)
}

// Make returns a new tensor, failing the evaluation when the shape is invalid or the
// storage above MaxEvalBytes.
func (e *Eval) Make(d tensor.DType, shape []int) *tensor.Tensor {
	n, err := tensor.NumElements(shape)
	if err != nil {
		e.Fail("%w", err)
	}
	if int64(d.Bytes(n)) > MaxEvalBytes {
		e.Fail("a result of type %v%v would be over the limit of %d bytes", d, tensor.FormatShape(shape), int64(MaxEvalBytes))
	}
	t, err := tensor.Make(d, shape)
	if err != nil {
		e.Fail("%w", err)
	}
	return t
}

// Result makes output i with the given type and shape and returns it for filling.
// When output i is not asked for, the tensor is returned all the same.
func (e *Eval) Result(i int, d tensor.DType, shape ...int) *tensor.Tensor {
	t := e.Make(d, shape)
	e.Set(i, t)
	return t
}

// Set stores output i if it is asked for.
func (e *Eval) Set(i int, v Value) {
	if i < len(e.Out) {
		e.Out[i] = v
	}
}

// Ints returns input i, an integer tensor of any width, as int64s; nil when absent.
func (e *Eval) Ints(i int) []int64 {
	t := e.T(i)
	if t == nil {
		return nil
	}
	if !t.DType().IsInt() {
		e.Fail("input %s is %v, want integers", e.inputName(i), t)
	}
	return t.Ints()
}

// Int returns input i, which must hold one integer.
func (e *Eval) Int(i int) int64 {
	v := e.Ints(i)
	if len(v) != 1 {
		e.Fail("input %s must hold one integer, it is %v", e.inputName(i), e.T(i))
	}
	return v[0]
}

// Axis resolves a possibly negative axis against rank, which for insertion axes is
// the rank of the result.
func (e *Eval) Axis(axis int64, rank int) int {
	a, err := ResolveAxis(axis, rank)
	if err != nil {
		e.Fail("%w", err)
	}
	return a
}

// ResolveAxis maps -rank..rank-1 to 0..rank-1.
func ResolveAxis(axis int64, rank int) (int, error) {
	if axis < -int64(rank) || axis >= int64(rank) {
		return 0, fmt.Errorf("axis %d is out of range for rank %d", axis, rank)
	}
	if axis < 0 {
		axis += int64(rank)
	}
	return int(axis), nil
}

// Evaluate runs the reference evaluation of n. Errors name the node.
func Evaluate(e *Eval) (err error) {
	d := Of(e.Node)
	if d == nil || d.Eval == nil {
		return fmt.Errorf("%v: operator %v is not known", e.Node, Key{e.Node.Domain, e.Node.Op})
	}
	defer func() {
		if r := recover(); r != nil {
			f, ok := r.(evalFailure)
			if !ok {
				// Index arithmetic on hostile input ends here rather than in the caller.
				err = fmt.Errorf("%v: invalid input: %v (inputs %s)", e.Node, r, describe(e.In))
				return
			}
			err = fmt.Errorf("%v: %w", e.Node, f.err)
		}
	}()
	if e.Ctx == nil {
		e.Ctx = context.Background()
	}
	if err := d.Eval(e); err != nil {
		return fmt.Errorf("%v: %w", e.Node, err)
	}
	for i, o := range e.Node.Outputs {
		if o != nil && e.Out[i] == nil {
			return fmt.Errorf("%v: output %s cannot be computed", e.Node, d.OutputName(i))
		}
	}
	return nil
}

func describe(vs []Value) string {
	s := ""
	for i, v := range vs {
		if i > 0 {
			s += ", "
		}
		switch v := v.(type) {
		case nil:
			s += "_"
		case *tensor.Tensor:
			s += v.String()
		default:
			s += fmt.Sprintf("%T", v)
		}
	}
	return s
}
