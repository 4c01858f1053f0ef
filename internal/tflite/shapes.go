package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
)

func shapeOf(o *operation) {
	o.count(1, 1)
	o.outRaw(0, o.emit("Shape", nil, o.raw(0)))
}

func rankOf(o *operation) {
	o.count(1, 1)
	o.outRaw(0, o.emit("Size", nil, o.emit("Shape", nil, o.raw(0))))
}

func fill(o *operation) {
	o.count(2, 2)
	o.outRaw(0, o.emit("Expand", nil, o.raw(1), o.vector(0)))
}

func rangeOf(o *operation) {
	o.count(3, 3)
	o.outRaw(0, o.emit("Range", nil, o.raw(0), o.raw(1), o.raw(2)))
}

// zerosLike has the zero point where the output is quantized.
func zerosLike(o *operation) {
	o.count(1, 1)
	z := o.zero(o.raw(0).Type.DType)
	if q := o.quantized(int(o.outputs[0])); q != nil && len(q.zero) > 0 && z.DType().IsInt() {
		z.SetInt(0, q.zero[0])
	}
	o.outRaw(0, o.emit("ConstantOfShape", graph.Attrs{"value": z}, o.emit("Shape", nil, o.raw(0))))
}
