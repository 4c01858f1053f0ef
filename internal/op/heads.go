package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// heads is an operand of attention as [batch, heads, seq, size] in double precision.
type heads struct {
	data                    []float64
	batch, heads, seq, size int
}

func (h *heads) row(b, head, s int) []float64 {
	return h.data[((b*h.heads+head)*h.seq+s)*h.size:][:h.size]
}

func (h *heads) shape() []int { return []int{h.batch, h.heads, h.seq, h.size} }

// heads reads input i, either [batch,heads,seq,size] or [batch,seq,heads·size] with n
// heads.
func (e *Eval) heads(i int, n int64) *heads {
	t := e.T(i)
	switch s := t.Shape(); {
	case len(s) == 4:
		return &heads{t.Floats(), s[0], s[1], s[2], s[3]}
	case len(s) == 3:
		if n < 1 || int64(s[2])%n != 0 {
			e.Fail("input %s is %v, which does not divide into %d heads", e.inputName(i), t, n)
		}
		h := &heads{make([]float64, t.Len()), s[0], int(n), s[1], s[2] / int(n)}
		for at, v := range t.Floats() {
			b, s, head, d := at/(s[1]*s[2]), at/s[2]%s[1], at%s[2]/h.size, at%h.size
			h.row(b, head, s)[d] = v
		}
		return h
	}
	e.Fail("input %s must have rank 3 or 4, it is %v", e.inputName(i), t)
	return nil
}

// prepend returns past followed by h along the sequence axis.
func (h *heads) prepend(past *heads) (*heads, error) {
	if past.batch != h.batch || past.heads != h.heads || past.size != h.size {
		return nil, fmt.Errorf("past state %v does not fit %v", past.shape(), h.shape())
	}
	out := &heads{nil, h.batch, h.heads, past.seq + h.seq, h.size}
	for k := range h.batch * h.heads {
		out.data = append(out.data, past.data[k*past.seq*h.size:][:past.seq*h.size]...)
		out.data = append(out.data, h.data[k*h.seq*h.size:][:h.seq*h.size]...)
	}
	return out, nil
}

// storeFloats makes output i of the given type from double precision.
func (e *Eval) storeFloats(i int, d tensor.DType, data []float64, shape ...int) {
	out := e.Result(i, d, shape...)
	for k, v := range data {
		out.SetFloat(k, v)
	}
}

// attentionShape is the shape of the result, in the layout of the query tensor.
func attentionShape(query *tensor.Tensor, q, v *heads) []int {
	if query.Rank() == 3 {
		return []int{q.batch, q.seq, q.heads * v.size}
	}
	return []int{q.batch, q.heads, q.seq, v.size}
}

// softmaxRow replaces scores by probabilities.
func softmaxRow(x []float64) {
	if len(x) == 0 {
		return
	}
	top := slices.Max(x)
	sum := 0.0
	for i, v := range x {
		x[i] = math.Exp(v - top)
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}
