package tflite

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// paddings turns a matrix of (before, after) rows into all befores and then all afters.
func (o *operation) paddings(i, rank int) *graph.Value {
	v, ok := o.ints(i)
	if !ok {
		return o.emit("Reshape", nil, o.emit("Transpose", graph.Attrs{"perm": []int64{1, 0}}, o.cast(o.raw(i), tensor.Int64)), o.vec(-1))
	}
	if len(v) != 2*rank {
		o.fail("paddings %v do not fit rank %d", v, rank)
	}
	out := make([]int64, 2*rank)
	for k := range rank {
		out[k], out[rank+k] = v[2*k], v[2*k+1]
		if v[2*k] < 0 || v[2*k+1] < 0 || v[2*k] > math.MaxInt32 || v[2*k+1] > math.MaxInt32 {
			o.fail("paddings %v are not valid", v)
		}
	}
	return o.vec(out...)
}

// pad fills with zero, the zero point of quantized tensors, or a given constant.
func pad(o *operation) {
	o.count(2, 3)
	x := o.raw(0)
	in := []*graph.Value{x, o.paddings(1, o.rank(x))}
	q := o.quantized(o.tensor(0))
	switch {
	case !o.absent(2):
		if !o.same(o.inputs[0], o.inputs[2]) {
			o.out(0, o.emit("Pad", nil, o.in(0), in[1], o.in(2)))
			return
		}
		c := o.raw(2)
		if r := o.rank(c); r != 0 {
			c = o.emit("Reshape", nil, c, o.vec())
		}
		in = append(in, c)
	case q != nil && len(q.zero) > 0:
		in = append(in, o.scalar(x.Type.DType, float64(q.zero[0])))
	}
	if !o.same(o.inputs[0], o.outputs[0]) {
		in[0] = o.in(0)
		o.out(0, o.emit("Pad", nil, in[:2]...))
		return
	}
	o.outRaw(0, o.emit("Pad", nil, in...))
}

// mirrorPad repeats the elements next to the border backwards, without (reflect) or with
// (symmetric) the outermost one. ONNX has no name for the second.
func mirrorPad(o *operation) {
	o.count(2, 2)
	x := o.raw(0)
	if o.options.u8(0, 0) == 0 {
		o.outRaw(0, o.emit("Pad", graph.Attrs{"mode": "reflect"}, x, o.paddings(1, o.rank(x))))
		return
	}
	v := o.known(1, "the padding")
	if len(v) != 2*o.rank(x) {
		o.fail("paddings %v do not fit %v", v, x)
	}
	if slices.Max(append(slices.Clone(v), 0)) <= 1 {
		o.outRaw(0, o.emit("Pad", graph.Attrs{"mode": "edge"}, x, o.paddings(1, o.rank(x))))
		return
	}
	y := x
	for axis := range o.rank(x) {
		n := int64(o.dim(x, axis))
		before, after := v[2*axis], v[2*axis+1]
		if before < 0 || after < 0 || before > n || after > n {
			o.fail("paddings %v do not fit %v", v, x)
		}
		backwards := func(from, to int64) *graph.Value {
			return o.emit("Slice", nil, y, o.vec(from), o.vec(to), o.vec(int64(axis)), o.vec(-1))
		}
		parts := []*graph.Value{y}
		if before > 0 {
			parts = append([]*graph.Value{backwards(before-1, math.MinInt64)}, parts...)
		}
		if after > 0 {
			parts = append(parts, backwards(-1, -after-1))
		}
		if len(parts) > 1 {
			y = o.emit("Concat", graph.Attrs{"axis": int64(axis)}, parts...)
		}
	}
	o.outRaw(0, y)
}
