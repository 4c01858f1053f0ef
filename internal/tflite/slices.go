package tflite

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// slice takes sizes where ONNX takes ends; −1 is all that is left.
func slice(o *operation) {
	o.count(3, 3)
	x := o.raw(0)
	begin, ok1 := o.ints(1)
	size, ok2 := o.ints(2)
	if !ok1 || !ok2 {
		b, n := o.vector(1), o.vector(2)
		all := o.emit("Equal", nil, n, o.vec(-1))
		ends := o.emit("Where", nil, all, o.vec(math.MaxInt64), o.emit("Add", nil, b, n))
		o.outRaw(0, o.emit("Slice", nil, x, b, ends))
		return
	}
	if len(begin) != o.rank(x) || len(size) != len(begin) {
		o.fail("begin %v and size %v do not fit %v", begin, size, x)
	}
	ends := make([]int64, len(size))
	for i, n := range size {
		switch {
		case begin[i] < 0 || n < -1:
			o.fail("begin %v and size %v are not valid", begin, size)
		case n == -1 || n > math.MaxInt64-begin[i]:
			ends[i] = math.MaxInt64
		default:
			ends[i] = begin[i] + n
		}
	}
	o.outRaw(0, o.emit("Slice", nil, x, o.vec(begin...), o.vec(ends...)))
}

// stridedSlice is NumPy's basic indexing: x[a:b:c, ..., newaxis, i]. The masks have one bit
// per entry of the index.
func stridedSlice(o *operation) {
	o.count(4, 4)
	t := o.options
	x := o.raw(0)
	steps := o.known(3, "the steps")
	beginMask, endMask, ellipsis, newAxis, shrink := t.u32(0, 0), t.u32(1, 0), t.u32(2, 0), t.u32(3, 0), t.u32(4, 0)
	if len(steps) > 32 {
		o.fail("an index of %d entries is too long", len(steps))
	}
	has := func(mask uint32, i int) bool { return mask>>i&1 != 0 }

	// Which axis of x each entry is about: none for a new axis and the ellipsis, which
	// stands for as many axes as the others leave over.
	rank, used := o.rank(x), 0
	for i := range steps {
		if !has(newAxis, i) && !has(ellipsis, i) {
			used++
		}
	}
	if used > rank {
		o.fail("an index with %d entries does not fit %v", used, x)
	}
	begin, end := o.index(1, len(steps)), o.index(2, len(steps))
	if t.bool(5, false) {
		end = end.plus(o, begin)
	}
	var entries, axes, insert, remove []int64
	axis, place := 0, 0 // in x and in the result with all its axes
	seen := false
	for i := range steps {
		switch {
		case has(ellipsis, i):
			if seen {
				o.fail("the index has two ellipses")
			}
			seen = true
			axis += rank - used
			place += rank - used
		case has(newAxis, i):
			insert = append(insert, int64(place))
			place++
		default:
			if steps[i] == 0 {
				o.fail("steps %v have a zero", steps)
			}
			entries, axes = append(entries, int64(i)), append(axes, int64(axis))
			if has(shrink, i) {
				remove = append(remove, int64(axis))
				place--
			}
			axis++
			place++
		}
	}
	y := x
	if len(entries) > 0 {
		b, e, s := begin.pick(o, entries), end.pick(o, entries), make([]int64, len(entries))
		for k, i := range entries {
			s[k] = steps[i]
			if has(shrink, int(i)) {
				s[k] = 1
			}
		}
		b.override(o, func(k int) (int64, bool) {
			if !has(beginMask, int(entries[k])) || has(shrink, int(entries[k])) {
				return 0, false
			}
			if s[k] < 0 {
				return math.MaxInt64, true
			}
			return 0, true
		})
		e.override(o, func(k int) (int64, bool) {
			if !has(endMask, int(entries[k])) || has(shrink, int(entries[k])) {
				return 0, false
			}
			if s[k] < 0 {
				return math.MinInt64, true
			}
			return math.MaxInt64, true
		})
		e.after(o, b, func(k int) bool { return has(shrink, int(entries[k])) })
		y = o.emit("Slice", nil, x, b.value(o), e.value(o), o.vec(axes...), o.vec(s...))
	}
	if len(remove) > 0 {
		y = o.emit("Squeeze", nil, y, o.vec(remove...))
	}
	if len(insert) > 0 {
		y = o.emit("Unsqueeze", nil, y, o.vec(insert...))
	}
	if y == x {
		y = o.emit("Identity", nil, x)
	}
	o.outRaw(0, y)
}

// index is a vector of bounds, known when the model is read or not.
type index struct {
	ints []int64      // when known
	dyn  *graph.Value // else, int64
	n    int
}

func (o *operation) index(i, n int) *index {
	if v, ok := o.ints(i); ok {
		if len(v) != n {
			o.fail("an index with %d steps has %d bounds", n, len(v))
		}
		return &index{ints: append([]int64(nil), v...), n: n}
	}
	return &index{dyn: o.vector(i), n: n}
}

func (x *index) value(o *operation) *graph.Value {
	if x.dyn != nil {
		return x.dyn
	}
	return o.vec(x.ints...)
}

func (x *index) plus(o *operation, y *index) *index {
	if x.dyn == nil && y.dyn == nil {
		out := &index{n: x.n, ints: make([]int64, x.n)}
		for i := range out.ints {
			out.ints[i] = x.ints[i] + y.ints[i]
		}
		return out
	}
	return &index{n: x.n, dyn: o.emit("Add", nil, x.value(o), y.value(o))}
}

// pick keeps the given entries.
func (x *index) pick(o *operation, entries []int64) *index {
	out := &index{n: len(entries)}
	if x.dyn != nil {
		out.dyn = o.emit("Gather", nil, x.dyn, o.vec(entries...))
		return out
	}
	for _, i := range entries {
		out.ints = append(out.ints, x.ints[i])
	}
	return out
}

// override replaces the entries for which f has another value.
func (x *index) override(o *operation, f func(k int) (int64, bool)) {
	mask, vals := make([]bool, x.n), make([]int64, x.n)
	some := false
	for k := range x.n {
		v, ok := f(k)
		mask[k], vals[k] = ok, v
		some = some || ok
		if ok && x.dyn == nil {
			x.ints[k] = v
		}
	}
	if x.dyn != nil && some {
		x.dyn = o.emit("Where", nil, o.g.Constant("", tensor.Of(mask, x.n)), o.vec(vals...), x.dyn)
	}
}

// after sets the entries that sel selects to one past those of b: a single element, also
// where that is the last one, written −1.
func (x *index) after(o *operation, b *index, sel func(k int) bool) {
	next := func(v int64) int64 {
		if v == -1 {
			return math.MaxInt64
		}
		return v + 1
	}
	mask := make([]bool, x.n)
	some := false
	for k := range x.n {
		mask[k] = sel(k)
		some = some || mask[k]
	}
	switch {
	case !some:
	case x.dyn == nil && b.dyn == nil:
		for k := range x.n {
			if mask[k] {
				x.ints[k] = next(b.ints[k])
			}
		}
	default:
		v := b.value(o)
		last := o.emit("Equal", nil, v, o.vec(-1))
		v = o.emit("Where", nil, last, o.vec(math.MaxInt64), o.emit("Add", nil, v, o.vec(1)))
		x.dyn, x.ints = o.emit("Where", nil, o.g.Constant("", tensor.Of(mask, x.n)), v, x.value(o)), nil
	}
}
