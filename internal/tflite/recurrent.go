package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// onnxGates is where gate i of ONNX (input, output, forget, cell) stands among the file's
// (input, forget, cell, output).
var onnxGates = [4]int{0, 3, 1, 2}

// maxSteps bounds the steps that are written out one by one.
const maxSteps = 1 << 12

// floats returns constant input i as real numbers, dequantized where it is quantized;
// integers of other tensors, biases, are multiplied with scale.
func (o *operation) floats(i int, scale float32) []float32 {
	t := o.tensor(i)
	v := o.value(t)
	if v.Const == nil {
		o.unsupported("weights computed at run time")
	}
	c := v.Const
	o.take(4 * c.Len())
	out := make([]float32, c.Len())
	q := o.quantized(t)
	if q != nil && len(q.scale) > 1 && q.axis != 0 {
		o.unsupported("weights quantized along axis %d", q.axis)
	}
	for k := range out {
		x := c.Float(k)
		switch {
		case q != nil:
			row := 0
			if len(q.scale) > 1 {
				row = k / (c.Len() / len(q.scale))
			}
			zero := int64(0)
			if len(q.zero) > 0 {
				zero = q.zero[min(row, len(q.zero)-1)]
			}
			out[k] = float32(x-float64(zero)) * q.scale[row]
		case c.DType().IsInt():
			out[k] = float32(x) * scale
		default:
			out[k] = float32(x)
		}
	}
	return out
}

// gates stacks the four constant inputs from number first on, in the order of ONNX.
func (o *operation) gates(first, columns int) *tensor.Tensor {
	var all []float32
	rows := 0
	for _, g := range onnxGates {
		i := first + g
		w := o.floats(i, 1)
		if s := o.raw(i).Const.Shape(); len(s) != 2 || columns > 0 && s[1] != columns || rows > 0 && s[0] != rows {
			o.fail("weights %v of the gates do not fit each other", s)
		} else {
			rows, columns = s[0], s[1]
		}
		all = append(all, w...)
	}
	return tensor.Of(all, 4*rows, columns)
}

// sequenceLSTM runs one LSTM layer over [batch, time, features], or time first. Its inputs
// are data, four input weights, four recurrent weights, three peepholes, four biases,
// projection and two states, which are zero here.
//
// Converters bound the cell state by 10. ONNX knows no such bound; but a state that grows
// by at most 1 a step cannot reach it in fewer steps. Longer sequences are written out.
func sequenceLSTM(o *operation) {
	o.count(20, 24)
	t := o.options
	if o.absent(1) {
		o.unsupported("coupled input and forget gates")
	}
	if !o.absent(16) || !o.absent(17) {
		o.unsupported("projection")
	}
	for i := 20; i < 24; i++ {
		if !o.absent(i) {
			o.unsupported("layer normalization")
		}
	}
	if t.u8(0, 0) != 4 {
		o.unsupported("activation function %d", t.u8(0, 0))
	}
	x := o.in(0)
	o.wantRank(x, 3)
	if !t.bool(3, false) {
		x = o.transpose(x, 1, 0, 2)
	}
	w, r := o.gates(1, 0), o.gates(5, 0)
	hidden := r.Dim(1)
	if w.Dim(0) != 4*hidden || r.Dim(0) != 4*hidden || hidden == 0 {
		o.fail("weights %v and %v do not fit each other", w, r)
	}
	b := tensor.New(tensor.Float32, 8*hidden)
	for k, g := range onnxGates {
		scale := float32(1)
		if xq, wq := o.quantized(o.tensor(0)), o.quantized(o.tensor(1+g)); xq != nil && wq != nil {
			scale = xq.scale[0] * wq.scale[0]
		}
		v := o.floats(12+g, scale)
		if len(v) != hidden {
			o.fail("bias of %d elements for %d cells", len(v), hidden)
		}
		copy(b.F32()[k*hidden:], v)
	}
	clip := t.f32(1, 0)
	steps := x.Type.Shape[0]
	var y *graph.Value
	if clip <= 0 || steps.Known() && float32(steps.Size) <= clip {
		y = o.lstm(x, w, r, b, hidden)
	} else {
		y = o.unrolledLSTM(x, w, r, b, hidden, clip)
	}
	if !t.bool(3, false) {
		y = o.transpose(y, 1, 0, 2)
	}
	o.out(0, y)
}

// lstm emits the operator; w is [4·hidden, features], r [4·hidden, hidden].
func (o *operation) lstm(x *graph.Value, w, r, b *tensor.Tensor, hidden int) *graph.Value {
	one := func(name string, t *tensor.Tensor) *graph.Value {
		t, err := t.Reshape(append([]int{1}, t.Shape()...)...)
		if err != nil {
			panic(err) // only an axis of size 1 is added
		}
		return o.g.Constant(o.base+"/"+name, t)
	}
	in := []*graph.Value{x, one("W", w), one("R", r), one("B", b)}
	if !o.absent(9) || !o.absent(10) || !o.absent(11) {
		p := tensor.New(tensor.Float32, 3*hidden)
		for k, i := range []int{9, 11, 10} {
			v := o.floats(i, 1)
			if len(v) != hidden {
				o.fail("peephole of %d elements for %d cells", len(v), hidden)
			}
			copy(p.F32()[k*hidden:], v)
		}
		in = append(in, nil, nil, nil, one("P", p))
	}
	y := o.emit("LSTM", graph.Attrs{"hidden_size": int64(hidden)}, in...)
	return o.emit("Squeeze", nil, y, o.vec(1))
}

// unrolledLSTM writes the steps out, with the cell state clipped after each.
func (o *operation) unrolledLSTM(x *graph.Value, w, r, b *tensor.Tensor, hidden int, clip float32) *graph.Value {
	if !o.absent(9) || !o.absent(10) || !o.absent(11) {
		o.unsupported("peepholes together with a bounded cell state")
	}
	steps, batch, features := o.dim(x, 0), o.dim(x, 1), o.dim(x, 2)
	if steps < 1 || steps > maxSteps {
		o.unsupported("a bounded cell state over %d steps", steps)
	}
	rows := o.emit("Reshape", nil, x, o.vec(-1, int64(features)))
	half := tensor.Of(b.F32()[:4*hidden], 4*hidden)
	transB := graph.Attrs{"transB": int64(1)}
	all := o.emit("Gemm", transB, rows, o.g.Constant(o.base+"/W", w), o.g.Constant(o.base+"/B", half))
	at := []*graph.Value{all}
	if steps > 1 {
		at = o.nodes("Split", o.base+"/Split", steps, graph.Attrs{"axis": int64(0), "num_outputs": int64(steps)}, all)
	}
	recurrent := o.g.Constant(o.base+"/R", r)
	lo, hi := o.scalar(tensor.Float32, -float64(clip)), o.scalar(tensor.Float32, float64(clip))
	var h, c *graph.Value
	var out []*graph.Value
	for _, g := range at {
		if h != nil {
			g = o.emit("Add", nil, o.emit("Gemm", transB, h, recurrent), g)
		}
		p := o.nodes("Split", o.base+"/Split", 4, graph.Attrs{"axis": int64(1), "num_outputs": int64(4)}, g)
		next := o.emit("Mul", nil, o.emit("Sigmoid", nil, p[0]), o.emit("Tanh", nil, p[3]))
		if c != nil {
			next = o.emit("Add", nil, next, o.emit("Mul", nil, o.emit("Sigmoid", nil, p[2]), c))
		}
		c = o.emit("Clip", nil, next, lo, hi)
		h = o.emit("Mul", nil, o.emit("Sigmoid", nil, p[1]), o.emit("Tanh", nil, c))
		out = append(out, h)
	}
	y := o.emit("Concat", graph.Attrs{"axis": int64(0)}, out...)
	return o.emit("Reshape", nil, y, o.vec(int64(steps), int64(batch), int64(hidden)))
}
