package tflite

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Operators that only move elements work on them as they are stored, quantized or not.

// concatenation moves stored elements where all tensors have the same parameters.
func concatenation(o *operation) {
	o.count(1, 1<<20)
	attrs := graph.Attrs{"axis": int64(o.options.i32(0, 0))}
	act := o.options.u8(1, 0)
	raw := act == 0 && !o.absent(0)
	for i := range o.inputs {
		raw = raw && !o.absent(i) && o.same(o.inputs[i], o.outputs[0])
	}
	in := make([]*graph.Value, len(o.inputs))
	for i := range in {
		if raw {
			in[i] = o.raw(i)
		} else {
			in[i] = o.in(i)
		}
	}
	y := o.emit("Concat", attrs, in...)
	if raw {
		o.outRaw(0, y)
		return
	}
	o.out(0, o.activate(y, act))
}

// reshape takes the new shape from its second input, or from options in old files.
func reshape(o *operation) {
	o.count(1, 2)
	attrs := graph.Attrs{}
	var shape *graph.Value
	if !o.absent(1) {
		shape = o.vector(1)
		if v, ok := o.ints(1); ok && slices.Contains(v, 0) && !slices.Contains(v, -1) {
			attrs["allowzero"] = int64(1)
		}
	} else {
		var sizes []int64
		for _, d := range o.options.i32s(0) {
			sizes = append(sizes, int64(d))
		}
		if len(sizes) == 1 && sizes[0] == 0 {
			sizes = nil // how the first converters wrote a scalar
		}
		shape = o.vec(sizes...)
	}
	o.outRaw(0, o.emit("Reshape", attrs, o.raw(0), shape))
}

func transposeAxes(o *operation) {
	o.count(2, 2)
	perm := o.known(1, "the permutation")
	o.wantRank(o.raw(0), len(perm))
	o.outRaw(0, o.emit("Transpose", graph.Attrs{"perm": perm}, o.raw(0)))
}

// squeeze without axes removes every axis of size 1.
func squeeze(o *operation) {
	o.count(1, 1)
	in := []*graph.Value{o.raw(0)}
	if axes := o.options.i32s(0); len(axes) > 0 {
		in = append(in, o.vec(wide(axes)...))
	}
	o.outRaw(0, o.emit("Squeeze", nil, in...))
}

func wide(v []int32) []int64 {
	out := make([]int64, len(v))
	for i, x := range v {
		out[i] = int64(x)
	}
	return out
}

func expandDims(o *operation) {
	o.count(2, 2)
	o.outRaw(0, o.emit("Unsqueeze", nil, o.raw(0), o.vector(1)))
}

func pack(o *operation) {
	o.count(1, 1<<20)
	axis := int64(o.options.i32(1, 0))
	raw := true
	for i := range o.inputs {
		raw = raw && !o.absent(i) && o.same(o.inputs[i], o.outputs[0])
	}
	in := make([]*graph.Value, len(o.inputs))
	for i := range in {
		v := o.raw(i)
		if !raw {
			v = o.in(i)
		}
		in[i] = o.emit("Unsqueeze", nil, v, o.vec(axis))
	}
	o.out(0, o.emit("Concat", graph.Attrs{"axis": axis}, in...))
}

func unpack(o *operation) {
	o.count(1, 1)
	axis := int64(o.options.i32(1, 0))
	for i, p := range o.pieces(o.raw(0), axis, nil) {
		o.outRaw(i, o.emit("Squeeze", nil, p, o.vec(axis)))
	}
}

// pieces splits v into one piece per output, of equal sizes where none are given.
func (o *operation) pieces(v *graph.Value, axis int64, sizes []int64) []*graph.Value {
	attrs := graph.Attrs{"axis": axis}
	in := []*graph.Value{v}
	if sizes == nil {
		attrs["num_outputs"] = int64(len(o.outputs))
	} else {
		in = append(in, o.vec(sizes...))
	}
	return o.nodes("Split", o.base+"/Split", len(o.outputs), attrs, in...)
}

// split takes the axis first.
func split(o *operation) {
	o.count(2, 2)
	axis := o.known(0, "the axis")
	if len(axis) != 1 {
		o.fail("axis %v is not one number", axis)
	}
	for i, p := range o.pieces(o.raw(1), axis[0], nil) {
		o.outRaw(i, p)
	}
}

// splitV has sizes of which one may be −1, the rest.
func splitV(o *operation) {
	o.count(3, 3)
	x := o.raw(0)
	sizes, axis := slices.Clone(o.known(1, "the sizes")), o.known(2, "the axis")
	if len(axis) != 1 || len(sizes) != len(o.outputs) {
		o.fail("axis %v and sizes %v do not describe %d outputs", axis, sizes, len(o.outputs))
	}
	if open := slices.Index(sizes, -1); open >= 0 {
		a := axis[0]
		if a < 0 {
			a += int64(o.rank(x))
		}
		if a < 0 || a >= int64(o.rank(x)) {
			o.fail("axis %d is out of range for %v", axis[0], x)
		}
		rest := int64(o.dim(x, int(a)))
		for i, n := range sizes {
			if i != open {
				rest -= n
			}
		}
		sizes[open] = rest
	}
	for i, p := range o.pieces(x, axis[0], sizes) {
		o.outRaw(i, p)
	}
}

func tile(o *operation) {
	o.count(2, 2)
	o.outRaw(0, o.emit("Tile", nil, o.raw(0), o.vector(1)))
}

func broadcastTo(o *operation) {
	o.count(2, 2)
	o.outRaw(0, o.emit("Expand", nil, o.raw(0), o.vector(1)))
}

// reverse runs backwards along the given axes.
func reverse(o *operation) {
	o.count(2, 2)
	o.outRaw(0, o.backwards(o.raw(0), o.known(1, "the axes")...))
}

func (o *operation) backwards(v *graph.Value, axes ...int64) *graph.Value {
	fill := func(x int64) *graph.Value { return o.vec(slices.Repeat([]int64{x}, len(axes))...) }
	return o.emit("Slice", nil, v, fill(-1), fill(math.MinInt64), o.vec(axes...), fill(-1))
}

// reverseSequence has any two axes; ONNX wants them to be the first two.
func reverseSequence(o *operation) {
	o.count(2, 2)
	x := o.raw(0)
	time, batch := int64(o.options.i32(0, 0)), int64(o.options.i32(1, 0))
	r := int64(o.rank(x))
	if time < 0 || batch < 0 || time >= r || batch >= r || time == batch {
		o.fail("axes %d and %d do not fit %v", time, batch, x)
	}
	perm := []int64{batch, time}
	for i := range r {
		if i != time && i != batch {
			perm = append(perm, i)
		}
	}
	back := make([]int64, r)
	for i, p := range perm {
		back[p] = int64(i)
	}
	y := o.emit("ReverseSequence", graph.Attrs{"batch_axis": int64(0), "time_axis": int64(1)}, o.transpose(x, perm...), o.cast(o.raw(1), tensor.Int64))
	o.outRaw(0, o.transpose(y, back...))
}

func spaceToDepth(o *operation) {
	o.count(1, 1)
	o.outRaw(0, o.last(o.emit("SpaceToDepth", graph.Attrs{"blocksize": int64(o.options.i32(0, 0))}, o.first(o.raw(0)))))
}

func depthToSpace(o *operation) {
	o.count(1, 1)
	o.outRaw(0, o.last(o.emit("DepthToSpace", graph.Attrs{"blocksize": int64(o.options.i32(0, 0)), "mode": "DCR"}, o.first(o.raw(0)))))
}

// blocks reads the block shape and the two ends of padding or cropping of each spatial
// axis of [N, spatial..., rest...].
func (o *operation) blocks() (x *graph.Value, block, ends []int64) {
	x, block, ends = o.raw(0), o.known(1, "the block shape"), o.known(2, "the padding")
	if len(ends) != 2*len(block) || o.rank(x) < 1+len(block) {
		o.fail("block %v and padding %v do not fit %v", block, ends, x)
	}
	for _, b := range block {
		if b < 1 || b > math.MaxInt32 {
			o.fail("block %v is not valid", block)
		}
	}
	for _, e := range ends {
		if e < 0 || e > math.MaxInt32 {
			o.fail("padding %v is not valid", ends)
		}
	}
	return x, block, ends
}

// sizes returns the sizes of v from axis i on, which must be known.
func (o *operation) sizes(v *graph.Value, i int) []int64 {
	var out []int64
	for ; i < len(v.Type.Shape); i++ {
		out = append(out, int64(o.dim(v, i)))
	}
	return out
}

// spaceToBatch cuts the padded spatial axes into blocks whose cells become batches:
// [N, S·b, R] → [N, S, b, R] → [b, N, S, R] → [b·N, S, R].
func spaceToBatch(o *operation) {
	o.count(3, 3)
	x, block, ends := o.blocks()
	m, r := len(block), o.rank(x)
	pads := make([]int64, 2*r)
	for i := range m {
		pads[1+i], pads[r+1+i] = ends[2*i], ends[2*i+1]
	}
	in := []*graph.Value{x, o.vec(pads...)}
	if q := o.quantized(o.tensor(0)); q != nil && len(q.zero) > 0 {
		in = append(in, o.scalar(x.Type.DType, float64(q.zero[0])))
	}
	x = o.emit("Pad", nil, in...)
	cut, perm, out := []int64{-1}, []int64{}, []int64{-1}
	spatial := o.sizes(x, 1)
	for i, b := range block {
		if spatial[i]%b != 0 {
			o.fail("blocks of %v do not fit the padded %v", block, x)
		}
		cut = append(cut, spatial[i]/b, b)
		perm = append(perm, int64(2+2*i))
		out = append(out, spatial[i]/b)
	}
	perm = append(perm, 0)
	for i := range m {
		perm = append(perm, int64(1+2*i))
	}
	for i, d := range spatial[m:] {
		cut, out, perm = append(cut, d), append(out, d), append(perm, int64(1+2*m+i))
	}
	y := o.transpose(o.emit("Reshape", nil, x, o.vec(cut...)), perm...)
	o.outRaw(0, o.emit("Reshape", nil, y, o.vec(out...)))
}

// batchToSpace is the inverse: it puts blocks together and crops.
func batchToSpace(o *operation) {
	o.count(3, 3)
	x, block, ends := o.blocks()
	m := len(block)
	spatial := o.sizes(x, 1)
	cut, perm, out := slices.Clone(block), []int64{int64(m)}, []int64{-1}
	cut = append(cut, -1)
	var starts, stops, axes []int64
	for i, b := range block {
		full := spatial[i] * b
		cut = append(cut, spatial[i])
		perm = append(perm, int64(m+1+i), int64(i))
		out = append(out, full)
		starts, stops, axes = append(starts, ends[2*i]), append(stops, full-ends[2*i+1]), append(axes, int64(1+i))
		if stops[i] < starts[i] {
			o.fail("crops %v leave nothing of %d", ends, full)
		}
	}
	for i, d := range spatial[m:] {
		cut, out, perm = append(cut, d), append(out, d), append(perm, int64(2*m+1+i))
	}
	y := o.transpose(o.emit("Reshape", nil, x, o.vec(cut...)), perm...)
	y = o.emit("Reshape", nil, y, o.vec(out...))
	o.outRaw(0, o.emit("Slice", nil, y, o.vec(starts...), o.vec(stops...), o.vec(axes...)))
}
