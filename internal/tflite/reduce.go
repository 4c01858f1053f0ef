package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// reduceAttrs reads ReducerOptions. No axes at all means here that nothing is reduced.
func (o *operation) reduceAttrs() graph.Attrs {
	a := graph.Attrs{"keepdims": int64(0), "noop_with_empty_axes": int64(1)}
	if o.options.bool(0, false) {
		a["keepdims"] = int64(1)
	}
	if axes, ok := o.ints(1); ok && len(axes) > 0 {
		delete(a, "noop_with_empty_axes")
	}
	return a
}

func reduce(name string) func(*operation) {
	return func(o *operation) {
		o.count(2, 2)
		o.out(0, o.emit(name, o.reduceAttrs(), o.in(0), o.vector(1)))
	}
}

// reduceBool is a reduction of truth values: any is the maximum, all the minimum.
func reduceBool(name string) func(*operation) {
	return func(o *operation) {
		o.count(2, 2)
		y := o.emit(name, o.reduceAttrs(), o.cast(o.raw(0), tensor.Uint8), o.vector(1))
		o.outRaw(0, o.cast(y, tensor.Bool))
	}
}

// argument imports ArgMax and ArgMin. Stored elements order like the numbers they stand for.
func argument(name string) func(*operation) {
	return func(o *operation) {
		o.count(2, 2)
		axis := o.known(1, "the axis")
		if len(axis) != 1 {
			o.fail("axis %v is not one number", axis)
		}
		o.outRaw(0, o.emit(name, graph.Attrs{"axis": axis[0], "keepdims": int64(0)}, o.raw(0)))
	}
}

func topK(o *operation) {
	o.count(2, 2)
	y := o.nodes("TopK", o.base+"/TopK", 2, nil, o.raw(0), o.vector(1))
	o.outRaw(0, y[0])
	o.outRaw(1, y[1])
}
