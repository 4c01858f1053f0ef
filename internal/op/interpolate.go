package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// pick fills out with the elements of x at from[axis][index]; value where any is -1.
func pick(out, x *tensor.Tensor, from [][]int, value *tensor.Tensor) {
	if out.Len() == 0 {
		return
	}
	stride := tensor.Strides(x.Shape())
	shape := out.Shape()
	idx := make([]int, len(shape))
	for i := range out.Len() {
		at := 0
		for a, k := range idx {
			if from[a][k] < 0 {
				at = -1
				break
			}
			at += from[a][k] * stride[a]
		}
		if at < 0 {
			copyElement(out, i, value, 0)
		} else {
			copyElement(out, i, x, at)
		}
		for a := len(idx) - 1; a >= 0; a-- {
			if idx[a]++; idx[a] < shape[a] {
				break
			}
			idx[a] = 0
		}
	}
}

// tap is one weighted term of an interpolation; at < 0 stands for no element.
type tap struct {
	at int
	w  float64
}

// resizeInterpolate works on one axis after the other, which equals working on all at
// once because the kernels are products over the axes.
func resizeInterpolate(e *Eval, x, out *tensor.Tensor, axes []resizeAxis, coord, mode string) error {
	if x.DType() == tensor.String || x.DType().IsComplex() {
		return fmt.Errorf("mode %s is not defined for %v", mode, x)
	}
	data, shape := x.Floats(), slices.Clone(x.Shape())
	for i, ax := range axes {
		if ax.untouched(coord) {
			continue
		}
		outer, inner := sizeOf(shape[:i]), sizeOf(shape[i+1:])
		if outer*inner > MaxEvalBytes/8/max(ax.out, 1) {
			return fmt.Errorf("resizing %v along axis %d needs too much memory", x, i)
		}
		next := make([]float64, outer*ax.out*inner)
		for k := range ax.out {
			taps, err := resizeTaps(e.Attrs(), ax, k, coord, mode)
			if err != nil {
				return err
			}
			for o := range outer {
				dst := next[(o*ax.out+k)*inner:][:inner]
				for _, t := range taps {
					if t.at < 0 { // extrapolated: the weight is the value
						for j := range dst {
							dst[j] = t.w
						}
						break
					}
					src := data[(o*ax.in+t.at)*inner:][:inner]
					for j, v := range src {
						dst[j] += t.w * v
					}
				}
			}
		}
		data = next
		shape[i] = ax.out
	}
	lo, hi := out.DType().IntRange()
	for i, v := range data {
		if out.DType().IsInt() {
			v = min(max(math.RoundToEven(v), float64(lo)), float64(hi))
		}
		out.SetFloat(i, v)
	}
	return nil
}

// untouched reports whether an axis stays as it is.
func (r resizeAxis) untouched(coord string) bool {
	return r.in == r.out && r.scale == 1 && (coord != "tf_crop_and_resize" || r.start == 0 && r.end == 1)
}

// resizeSources returns the terms of output index k in any mode.
func resizeSources(a graph.Attrs, ax resizeAxis, k int, coord, mode string) ([]tap, error) {
	if mode == "nearest" {
		at, err := ax.nearest(a, k, coord)
		return []tap{{at, 1}}, err
	}
	return resizeTaps(a, ax, k, coord, mode)
}

// resizeTaps returns the terms of output index k. The kernel is the triangle or Keys'
// cubic convolution (IEEE Trans. ASSP 29, 1981, eq. 4), stretched by 1/scale when
// antialiasing a reduction; the source's borders repeat outwards.
func resizeTaps(a graph.Attrs, ax resizeAxis, k int, coord, mode string) ([]tap, error) {
	src, err := ax.source(k, coord)
	if err != nil {
		return nil, err
	}
	if coord == "tf_crop_and_resize" && !(src >= 0 && src <= float64(ax.in-1)) {
		return []tap{{-1, float64(a.Float("extrapolation_value", 0))}}, nil
	}
	s, radius := 1.0, 1.0
	if a.Bool("antialias", false) {
		s = min(ax.scale, 1)
	}
	kernel := func(d float64) float64 { return max(1-math.Abs(d), 0) }
	if mode == "cubic" {
		radius = 2
		alpha := float64(a.Float("cubic_coeff_a", -0.75))
		kernel = func(d float64) float64 { return cubicKernel(d, alpha) }
	}
	exclude := a.Bool("exclude_outside", false)
	// The element to the left of the source, or one further for a whole coordinate,
	// starts the window; ratio lies in (0, 1].
	base := math.Ceil(src) - 1
	ratio := src - base
	start := math.Floor(-radius/s) + 1
	if 2-2*start > 1<<20 {
		return nil, fmt.Errorf("scale %v is too small to antialias", ax.scale)
	}
	var taps []tap
	sum := 0.0
	for i := start; i < 2-start; i++ {
		w := kernel((i - ratio) * s)
		at := base + i
		if exclude && (at < 0 || at > float64(ax.in-1)) {
			continue
		}
		sum += w
		if w != 0 {
			taps = append(taps, tap{int(min(max(at, 0), float64(ax.in-1))), w})
		}
	}
	if (exclude || s != 1) && sum != 0 {
		for i := range taps {
			taps[i].w /= sum
		}
	}
	return taps, nil
}

// cubicKernel is Keys' convolution kernel with parameter a.
func cubicKernel(d, a float64) float64 {
	d = math.Abs(d)
	switch {
	case d <= 1:
		return ((a+2)*d-(a+3))*d*d + 1
	case d < 2:
		return ((d-5)*d+8)*d*a - 4*a
	}
	return 0
}
