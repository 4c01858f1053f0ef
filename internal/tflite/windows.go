package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Convolutions and pools. Here they have channels last: data [N, H, W, C], filters
// [O, H, W, I]; in ONNX they come first.

// window reads strides and dilations, and leaves SAME padding to explicitPads, which runs
// when all sizes are known.
func (o *operation) window(padding uint8, strides, dilations []int32) graph.Attrs {
	a := graph.Attrs{}
	ints := func(name string, v []int32) {
		out := make([]int64, len(v))
		for i, x := range v {
			if x < 1 {
				o.fail("%s %v are not positive", name, v)
			}
			out[i] = int64(x)
		}
		a[name] = out
	}
	ints("strides", strides)
	if dilations != nil {
		ints("dilations", dilations)
	}
	switch padding {
	case 0:
		a["auto_pad"] = "SAME_UPPER"
	case 1:
		a["pads"] = make([]int64, 2*len(strides))
	default:
		o.fail("padding %d is neither SAME nor VALID", padding)
	}
	return a
}

// bias returns bias input i for data x and weights w (their input numbers). Where those
// are quantized it is an integer at scale x·w, per channel or for all.
func (o *operation) bias(i, x, w int) *graph.Value {
	if o.absent(i) {
		return nil
	}
	v := o.raw(i)
	xq, wq := o.quantized(o.tensor(x)), o.quantized(o.tensor(w))
	if !v.Type.DType.IsInt() {
		return o.in(i)
	}
	if xq == nil || wq == nil || len(xq.scale) != 1 {
		o.fail("integer bias %s of data or weights that are not quantized", v.Name)
	}
	scale := make([]float32, len(wq.scale))
	for k := range scale {
		scale[k] = xq.scale[0] * wq.scale[k]
	}
	var shape []int
	attrs := graph.Attrs{}
	if len(scale) > 1 {
		shape = []int{len(scale)}
		attrs["axis"] = int64(0)
	}
	o.take(4 * len(scale))
	if v.Type.DType == tensor.Int32 {
		return o.emit("DequantizeLinear", attrs, v, o.g.Constant("", tensor.Of(scale, shape...)))
	}
	// 16-bit activations have 64-bit biases, for which ONNX has no dequantization.
	return o.emit("Mul", nil, o.cast(v, tensor.Float32), o.g.Constant("", tensor.Of(scale, shape...)))
}

// conv emits a convolution; w has the order of ONNX.
func (o *operation) conv(x, w, b *graph.Value, attrs graph.Attrs) *graph.Value {
	in := []*graph.Value{x, w}
	if b != nil {
		in = append(in, b)
	}
	return o.emit("Conv", attrs, in...)
}

func conv2D(o *operation) {
	o.count(2, 3)
	t := o.options
	x := o.first(o.in(0))
	w := o.permuted(o.in(1), 0, 3, 1, 2)
	attrs := o.window(t.u8(0, 0), []int32{t.i32(2, 0), t.i32(1, 0)}, []int32{t.i32(5, 1), t.i32(4, 1)})
	if in, each := x.Type.Shape[1], w.Type.Shape[1]; in.Known() && each.Known() {
		if each.Size < 1 || in.Size%each.Size != 0 {
			o.fail("filter %v does not divide the %d channels of %v", w, in.Size, x)
		}
		if in.Size != each.Size {
			attrs["group"] = int64(in.Size / each.Size)
		}
	}
	y := o.conv(x, w, o.bias(2, 0, 1), attrs)
	o.out(0, o.last(o.activate(y, t.u8(3, 0))))
}

// depthwiseConv2D has a filter [1, H, W, C·multiplier].
func depthwiseConv2D(o *operation) {
	o.count(2, 3)
	t := o.options
	x := o.first(o.in(0))
	w := o.permuted(o.in(1), 3, 0, 1, 2)
	attrs := o.window(t.u8(0, 0), []int32{t.i32(2, 0), t.i32(1, 0)}, []int32{t.i32(6, 1), t.i32(5, 1)})
	group, outputs := 0, o.dim(w, 0)
	if c := x.Type.Shape[1]; c.Known() {
		group = c.Size
	} else if k := int(t.i32(3, 0)); k > 0 {
		group = outputs / k
	}
	if group < 1 || outputs%group != 0 {
		o.fail("filter %v does not fit %d channels of %v", w, group, x)
	}
	attrs["group"] = int64(group)
	y := o.conv(x, w, o.bias(2, 0, 1), attrs)
	o.out(0, o.last(o.activate(y, t.u8(4, 0))))
}

// conv3D has data [N, D, H, W, C] and a filter [D, H, W, I, O].
func conv3D(o *operation) {
	o.count(2, 3)
	t := o.options
	x := o.transpose(o.in(0), 0, 4, 1, 2, 3)
	w := o.permuted(o.in(1), 4, 3, 0, 1, 2)
	attrs := o.window(t.u8(0, 0), []int32{t.i32(1, 0), t.i32(3, 0), t.i32(2, 0)}, []int32{t.i32(5, 1), t.i32(7, 1), t.i32(6, 1)})
	y := o.conv(x, w, o.bias(2, 0, 1), attrs)
	o.out(0, o.transpose(o.activate(y, t.u8(4, 0)), 0, 2, 3, 4, 1))
}

// transposeConv takes the output shape first, then a filter [O, H, W, I]. Its padding is
// that of the convolution which it turns round.
func transposeConv(o *operation) {
	o.count(3, 4)
	t := o.options
	shape := o.known(0, "the output shape")
	if len(shape) != 4 {
		o.fail("output shape %v does not have four sizes", shape)
	}
	x := o.first(o.in(2))
	w := o.permuted(o.in(1), 3, 0, 1, 2)
	padding := t.u8(0, 0)
	strides := []int32{t.i32(2, 0), t.i32(1, 0)}
	attrs := o.window(padding, strides, nil)
	delete(attrs, "auto_pad")
	pads, extra := make([]int64, 4), make([]int64, 2)
	for i := range 2 {
		in, k, s, out := int64(o.dim(x, 2+i)), int64(o.dim(w, 2+i)), int64(strides[i]), shape[1+i]
		if out < 1 || out > tensor.MaxElements {
			o.fail("output shape %v is not valid", shape)
		}
		// The forward convolution pads this much in all, the smaller half in front.
		steps := (out + s - 1) / s
		if padding == 1 {
			steps = (out - k + s) / s
		}
		pads[i] = max(0, (steps-1)*s+k-out) / 2
		rest := (in-1)*s + k - pads[i] - out
		pads[2+i], extra[i] = max(0, rest), max(0, -rest)
		if extra[i] >= s {
			o.unsupported("output shape %v is larger than the kernel reaches", shape)
		}
	}
	attrs["pads"] = pads
	if extra[0]+extra[1] > 0 {
		attrs["output_padding"] = extra
	}
	in := []*graph.Value{x, w}
	if b := o.bias(3, 2, 1); b != nil {
		in = append(in, b)
	}
	y := o.emit("ConvTranspose", attrs, in...)
	o.out(0, o.last(o.activate(y, t.u8(3, 0))))
}

// pool reads Pool2DOptions.
func (o *operation) pool() graph.Attrs {
	t := o.options
	a := o.window(t.u8(0, 0), []int32{t.i32(2, 0), t.i32(1, 0)}, nil)
	h, w := t.i32(4, 0), t.i32(3, 0)
	if h < 1 || w < 1 {
		o.fail("window %dx%d is empty", h, w)
	}
	a["kernel_shape"] = []int64{int64(h), int64(w)}
	return a
}

func averagePool(o *operation) {
	o.count(1, 1)
	y := o.emit("AveragePool", o.pool(), o.first(o.in(0)))
	o.out(0, o.last(o.activate(y, o.options.u8(5, 0))))
}

func maxPool(o *operation) {
	o.count(1, 1)
	act := o.options.u8(5, 0)
	if act == 0 && o.same(o.inputs[0], o.outputs[0]) {
		o.outRaw(0, o.last(o.emit("MaxPool", o.pool(), o.first(o.raw(0)))))
		return
	}
	y := o.emit("MaxPool", o.pool(), o.first(o.in(0)))
	o.out(0, o.last(o.activate(y, act)))
}

// l2Pool is the root of the mean of squares.
func l2Pool(o *operation) {
	o.count(1, 1)
	x := o.first(o.in(0))
	y := o.emit("Sqrt", nil, o.emit("AveragePool", o.pool(), o.emit("Mul", nil, x, x)))
	o.out(0, o.last(o.activate(y, o.options.u8(5, 0))))
}

// localResponse divides by (bias + alpha·Σx²)^beta over 2·radius+1 channels; ONNX divides
// alpha by their number.
func localResponse(o *operation) {
	o.count(1, 1)
	t := o.options
	r := int64(t.i32(0, 0))
	if r < 0 || r > 1<<20 {
		o.fail("radius %d is not valid", r)
	}
	size := 2*r + 1
	y := o.emit("LRN", graph.Attrs{"size": size, "bias": t.f32(1, 0), "alpha": t.f32(2, 0) * float32(size), "beta": t.f32(3, 0)}, o.first(o.in(0)))
	o.out(0, o.last(y))
}

// explicitPads puts numbers in the place of SAME padding where the sizes are known. It
// goes by inferred types, not by what the file says of its tensors.
func explicitPads(g *graph.Graph) {
	g.Walk(func(_ *graph.Graph, n *graph.Node) {
		if n.Attrs.String("auto_pad", "") != "SAME_UPPER" {
			return
		}
		size := n.Attrs.Ints("kernel_shape")
		if size == nil {
			for _, d := range n.Inputs[1].Type.Shape[2:] {
				size = append(size, int64(d.Size))
			}
		}
		in := n.Inputs[0].Type.Shape[2:]
		pads := make([]int64, 2*len(size))
		for i, k := range size {
			if !in[i].Known() || k < 1 {
				return
			}
			x, s := int64(in[i].Size), n.Attrs.Ints("strides")[i]
			if d := n.Attrs.Ints("dilations"); d != nil {
				k = (k-1)*d[i] + 1
			}
			total := max(0, ((x+s-1)/s-1)*s+k-x)
			pads[i], pads[len(size)+i] = total/2, total-total/2
		}
		delete(n.Attrs, "auto_pad")
		n.Attrs["pads"] = pads
	})
}
