package op

import "github.com/edgewise-ml/edgewise/internal/graph"

// decomposeCell unrolls a recurrent layer over its steps into matrix products and
// activations. Gates stand as in evaluation.
func decomposeCell(gates int, step func(u *unrolled, d int, pre, h, s *graph.Value) (*graph.Value, *graph.Value)) func(c *Gradient) []*graph.Value {
	return func(c *Gradient) []*graph.Value {
		u := newUnrolled(c, gates)
		var all [][]*graph.Value // by direction, then step
		var last, cells []*graph.Value
		for d := range u.dirs {
			h, s := u.initial(5, d), u.initial(6, d)
			u.load(d)
			states := make([]*graph.Value, u.steps)
			for i := range u.steps {
				t := i
				if u.reverse(d) {
					t = u.steps - 1 - i
				}
				pre := c.reshape(c.cut(u.pre, 0, t, t+1), []int{u.batch, gates * u.hidden})
				h, s = step(u, d, pre, h, s)
				states[t] = h
			}
			all, last, cells = append(all, states), append(last, h), append(cells, s)
		}
		return u.outputs(all, last, cells)
	}
}

// unrolled is a recurrent layer while it is unrolled.
type unrolled struct {
	c                            *Gradient
	steps, batch, hidden, dirs   int
	gates                        int
	batchFirst                   bool
	x, pre, r, recurrentBias, pe *graph.Value
}

func newUnrolled(c *Gradient, gates int) *unrolled {
	x, r := c.Shape(c.In(0)), c.Shape(c.In(2))
	u := &unrolled{c: c, steps: x[0], batch: x[1], hidden: r[2], dirs: r[0], gates: gates, x: c.In(0), batchFirst: c.Attrs().Int("layout", 0) == 1}
	if u.batchFirst {
		u.steps, u.batch = u.batch, u.steps
		u.x = c.transpose(u.x, 1, 0, 2)
	}
	a := c.Attrs()
	if c.In(4) != nil || a.Has("clip") || len(a.Strings("activations")) > 0 && !defaultActivations(a.Strings("activations"), gates) {
		c.Fail("a layer with sequence_lens, clip or other activations than Sigmoid and Tanh is not unrolled")
	}
	return u
}

func defaultActivations(names []string, gates int) bool {
	want := map[int][]string{1: {"Tanh"}, 3: {"Sigmoid", "Tanh"}, 4: {"Sigmoid", "Tanh", "Tanh"}}[gates]
	for i, n := range names {
		if n != want[i%len(want)] {
			return false
		}
	}
	return true
}

func (u *unrolled) reverse(d int) bool {
	return d == 1 || u.c.Attrs().String("direction", "forward") == "reverse"
}

// part returns direction d of an input whose first dimension counts directions.
func (u *unrolled) part(i, d int) *graph.Value {
	v := u.c.In(i)
	if v == nil {
		return nil
	}
	return u.c.reshape(u.c.cut(v, 0, d, d+1), u.c.Shape(v)[1:])
}

// load computes the input terms of all steps of a direction at once.
func (u *unrolled) load(d int) {
	c, rows := u.c, u.gates*u.hidden
	u.pre = c.op("MatMul", u.x, c.swapLast(u.part(1, d)))
	u.r, u.recurrentBias, u.pe = c.swapLast(u.part(2, d)), nil, u.part(7, d)
	if b := u.part(3, d); b != nil {
		u.pre = c.add(u.pre, c.cut(b, 0, 0, rows))
		u.recurrentBias = c.cut(b, 0, rows, 2*rows)
	}
}

// recurrent is h·R + Rb.
func (u *unrolled) recurrent(h *graph.Value) *graph.Value {
	v := u.c.op("MatMul", h, u.r)
	if u.recurrentBias != nil {
		v = u.c.add(v, u.recurrentBias)
	}
	return v
}

func (u *unrolled) gate(v *graph.Value, g int) *graph.Value {
	return u.c.cut(v, 1, g*u.hidden, (g+1)*u.hidden)
}

func (u *unrolled) initial(i, d int) *graph.Value {
	c := u.c
	if c.In(i) == nil {
		return c.expand(c.Number(0, c.In(0)), []int{u.batch, u.hidden})
	}
	axis := 0
	if u.batchFirst {
		axis = 1
	}
	return c.reshape(c.cut(c.In(i), axis, d, d+1), []int{u.batch, u.hidden})
}

// outputs stacks the states as the operator's outputs want them.
func (u *unrolled) outputs(all [][]*graph.Value, last, cells []*graph.Value) []*graph.Value {
	c := u.c
	axes := [2]int{0, 1} // of steps and directions in Y
	stateAxis := 0
	if u.batchFirst {
		axes, stateAxis = [2]int{1, 2}, 1
	}
	stack := func(parts []*graph.Value, axis int, shape []int) *graph.Value {
		for i, p := range parts {
			parts[i] = c.reshape(p, shape)
		}
		return c.opWith("Concat", graph.Attrs{"axis": int64(axis)}, parts...)
	}
	var steps []*graph.Value
	for t := range u.steps {
		dirs := make([]*graph.Value, u.dirs)
		for d := range dirs {
			dirs[d] = all[d][t]
		}
		shape := []int{1, 1, u.batch, u.hidden}
		if u.batchFirst {
			shape = []int{u.batch, 1, 1, u.hidden}
		}
		steps = append(steps, stack(dirs, axes[1], shape))
	}
	y := c.opWith("Concat", graph.Attrs{"axis": int64(axes[0])}, steps...)
	state := []int{1, u.batch, u.hidden}
	if u.batchFirst {
		state = []int{u.batch, 1, u.hidden}
	}
	return []*graph.Value{y, stack(last, stateAxis, state), stack(cells, stateAxis, state)}
}

func unrollRNN(u *unrolled, _ int, pre, h, s *graph.Value) (*graph.Value, *graph.Value) {
	return u.c.op("Tanh", u.c.add(pre, u.recurrent(h))), s
}

func unrollGRU(u *unrolled, _ int, pre, h, s *graph.Value) (*graph.Value, *graph.Value) {
	c := u.c
	rec := u.recurrent(h)
	z := c.op("Sigmoid", c.add(u.gate(pre, 0), u.gate(rec, 0)))
	r := c.op("Sigmoid", c.add(u.gate(pre, 1), u.gate(rec, 1)))
	candidate := c.mul(r, u.gate(rec, 2))
	if c.Attrs().Int("linear_before_reset", 0) == 0 {
		candidate = u.gate(u.recurrent(c.mul(r, h)), 2)
	}
	candidate = c.op("Tanh", c.add(u.gate(pre, 2), candidate))
	return c.add(c.mul(c.sub(c.Number(1, z), z), candidate), c.mul(z, h)), s
}

func unrollLSTM(u *unrolled, _ int, pre, h, s *graph.Value) (*graph.Value, *graph.Value) {
	c := u.c
	sum := c.add(pre, u.recurrent(h))
	peep := func(v *graph.Value, k int, cell *graph.Value) *graph.Value {
		if u.pe == nil {
			return v
		}
		return c.add(v, c.mul(c.cut(u.pe, 0, k*u.hidden, (k+1)*u.hidden), cell))
	}
	in := c.op("Sigmoid", peep(u.gate(sum, 0), 0, s))
	forget := c.sub(c.Number(1, in), in)
	if c.Attrs().Int("input_forget", 0) == 0 {
		forget = c.op("Sigmoid", peep(u.gate(sum, 2), 2, s))
	}
	s = c.add(c.mul(forget, s), c.mul(in, c.op("Tanh", u.gate(sum, 3))))
	out := c.op("Sigmoid", peep(u.gate(sum, 1), 1, s))
	return c.mul(out, c.op("Tanh", s)), s
}
