package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const resizeAttrs = "antialias:int axes:ints coordinate_transformation_mode:string cubic_coeff_a:float exclude_outside:int extrapolation_value:float keep_aspect_ratio_policy:string mode:string nearest_mode:string"

// resizeOps scale tensors along their axes.
func resizeOps() []Def {
	return []Def{
		{Name: "Resize", In: "X roi? scales? sizes?", Out: "Y",
			Attrs: resizeAttrs,
			Infer: inferResize, Eval: evalResize, Quant: Quant{Kind: QuantSame, Form: picksNearest}},
	}
}

// resizeAxis is what happens to one axis: output index x takes its value from around
// source coordinate source(x).
type resizeAxis struct {
	in, out    int
	scale      float64
	start, end float64 // region of interest, in units of the input axis
}

// resizeAxes resolves scales or sizes, of which one is given, into one resizeAxis for
// every axis of a tensor with the given sizes.
func resizeAxes(a graph.Attrs, in []int, roi, scales []float64, sizes []int64) ([]resizeAxis, error) {
	axes := a.Ints("axes")
	if axes == nil {
		for i := range in {
			axes = append(axes, int64(i))
		}
	}
	if _, err := resolveAxes(axes, len(in)); err != nil {
		return nil, fmt.Errorf("attribute axes: %w", err)
	}
	out := make([]resizeAxis, len(in))
	for i, n := range in {
		out[i] = resizeAxis{in: n, out: n, scale: 1, end: 1}
	}
	switch {
	case (scales == nil) == (sizes == nil):
		return nil, fmt.Errorf("exactly one of scales and sizes must be given")
	case scales != nil && len(scales) != len(axes), sizes != nil && len(sizes) != len(axes):
		return nil, fmt.Errorf("scales %v or sizes %v must have an entry for each of %d axes", scales, sizes, len(axes))
	case roi != nil && len(roi) != 2*len(axes):
		return nil, fmt.Errorf("roi %v must have two entries for each of %d axes", roi, len(axes))
	}
	ratio, err := commonRatio(a.String("keep_aspect_ratio_policy", "stretch"), in, axes, sizes)
	if err != nil {
		return nil, err
	}
	for i, x := range axes {
		k, _ := ResolveAxis(x, len(in))
		o := &out[k]
		switch {
		case scales != nil:
			// The size is the product in single precision, as runtimes compute it.
			n := float64(float32(scales[i]) * float32(o.in))
			if !(scales[i] > 0 && n < tensor.MaxElements) {
				return nil, fmt.Errorf("scale %v of axis %d is not valid", scales[i], k)
			}
			o.scale, o.out = scales[i], int(n)
		case ratio > 0:
			o.scale, o.out = ratio, int(ratio*float64(o.in)+0.5)
		default:
			if sizes[i] < 0 || sizes[i] > tensor.MaxElements || o.in == 0 && sizes[i] > 0 {
				return nil, fmt.Errorf("cannot resize axis %d of %v to %d", k, in, sizes[i])
			}
			o.out = int(sizes[i])
			o.scale = float64(o.out) / float64(max(o.in, 1))
		}
		if roi != nil {
			o.start, o.end = roi[i], roi[len(axes)+i]
		}
	}
	return out, nil
}

// commonRatio returns the one scale that keeps the aspect ratio, 0 when axes are
// stretched each on its own.
func commonRatio(policy string, in []int, axes, sizes []int64) (float64, error) {
	if policy == "stretch" || sizes == nil {
		return 0, nil
	}
	if policy != "not_larger" && policy != "not_smaller" {
		return 0, fmt.Errorf("keep_aspect_ratio_policy %q is not one of stretch, not_larger, not_smaller", policy)
	}
	ratio := 0.0
	for i, x := range axes {
		k, _ := ResolveAxis(x, len(in))
		if in[k] == 0 || sizes[i] < 1 || sizes[i] > tensor.MaxElements {
			return 0, fmt.Errorf("cannot keep the aspect ratio of %v in %v", in, sizes)
		}
		r := float64(sizes[i]) / float64(in[k])
		if i == 0 || (r < ratio) == (policy == "not_larger") {
			ratio = r
		}
	}
	return ratio, nil
}

// source maps output index x to a coordinate of the input axis.
func (r resizeAxis) source(x int, mode string) (float64, error) {
	last := float64(r.in - 1)
	// With scales the exact output size may be fractional; r.out is its floor.
	exact := r.scale * float64(r.in)
	switch mode {
	case "half_pixel":
		return (float64(x)+0.5)/r.scale - 0.5, nil
	case "half_pixel_symmetric":
		offset := float64(r.in) / 2 * (1 - float64(r.out)/exact)
		return offset + (float64(x)+0.5)/r.scale - 0.5, nil
	case "pytorch_half_pixel":
		if r.out <= 1 {
			return 0, nil
		}
		return (float64(x)+0.5)/r.scale - 0.5, nil
	case "align_corners":
		if exact == 1 || x == 0 {
			return 0, nil
		}
		return float64(x) * last / (exact - 1), nil
	case "asymmetric":
		return float64(x) / r.scale, nil
	case "tf_crop_and_resize":
		if exact == 1 || r.out == 1 {
			return (r.start + r.end) * last / 2, nil
		}
		return r.start*last + float64(x)*(r.end-r.start)*last/(exact-1), nil
	}
	return 0, fmt.Errorf("coordinate_transformation_mode %q is not known", mode)
}

func inferResize(c *Infer) error {
	in := c.Shape(0)
	known := func(i int) *tensor.Tensor {
		if t := c.Known(i); t != nil && t.Len() > 0 {
			return t
		}
		return nil
	}
	scales, sizes := known(2), known(3)
	if in == nil || scales == nil && sizes == nil {
		var s graph.Shape
		if in != nil {
			s = unknownShape(len(in))
		}
		c.SetTensor(0, c.DType(0), s)
		return nil
	}
	// Unknown sizes take part as 1 and stay unknown, so that the known ones resolve.
	at := make([]int, len(in))
	for i, d := range in {
		at[i] = max(d.Size, 1)
		if d.Known() {
			at[i] = d.Size
		}
	}
	stretch := c.Attrs().String("keep_aspect_ratio_policy", "stretch") == "stretch"
	var s []float64
	var z []int64
	if scales != nil {
		s = scales.Floats()
	} else {
		z = sizes.Ints()
	}
	axes, err := resizeAxes(c.Attrs(), at, nil, s, z)
	if err != nil {
		return err
	}
	out := in.Clone()
	_, static := in.Static()
	for i, a := range axes {
		switch {
		case in[i].Known() && (static || stretch), !in[i].Known() && z != nil && stretch && slices.Contains(axisSet(c.Attrs(), len(in)), i):
			out[i] = graph.Dim{Size: a.out}
		case a.scale != 1 || !stretch:
			out[i] = graph.Unknown
		}
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

// axisSet lists the axes that attribute axes names; all of them when it is absent.
func axisSet(a graph.Attrs, rank int) []int {
	var out []int
	axes := a.Ints("axes")
	for i := range rank {
		if axes == nil || slices.Contains(axes, int64(i)) || slices.Contains(axes, int64(i-rank)) {
			out = append(out, i)
		}
	}
	return out
}

// resizePlan resolves the inputs roi, scales and sizes for a tensor of shape in, and
// returns the coordinate mode too.
func (e *Eval) resizePlan(in []int) ([]resizeAxis, string, error) {
	floats := func(i int) []float64 {
		if t := e.T(i); t != nil && t.Len() > 0 {
			return t.Floats()
		}
		return nil
	}
	sizes := e.Ints(3)
	if len(sizes) == 0 {
		sizes = nil
	}
	coord := e.Attrs().String("coordinate_transformation_mode", "half_pixel")
	var roi []float64
	if coord == "tf_crop_and_resize" {
		if roi = floats(1); roi == nil {
			return nil, "", fmt.Errorf("tf_crop_and_resize needs the input roi")
		}
	}
	axes, err := resizeAxes(e.Attrs(), in, roi, floats(2), sizes)
	return axes, coord, err
}

func evalResize(e *Eval) error {
	x, a := e.T(0), e.Attrs()
	axes, coord, err := e.resizePlan(x.Shape())
	if err != nil {
		return err
	}
	shape := make([]int, len(axes))
	for i, ax := range axes {
		shape[i] = ax.out
	}
	out := e.Result(0, x.DType(), shape...)
	if out.Len() == 0 {
		return nil
	}
	if x.Len() == 0 {
		return fmt.Errorf("cannot resize the empty %v to %v", x, shape)
	}
	switch mode := a.String("mode", "nearest"); mode {
	case "nearest":
		return resizeNearest(e, x, out, axes, coord)
	case "linear", "cubic":
		return resizeInterpolate(e, x, out, axes, coord, mode)
	default:
		return fmt.Errorf("mode %q is not one of nearest, linear, cubic", mode)
	}
}

// nearest returns the element that output index k takes, -1 where it lies outside a crop.
func (r resizeAxis) nearest(a graph.Attrs, k int, coord string) (int, error) {
	src, err := r.source(k, coord)
	if err != nil {
		return 0, err
	}
	if coord == "tf_crop_and_resize" && (src < 0 || src > float64(r.in-1)) {
		return -1, nil
	}
	switch mode := a.String("nearest_mode", "round_prefer_floor"); mode {
	case "round_prefer_floor":
		src = math.Ceil(src - 0.5)
	case "round_prefer_ceil":
		src = math.Floor(src + 0.5)
	case "floor":
		src = math.Floor(src)
	case "ceil":
		src = math.Ceil(src)
	default:
		return 0, fmt.Errorf("nearest_mode %q is not known", mode)
	}
	return int(min(max(src, 0), float64(r.in-1))), nil
}

// resizeNearest copies elements, so it takes any element type.
func resizeNearest(e *Eval, x, out *tensor.Tensor, axes []resizeAxis, coord string) error {
	from := make([][]int, len(axes)) // -1: extrapolated
	for i, ax := range axes {
		from[i] = make([]int, ax.out)
		for k := range from[i] {
			var err error
			if from[i][k], err = ax.nearest(e.Attrs(), k, coord); err != nil {
				return err
			}
		}
	}
	value := e.Make(x.DType(), nil)
	if v := e.Attrs().Float("extrapolation_value", 0); v != 0 {
		value.SetFloat(0, float64(v))
	}
	pick(out, x, from, value)
	return nil
}

// picksNearest reports whether a resize only selects elements.
func picksNearest(c *Infer) bool {
	a := c.Attrs()
	return a.String("mode", "nearest") == "nearest" && a.String("coordinate_transformation_mode", "") != "tf_crop_and_resize"
}
