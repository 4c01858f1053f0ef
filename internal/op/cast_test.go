package op

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestCast(t *testing.T) {
	to := func(d tensor.DType, x *tensor.Tensor) *tensor.Tensor {
		return one(t, "Cast", graph.Attrs{"to": int64(d)}, x)
	}
	want(t, to(tensor.Int8, tensor.Of([]int16{200, -200}, 2)), []int{2}, -56, 56)
	want(t, to(tensor.Int32, tensor.Of([]float32{1.9, -1.9, 1e20}, 3)), []int{3}, 1, -1, 1<<31-1)
	want(t, to(tensor.Int4, tensor.Of([]float32{-9, 7}, 2)), []int{2}, 7, 7)
	want(t, to(tensor.Bool, tensor.Of([]float32{0.1, 0}, 2)), []int{2}, 1, 0)
	want(t, to(tensor.Int64, tensor.OfStrings([]string{" 12", "3.9"}, 2)), []int{2}, 12, 3)
	if s := to(tensor.String, tensor.Of([]float32{0.5, 1e-7, 3}, 3)).Strings(); s[0] != "0.5" || s[1] != "1e-07" || s[2] != "3" {
		t.Errorf("as strings: %q", s)
	}
	if _, err := run(t, "", "Cast", graph.Attrs{"to": int64(tensor.Float32)}, 1, tensor.OfStrings([]string{"x"})); err == nil {
		t.Error("a word became a number")
	}
	for mode, code := range map[string]byte{"up": 128, "down": 127, "nearest": 127} {
		y := one(t, "Cast", graph.Attrs{"to": int64(tensor.Float8E8M0), "round_mode": mode}, tensor.Scalar(float32(1.25)))
		if y.Bytes()[0] != code {
			t.Errorf("1.25 rounded %s has code %d, want %d", mode, y.Bytes()[0], code)
		}
	}
}
