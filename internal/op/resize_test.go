package op

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func near(t *testing.T, got *tensor.Tensor, want ...float64) {
	t.Helper()
	for i, w := range want {
		if got.Len() != len(want) || !(math.Abs(got.Float(i)-w) <= 1e-5) {
			t.Fatalf("got %v %v, want %v", got, got.Floats(), want)
		}
	}
}

func TestResize(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 2, 2)
	scales := tensor.Of([]float32{1, 1, 2, 2}, 4)
	near(t, one(t, "Resize", nil, x, nil, scales), 1, 1, 2, 2, 1, 1, 2, 2, 3, 3, 4, 4, 3, 3, 4, 4)
	near(t, one(t, "Resize", graph.Attrs{"mode": "linear"}, x, nil, scales),
		1, 1.25, 1.75, 2, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3, 3.25, 3.75, 4)
	line := tensor.Of([]float32{0, 3}, 2)
	near(t, one(t, "Resize", graph.Attrs{"mode": "linear", "coordinate_transformation_mode": "align_corners"}, line, nil, nil, ints(4)), 0, 1, 2, 3)
	near(t, one(t, "Resize", graph.Attrs{"mode": "linear", "antialias": int64(1)}, tensor.Of([]float32{0, 0, 8, 8}, 4), nil, nil, ints(2)), 1, 7)
	near(t, one(t, "Resize", graph.Attrs{"coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": float32(9)},
		line, tensor.Of([]float32{0, 2}, 2), nil, ints(3)), 0, 3, 9)
	// Bytes are rounded and saturated, strings can be picked.
	near(t, one(t, "Resize", graph.Attrs{"mode": "cubic"}, tensor.Of([]uint8{0, 255, 255}, 3), nil, nil, ints(6)), 0, 58, 197, 255, 255, 255)
}

// A cubic or linear resize of a constant is that constant, whatever the sizes.
func TestResizeKeepsConstant(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 9).Draw(r, "n")
		x := tensor.New(tensor.Float32, n)
		for i := range n {
			x.F32()[i] = 5
		}
		attrs := graph.Attrs{
			"mode":      rapid.SampledFrom([]string{"nearest", "linear", "cubic"}).Draw(r, "mode"),
			"antialias": int64(rapid.IntRange(0, 1).Draw(r, "antialias")), "exclude_outside": int64(rapid.IntRange(0, 1).Draw(r, "exclude")),
			"coordinate_transformation_mode": rapid.SampledFrom([]string{"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"}).Draw(r, "coordinates"),
		}
		y := one(t, "Resize", attrs, x, nil, nil, ints(int64(rapid.IntRange(1, 20).Draw(r, "to"))))
		for i := range y.Len() {
			if math.Abs(y.Float(i)-5) > 1e-5 {
				r.Fatalf("%v", y.Floats())
			}
		}
	})
}

// Sampling on the grid of the identity transform gives the image back.
func TestGridSampleIdentity(t *testing.T) {
	theta := tensor.Of([]float32{1, 0, 0, 0, 1, 0}, 1, 2, 3)
	x := tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 1, 1, 2, 3)
	for _, align := range []int64{0, 1} {
		grid := one(t, "AffineGrid", graph.Attrs{"align_corners": align}, theta, ints(1, 1, 2, 3))
		for _, mode := range []string{"nearest", "linear", "cubic"} {
			for _, padding := range []string{"zeros", "border", "reflection"} {
				y := one(t, "GridSample", graph.Attrs{"mode": mode, "padding_mode": padding, "align_corners": align}, x, grid)
				near(t, y, 1, 2, 3, 4, 5, 6)
			}
		}
	}
	far := tensor.Of([]float32{9, 0}, 1, 1, 1, 2)
	near(t, one(t, "GridSample", nil, x, far), 0)
	near(t, one(t, "GridSample", graph.Attrs{"padding_mode": "border"}, x, far), 4.5)
}
