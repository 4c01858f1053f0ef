package op

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// decomposeAttention is softmax(scale·Q·Kᵀ + mask)·V. What a mask of truth values or
// causality hides gets a score so low that its probability is zero.
func decomposeAttention(c *Gradient) []*graph.Value {
	a := c.Attrs()
	if c.In(4) != nil || c.In(6) != nil || a.Int("left_window_size", -1) >= 0 || a.Int("right_window_size", -1) >= 0 {
		c.Fail("attention with a cache or windows is not differentiated")
	}
	split := func(i int, heads int64) *graph.Value {
		s := c.Shape(c.In(i))
		if len(s) == 4 {
			return c.In(i)
		}
		n := int(heads)
		return c.transpose(c.reshape(c.In(i), []int{s[0], s[1], n, s[2] / n}), 0, 2, 1, 3)
	}
	q, k, v := split(0, a.Int("q_num_heads", 0)), split(1, a.Int("kv_num_heads", 0)), split(2, a.Int("kv_num_heads", 0))
	sq, sk := c.Shape(q), c.Shape(k)
	if share := sq[1] / sk[1]; share > 1 {
		repeat := func(x *graph.Value) *graph.Value {
			s := c.Shape(x)
			wide := c.expand(c.reshape(x, []int{s[0], s[1], 1, s[2], s[3]}), []int{s[0], s[1], share, s[2], s[3]})
			return c.reshape(wide, []int{s[0], s[1] * share, s[2], s[3]})
		}
		k, v = repeat(k), repeat(v)
	}
	scale := 1 / math.Sqrt(float64(sq[3]))
	if a.Has("scale") {
		scale = attrFloat(a, "scale", 1)
	}
	scores := c.scale(c.op("MatMul", q, c.swapLast(k)), scale)
	if cap := attrFloat(a, "softcap", 0); cap > 0 {
		scores = c.scale(c.op("Tanh", c.scale(scores, 1/cap)), cap)
	}
	const hidden = -1e30
	if m := c.In(3); m != nil {
		if m.Type.DType.IsFloat() {
			scores = c.add(scores, m)
		} else {
			scores = c.where(m, scores, c.Number(hidden, scores))
		}
	}
	if a.Int("is_causal", 0) != 0 {
		ones := c.expand(c.Number(1, scores), []int{sq[2], sk[2]})
		seen := c.above(c.opWith("Trilu", graph.Attrs{"upper": int64(0)}, ones), 0.5)
		scores = c.where(seen, scores, c.Number(hidden, scores))
	}
	y := c.op("MatMul", c.opWith("Softmax", graph.Attrs{"axis": int64(-1)}, scores), v)
	if len(c.Shape(c.In(0))) == 3 {
		s := c.Shape(y)
		y = c.reshape(c.transpose(y, 0, 2, 1, 3), []int{s[0], s[2], s[1] * s[3]})
	}
	return []*graph.Value{y}
}
