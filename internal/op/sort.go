package op

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// sortOps order and search elements.
func sortOps() []Def {
	return []Def{
		{Name: "TopK", In: "X K", Out: "Values Indices", Attrs: "axis:int largest:int sorted:int", Infer: inferTopK, Eval: evalTopK},
		{Name: "Unique", In: "X", Out: "Y indices? inverse_indices? counts?", Attrs: "axis:int sorted:int", Infer: inferUnique, Eval: evalUnique},
		{Name: "NonZero", In: "X", Out: "Y", Infer: inferNonZero, Eval: evalNonZero},
	}
}

// elementOrder returns a total order on the elements of t: NaN is above everything and
// equal to itself.
func elementOrder(t *tensor.Tensor) func(i, j int) int {
	switch d := t.DType(); {
	case d == tensor.String:
		return func(i, j int) int { return cmp.Compare(t.Strings()[i], t.Strings()[j]) }
	case d == tensor.Uint64:
		return func(i, j int) int { return cmp.Compare(uint64(t.Int(i)), uint64(t.Int(j))) }
	case d.IsFloat():
		return func(i, j int) int {
			x, y := t.Float(i), t.Float(j)
			if x != x || y != y {
				return cmp.Compare(y, x) // cmp puts NaN below everything
			}
			return cmp.Compare(x, y)
		}
	}
	return func(i, j int) int { return cmp.Compare(t.Int(i), t.Int(j)) }
}

func inferTopK(c *Infer) error {
	out := c.Shape(0).Clone()
	if out != nil {
		axis, err := ResolveAxis(c.Attrs().Int("axis", -1), len(out))
		if err != nil {
			return err
		}
		k, ok := c.KnownInts(1)
		switch {
		case !ok:
			out[axis] = graph.Unknown
		case len(k) != 1 || k[0] < 0 || out[axis].Known() && k[0] > int64(out[axis].Size):
			return fmt.Errorf("cannot take the top %v along axis %d of %v", k, axis, out)
		default:
			out[axis] = graph.Dim{Size: int(k[0])}
		}
	}
	c.SetTensor(0, c.DType(0), out)
	c.SetTensor(1, tensor.Int64, out)
	return nil
}

func evalTopK(e *Eval) error {
	x := e.T(0)
	axis := e.Axis(e.Attrs().Int("axis", -1), x.Rank())
	size := x.Dim(axis)
	want := e.Int(1)
	if want < 0 || want > int64(size) {
		return fmt.Errorf("cannot take the top %d along axis %d of %v", want, axis, x)
	}
	k := int(want)
	shape := slices.Clone(x.Shape())
	shape[axis] = k
	values, indices := e.Result(0, x.DType(), shape...), e.Result(1, tensor.Int64, shape...)
	if values.Len() == 0 {
		return nil
	}
	order := elementOrder(x)
	sign := 1
	if e.Attrs().Bool("largest", true) {
		sign = -1
	}
	inner := sizeOf(shape[axis+1:])
	at := make([]int, size)
	for o := range sizeOf(shape[:axis]) {
		for in := range inner {
			base := o*size*inner + in
			for i := range at {
				at[i] = i
			}
			// A stable sort: among equals the lower index comes first.
			slices.SortStableFunc(at, func(i, j int) int { return sign * order(base+i*inner, base+j*inner) })
			for i := range k {
				to := (o*k+i)*inner + in
				copyElement(values, to, x, base+at[i]*inner)
				indices.I64()[to] = int64(at[i])
			}
		}
	}
	return nil
}

func inferUnique(c *Infer) error {
	out := unknownShape(1)
	if c.Attrs().Has("axis") {
		if out = c.Shape(0).Clone(); out != nil {
			axis, err := ResolveAxis(c.Attrs().Int("axis", 0), len(out))
			if err != nil {
				return err
			}
			out[axis] = graph.Unknown
		}
	}
	c.SetTensor(0, c.DType(0), out)
	for i := 1; i < 4; i++ {
		c.SetTensor(i, tensor.Int64, unknownShape(1))
	}
	return nil
}

// evalUnique finds the distinct elements, or slices along an axis, in lexicographic
// order or in that of first occurrence.
func evalUnique(e *Eval) error {
	x := e.T(0)
	outer, size, inner := 1, x.Len(), 1
	axis := -1
	if e.Attrs().Has("axis") {
		axis = e.Axis(e.Attrs().Int("axis", 0), x.Rank())
		outer, size, inner = sizeOf(x.Shape()[:axis]), x.Dim(axis), sizeOf(x.Shape()[axis+1:])
	}
	if x.Len() == 0 && size > 0 {
		return fmt.Errorf("slices of %v along axis %d are empty", x, axis)
	}
	order := elementOrder(x)
	compare := func(i, j int) int {
		for o := range outer {
			for k := range inner {
				if c := order((o*size+i)*inner+k, (o*size+j)*inner+k); c != 0 {
					return c
				}
			}
		}
		return 0
	}
	at := make([]int, size)
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, compare)
	var groups [][]int // equal slices; each in ascending order of index
	for i, k := range at {
		if i > 0 && compare(at[i-1], k) == 0 {
			groups[len(groups)-1] = append(groups[len(groups)-1], k)
		} else {
			groups = append(groups, []int{k})
		}
	}
	if !e.Attrs().Bool("sorted", true) {
		slices.SortFunc(groups, func(a, b []int) int { return a[0] - b[0] })
	}

	n := len(groups)
	shape := []int{n}
	if axis >= 0 {
		shape = slices.Clone(x.Shape())
		shape[axis] = n
	}
	y := e.Result(0, x.DType(), shape...)
	first, counts := e.Result(1, tensor.Int64, n).I64(), e.Result(3, tensor.Int64, n).I64()
	inverse := e.Result(2, tensor.Int64, size).I64()
	for g, members := range groups {
		for o := range outer {
			copyRun(y, (o*n+g)*inner, x, (o*size+members[0])*inner, inner)
		}
		first[g], counts[g] = int64(members[0]), int64(len(members))
		for _, m := range members {
			inverse[m] = int64(g)
		}
	}
	return nil
}

func inferNonZero(c *Infer) error {
	rank := graph.Unknown
	if s := c.Shape(0); s != nil {
		rank.Size = len(s)
	}
	c.SetTensor(0, tensor.Int64, graph.Shape{rank, graph.Unknown})
	return nil
}

func evalNonZero(e *Eval) error {
	x := e.T(0)
	var at []int
	for i := range x.Len() {
		var zero bool
		switch d := x.DType(); {
		case d == tensor.String:
			zero = x.Strings()[i] == ""
		case d.IsFloat():
			zero = x.Float(i) == 0
		default:
			zero = x.Int(i) == 0
		}
		if !zero {
			at = append(at, i)
		}
	}
	out := e.Result(0, tensor.Int64, x.Rank(), len(at)).I64()
	stride := tensor.Strides(x.Shape())
	for a, s := range stride {
		for k, i := range at {
			out[a*len(at)+k] = int64(i / s % x.Dim(a))
		}
	}
	return nil
}
