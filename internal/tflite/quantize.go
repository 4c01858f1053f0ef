package tflite

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// dequantize makes floats of quantized or half-precision tensors. Constants in half
// precision are converted here and now.
func dequantize(o *operation) {
	o.count(1, 1)
	t := o.tensor(0)
	v := o.value(t)
	if q := o.quantized(t); q != nil {
		scale, zero := o.parameters(t, v.Type.DType, q)
		attrs := graph.Attrs{}
		if len(q.scale) > 1 {
			attrs["axis"] = int64(q.axis)
		}
		o.outRaw(0, o.emit("DequantizeLinear", attrs, v, scale, zero))
		return
	}
	if !v.Type.DType.IsFloat() {
		o.fail("%s is not quantized", v)
	}
	if v.Const == nil {
		o.outRaw(0, o.cast(v, tensor.Float32))
		return
	}
	o.take(4 * v.Const.Len())
	f := tensor.New(tensor.Float32, v.Const.Shape()...)
	if v.Const.DType() == tensor.Float16 {
		for i, h := range tensor.Data[uint16](v.Const) {
			f.F32()[i] = tensor.Float16ToFloat32(h)
		}
	} else {
		for i := range f.F32() {
			f.F32()[i] = float32(v.Const.Float(i))
		}
	}
	o.outRaw(0, o.g.Constant(o.base, f))
}

// quantize converts to the parameters of the output; the input may be quantized otherwise.
func quantize(o *operation) {
	o.count(1, 1)
	if o.quantized(int(o.outputs[0])) == nil {
		o.fail("the output has no quantization parameters")
	}
	o.out(0, o.in(0))
}

// fakeQuant rounds floats to the 2^bits−1 steps between min and max, shifted so that zero
// is one of them.
func fakeQuant(o *operation) {
	o.count(1, 1)
	t := o.options
	bits := t.i32(2, 0)
	if bits < 2 || bits > 8 {
		o.unsupported("%d bits", bits)
	}
	lo, hi := float64(t.f32(0, 0)), float64(t.f32(1, 0))
	qlo, qhi := 0.0, math.Exp2(float64(bits))-1
	if t.bool(3, false) {
		qlo = 1
	}
	scale := (hi - lo) / (qhi - qlo)
	if !(scale > 0) || math.IsInf(scale, 0) {
		o.fail("range [%v, %v] is not valid", lo, hi)
	}
	zero := math.Round(min(max(qlo-lo/scale, qlo), qhi))
	s, z := o.scalar(tensor.Float32, scale), o.scalar(tensor.Uint8, zero)
	x := o.emit("Clip", nil, o.in(0), o.scalar(tensor.Float32, (qlo-zero)*scale), o.scalar(tensor.Float32, (qhi-zero)*scale))
	o.out(0, o.emit("DequantizeLinear", nil, o.emit("QuantizeLinear", nil, x, s, z), s, z))
}
