package tflite

import (
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// operation is one operator of the file while it is imported. Its methods fail by
// panicking with a failure, which run turns into an error.
type operation struct {
	*scope
	*operator
	code opcode
	name string // of the operator
	base string // name of the first output, from which those of new values are made
}

func (o *operation) run() (err error) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		f, ok := r.(failure)
		switch {
		case !ok:
			panic(r)
		case o.follows(): // the operator before is what is refused
		case f.unsupported:
			o.refuse(o.name, f.err.Error(), o.base)
		default:
			err = f.err
			return
		}
		o.placeholders()
	}()
	h := handlers[o.code.builtin]
	if h == nil || o.code.builtin == opCustom {
		o.refuse(o.name, "", o.base)
		o.placeholders()
		return nil
	}
	for _, t := range o.outputs {
		if o.stored[t] != nil {
			return fmt.Errorf("tensor %s is made twice", o.sub.tensors[t].name)
		}
	}
	first := len(o.g.Nodes)
	h(o)
	for i, t := range o.outputs {
		if o.stored[t] == nil {
			return fmt.Errorf("output %d is not one of the operator's", i)
		}
	}
	for _, n := range o.g.Nodes[first:] {
		n.Name = n.Outputs[0].Name
	}
	return nil
}

// placeholders gives the outputs of a refused operator values of the stated types.
func (o *operation) placeholders() {
	for _, t := range o.outputs {
		if o.stored[t] == nil {
			typ, _ := inputType(&o.sub.tensors[t])
			o.stored[t] = o.g.NewValue("", typ)
			o.refusedValues[o.stored[t]] = true
		}
	}
}

// follows reports whether an input comes from a refused operator, so that nothing can be
// said about this one.
func (o *operation) follows() bool {
	for _, t := range o.inputs {
		if t >= 0 && o.refusedValues[o.stored[t]] {
			return true
		}
	}
	return false
}

// count fails unless the operator has between lo and hi inputs.
func (o *operation) count(lo, hi int) {
	if n := len(o.inputs); n < lo || n > hi {
		o.fail("has %d inputs, want %d to %d", n, lo, hi)
	}
	if len(o.outputs) == 0 {
		o.fail("has no output")
	}
}

// absent reports whether optional input i is not given.
func (o *operation) absent(i int) bool { return i >= len(o.inputs) || o.inputs[i] < 0 }

func (o *operation) tensor(i int) int {
	if o.absent(i) {
		o.fail("input %d is missing", i)
	}
	return int(o.inputs[i])
}

// in returns the real numbers of input i.
func (o *operation) in(i int) *graph.Value { return o.number(o.tensor(i)) }

// raw returns input i as it is stored.
func (o *operation) raw(i int) *graph.Value { return o.value(o.tensor(i)) }

// emit appends a node with one output.
func (o *operation) emit(name string, attrs graph.Attrs, in ...*graph.Value) *graph.Value {
	return o.node(name, o.base+"/"+name, attrs, in...)
}

// out gives output i the real numbers v, quantized where the tensor is.
func (o *operation) out(i int, v *graph.Value) {
	if i >= len(o.outputs) {
		o.fail("has %d outputs, output %d is missing", len(o.outputs), i)
	}
	t := int(o.outputs[i])
	if q := o.quantized(t); q != nil && v.Type.DType.IsFloat() {
		d := o.sub.tensors[t].dtype
		if len(q.scale) != 1 || !(q.scale[0] > 0) || d == tensor.Int4 {
			o.unsupported("output %s is quantized with %d scales", o.sub.tensors[t].name, len(q.scale))
		}
		scale, zero := o.parameters(t, d, q)
		v = o.emit("QuantizeLinear", nil, v, scale, zero)
	}
	o.outRaw(i, v)
}

// outRaw gives output i the stored elements v. Integers of another width are converted;
// other differences of type are the file's fault.
func (o *operation) outRaw(i int, v *graph.Value) {
	if i >= len(o.outputs) {
		o.fail("has %d outputs, output %d is missing", len(o.outputs), i)
	}
	t := int(o.outputs[i])
	x := &o.sub.tensors[t]
	if d := v.Type.DType; d != x.dtype && d != tensor.Invalid {
		if x.dtype == tensor.Invalid {
			o.unsupported("output %s is of type %s", x.name, typeName(x))
		}
		if !(d.IsInt() && x.dtype.IsInt()) {
			o.fail("output %s is %v in the file, but the operator makes %v", x.name, x.dtype, d)
		}
		v = o.cast(v, x.dtype)
	}
	if v.Def != nil && v.Const == nil && o.derived(v) {
		v.Name = o.g.NewValue(x.name, graph.Type{}).Name
	}
	o.stored[t] = v
}

// derived reports whether this operation made v and has not given it to an output.
func (o *operation) derived(v *graph.Value) bool {
	for _, t := range o.outputs {
		if o.stored[t] == v {
			return false
		}
	}
	return strings.HasPrefix(v.Name, o.base+"/"+v.Def.Op)
}

// same reports whether all given tensors have equal quantization, or none.
func (o *operation) same(ts ...int32) bool {
	first := o.quantized(int(ts[0]))
	for _, t := range ts[1:] {
		q := o.quantized(int(t))
		if (q == nil) != (first == nil) {
			return false
		}
		if q != nil && (!slices.Equal(q.scale, first.scale) || !slices.Equal(q.zero, first.zero)) {
			return false
		}
	}
	return true
}

// cast converts element types; a value of the type already is passed on.
func (o *operation) cast(v *graph.Value, d tensor.DType) *graph.Value {
	if v.Type.DType == d {
		return v
	}
	return o.emit("Cast", graph.Attrs{"to": int64(d)}, v)
}

// rank returns the rank of v, which must be known.
func (o *operation) rank(v *graph.Value) int {
	if v.Type.Shape == nil {
		o.unsupported("the rank of %s is not known", v.Name)
	}
	return len(v.Type.Shape)
}

func (o *operation) wantRank(v *graph.Value, rank int) {
	if r := o.rank(v); r != rank {
		o.fail("%s has rank %d, want %d", v, r, rank)
	}
}

// ints returns the contents of an integer input where they are known; nil, false when
// they are computed at run time.
func (o *operation) ints(i int) ([]int64, bool) {
	t := o.facts.Known(o.raw(i))
	if t == nil {
		return nil, false
	}
	if !t.DType().IsInt() {
		o.fail("input %d is %v, want integers", i, t)
	}
	return t.Ints(), true
}

// known is ints for operators that need the contents when the model is read.
func (o *operation) known(i int, what string) []int64 {
	v, ok := o.ints(i)
	if !ok {
		o.unsupported("%s is computed at run time", what)
	}
	return v
}

// vector returns input i as an int64 vector, the form of shapes and axes in ONNX.
func (o *operation) vector(i int) *graph.Value {
	if v, ok := o.ints(i); ok {
		return o.vec(v...)
	}
	v := o.cast(o.raw(i), tensor.Int64)
	if v.Type.Shape == nil || len(v.Type.Shape) != 1 {
		v = o.emit("Reshape", nil, v, o.vec(-1))
	}
	return v
}

// vec returns a constant int64 vector.
func (o *operation) vec(v ...int64) *graph.Value {
	o.take(8 * len(v))
	return o.g.Ints("", v...)
}

// scalar returns a constant of type d and rank 0.
func (o *operation) scalar(d tensor.DType, x float64) *graph.Value {
	if !d.IsFloat() && !d.IsInt() {
		o.unsupported("elements of type %v", d)
	}
	t := tensor.New(d)
	if d.IsFloat() {
		t.SetFloat(0, x)
	} else {
		t.SetInt(0, int64(x))
	}
	return o.g.Constant("", t)
}

// activate applies a fused activation function.
func (o *operation) activate(v *graph.Value, code uint8) *graph.Value {
	clip := func(lo, hi float64) *graph.Value {
		return o.emit("Clip", nil, v, o.scalar(v.Type.DType, lo), o.scalar(v.Type.DType, hi))
	}
	switch code {
	case 0:
		return v
	case 1:
		return o.emit("Relu", nil, v)
	case 2:
		return clip(-1, 1)
	case 3:
		return clip(0, 6)
	case 4:
		return o.emit("Tanh", nil, v)
	}
	o.unsupported("fused activation function %d", code)
	return nil
}

// transpose reorders axes: axis i of the result is axis perm[i] of v.
func (o *operation) transpose(v *graph.Value, perm ...int64) *graph.Value {
	o.wantRank(v, len(perm))
	return o.emit("Transpose", graph.Attrs{"perm": perm}, v)
}

// first moves the channels of [N, H, W, C] before the spatial axes; last moves them back.
func (o *operation) first(v *graph.Value) *graph.Value { return o.transpose(v, 0, 3, 1, 2) }
func (o *operation) last(v *graph.Value) *graph.Value  { return o.transpose(v, 0, 2, 3, 1) }

// dim returns size i of v, which must be known.
func (o *operation) dim(v *graph.Value, i int) int {
	if i >= o.rank(v) {
		o.fail("%s has no axis %d", v, i)
	}
	d := v.Type.Shape[i]
	if !d.Known() {
		o.unsupported("size %d of %s is not known", i, v.Name)
	}
	return d.Size
}

// permutation names a constant in another order of axes, or as matrix.
type permutation struct {
	v    *graph.Value
	perm string
}

// permuted reorders the axes of weights: at once when they are constant, also behind
// their dequantization, else by a node.
func (o *operation) permuted(v *graph.Value, perm ...int64) *graph.Value {
	o.wantRank(v, len(perm))
	key := permutation{v, fmt.Sprint(perm)}
	if w := o.moved[key]; w != nil {
		return w
	}
	n := v.Def
	var w *graph.Value
	switch {
	case v.Const != nil:
		w = o.g.Constant(v.Name, o.reorder(v.Const, perm))
	case n != nil && n.Is("DequantizeLinear") && n.Inputs[0].Const != nil:
		q := o.g.Constant(n.Inputs[0].Name, o.reorder(n.Inputs[0].Const, perm))
		attrs := n.Attrs.Clone()
		if n.Attrs.Has("axis") {
			attrs["axis"] = int64(slices.Index(perm, n.Attrs.Int("axis", 0)))
		}
		w = o.emit("DequantizeLinear", attrs, q, n.Inputs[1], n.Inputs[2])
	default:
		return o.transpose(v, perm...)
	}
	if o.g.Outer == nil { // a body's values are not seen outside of it
		o.moved[key] = w
	}
	return w
}

// reorder copies t with its axes in another order; where only axes of size 1 change
// places the storage is shared.
func (o *operation) reorder(t *tensor.Tensor, perm []int64) *tensor.Tensor {
	shape, strides := make([]int, len(perm)), make([]int, len(perm))
	from := tensor.Strides(t.Shape())
	last, inPlace := int64(-1), true
	for i, p := range perm {
		shape[i], strides[i] = t.Dim(int(p)), from[p]
		if shape[i] != 1 {
			inPlace = inPlace && p > last
			last = p
		}
	}
	if inPlace {
		r, err := t.Reshape(shape...)
		if err != nil {
			panic(err) // the sizes are those of t
		}
		return r
	}
	o.take(t.SizeBytes())
	out := tensor.New(t.DType(), shape...)
	size := t.DType().Bits() / 8
	src, dst := t.Bytes(), out.Bytes()
	at := make([]int, len(shape))
	pos := 0
	for k := 0; k < len(dst); k += size {
		copy(dst[k:k+size], src[pos*size:])
		for d := len(shape) - 1; d >= 0; d-- {
			at[d]++
			pos += strides[d]
			if at[d] < shape[d] {
				break
			}
			pos -= strides[d] * shape[d]
			at[d] = 0
		}
	}
	return out
}

// aligned reports whether storage of elements of the given size can be used where it lies.
func aligned(data []byte, size int) bool {
	return len(data) == 0 || uintptr(unsafe.Pointer(unsafe.SliceData(data)))%uintptr(min(size, 8)) == 0
}
