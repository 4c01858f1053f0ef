package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// clipTo imports the activations that cut off on both sides.
func clipTo(lo, hi float64) func(*operation) {
	return func(o *operation) {
		o.count(1, 1)
		x := o.in(0)
		o.out(0, o.emit("Clip", nil, x, o.scalar(x.Type.DType, lo), o.scalar(x.Type.DType, hi)))
	}
}

func leakyRelu(o *operation) {
	o.count(1, 1)
	o.out(0, o.emit("LeakyRelu", graph.Attrs{"alpha": o.options.f32(0, 0)}, o.in(0)))
}

func prelu(o *operation) {
	o.count(2, 2)
	o.out(0, o.emit("PRelu", nil, o.in(0), o.in(1)))
}

func gelu(o *operation) {
	o.count(1, 1)
	attrs := graph.Attrs{}
	if o.options.bool(0, false) {
		attrs["approximate"] = "tanh"
	}
	o.out(0, o.emit("Gelu", attrs, o.in(0)))
}

// softmax scales its input by beta first.
func softmax(o *operation) {
	o.count(1, 1)
	x := o.in(0)
	if beta := o.options.f32(0, 0); beta != 1 {
		x = o.emit("Mul", nil, x, o.scalar(x.Type.DType, float64(beta)))
	}
	o.out(0, o.emit("Softmax", graph.Attrs{"axis": int64(-1)}, x))
}

func logSoftmax(o *operation) {
	o.count(1, 1)
	o.out(0, o.emit("LogSoftmax", graph.Attrs{"axis": int64(-1)}, o.in(0)))
}

// l2Normalization divides by the norm along the last axis, which counts as 1e-6 at least.
func l2Normalization(o *operation) {
	o.count(1, 1)
	x := o.in(0)
	norm := o.emit("ReduceL2", graph.Attrs{"keepdims": int64(1)}, x, o.vec(-1))
	norm = o.emit("Max", nil, norm, o.scalar(x.Type.DType, 1e-6))
	o.out(0, o.activate(o.emit("Div", nil, x, norm), o.options.u8(0, 0)))
}
