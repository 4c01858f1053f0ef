package train

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// rebatch gives the first dimension of every input the size of the batch and lets types
// follow; inputs that are single numbers stay. A file made for a batch of one has that one
// in constants too, where it is made the batch: in the shapes that Reshape, Resize and
// Expand take, in the ends of a Slice, and in constants that are joined to what the samples
// bring. A Squeeze that takes the batch for another dimension of size one takes that one.
func rebatch(g *graph.Graph, batch int) error {
	if _, err := op.InferTypes(g); err != nil {
		return err
	}
	r := &rebatching{g: g, batch: batch, facts: op.NewFacts(), was: map[*graph.Value][]int{}}
	for _, v := range g.Inputs {
		r.remember(v)
		if len(v.Type.Shape) == 0 {
			if !v.Type.Shape.Ranked() {
				return fmt.Errorf("input %v has no dimension for the batch", v)
			}
			continue
		}
		if d := v.Type.Shape[0]; d.Known() && d.Size != 1 && d.Size != batch {
			return fmt.Errorf("input %v has a batch of %d, the training one of %d", v, d.Size, batch)
		}
		v.Type = v.Type.Clone()
		v.Type.Shape[0] = graph.Dim{Size: batch}
	}
	old := g.Nodes
	for _, n := range old {
		for _, y := range n.Outputs {
			if y != nil {
				r.remember(y)
				y.Type = graph.Type{}
			}
		}
	}
	g.Nodes = nil
	for _, n := range old {
		if err := r.node(n); err != nil {
			return fmt.Errorf("with a batch of %d: %w; %s", batch, err, oneByOne)
		}
		g.Nodes = append(g.Nodes, n)
	}
	if y := g.Outputs[0]; batch > 1 && len(r.was[y]) > 0 {
		if now, ok := y.Type.Static(); ok && slices.Equal(now, r.was[y]) {
			return fmt.Errorf("with a batch of %d output %v stays what it was; %s", batch, y, oneByOne)
		}
	}
	return nil
}

// oneByOne is the way out for files made for a batch of one throughout.
const oneByOne = "hint: a file that cannot take a batch trains with batch: 1 and accumulate: N"

// rebatching carries a new batch through a graph, in the order of its nodes.
type rebatching struct {
	g     *graph.Graph
	batch int
	facts *op.Facts
	was   map[*graph.Value][]int // shapes before, where they were known
}

func (r *rebatching) remember(v *graph.Value) {
	if s, ok := v.Type.Static(); ok {
		r.was[v] = s
	}
}

func (r *rebatching) node(n *graph.Node) error {
	var err error
	switch {
	case n.Is("Reshape"):
		r.reshape(n)
	case n.Is("Resize") && n.Attrs.Ints("axes") == nil:
		r.sizes(n, 3)
	case n.Is("Expand"):
		r.sizes(n, 1)
	case n.Is("Slice"):
		r.slice(n)
	case n.Is("Squeeze"):
		r.squeeze(n)
	case n.Is("Concat"):
		err = r.concat(n)
	}
	if err != nil {
		return err
	}
	return r.facts.InferNode(n)
}

// grown returns the shape that v had before and its one axis that has grown by the batch.
func (r *rebatching) grown(v *graph.Value) (was []int, axis int, ok bool) {
	if v == nil {
		return nil, 0, false
	}
	was, now := r.was[v], []int(nil)
	if now, ok = v.Type.Static(); !ok || len(was) != len(now) {
		return nil, 0, false
	}
	axis = -1
	for i := range was {
		if was[i] == now[i] {
			continue
		}
		if axis >= 0 || now[i] != was[i]*r.batch {
			return nil, 0, false
		}
		axis = i
	}
	return was, axis, axis >= 0
}

// target returns the constant that input i is, where it has rank numbers.
func target(n *graph.Node, i, rank int) []int64 {
	if v := n.In(i); v != nil && v.Const != nil && v.Const.Len() == rank && rank > 0 {
		return slices.Clone(v.Const.Ints())
	}
	return nil
}

func (r *rebatching) set(n *graph.Node, i int, v []int64) {
	n.Inputs[i] = r.g.Constant(n.Inputs[i].Name, tensor.Of(v, len(v)))
}

// reshape finds the batch in the new shape by what lies behind it in memory: a dimension
// of one at that place, or else one that the samples are added to.
func (r *rebatching) reshape(n *graph.Node) {
	was, axis, ok := r.grown(n.Inputs[0])
	out, known := r.was[n.Outputs[0]]
	if !ok || !known {
		return
	}
	old := target(n, 1, len(out))
	at := place(out, old, volume(was[axis:]), axis)
	if old == nil || at < 0 {
		return
	}
	shape := make([]int64, len(out))
	for i, d := range out {
		shape[i] = int64(d)
	}
	shape[at] *= int64(r.batch)
	r.set(n, 1, shape)
}

// place returns the dimension of a new shape that takes the batch, which was dimension
// axis and has as many elements behind it; -1 where there is none. A dimension of one that
// the file leaves open is made for it. Of several dimensions of one in its place it is the
// same as before or the last. Where there is none, the dimensions on both sides could grow:
// that which the file leaves open, or the one behind unless that is the last, whose
// elements are features of a sample.
func place(out []int, written []int64, behind, axis int) int {
	if i := slices.Index(written, -1); i >= 0 && out[i] == 1 {
		return i
	}
	one, after := -1, -1
	for i, d := range out {
		if volume(out[i:]) != behind {
			continue
		}
		if d == 1 && one != axis {
			one = i
		}
		if after < 0 {
			after = i
		}
	}
	switch {
	case one >= 0 || after < 1:
		return max(one, after)
	case written != nil && written[after-1] == -1, after == len(out)-1:
		return after - 1
	}
	return after
}

// sizes multiplies the batch of the sizes at input i.
func (r *rebatching) sizes(n *graph.Node, i int) {
	was, axis, ok := r.grown(n.Inputs[0])
	if !ok {
		return
	}
	if s := target(n, i, len(was)); s != nil && s[axis] == int64(was[axis]) {
		s[axis] *= int64(r.batch)
		r.set(n, i, s)
	}
}

// slice lets a part that held the whole batch hold it still.
func (r *rebatching) slice(n *graph.Node) {
	was, axis, ok := r.grown(n.Inputs[0])
	if !ok || n.In(1).Const == nil || n.In(2).Const == nil {
		return
	}
	starts, ends := n.In(1).Const.Ints(), slices.Clone(n.In(2).Const.Ints())
	at := axis
	if n.In(3) != nil {
		if n.In(3).Const == nil {
			return
		}
		at = slices.IndexFunc(n.In(3).Const.Ints(), func(a int64) bool { return a == int64(axis) || a+int64(len(was)) == int64(axis) })
	}
	if at >= 0 && at < len(starts) && at < len(ends) && starts[at] == 0 && ends[at] == int64(was[axis]) {
		ends[at] *= int64(r.batch)
		r.set(n, 2, ends)
	}
}

func (r *rebatching) squeeze(n *graph.Node) {
	was, axis, ok := r.grown(n.Inputs[0])
	if !ok || n.In(1) == nil || n.In(1).Const == nil {
		return
	}
	axes := slices.Clone(n.In(1).Const.Ints())
	for i := range axes {
		if axes[i] < 0 {
			axes[i] += int64(len(was))
		}
	}
	at := slices.Index(axes, int64(axis))
	if at < 0 {
		return
	}
	for i, d := range was {
		if d == 1 && !slices.Contains(axes, int64(i)) {
			axes[at] = int64(i)
			r.set(n, 1, axes)
			return
		}
	}
}

// concat repeats inputs that are the same for every sample.
func (r *rebatching) concat(n *graph.Node) error {
	axis := -1
	for _, v := range n.Inputs {
		if _, a, ok := r.grown(v); ok {
			axis = a
		}
	}
	join := int(n.Attrs.Int("axis", 0))
	if axis < 0 || join == axis || join+len(n.Inputs[0].Type.Shape) == axis {
		return nil
	}
	for i, v := range n.Inputs {
		s, ok := v.Type.Static()
		if !ok || axis >= len(s) || s[axis] != 1 {
			continue
		}
		shape := make([]int64, len(s))
		for k, d := range s {
			shape[k] = int64(d)
		}
		shape[axis] = int64(r.batch)
		all := r.g.Add("Expand", v.Name+"/batch", nil, v, r.g.Ints(v.Name+"/batch.shape", shape...))
		if err := r.facts.InferNode(all.Def); err != nil {
			return err
		}
		n.Inputs[i] = all
	}
	return nil
}

func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
