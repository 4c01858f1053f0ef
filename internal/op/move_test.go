package op

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// one evaluates an operator with one output and returns it.
func one(t *testing.T, name string, attrs graph.Attrs, in ...*tensor.Tensor) *tensor.Tensor {
	t.Helper()
	out, err := run(t, "", name, attrs, 1, in...)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return out[0].(*tensor.Tensor)
}

func ints(v ...int64) *tensor.Tensor { return tensor.Of(v, len(v)) }

func iota32(shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Int32, shape...)
	for i := range t.Len() {
		t.SetInt(i, int64(i))
	}
	return t
}

func want(t *testing.T, got *tensor.Tensor, shape []int, v ...int64) {
	t.Helper()
	if !slices.Equal(got.Shape(), shape) || !slices.Equal(got.Ints(), v) {
		t.Errorf("got %v %v, want %v %v", got.Shape(), got.Ints(), shape, v)
	}
}

func TestMoves(t *testing.T) {
	x := iota32(2, 3)
	want(t, one(t, "Transpose", nil, x), []int{3, 2}, 0, 3, 1, 4, 2, 5)
	want(t, one(t, "Reshape", nil, x, ints(0, -1, 1)), []int{2, 3, 1}, 0, 1, 2, 3, 4, 5)
	want(t, one(t, "Flatten", graph.Attrs{"axis": int64(0)}, x), []int{1, 6}, 0, 1, 2, 3, 4, 5)
	want(t, one(t, "Unsqueeze", nil, x, ints(-1, 0)), []int{1, 2, 3, 1}, 0, 1, 2, 3, 4, 5)
	want(t, one(t, "Expand", nil, iota32(2, 1), ints(2, 2)), []int{2, 2}, 0, 0, 1, 1)
	want(t, one(t, "Tile", nil, iota32(2), ints(2)), []int{4}, 0, 1, 0, 1)
	want(t, one(t, "Slice", nil, x, ints(-1), ints(-100), ints(1), ints(-2)), []int{2, 2}, 2, 0, 5, 3)
	want(t, one(t, "Concat", graph.Attrs{"axis": int64(-1)}, x, iota32(2, 1)), []int{2, 4}, 0, 1, 2, 0, 3, 4, 5, 1)
	want(t, one(t, "Gather", graph.Attrs{"axis": int64(1)}, x, ints(-1, 0)), []int{2, 2}, 2, 0, 5, 3)
	want(t, one(t, "GatherElements", nil, x, tensor.Of([]int64{1, 0, -1}, 1, 3)), []int{1, 3}, 3, 1, 5)
	want(t, one(t, "ScatterElements", graph.Attrs{"reduction": "add"}, x, tensor.Of([]int64{1, 1}, 2, 1), tensor.Of([]int32{10, 20}, 2, 1)),
		[]int{2, 3}, 0, 1, 2, 33, 4, 5)
	want(t, one(t, "Shape", graph.Attrs{"start": int64(-1)}, x), []int{1}, 3)
	want(t, one(t, "NonZero", nil, tensor.Of([]int32{0, 5, 7, 0}, 2, 2)), []int{2, 2}, 0, 1, 1, 0)
	want(t, one(t, "DepthToSpace", graph.Attrs{"blocksize": int64(2)}, iota32(1, 4, 1, 1)), []int{1, 1, 2, 2}, 0, 1, 2, 3)
}

func TestPadModes(t *testing.T) {
	x := iota32(3)
	for mode, v := range map[string][]int64{
		"constant": {9, 9, 0, 1, 2, 9}, "edge": {0, 0, 0, 1, 2, 2}, "reflect": {2, 1, 0, 1, 2, 1}, "wrap": {1, 2, 0, 1, 2, 0},
	} {
		got := one(t, "Pad", graph.Attrs{"mode": mode}, x, ints(2, 1), tensor.Scalar(int32(9)))
		want(t, got, []int{6}, v...)
	}
	want(t, one(t, "Pad", nil, x, ints(-1, 1)), []int{3}, 1, 2, 0)
}

func TestUnique(t *testing.T) {
	out, err := run(t, "", "Unique", graph.Attrs{"sorted": int64(0)}, 4, tensor.Of([]float32{2, 1, 1, 3, 4, 3}, 6))
	if err != nil {
		t.Fatal(err)
	}
	get := func(i int) *tensor.Tensor { return out[i].(*tensor.Tensor) }
	want(t, get(0), []int{4}, 2, 1, 3, 4)
	want(t, get(1), []int{4}, 0, 1, 3, 4)
	want(t, get(2), []int{6}, 0, 1, 1, 2, 3, 2)
	want(t, get(3), []int{4}, 1, 2, 2, 1)
}

// Cutting a tensor anywhere and joining the parts must give it back, for every width of
// element, the packed ones included.
func TestSplitConcatInverse(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		d := rapid.SampledFrom([]tensor.DType{tensor.Int2, tensor.Uint4, tensor.Int8, tensor.Int16, tensor.Int64}).Draw(r, "dtype")
		shape := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 3).Draw(r, "shape")
		axis := rapid.IntRange(0, len(shape)-1).Draw(r, "axis")
		at := rapid.IntRange(0, shape[axis]).Draw(r, "at")
		x := tensor.New(d, shape...)
		for i := range x.Len() {
			x.SetInt(i, int64(i)*7)
		}
		attrs := graph.Attrs{"axis": int64(axis)}
		parts, err := run(t, "", "Split", attrs, 2, x, ints(int64(at), int64(shape[axis]-at)))
		if err != nil {
			r.Fatal(err)
		}
		y := one(t, "Concat", attrs, parts[0].(*tensor.Tensor), parts[1].(*tensor.Tensor))
		if !slices.Equal(y.Shape(), x.Shape()) || !slices.Equal(y.Ints(), x.Ints()) {
			r.Fatalf("got %v %v, want %v %v", y, y.Ints(), x, x.Ints())
		}
	})
}

func TestMovesRefuse(t *testing.T) {
	x := iota32(2, 3)
	for name, f := range map[string]func() error{
		"index":   func() error { _, err := run(t, "", "Gather", nil, 1, x, ints(2)); return err },
		"reshape": func() error { _, err := run(t, "", "Reshape", nil, 1, x, ints(4, -1)); return err },
		"axes":    func() error { _, err := run(t, "", "Squeeze", nil, 1, x, ints(0)); return err },
		"split":   func() error { _, err := run(t, "", "Split", nil, 2, x, ints(1, 5)); return err },
		"huge": func() error {
			_, err := run(t, "", "Tile", nil, 1, x, ints(1<<40, 1<<20))
			return err
		},
		"depth": func() error {
			_, err := run(t, "", "OneHot", nil, 1, ints(1), ints(-1), ints(0, 1))
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s: invalid input was accepted", name)
		}
	}
}
