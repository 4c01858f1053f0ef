package engine

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerReduce, "", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
}

// reductions turn a row into one value. Sums are taken in double precision.
var reductions = map[string]func(row []float32) float32{
	"ReduceMean": func(row []float32) float32 { return float32(sum(row) / float64(len(row))) },
	"ReduceSum":  func(row []float32) float32 { return float32(sum(row)) },
	"ReduceMax": func(row []float32) float32 {
		m := float32(math.Inf(-1))
		for _, v := range row {
			m = max(m, v)
		}
		return m
	},
	"ReduceMin": func(row []float32) float32 {
		m := float32(math.Inf(1))
		for _, v := range row {
			m = min(m, v)
		}
		return m
	},
}

func sum(row []float32) float64 {
	s := 0.0
	for _, v := range row {
		s += float64(v)
	}
	return s
}

// lowerReduce is a pool where the mean goes over all positions of a channels-last tensor,
// and else a function of rows, brought together if they do not lie so.
func lowerReduce(l *lowerer, n *graph.Node) string {
	x, axes := n.In(0), n.In(1)
	xs, _ := x.Type.Static()
	if !isF32(x) || axes == nil || axes.Const == nil || axes.Const.Len() == 0 {
		return "only given axes of float32 have a kernel"
	}
	reduced := make([]bool, len(xs))
	for _, a := range axes.Const.Ints() {
		if a < 0 {
			a += int64(len(xs))
		}
		reduced[a] = true
	}
	spatial := len(xs) == 3 || len(xs) == 4
	for i, r := range reduced {
		spatial = spatial && r == (i >= 2)
	}
	if spatial && n.Op == "ReduceMean" && !l.first(x).plain() {
		return l.pool(n, wholeWindow(xs), kernel.Pooling{})
	}
	// Reduced dimensions innermost, the kept ones around them in order.
	strides, size := make([]int, len(xs)), 1
	for _, inner := range []bool{true, false} {
		step := size
		for i := len(xs) - 1; i >= 0; i-- {
			if reduced[i] == inner {
				strides[i] = step
				step *= xs[i]
			}
		}
		if inner {
			size = step
		}
	}
	in := l.like(x, &ref{shape: xs, strides: strides})
	ys, _ := n.Outputs[0].Type.Static()
	out := l.make(n.Outputs[0], tensor.Strides(ys), nil)
	f := reductions[n.Op]
	rows := in.len() / size
	per := max(1, unitElements/size)
	l.add(&step{name: n.Label(), op: n.Op, kernel: "rows f32", reads: []*ref{in}, writes: []*ref{out}, units: (rows + per - 1) / per,
		run: func(s *Session, _, lo, hi int) {
			x, y := s.f32(in), s.f32(out)
			for u := lo * per; u < min(hi*per, rows); u++ {
				y[u] = f(x[u*size : (u+1)*size])
			}
		}})
	return ""
}
