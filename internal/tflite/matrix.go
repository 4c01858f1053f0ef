package tflite

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// fullyConnected multiplies rows of x with weights [outputs, inputs]. All axes of x but
// the last count rows, or, without keep_num_dims, whatever makes rows of that length.
func fullyConnected(o *operation) {
	o.count(2, 3)
	t := o.options
	if f := t.u8(1, 0); f != 0 {
		o.unsupported("weights format %d", f)
	}
	w := o.in(1)
	o.wantRank(w, 2)
	depth, outputs := o.dim(w, 1), o.dim(w, 0)
	shape := o.raw(0).Type.Shape
	rows := len(shape) == 2 && (!shape[1].Known() || shape[1].Size == depth)
	x := o.in(0)
	if !rows {
		x = o.reshaped(0, o.vec(-1, int64(depth)))
	}
	in := []*graph.Value{x, w}
	if b := o.bias(2, 0, 1); b != nil {
		o.wantRank(b, 1)
		in = append(in, b)
	}
	y := o.activate(o.emit("Gemm", graph.Attrs{"transB": int64(1)}, in...), t.u8(0, 0))
	if !t.bool(2, false) || len(shape) == 2 {
		o.out(0, y)
		return
	}
	if shape == nil || len(shape) == 0 {
		o.unsupported("keep_num_dims with data of unknown rank")
	}
	sizes := make([]int64, len(shape))
	open := 0
	for i, d := range shape {
		sizes[i] = int64(d.Size)
		if i == len(shape)-1 {
			sizes[i] = int64(outputs)
		} else if !d.Known() {
			open++
		}
	}
	to := o.vec(sizes...)
	if open > 1 {
		to = o.emit("Concat", graph.Attrs{"axis": int64(0)},
			o.emit("Shape", graph.Attrs{"end": int64(-1)}, o.raw(0)), o.vec(int64(outputs)))
	}
	o.out(0, o.emit("Reshape", nil, y, to))
}

// reshaped returns the real numbers of input i in another shape. The stored elements
// are what is reshaped, so that a quantized operator has its dequantization next to it.
func (o *operation) reshaped(i int, shape *graph.Value) *graph.Value {
	v := o.emit("Reshape", nil, o.raw(i), shape)
	q := o.quantized(o.tensor(i))
	if q == nil {
		return v
	}
	if len(q.scale) != 1 {
		o.unsupported("data quantized with %d scales", len(q.scale))
	}
	scale, zero := o.parameters(o.tensor(i), v.Type.DType, q)
	return o.emit("DequantizeLinear", nil, v, scale, zero)
}

func batchMatMul(o *operation) {
	o.count(2, 2)
	a, b := o.in(0), o.in(1)
	if o.options.bool(0, false) {
		a = o.swapLast(a)
	}
	if o.options.bool(1, false) {
		b = o.swapLast(b)
	}
	if a.Type.DType == tensor.Int8 {
		o.unsupported("integer matrices without quantization")
	}
	o.out(0, o.emit("MatMul", nil, a, b))
}

func (o *operation) swapLast(v *graph.Value) *graph.Value {
	r := o.rank(v)
	if r < 2 {
		o.fail("%s is not a matrix", v)
	}
	perm := make([]int64, r)
	for i := range perm {
		perm[i] = int64(i)
	}
	slices.Reverse(perm[r-2:])
	return o.permuted(v, perm...)
}
