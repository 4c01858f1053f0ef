package tflite

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// resize emits Resize of channels-first data to the height and width of input 1.
func (o *operation) resize(x *graph.Value, attrs graph.Attrs) *graph.Value {
	x = o.first(x)
	var sizes *graph.Value
	n, c := x.Type.Shape[0], x.Type.Shape[1]
	hw, ok := o.ints(1)
	switch {
	case ok && len(hw) != 2:
		o.fail("size %v is not a height and a width", hw)
	case ok && n.Known() && c.Known():
		sizes = o.vec(int64(n.Size), int64(c.Size), hw[0], hw[1])
	default:
		attrs["axes"] = []int64{2, 3}
		sizes = o.vector(1)
	}
	return o.last(o.emit("Resize", attrs, x, nil, nil, sizes))
}

// coordinates reads how pixels of the result lie over those of the input.
func (o *operation) coordinates(align, half bool) string {
	switch {
	case align && half:
		o.unsupported("align_corners together with half_pixel_centers")
	case align:
		return "align_corners"
	case half:
		return "half_pixel"
	}
	return "asymmetric"
}

func resizeBilinear(o *operation) {
	o.count(2, 2)
	mode := o.coordinates(o.options.bool(2, false), o.options.bool(3, false))
	o.out(0, o.resize(o.in(0), graph.Attrs{"mode": "linear", "coordinate_transformation_mode": mode}))
}

// resizeNearest takes the pixel under the centre or corner: ⌊(x+½)·s⌋ is ⌊x'+½⌋ for the
// half-pixel coordinate x' = (x+½)·s − ½.
func resizeNearest(o *operation) {
	o.count(2, 2)
	mode := o.coordinates(o.options.bool(0, false), o.options.bool(1, false))
	rounding := "round_prefer_ceil"
	if mode == "asymmetric" {
		rounding = "floor"
	}
	o.outRaw(0, o.resize(o.raw(0), graph.Attrs{"mode": "nearest", "coordinate_transformation_mode": mode, "nearest_mode": rounding}))
}
