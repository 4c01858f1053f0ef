package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// gather with batch axes is GatherND when it gathers from the axis right after them.
func gather(o *operation) {
	o.count(2, 2)
	x, idx := o.raw(0), o.raw(1)
	axis, batch := int64(o.options.i32(0, 0)), int64(o.options.i32(1, 0))
	if axis < 0 {
		axis += int64(o.rank(x))
	}
	if batch < 0 {
		batch += int64(o.rank(idx))
	}
	switch {
	case batch == 0:
		o.outRaw(0, o.emit("Gather", graph.Attrs{"axis": axis}, x, o.indices(idx)))
	case batch == axis:
		idx = o.emit("Unsqueeze", nil, o.cast(idx, tensor.Int64), o.vec(-1))
		o.outRaw(0, o.emit("GatherND", graph.Attrs{"batch_dims": batch}, x, idx))
	default:
		o.unsupported("%d batch axes before axis %d", batch, axis)
	}
}

// indices converts index types that ONNX does not take.
func (o *operation) indices(v *graph.Value) *graph.Value {
	if d := v.Type.DType; d == tensor.Int32 || d == tensor.Int64 {
		return v
	}
	return o.cast(v, tensor.Int64)
}

func gatherND(o *operation) {
	o.count(2, 2)
	o.outRaw(0, o.emit("GatherND", nil, o.raw(0), o.cast(o.raw(1), tensor.Int64)))
}

// scatterND adds up what is written to one place twice.
func scatterND(o *operation) {
	o.count(3, 3)
	u := o.raw(1)
	zeros := o.emit("ConstantOfShape", graph.Attrs{"value": o.zero(u.Type.DType)}, o.vector(2))
	o.outRaw(0, o.emit("ScatterND", graph.Attrs{"reduction": "add"}, zeros, o.cast(o.raw(0), tensor.Int64), u))
}

// zero returns one zero as a vector, for ConstantOfShape.
func (o *operation) zero(d tensor.DType) *tensor.Tensor {
	if d == tensor.Invalid {
		o.unsupported("elements of unknown type")
	}
	return tensor.New(d, 1)
}

// embeddingLookup takes the indices first.
func embeddingLookup(o *operation) {
	o.count(2, 2)
	o.out(0, o.emit("Gather", nil, o.in(1), o.indices(o.raw(0))))
}

// oneHot ignores indices out of range; ONNX counts negative ones from the end.
func oneHot(o *operation) {
	o.count(4, 4)
	idx, depth := o.cast(o.raw(0), tensor.Int64), o.cast(o.raw(1), tensor.Int64)
	idx = o.emit("Where", nil, o.emit("Less", nil, idx, o.scalar(tensor.Int64, 0)), depth, idx)
	one := func(i int) *graph.Value { return o.emit("Reshape", nil, o.raw(i), o.vec(1)) }
	values := o.emit("Concat", graph.Attrs{"axis": int64(0)}, one(3), one(2))
	o.outRaw(0, o.emit("OneHot", graph.Attrs{"axis": int64(o.options.i32(0, 0))}, idx, depth, values))
}

// where lists the places of true elements, one row each.
func where(o *operation) {
	o.count(1, 1)
	o.outRaw(0, o.transpose(o.emit("NonZero", nil, o.raw(0)), 1, 0))
}

// dynamicUpdateSlice writes a block at a place that is moved so that the block fits.
func dynamicUpdateSlice(o *operation) {
	o.count(3, 3)
	x, u := o.raw(0), o.raw(1)
	have, block := o.sizes(x, 0), o.sizes(u, 0)
	if len(have) != len(block) || len(block) == 0 {
		o.fail("%v does not fit into %v", u, x)
	}
	room, shape, n := make([]int64, len(have)), make([]int, len(have)+1), 1
	for i := range have {
		if room[i] = have[i] - block[i]; room[i] < 0 {
			o.fail("%v does not fit into %v", u, x)
		}
		shape[i] = int(block[i])
		n *= int(block[i])
	}
	r := len(have)
	shape[r] = r
	if k, err := tensor.NumElements(shape); err != nil || k > 1<<26 {
		o.unsupported("a block of %v", u.Type)
	}
	o.take(8 * n * r)
	grid := tensor.New(tensor.Int64, shape...)
	for i := range n {
		rest := int64(i)
		for d := r - 1; d >= 0; d-- {
			grid.I64()[i*r+d] = rest % block[d]
			rest /= block[d]
		}
	}
	at := o.emit("Max", nil, o.emit("Min", nil, o.vector(2), o.vec(room...)), o.vec(make([]int64, r)...))
	o.outRaw(0, o.emit("ScatterND", nil, x, o.emit("Add", nil, o.g.Constant("", grid), at), u))
}

// unique keeps elements in order of appearance.
func unique(o *operation) {
	o.count(1, 1)
	y := o.nodes("Unique", o.base+"/Unique", 3, graph.Attrs{"sorted": int64(0)}, o.raw(0))
	o.outRaw(0, y[0])
	o.outRaw(1, y[2])
}
