package op

import (
	"math"
	"slices"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// reduced tells a Reduce rule the axes that were folded, the shape with those at size 1,
// and how many elements folded into one.
func (c *Gradient) reduced() (axes, kept []int, count int) {
	in := c.Shape(c.In(0))
	kept, count = slices.Clone(in), 1
	named := map[int]bool{}
	if c.In(1) != nil {
		for _, a := range c.known(1).Ints() {
			i, err := ResolveAxis(a, len(in))
			if err != nil {
				c.Fail("%w", err)
			}
			named[i] = true
		}
	}
	all := len(named) == 0 && c.Attrs().Int("noop_with_empty_axes", 0) == 0
	for i := range in {
		if all || named[i] {
			axes = append(axes, i)
			kept[i] = 1
			count *= in[i]
		}
	}
	return axes, kept, count
}

// gradReduce is the rule of a fold whose gradient is factor(x, y)·dy, where y and dy are
// broadcast over what was folded.
func gradReduce(factor func(c *Gradient, x, y *graph.Value, axes []int, count int) *graph.Value) func(*Gradient) error {
	return func(c *Gradient) error {
		if !c.Wants(0) {
			return nil
		}
		axes, kept, count := c.reduced()
		x := c.In(0)
		dy, y := c.reshape(c.Dy(), kept), c.reshape(c.Out(0), kept)
		if f := factor(c, x, y, axes, count); f != nil {
			dy = c.mul(dy, f)
		}
		c.Set(0, c.expand(dy, c.Shape(x)))
		return nil
	}
}

// reduceGradients are the rules of the folds along axes.
var reduceGradients = sync.OnceValue(func() map[string]func(*Gradient) error {
	return map[string]func(*Gradient) error{
		"ReduceSum": gradReduce(func(*Gradient, *graph.Value, *graph.Value, []int, int) *graph.Value { return nil }),
		"ReduceMean": gradReduce(func(c *Gradient, x, _ *graph.Value, _ []int, n int) *graph.Value {
			return c.Number(1/float64(max(n, 1)), x)
		}),
		"ReduceMax": gradReduce(shareOfEqual),
		"ReduceMin": gradReduce(shareOfEqual),
		"ReduceL1":  gradReduce(func(c *Gradient, x, _ *graph.Value, _ []int, _ int) *graph.Value { return c.op("Sign", x) }),
		"ReduceL2": gradReduce(func(c *Gradient, x, y *graph.Value, _ []int, _ int) *graph.Value {
			return c.div(x, c.op("Max", y, c.Number(math.SmallestNonzeroFloat32, y)))
		}),
		"ReduceSumSquare": gradReduce(func(c *Gradient, x, _ *graph.Value, _ []int, _ int) *graph.Value { return c.scale(x, 2) }),
		"ReduceLogSum":    gradReduce(func(c *Gradient, _, y *graph.Value, _ []int, _ int) *graph.Value { return c.op("Exp", c.neg(y)) }),
		"ReduceLogSumExp": gradReduce(func(c *Gradient, x, y *graph.Value, _ []int, _ int) *graph.Value { return c.op("Exp", c.sub(x, y)) }),
		"ReduceProd":      gradReduceProd,
	}
})

// shareOfEqual divides the gradient among the elements that reach the extreme.
func shareOfEqual(c *Gradient, x, y *graph.Value, axes []int, _ int) *graph.Value {
	equal := c.where(c.op("Equal", x, y), c.Number(1, x), c.Number(0, x))
	return c.div(equal, c.sum(equal, true, axes...))
}

// gradReduceProd multiplies all other elements, so that zeros need no division: the
// product before an element times the product after it. It folds one axis at a time, of
// which the canonical form allows several.
func gradReduceProd(c *Gradient) error {
	if !c.Wants(0) {
		return nil
	}
	axes, kept, count := c.reduced()
	x := c.In(0)
	in := c.Shape(x)
	// The folded axes go last and become one.
	var perm []int
	for i := range in {
		if !slices.Contains(axes, i) {
			perm = append(perm, i)
		}
	}
	outer := volume(in) / max(count, 1)
	perm = append(perm, axes...)
	rows := c.reshape(c.transpose(x, perm...), []int{outer, count})
	dy := c.reshape(c.reshape(c.Dy(), kept), []int{outer, 1})
	others := make([]*graph.Value, count)
	for k := range others {
		before, after := c.cut(rows, 1, 0, k), c.cut(rows, 1, k+1, count)
		others[k] = c.opWith("ReduceProd", nil, c.opWith("Concat", graph.Attrs{"axis": int64(1)}, before, after), c.Ints(1))
	}
	dx := c.mul(dy, c.opWith("Concat", graph.Attrs{"axis": int64(1)}, others...))
	shape, inverse := make([]int, len(in)), make([]int, len(in))
	for i, p := range perm {
		shape[i], inverse[p] = in[p], i
	}
	c.Set(0, c.transpose(c.reshape(dx, shape), inverse...))
	return nil
}

// cut is a Slice of one axis.
func (c *Gradient) cut(v *graph.Value, axis, from, to int) *graph.Value {
	return c.op("Slice", v, c.Ints(from), c.Ints(to), c.Ints(axis))
}

// gradSoftmax is y·(dy - Σ dy·y) along the axis.
func gradSoftmax(c *Gradient) error {
	if c.Wants(0) {
		y := c.Out(0)
		c.Set(0, c.mul(y, c.sub(c.Dy(), c.sum(c.mul(c.Dy(), y), true, c.axis(-1)))))
	}
	return nil
}

// gradLogSoftmax is dy - exp(y)·Σ dy along the axis.
func gradLogSoftmax(c *Gradient) error {
	if c.Wants(0) {
		c.Set(0, c.sub(c.Dy(), c.mul(c.op("Exp", c.Out(0)), c.sum(c.Dy(), true, c.axis(-1)))))
	}
	return nil
}

// axis resolves the attribute axis against input 0.
func (c *Gradient) axis(def int64) int {
	a, err := ResolveAxis(c.Attrs().Int("axis", def), len(c.Shape(c.In(0))))
	if err != nil {
		c.Fail("%w", err)
	}
	return a
}

// gradCumSum sums the gradient the other way round.
func gradCumSum(c *Gradient) error {
	if c.Wants(0) {
		a := c.Attrs().Clone()
		if a == nil {
			a = graph.Attrs{}
		}
		a["reverse"] = 1 - a.Int("reverse", 0)
		c.Set(0, c.opWith("CumSum", a, c.Dy(), c.In(1)))
	}
	return nil
}
