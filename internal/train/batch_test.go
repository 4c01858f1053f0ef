package train

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestPlaceOfTheBatch(t *testing.T) {
	for _, c := range []struct {
		out     []int
		written []int64
		behind  int
		axis    int
		want    int
	}{
		{[]int{1, 12}, []int64{1, -1}, 12, 0, 0},
		{[]int{1, 1, 128}, []int64{1, 1, 128}, 128, 2, 1},   // a dimension before the batch is gone
		{[]int{1, 1, 257}, []int64{1, 1, 257}, 257, 0, 0},   // one is new
		{[]int{2, 1, 3, 4}, []int64{2, 1, 3, 4}, 12, 1, 1},  // behind the steps
		{[]int{128, 8, 64}, []int64{128, 8, 64}, 512, 1, 1}, // heads of every sample
		{[]int{128, 512}, []int64{128, 512}, 512, 1, 0},     // rows of every sample
		{[]int{128, 8, 64}, []int64{-1, 8, 64}, 512, 1, 0},  // as the file leaves it open
		{[]int{128, 1, 512}, []int64{128, -1, 512}, 65536, 0, 1},
		{[]int{6, 4}, []int64{6, 4}, 24, 0, 0},  // rows of a sample
		{[]int{5, 7}, []int64{5, 7}, 12, 1, -1}, // nothing lies so
	} {
		if got := place(c.out, c.written, c.behind, c.axis); got != c.want {
			t.Errorf("the batch with %d behind dimension %d goes into dimension %d of %v written %v, want %d", c.behind, c.axis, got, c.out, c.written, c.want)
		}
	}
}

// Constants that hold the batch of one, each in its way.
func TestABatchForAFileOfOne(t *testing.T) {
	g := graph.New("one")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 2, 4, 4))
	ints := func(v ...int64) *graph.Value { return g.Ints("", v...) }
	up := g.Add("Resize", "up", nil, x, nil, nil, ints(1, 2, 8, 8))
	part := g.Add("Slice", "part", nil, up, ints(0, 0, 0, 2), ints(1, 2, 8, 6))
	token := g.Constant("token", tensor.New(tensor.Float32, 1, 2, 8, 1))
	joined := g.Add("Concat", "joined", graph.Attrs{"axis": int64(-1)}, part, token)
	wide := g.Add("Expand", "wide", nil, g.Add("Reshape", "flat", nil, joined, ints(1, 1, 80)), ints(1, 3, 80))
	back := g.Add("Squeeze", "back", nil, g.Add("Reshape", "columns", nil, wide, ints(1, 1, 240)), ints(0))
	g.Output(back)
	if err := rebatch(g, 5); err != nil {
		t.Fatal(err)
	}
	if s, _ := back.Type.Static(); len(s) != 2 || s[0] != 5 || s[1] != 240 {
		t.Errorf("the output has shape %v", s)
	}

	lost := graph.New("lost")
	y := lost.Input("y", graph.TensorType(tensor.Float32, 1, 6))
	lost.Output(lost.Add("Gather", "first", nil, y, lost.Ints("index", 0)))
	if err := rebatch(lost, 2); err == nil {
		t.Error("a network that looks at the first sample alone is accepted")
	}
}
