package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// qelementwiseOps are the com.microsoft operators on quantized tensors that are not
// matrix products. An absent zero point is zero.
func qelementwiseOps() []Def {
	const (
		ms     = graph.DomainMicrosoft
		two    = "A A_scale A_zero_point? B B_scale B_zero_point? C_scale C_zero_point?"
		one    = "X X_scale X_zero_point? Y_scale Y_zero_point?"
		pooled = "X x_scale x_zero_point? y_scale y_zero_point?"
	)
	return []Def{
		{Name: "QLinearAdd", Domain: ms, In: two, Out: "C", Infer: inferQLinearPair, Eval: evalQLinearAdd},
		{Name: "QLinearMul", Domain: ms, In: two, Out: "C", Infer: inferQLinearPair, Eval: evalQLinearMul},
		{Name: "QLinearSigmoid", Domain: ms, In: one, Out: "Y", Infer: inferLike(0), Eval: evalQLinearSigmoid},
		{Name: "QLinearLeakyRelu", Domain: ms, In: one, Out: "Y", Attrs: "alpha:float", Infer: inferLike(0), Eval: evalQLinearLeakyRelu},
		{Name: "QLinearSoftmax", Domain: ms, In: one, Out: "Y", Attrs: "axis:int opset:int", Infer: inferLike(0), Eval: evalQLinearSoftmax},
		{Name: "QLinearGlobalAveragePool", Domain: ms, In: pooled, Out: "Y", Attrs: "channels_last:int", Infer: inferGlobalPool, Eval: evalQLinearGlobalAveragePool},
		{Name: "QLinearAveragePool", Domain: ms, In: pooled, Out: "Y", Attrs: poolAttrs + " count_include_pad:int channels_last:int", Infer: inferPool, Eval: evalQLinearAveragePool},
		{Name: "QLinearConcat", Domain: ms, In: "Y_scale Y_zero_point inputs+", Out: "Y", Attrs: "axis:int!", Infer: inferQLinearConcat, Eval: evalQLinearConcat},
	}
}

func inferQLinearPair(c *Infer) error {
	s, err := BroadcastDims(c.Shape(0), c.Shape(3))
	if err != nil {
		return err
	}
	c.SetTensor(0, c.DType(0), s)
	return nil
}

// quantizedInput reads tensor input i, which scale and zero point follow.
func (e *Eval) quantizedInput(i int) (*tensor.Tensor, quantized) {
	x := e.T(i)
	if x.DType() != tensor.Uint8 && x.DType() != tensor.Int8 {
		e.Fail("input %s is %v, want 8-bit integers", e.inputName(i), x)
	}
	q := e.quantized(i+1, i+2, x.DType())
	if q.dtype != x.DType() {
		e.Fail("zero point of input %s is %v, the input %v", e.inputName(i), q.dtype, x)
	}
	return x, q
}

// quantizedOutput reads the output's scale and zero point at inputs i and i+1; the output
// has the type of x.
func (e *Eval) quantizedOutput(i int, x *tensor.Tensor) quantized {
	q := e.quantized(i, i+1, x.DType())
	if q.dtype != x.DType() {
		e.Fail("zero point of the output is %v, want the type of %v", q.dtype, x)
	}
	return q
}

// evalQLinearAdd scales each side to output steps in float32 and adds.
func evalQLinearAdd(e *Eval) error {
	a, qa := e.quantizedInput(0)
	b, qb := e.quantizedInput(3)
	qc := e.quantizedOutput(6, a)
	ma, mb := Multiplier(float64(qa.scale), 1, float64(qc.scale)), Multiplier(float64(qb.scale), 1, float64(qc.scale))
	e.pairwise2(a, b, qc.dtype, func(out *tensor.Tensor, i, ia, ib int) {
		va := float32(float32(a.Int(ia)-qa.zero) * ma)
		vb := float32(float32(b.Int(ib)-qb.zero) * mb)
		out.SetInt(i, clampRound(va+vb, qc.dtype, qc.zero))
	})
	return nil
}

func evalQLinearMul(e *Eval) error {
	a, qa := e.quantizedInput(0)
	b, qb := e.quantizedInput(3)
	qc := e.quantizedOutput(6, a)
	mult := Multiplier(float64(qa.scale), float64(qb.scale), float64(qc.scale))
	e.pairwise2(a, b, qc.dtype, func(out *tensor.Tensor, i, ia, ib int) {
		out.SetInt(i, requantize(int32((a.Int(ia)-qa.zero)*(b.Int(ib)-qb.zero)), mult, qc.dtype, qc.zero))
	})
	return nil
}

// pairwise2 is pairwise for operands that are not inputs 0 and 1.
func (e *Eval) pairwise2(a, b *tensor.Tensor, d tensor.DType, f func(out *tensor.Tensor, i, ia, ib int)) {
	shape, err := BroadcastShape(a.Shape(), b.Shape())
	if err != nil {
		e.Fail("%w", err)
	}
	out := e.Result(0, d, shape...)
	ia, ib := newBroadcastIndex(a.Shape(), shape), newBroadcastIndex(b.Shape(), shape)
	for i := range out.Len() {
		f(out, i, ia.next(), ib.next())
	}
}

// table8 applies a function of real numbers to a quantized tensor.
func (e *Eval) table8(f func(float64) float64) error {
	x, qx := e.quantizedInput(0)
	qy := e.quantizedOutput(3, x)
	out := e.Result(0, qy.dtype, x.Shape()...)
	for i := range x.Len() {
		real := float32(x.Int(i)-qx.zero) * qx.scale
		putQuantized(out, i, float32(f(float64(real)))/qy.scale, float64(qy.zero), true)
	}
	return nil
}

func evalQLinearSigmoid(e *Eval) error { return e.table8(sigmoid) }

func evalQLinearLeakyRelu(e *Eval) error {
	return e.table8(leakyRelu(attrFloat(e.Attrs(), "alpha", 0.01)))
}

// evalQLinearSoftmax normalizes along axis or, with attribute opset below 13, over all
// dimensions from axis on.
func evalQLinearSoftmax(e *Eval) error {
	x, qx := e.quantizedInput(0)
	qy := e.quantizedOutput(3, x)
	axis := e.Axis(e.Attrs().Int("axis", -1), x.Rank())
	outer, n, inner := splitAt(x.Shape(), axis)
	if e.Attrs().Int("opset", 13) < 13 {
		n, inner = n*inner, 1
	}
	out := e.Result(0, qy.dtype, x.Shape()...)
	if x.Len() == 0 {
		return nil
	}
	v := make([]float64, n)
	for o := range outer {
		for k := range inner {
			at := func(i int) int { return (o*n+i)*inner + k }
			for i := range v {
				v[i] = float64(float32(x.Int(at(i))-qx.zero) * qx.scale)
			}
			softmax(v)
			for i := range v {
				putQuantized(out, at(i), float32(v[i])/qy.scale, float64(qy.zero), true)
			}
		}
	}
	return nil
}

// refuseChannelsLast: the layout has no place in a graph whose other operators are
// channels-first.
func (e *Eval) refuseChannelsLast() {
	if e.Attrs().Int("channels_last", 0) != 0 {
		e.Fail("channels_last=1 is not supported: transpose around the node")
	}
}

// averaged requantizes a sum of count values of x.
func averaged(sum float64, count int, x, y quantized) int64 {
	return requantize(int32(sum), float32(float64(x.scale)/(float64(y.scale)*float64(count))), y.dtype, y.zero)
}

func evalQLinearGlobalAveragePool(e *Eval) error {
	e.refuseChannelsLast()
	x, qx := e.quantizedInput(0)
	qy := e.quantizedOutput(3, x)
	batch, channels, plane := e.channels(x)
	shape := slices.Clone(x.Shape())
	for i := range shape[2:] {
		shape[2+i] = 1
	}
	out := e.Result(0, qy.dtype, shape...)
	for c := range batch * channels {
		sum := 0.0
		for i := range plane {
			sum += float64(x.Int(c*plane+i) - qx.zero)
		}
		out.SetInt(c, averaged(sum, plane, qx, qy))
	}
	return nil
}

func evalQLinearAveragePool(e *Eval) error {
	e.refuseChannelsLast()
	x, qx := e.quantizedInput(0)
	qy := e.quantizedOutput(3, x)
	p, shape := e.pool(x)
	cells, padded := p.windows()
	include := e.Attrs().Int("count_include_pad", 0) != 0
	out := e.Result(0, qy.dtype, shape...)
	plane := volume(p.in)
	for c := range x.Dim(0) * x.Dim(1) {
		for o, window := range cells {
			sum, count := 0.0, len(window)
			for _, i := range window {
				sum += float64(x.Int(c*plane+i) - qx.zero)
			}
			if include {
				count = padded[o]
			}
			out.SetInt(c*len(cells)+o, averaged(sum, count, qx, qy))
		}
	}
	return nil
}

func inferQLinearConcat(c *Infer) error {
	if (len(c.Node.Inputs)-2)%3 != 0 {
		return fmt.Errorf("has %d inputs, want a tensor, scale and zero point for each piece", len(c.Node.Inputs)-2)
	}
	var out graph.Shape
	for i := 2; i < len(c.Node.Inputs); i += 3 {
		s := c.Shape(i)
		if !s.Ranked() {
			c.SetTensor(0, c.DType(1), nil)
			return nil
		}
		axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(s))
		if err != nil {
			return err
		}
		if out == nil {
			out = s.Clone()
			continue
		}
		if len(s) != len(out) {
			return fmt.Errorf("pieces %v and %v differ in rank", out, s)
		}
		if out[axis].Known() && s[axis].Known() {
			out[axis].Size += s[axis].Size
		} else {
			out[axis] = graph.Unknown
		}
	}
	c.SetTensor(0, c.DType(1), out)
	return nil
}

// evalQLinearConcat requantizes every piece to the output; pieces that have its scale
// and zero point are copied.
func evalQLinearConcat(e *Eval) error {
	if (len(e.In)-2)%3 != 0 {
		e.Fail("has %d inputs, want a tensor, scale and zero point for each piece", len(e.In)-2)
	}
	qy := e.quantized(0, 1, tensor.Invalid)
	first := e.T(2)
	axis := e.Axis(e.Attrs().Int("axis", 0), first.Rank())
	shape := slices.Clone(first.Shape())
	for i := 5; i < len(e.In); i += 3 {
		s := e.T(i).Shape()
		want := slices.Clone(first.Shape())
		if len(s) == len(want) {
			want[axis] = s[axis]
			shape[axis] += s[axis]
		}
		if !slices.Equal(s, want) {
			e.Fail("pieces %v and %v do not fit along axis %d", first, e.T(i), axis)
		}
	}
	out := e.Result(0, qy.dtype, shape...)
	_, total, inner := splitAt(shape, axis)
	start := 0
	for i := 2; i < len(e.In); i += 3 {
		x, qx := e.quantizedInput(i)
		n := x.Dim(axis)
		mult := Multiplier(float64(qx.scale), 1, float64(qy.scale))
		for k := range x.Len() {
			v := x.Int(k)
			if qx != qy {
				v = requantize(int32(v-qx.zero), mult, qy.dtype, qy.zero)
			}
			o, rest := k/(n*inner), k%(n*inner)
			out.SetInt((o*total+start)*inner+rest, v)
		}
		start += n
	}
	return nil
}
