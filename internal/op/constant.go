package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// constantOps make tensors out of attributes, sizes and ranges.
func constantOps() []Def {
	return []Def{
		{Name: "Constant", Out: "output", Attrs: "value:tensor value_float:float value_floats:floats value_int:int value_ints:ints value_string:string value_strings:strings", Infer: inferConstant, Eval: evalConstant},
		{Name: "ConstantOfShape", In: "input", Out: "output", Attrs: "value:tensor", Infer: inferConstantOfShape, Eval: evalConstantOfShape},
		{Name: "Range", In: "start limit delta", Out: "output", Attrs: "stash_type:int", Infer: inferRange, Eval: evalRange},
		{Name: "EyeLike", In: "input", Out: "output", Attrs: "dtype:int k:int", Infer: inferEyeLike, Eval: evalEyeLike},
		{Name: "OneHot", In: "indices depth values", Out: "output", Attrs: "axis:int", Infer: inferOneHot, Eval: evalOneHot},
		{Name: "Trilu", In: "input k?", Out: "output", Attrs: "upper:int", Infer: inferLike(0), Eval: evalTrilu},
	}
}

// constantValue returns the one tensor that Constant's attributes spell.
func constantValue(a graph.Attrs) (*tensor.Tensor, error) {
	if len(a) != 1 {
		return nil, fmt.Errorf("exactly one value attribute is due, there are %d", len(a))
	}
	for _, v := range a {
		switch v := v.(type) {
		case *tensor.Tensor:
			return v, nil
		case float32:
			return tensor.Scalar(v), nil
		case []float32:
			return tensor.Of(v, len(v)), nil
		case int64:
			return tensor.Scalar(v), nil
		case []int64:
			return tensor.Of(v, len(v)), nil
		case string:
			return tensor.OfStrings([]string{v}), nil
		case []string:
			return tensor.OfStrings(v, len(v)), nil
		}
	}
	return nil, errors.New("the value attribute has no known kind")
}

func inferConstant(c *Infer) error {
	t, err := constantValue(c.Attrs())
	if err != nil {
		return err
	}
	c.SetKnown(0, t)
	return nil
}

func evalConstant(e *Eval) error {
	t, err := constantValue(e.Attrs())
	if err != nil {
		return err
	}
	e.Set(0, t)
	return nil
}

// fillValue returns the element that ConstantOfShape repeats: by default float32 zero.
func fillValue(a graph.Attrs) (*tensor.Tensor, error) {
	v := a.Tensor("value")
	if v == nil {
		return tensor.Scalar(float32(0)), nil
	}
	if v.Len() != 1 {
		return nil, fmt.Errorf("attribute value must hold one element, it is %v", v)
	}
	return v, nil
}

func inferConstantOfShape(c *Infer) error {
	v, err := fillValue(c.Attrs())
	if err != nil {
		return err
	}
	s, ok, err := c.dims(0)
	if err != nil {
		return err
	}
	if n := c.Shape(0); !ok && len(n) == 1 && n[0].Known() {
		s = unknownShape(n[0].Size)
	}
	c.SetTensor(0, v.DType(), s)
	return nil
}

func evalConstantOfShape(e *Eval) error {
	v, err := fillValue(e.Attrs())
	if err != nil {
		return err
	}
	fill(e.Result(0, v.DType(), e.sizes(0)...), v)
	return nil
}

// rangeLen is max(ceil((limit-start)/delta), 0).
func rangeLen(start, limit, delta *tensor.Tensor) (int, error) {
	if start.Len() != 1 || limit.Len() != 1 || delta.Len() != 1 {
		return 0, fmt.Errorf("start %v, limit %v and delta %v must be scalars", start, limit, delta)
	}
	if start.DType() != limit.DType() || start.DType() != delta.DType() {
		return 0, fmt.Errorf("start %v, limit %v and delta %v differ in type", start, limit, delta)
	}
	if delta.Float(0) == 0 {
		return 0, errors.New("delta is 0")
	}
	var n float64
	if start.DType().IsInt() {
		// Whole numbers: the exact quotient, rounded up.
		span, step := limit.Int(0)-start.Int(0), delta.Int(0)
		q := span / step
		if span%step != 0 && (span < 0) == (step < 0) {
			q++
		}
		n = float64(q)
	} else {
		n = math.Ceil((limit.Float(0) - start.Float(0)) / delta.Float(0))
	}
	if !(n <= tensor.MaxElements) {
		return 0, fmt.Errorf("a range from %v to %v by %v has no representable length", start.Float(0), limit.Float(0), delta.Float(0))
	}
	return int(max(n, 0)), nil
}

func inferRange(c *Infer) error {
	d := c.DType(0)
	a, b, s := c.Known(0), c.Known(1), c.Known(2)
	if a == nil || b == nil || s == nil {
		c.SetTensor(0, d, unknownShape(1))
		return nil
	}
	n, err := rangeLen(a, b, s)
	if err != nil {
		return err
	}
	c.SetTensor(0, d, graph.Dims(n))
	return nil
}

func evalRange(e *Eval) error {
	start, delta := e.T(0), e.T(2)
	n, err := rangeLen(start, e.T(1), delta)
	if err != nil {
		return err
	}
	out := e.Result(0, start.DType(), n)
	if out.DType().IsInt() {
		for i := range n {
			out.SetInt(i, start.Int(0)+int64(i)*delta.Int(0))
		}
		return nil
	}
	for i := range n {
		v := start.Float(0) + float64(i)*delta.Float(0)
		if out.DType() == tensor.Float32 {
			v = float64(float32(start.Float(0)) + float32(float32(i)*float32(delta.Float(0))))
		}
		out.SetFloat(i, v)
	}
	return nil
}

func eyeType(a graph.Attrs, like tensor.DType) (tensor.DType, error) {
	if !a.Has("dtype") {
		return like, nil
	}
	return dtypeAttr(a.Int("dtype", 0))
}

func inferEyeLike(c *Infer) error {
	d, err := eyeType(c.Attrs(), c.DType(0))
	if err != nil {
		return err
	}
	if s := c.Shape(0); s != nil && len(s) != 2 {
		return fmt.Errorf("input must be a matrix, its shape is %v", s)
	}
	c.SetTensor(0, d, c.Shape(0))
	return nil
}

func evalEyeLike(e *Eval) error {
	x := e.T(0)
	d, err := eyeType(e.Attrs(), x.DType())
	if err != nil {
		return err
	}
	if x.Rank() != 2 {
		return fmt.Errorf("input must be a matrix, it is %v", x)
	}
	out := e.Result(0, d, x.Shape()...)
	k := e.Attrs().Int("k", 0)
	for r := range x.Dim(0) {
		if col := int64(r) + k; col >= 0 && col < int64(x.Dim(1)) {
			out.SetInt(r*x.Dim(1)+int(col), 1)
		}
	}
	return nil
}

// oneHotDepth reads depth, a scalar or a vector of one, of any numeric type.
func oneHotDepth(t *tensor.Tensor) (int, error) {
	if t.Len() != 1 {
		return 0, fmt.Errorf("depth must hold one element, it is %v", t)
	}
	n := t.Int(0)
	if n < 0 || n > tensor.MaxElements {
		return 0, fmt.Errorf("depth %d is not valid", n)
	}
	return int(n), nil
}

func inferOneHot(c *Infer) error {
	in := c.Shape(0)
	if in == nil {
		c.SetTensor(0, c.DType(2), nil)
		return nil
	}
	axis, err := ResolveAxis(c.Attrs().Int("axis", -1), len(in)+1)
	if err != nil {
		return err
	}
	depth := graph.Unknown
	if t := c.Known(1); t != nil {
		n, err := oneHotDepth(t)
		if err != nil {
			return err
		}
		depth.Size = n
	}
	out := append(graph.Shape{}, in[:axis]...)
	c.SetTensor(0, c.DType(2), append(append(out, depth), in[axis:]...))
	return nil
}

func evalOneHot(e *Eval) error {
	x, values := e.T(0), e.T(2)
	depth, err := oneHotDepth(e.T(1))
	if err != nil {
		return err
	}
	if values.Len() != 2 {
		return fmt.Errorf("values must hold the off and the on value, it is %v", values)
	}
	axis := e.Axis(e.Attrs().Int("axis", -1), x.Rank()+1)
	shape := append(append(append([]int{}, x.Shape()[:axis]...), depth), x.Shape()[axis:]...)
	out := e.Result(0, values.DType(), shape...)
	fill(out, values)
	inner := sizeOf(x.Shape()[axis:])
	for i := range x.Len() {
		k := x.Int(i)
		if k < 0 {
			k += int64(depth)
		}
		if k >= 0 && k < int64(depth) { // others leave their column off
			copyElement(out, (i/inner*depth+int(k))*inner+i%inner, values, 1)
		}
	}
	return nil
}

func evalTrilu(e *Eval) error {
	x := e.T(0)
	if x.Rank() < 2 {
		return fmt.Errorf("input must have rank 2 or more, it is %v", x)
	}
	k := 0
	if e.Has(1) {
		k = int(min(max(e.Int(1), -tensor.MaxElements), tensor.MaxElements))
	}
	upper := e.Attrs().Bool("upper", true)
	rows, cols := x.Dim(-2), x.Dim(-1)
	out := e.Result(0, x.DType(), x.Shape()...)
	for i := range x.Len() {
		r, c := i/cols%rows, i%cols
		if upper && c-r >= k || !upper && c-r <= k {
			copyElement(out, i, x, i)
		}
	}
	return nil
}
