package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// activationOf lists the binary operators whose options begin with a fused activation.
var activationOf = map[string]bool{"Add": true, "Mul": true, "Sub": true, "Div": true}

// pairwise imports an operator of two inputs with broadcasting.
func pairwise(name string) func(*operation) {
	return func(o *operation) {
		o.count(2, 2)
		y := o.emit(name, nil, o.in(0), o.in(1))
		if activationOf[name] {
			y = o.activate(y, o.options.u8(0, 0))
		}
		o.out(0, y)
	}
}

// unary imports an operator of one input without options.
func unary(name string) func(*operation) {
	return func(o *operation) {
		o.count(1, 1)
		o.out(0, o.emit(name, nil, o.in(0)))
	}
}

func notEqual(o *operation) {
	o.count(2, 2)
	o.out(0, o.emit("Not", nil, o.emit("Equal", nil, o.in(0), o.in(1))))
}

// floorMod has the sign of the divisor. ONNX has that for integers only; for floats its
// remainder has the sign of the dividend.
func floorMod(o *operation) {
	o.count(2, 2)
	x, y := o.in(0), o.in(1)
	if x.Type.DType.IsInt() {
		o.out(0, o.emit("Mod", nil, x, y))
		return
	}
	fmod := graph.Attrs{"fmod": int64(1)}
	r := o.emit("Mod", fmod, x, y)
	o.out(0, o.emit("Mod", fmod, o.emit("Add", nil, r, y), y))
}

func floorDiv(o *operation) {
	o.count(2, 2)
	x, y := o.in(0), o.in(1)
	if x.Type.DType.IsInt() {
		o.out(0, o.emit("Div", nil, o.emit("Sub", nil, x, o.emit("Mod", nil, x, y)), y))
		return
	}
	o.out(0, o.emit("Floor", nil, o.emit("Div", nil, x, y)))
}

func squaredDifference(o *operation) {
	o.count(2, 2)
	d := o.emit("Sub", nil, o.in(0), o.in(1))
	o.out(0, o.emit("Mul", nil, d, d))
}

func addN(o *operation) {
	o.count(1, 1<<16)
	y := o.in(0)
	for i := 1; i < len(o.inputs); i++ {
		y = o.emit("Add", nil, y, o.in(i))
	}
	o.out(0, y)
}

func rsqrt(o *operation) {
	o.count(1, 1)
	o.out(0, o.emit("Reciprocal", nil, o.emit("Sqrt", nil, o.in(0))))
}

func square(o *operation) {
	o.count(1, 1)
	x := o.in(0)
	o.out(0, o.emit("Mul", nil, x, x))
}

// selectV1 has a condition of the shape of the others, or one truth value per index of
// their first axis.
func selectV1(o *operation) {
	o.count(3, 3)
	c, x, y := o.in(0), o.in(1), o.in(2)
	if r := o.rank(x); o.rank(c) == 1 && r > 1 {
		axes := make([]int64, r-1)
		for i := range axes {
			axes[i] = int64(1 + i)
		}
		c = o.emit("Unsqueeze", nil, c, o.vec(axes...))
	}
	o.out(0, o.emit("Where", nil, c, x, y))
}

func selectV2(o *operation) {
	o.count(3, 3)
	o.out(0, o.emit("Where", nil, o.in(0), o.in(1), o.in(2)))
}

func cumsum(o *operation) {
	o.count(2, 2)
	axis := o.known(1, "the axis")
	if len(axis) != 1 {
		o.fail("axis %v is not one number", axis)
	}
	attrs := graph.Attrs{}
	if o.options.bool(0, false) {
		attrs["exclusive"] = int64(1)
	}
	if o.options.bool(1, false) {
		attrs["reverse"] = int64(1)
	}
	o.out(0, o.emit("CumSum", attrs, o.in(0), o.g.Constant("", tensor.Scalar(axis[0]))))
}

// castTo converts the stored elements to the type of the output tensor.
func castTo(o *operation) {
	o.count(1, 1)
	x := &o.sub.tensors[o.outputs[0]]
	if x.dtype == tensor.Invalid {
		o.unsupported("output of type %s", typeName(x))
	}
	o.outRaw(0, o.emit("Cast", graph.Attrs{"to": int64(x.dtype)}, o.raw(0)))
}
