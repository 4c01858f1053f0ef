package op

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// reduceOps fold tensors along axes.
func reduceOps() []Def {
	square := func(x float64) float64 { return x * x }
	return []Def{
		reduce("ReduceSum", reducer{step: addFloat}),
		reduce("ReduceMean", reducer{step: addFloat, finish: func(sum, n float64) float64 { return sum / n }}),
		reduce("ReduceProd", reducer{init: 1, step: func(a, x float64) float64 { return a * x }}),
		reduce("ReduceMax", reducer{init: math.Inf(-1), step: maxOf[float64]}),
		reduce("ReduceMin", reducer{init: math.Inf(1), step: minOf[float64]}),
		reduce("ReduceL1", reducer{step: func(a, x float64) float64 { return a + math.Abs(x) }}),
		reduce("ReduceL2", reducer{step: func(a, x float64) float64 { return a + square(x) },
			finish: func(sum, _ float64) float64 { return math.Sqrt(sum) }}),
		reduce("ReduceSumSquare", reducer{step: func(a, x float64) float64 { return a + square(x) }}),
		reduce("ReduceLogSum", reducer{step: addFloat, finish: func(sum, _ float64) float64 { return math.Log(sum) }}),
		{Name: "ReduceLogSumExp", In: reduceIn, Out: "reduced", Attrs: reduceAttrs, Infer: inferReduce, Eval: evalLogSumExp},
		{Name: "ArgMax", In: "data", Out: "reduced", Attrs: argAttrs, Infer: inferArg, Eval: evalArg(func(order int) bool { return order == 1 })},
		{Name: "ArgMin", In: "data", Out: "reduced", Attrs: argAttrs, Infer: inferArg, Eval: evalArg(func(order int) bool { return order == -1 })},
	}
}

const (
	reduceIn    = "data axes?"
	reduceAttrs = "keepdims:int noop_with_empty_axes:int"
	argAttrs    = "axis:int keepdims:int select_last_index:int"
)

// reducer folds numbers: acc = step(acc, x) from init, then finish(acc, count).
type reducer struct {
	init   float64
	step   func(acc, x float64) float64
	finish func(acc, n float64) float64
}

func reduce(name string, r reducer) Def {
	return Def{Name: name, In: reduceIn, Out: "reduced", Attrs: reduceAttrs, Infer: inferReduce, Eval: func(e *Eval) error {
		x, g := e.reduction()
		out := e.Result(0, x.DType(), g.shape...)
		if x.DType().IsInt() && x.DType().Bits() > 32 {
			if exact := reduceInt(name); exact != nil {
				return evalReduceInt(e, out, x, g, exact)
			}
		}
		acc, n := e.scratch(g.shape...), float64(g.count)
		for i := range acc {
			acc[i] = r.init
		}
		for i := range x.Len() {
			j := g.next()
			acc[j] = r.step(acc[j], x.Float(i))
		}
		lo, hi := x.DType().IntRange()
		for i, v := range acc {
			if r.finish != nil {
				v = r.finish(v, n)
			}
			switch {
			case x.DType() == tensor.Bool:
				out.SetInt(i, int64(min(max(v, 0), 1)))
			case !x.DType().IsInt():
				out.SetFloat(i, v)
			case math.IsInf(v, 1): // the identity of an empty set
				out.SetInt(i, hi)
			case math.IsInf(v, -1):
				out.SetInt(i, lo)
			case math.Abs(v) < 1<<53:
				out.SetInt(i, int64(v))
			default:
				out.SetFloat(i, v)
			}
		}
		return nil
	}}
}

type intReducer struct {
	init int64
	step func(acc, x int64) int64
}

// reduceInt returns the fold over 64-bit integers, whose values a float64 cannot hold;
// nil where the result is not an integer anyway.
func reduceInt(name string) *intReducer {
	switch name {
	case "ReduceSum":
		return &intReducer{0, addInt}
	case "ReduceProd":
		return &intReducer{1, func(a, x int64) int64 { return a * x }}
	case "ReduceMax":
		return &intReducer{math.MinInt64, maxOf[int64]}
	case "ReduceMin":
		return &intReducer{math.MaxInt64, minOf[int64]}
	case "ReduceL1":
		return &intReducer{0, func(a, x int64) int64 { return a + max(x, -x) }}
	case "ReduceSumSquare":
		return &intReducer{0, func(a, x int64) int64 { return a + x*x }}
	}
	return nil
}

func evalReduceInt(e *Eval, out, x *tensor.Tensor, g *reduction, r *intReducer) error {
	// Flipping the top bit makes the order of unsigned numbers that of signed ones.
	flip := int64(0)
	if x.DType() == tensor.Uint64 && (r.init == math.MinInt64 || r.init == math.MaxInt64) {
		flip = math.MinInt64
	}
	acc := make([]int64, out.Len())
	for i := range acc {
		acc[i] = r.init
	}
	for i := range x.Len() {
		j := g.next()
		acc[j] = r.step(acc[j], x.Int(i)^flip)
	}
	for i, v := range acc {
		out.SetInt(i, v^flip)
	}
	return nil
}

// evalLogSumExp subtracts the maximum first, so that nothing overflows.
func evalLogSumExp(e *Eval) error {
	x, g := e.reduction()
	out := e.Result(0, x.DType(), g.shape...)
	peak, sum := e.scratch(g.shape...), e.scratch(g.shape...)
	for i := range peak {
		peak[i] = math.Inf(-1)
	}
	index := make([]int, x.Len())
	for i := range index {
		index[i] = g.next()
		peak[index[i]] = max(peak[index[i]], x.Float(i))
	}
	for i, j := range index {
		if v := x.Float(i); !math.IsInf(peak[j], 0) {
			sum[j] += math.Exp(v - peak[j])
		} else {
			sum[j] = 1
		}
	}
	for j := range sum {
		out.SetFloat(j, peak[j]+math.Log(sum[j]))
		if math.IsInf(peak[j], -1) {
			out.SetFloat(j, peak[j])
		}
	}
	return nil
}

// reduction tells where each element of the input goes.
type reduction struct {
	*broadcastIndex       // yields the flat output index for each input element in order
	shape           []int // of the output
	count           int   // elements that fold into one
}

// reduction prepares a Reduce operator from its axes input and attributes.
func (e *Eval) reduction() (*tensor.Tensor, *reduction) {
	x := e.T(0)
	if d := x.DType(); !d.IsFloat() && !d.IsInt() && d != tensor.Bool {
		e.Fail("input data is %v, want numbers", x)
	}
	all := e.Attrs().Int("noop_with_empty_axes", 0) == 0
	return x, e.over(x, e.Ints(1), all, e.Attrs().Int("keepdims", 1) != 0)
}

// over prepares the reduction of x over axes; with all, no axes means all of them.
func (e *Eval) over(x *tensor.Tensor, axes []int64, all, keep bool) *reduction {
	gone := make([]bool, x.Rank())
	for _, a := range axes {
		gone[e.Axis(a, x.Rank())] = true
	}
	g := &reduction{count: 1}
	kept := make([]int, x.Rank()) // the output shape before sizes 1 are dropped
	for i, d := range x.Shape() {
		if len(axes) == 0 && all {
			gone[i] = true
		}
		kept[i] = d
		if gone[i] {
			kept[i] = 1
			g.count *= d
		}
		if !gone[i] || keep {
			g.shape = append(g.shape, kept[i])
		}
	}
	g.broadcastIndex = newBroadcastIndex(kept, x.Shape())
	return g
}

func inferReduce(c *Infer) error {
	keep := c.Attrs().Int("keepdims", 1) != 0
	s := c.Shape(0)
	axes, known := c.KnownInts(1)
	if !c.Has(1) {
		known = true
	}
	switch {
	case !s.Ranked(), !known && !keep:
		c.SetTensor(0, c.DType(0), nil)
	case !known: // the rank is all there is to say
		out := make(graph.Shape, len(s))
		for i := range out {
			out[i] = graph.Unknown
		}
		c.SetTensor(0, c.DType(0), out)
	default:
		gone := make([]bool, len(s))
		for _, a := range axes {
			i, err := ResolveAxis(a, len(s))
			if err != nil {
				return err
			}
			gone[i] = true
		}
		all := len(axes) == 0 && c.Attrs().Int("noop_with_empty_axes", 0) == 0
		c.SetTensor(0, c.DType(0), reducedShape(s, func(i int) bool { return all || gone[i] }, keep))
	}
	return nil
}

func reducedShape(s graph.Shape, gone func(int) bool, keep bool) graph.Shape {
	out := graph.Shape{}
	for i, d := range s {
		switch {
		case !gone(i):
			out = append(out, d)
		case keep:
			out = append(out, graph.Dim{Size: 1})
		}
	}
	return out
}

func inferArg(c *Infer) error {
	s := c.Shape(0)
	if !s.Ranked() {
		c.SetTensor(0, tensor.Int64, nil)
		return nil
	}
	axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(s))
	if err != nil {
		return err
	}
	keep := c.Attrs().Int("keepdims", 1) != 0
	c.SetTensor(0, tensor.Int64, reducedShape(s, func(i int) bool { return i == axis }, keep))
	return nil
}

// evalArg returns the index of the first (or last) element that better prefers; a NaN
// is preferred to everything.
func evalArg(better func(order int) bool) func(*Eval) error {
	return func(e *Eval) error {
		x := e.number(0)
		axis := e.Axis(e.Attrs().Int("axis", 0), x.Rank())
		last := e.Attrs().Int("select_last_index", 0) != 0
		g := e.over(x, []int64{int64(axis)}, false, e.Attrs().Int("keepdims", 1) != 0)
		out := e.Result(0, tensor.Int64, g.shape...).I64()
		outer, n, inner := splitAt(x.Shape(), axis)
		if n == 0 && len(out) > 0 {
			e.Fail("axis %d of data %v is empty", axis, x)
		}
		if len(out) == 0 {
			return nil
		}
		order := orderOf(x, x)
		for o := range outer {
			for k := range inner {
				at := func(i int) int { return (o*n+i)*inner + k }
				best := 0
				for i := 1; i < n; i++ {
					switch c := order(at(i), at(best)); {
					case better(c), last && c == 0, c == 2 && order(at(best), at(best)) == 0:
						best = i
					}
				}
				out[o*inner+k] = int64(best)
			}
		}
		return nil
	}
}
