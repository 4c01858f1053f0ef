package op

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// einsumOps holds Einsum, the summation convention of numpy.einsum.
func einsumOps() []Def {
	return []Def{{Name: "Einsum", In: "Inputs+", Out: "Output", Attrs: "equation:string!", Infer: inferEinsum, Eval: evalEinsum, MACs: einsumMACs}}
}

// An equation's terms name dimensions by letters; an ellipsis stands for any number of
// broadcast dimensions. Inside, those dimensions are labels too: ellipsisLabel - i is
// the i-th of them from the right.
const ellipsisLabel = -1

// maxEinsum bounds the products of one evaluation, which would not end otherwise.
const maxEinsum = 1 << 36

// equation is a parsed Einsum for operands of given ranks.
type equation struct {
	in  [][]int // labels per operand
	out []int
}

func parseEquation(s string, ranks []int) (*equation, error) {
	s = strings.ReplaceAll(s, " ", "")
	left, right, explicit := strings.Cut(s, "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(ranks) {
		return nil, fmt.Errorf("equation %q has %d terms for %d inputs", s, len(terms), len(ranks))
	}
	q := &equation{}
	dots := 0
	seen := map[int]int{}
	for i, t := range terms {
		hidden := ranks[i] - len(strings.Replace(t, "...", "", 1))
		labels, err := parseTerm(t, hidden)
		if err != nil || len(labels) != ranks[i] {
			return nil, fmt.Errorf("term %q of equation %q does not fit an input of rank %d", t, s, ranks[i])
		}
		if strings.Contains(t, "...") {
			dots = max(dots, hidden)
		}
		for _, l := range labels {
			seen[l]++
		}
		q.in = append(q.in, labels)
	}
	if !explicit { // the ellipsis, then the letters that occur once, in order
		right = ""
		if dots > 0 {
			right = "..."
		}
		var once []int
		for l, n := range seen {
			if l > 0 && n == 1 {
				once = append(once, l)
			}
		}
		slices.Sort(once)
		for _, l := range once {
			right += string(rune(l))
		}
	}
	out, err := parseTerm(right, dots)
	if err != nil {
		return nil, fmt.Errorf("output %q of equation %q: %w", right, s, err)
	}
	q.out = out
	have := map[int]bool{}
	for _, l := range out {
		if seen[l] == 0 || have[l] {
			return nil, fmt.Errorf("label %q of the output of equation %q is repeated or in no input", rune(l), s)
		}
		have[l] = true
	}
	return q, nil
}

// parseTerm lists the labels of one term; hidden dimensions stand for its ellipsis.
func parseTerm(t string, hidden int) ([]int, error) {
	var out []int
	before, after, dots := strings.Cut(t, "...")
	add := func(letters string) error {
		for _, c := range letters {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return fmt.Errorf("label %q is not a letter", c)
			}
			out = append(out, int(c))
		}
		return nil
	}
	if err := add(before); err != nil {
		return nil, err
	}
	if dots {
		for i := hidden - 1; i >= 0; i-- {
			out = append(out, ellipsisLabel-i)
		}
	}
	return out, add(after)
}

func inferEinsum(c *Infer) error {
	ranks := make([]int, len(c.Node.Inputs))
	for i := range ranks {
		s := c.Shape(i)
		if !s.Ranked() {
			c.SetTensor(0, c.DType(0), nil)
			return nil
		}
		ranks[i] = len(s)
	}
	q, err := parseEquation(c.Attrs().String("equation", ""), ranks)
	if err != nil {
		return err
	}
	size, err := einsumSizes(c, q)
	if err != nil {
		return err
	}
	out := graph.Shape{}
	for _, l := range q.out {
		out = append(out, size[l])
	}
	c.SetTensor(0, c.DType(0), out)
	return nil
}

func einsumSizes(c *Infer, q *equation) (map[int]graph.Dim, error) {
	size := map[int]graph.Dim{}
	for i, labels := range q.in {
		for k, l := range labels {
			d := c.Shape(i)[k]
			old, ok := size[l]
			switch {
			case !ok, old.Known() && old.Size == 1, !old.Known() && d.Known() && d.Size != 1:
				size[l] = d
			case old.Known() && d.Known() && d.Size != 1 && d.Size != old.Size:
				return nil, fmt.Errorf("input %d %v: size %d of label %d contradicts %d", i, c.Shape(i), d.Size, k, old.Size)
			}
		}
	}
	return size, nil
}

func einsumMACs(c *Infer) int64 {
	ranks := make([]int, len(c.Node.Inputs))
	for i := range ranks {
		ranks[i] = len(c.Shape(i))
	}
	q, err := parseEquation(c.Attrs().String("equation", ""), ranks)
	if err != nil {
		return 0
	}
	size, err := einsumSizes(c, q)
	if err != nil {
		return 0
	}
	space := make([]int, 0, len(size))
	for _, d := range size {
		space = append(space, max(d.Size, 0))
	}
	n, err := tensor.NumElements(space)
	if err != nil {
		return math.MaxInt64
	}
	return int64(n)
}

// evalEinsum walks the space of all labels, output labels outside, and multiplies one
// element of every operand at each point.
func evalEinsum(e *Eval) error {
	ranks := make([]int, len(e.In))
	for i := range ranks {
		ranks[i] = e.number(i).Rank()
		e.sameType(0, i)
	}
	q, err := parseEquation(e.Attrs().String("equation", ""), ranks)
	if err != nil {
		return err
	}
	size := map[int]int{}
	labels := slices.Clone(q.out)
	for i, term := range q.in {
		for k, l := range term {
			d := e.T(i).Dim(k)
			old, ok := size[l]
			switch {
			case !ok || old == 1:
				size[l] = d
			case d != 1 && d != old:
				e.Fail("input %d is %v where equation %q has size %d in dimension %d", i, e.T(i), e.Attrs().String("equation", ""), old, k)
			}
			if !slices.Contains(labels, l) {
				labels = append(labels, l)
			}
		}
	}
	space := make([]int, len(labels))
	for i, l := range labels {
		space[i] = size[l]
	}
	if n, err := tensor.NumElements(space); err != nil || int64(n) > maxEinsum {
		e.Fail("equation %q spans %v: too many products", e.Attrs().String("equation", ""), space)
	}
	out := e.Make(e.T(0).DType(), space[:len(q.out)])
	e.Set(0, out)
	inner := volume(space[len(q.out):])
	operands := make([]*broadcastIndex, len(e.In))
	for i, term := range q.in {
		operands[i] = labelIndex(term, e.T(i).Shape(), labels, space)
	}
	exact := out.DType().IsInt()
	for o := range out.Len() {
		if err := e.Ctx.Err(); err != nil {
			return err
		}
		sum, isum := 0.0, int64(0)
		for range inner {
			f, n := 1.0, int64(1)
			for i, at := range operands {
				if exact {
					n *= e.T(i).Int(at.next())
				} else {
					f *= e.T(i).Float(at.next())
				}
			}
			sum += f
			isum += n
		}
		if exact {
			out.SetInt(o, isum)
		} else {
			out.SetFloat(o, sum)
		}
	}
	return nil
}

// labelIndex walks an operand of the given shape in the order of space. A label that
// occurs twice moves along the diagonal.
func labelIndex(term, shape, labels, space []int) *broadcastIndex {
	b := &broadcastIndex{shape: space, idx: make([]int, len(space)), stride: make([]int, len(space))}
	for k, s := range tensor.Strides(shape) {
		if shape[k] != 1 {
			b.stride[slices.Index(labels, term[k])] += s
		}
	}
	return b
}
