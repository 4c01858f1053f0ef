package engine

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerGather, "", "Gather")
}

// lowerGather is a view where one index or a run of them is known, and else copies rows,
// as of an embedding.
func lowerGather(l *lowerer, n *graph.Node) string {
	data, indices, y := n.In(0), n.In(1), n.Outputs[0]
	s, _ := data.Type.Static()
	axis, err := op.ResolveAxis(n.Attrs.Int("axis", 0), len(s))
	if err != nil {
		return err.Error()
	}
	ys, _ := y.Type.Static()
	if first, ok := indexRun(indices, s[axis]); ok {
		r := l.first(data)
		strides := make([]int, 0, len(ys))
		strides = append(strides, r.strides[:axis]...)
		for range indices.Const.Rank() {
			strides = append(strides, r.strides[axis])
		}
		strides = append(strides, r.strides[axis+1:]...)
		l.show(n, y, r.view(ys, strides, first*r.strides[axis]))
		return ""
	}
	d := indices.Type.DType
	if d != tensor.Int64 && d != tensor.Int32 {
		return fmt.Sprintf("indices of %v have no kernel", d)
	}
	in, at := l.plainBytes(data), l.plain(indices)
	out := l.make(y, tensor.Strides(ys), nil)
	rows, outer, size := s[axis], 1, in.elem()
	for _, k := range s[:axis] {
		outer *= k
	}
	for _, k := range s[axis+1:] {
		size *= k
	}
	count := at.len()
	l.add(&step{name: n.Label(), op: n.Op, kernel: "rows", reads: []*ref{in, at}, writes: []*ref{out},
		exec: func(ses *Session) error {
			src, dst, list := ses.bytes(in), ses.bytes(out), ses.bytes(at)
			for i := range count {
				k := 0
				if d == tensor.Int64 {
					k = int(sliceOf[int64](list)[i])
				} else {
					k = int(sliceOf[int32](list)[i])
				}
				if k < -rows || k >= rows {
					return fmt.Errorf("%v: index %d is out of range for %d", n, k, rows)
				}
				if k < 0 {
					k += rows
				}
				for o := range outer {
					copy(dst[(o*count+i)*size:][:size], src[(o*rows+k)*size:][:size])
				}
			}
			return nil
		}})
	return ""
}

// indexRun returns the first of constant indices of rank 0 or 1 that follow each other.
func indexRun(v *graph.Value, rows int) (first int, ok bool) {
	t := v.Const
	if t == nil || t.Rank() > 1 || t.Len() == 0 || !t.DType().IsInt() {
		return 0, false
	}
	for i := range t.Len() {
		k := int(t.Int(i))
		if k < -rows || k >= rows {
			return 0, false
		}
		if k < 0 {
			k += rows
		}
		if i == 0 {
			first = k
		}
		if k != first+i {
			return 0, false
		}
	}
	return first, true
}
