package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// rotaryOps are position encoding and attention with a running state.
func rotaryOps() []Def {
	return []Def{
		{Name: "RotaryEmbedding", In: "X cos_cache sin_cache position_ids?", Out: "Y", Attrs: "interleaved:int num_heads:int rotary_embedding_dim:int", Infer: inferLike(0), Eval: evalRotaryEmbedding},
		{Name: "LinearAttention", In: "query key value past_state? decay? beta?", Out: "output present_state",
			Attrs: "chunk_size:int kv_num_heads:int! q_num_heads:int! scale:float update_rule:string", Infer: inferLinearAttention, Eval: evalLinearAttention},
	}
}

// evalRotaryEmbedding rotates pairs of features by angles that grow with the position
// (Su et al., "RoFormer", 2021). Pairs are the two halves of the rotated features or,
// interleaved, neighbours.
func evalRotaryEmbedding(e *Eval) error {
	x, cos, sin := e.T(0), e.T(1), e.T(2)
	h := e.heads(0, e.Attrs().Int("num_heads", 0))
	rotated := int(min(e.Attrs().Int("rotary_embedding_dim", 0), tensor.MaxElements))
	if rotated == 0 {
		rotated = h.size
	}
	half := rotated / 2
	if rotated < 0 || rotated > h.size || rotated%2 != 0 {
		return fmt.Errorf("rotary_embedding_dim %d does not fit heads of size %d", rotated, h.size)
	}
	if !slices.Equal(cos.Shape(), sin.Shape()) || cos.Rank() < 2 || cos.Dim(-1) != half {
		return fmt.Errorf("cos_cache %v and sin_cache %v do not hold %d angles for each position", cos, sin, half)
	}
	ids := e.Ints(3)
	if ids != nil {
		if cos.Rank() != 2 || len(ids) != h.batch*h.seq {
			return fmt.Errorf("position_ids %v and cos_cache %v do not fit %v", e.T(3), cos, x)
		}
	} else if !slices.Equal(cos.Shape(), []int{h.batch, h.seq, half}) {
		return fmt.Errorf("cos_cache %v must be [%dx%dx%d] without position_ids", cos, h.batch, h.seq, half)
	}
	inter := e.Attrs().Bool("interleaved", false)
	for b := range h.batch {
		for s := range h.seq {
			at := b*h.seq + s
			if ids != nil {
				at = e.index(ids[at], cos.Dim(0))
			}
			for n := range h.heads {
				row := h.row(b, n, s)
				for i := range half {
					p, q := i, half+i
					if inter {
						p, q = 2*i, 2*i+1
					}
					c, si := cos.Float(at*half+i), sin.Float(at*half+i)
					row[p], row[q] = c*row[p]-si*row[q], si*row[p]+c*row[q]
				}
			}
		}
	}
	out := e.Result(0, x.DType(), x.Shape()...)
	for i := range out.Len() {
		at := i
		if x.Rank() == 3 {
			wide := h.heads * h.size
			b, s, n, d := i/(h.seq*wide), i/wide%h.seq, i%wide/h.size, i%h.size
			at = ((b*h.heads+n)*h.seq+s)*h.size + d
		}
		out.SetFloat(i, h.data[at])
	}
	return nil
}

func inferLinearAttention(c *Infer) error {
	a := c.Attrs()
	nq, nk := a.Int("q_num_heads", 0), a.Int("kv_num_heads", 0)
	if nq < 1 || nk < 1 || nq%nk != 0 || nq > tensor.MaxElements {
		return fmt.Errorf("q_num_heads %d must be a multiple of kv_num_heads %d", nq, nk)
	}
	q, v := c.Shape(0), c.Shape(2)
	y, state := unknownShape(3), unknownShape(4)
	state[1] = graph.Dim{Size: int(nk)}
	if len(q) == 3 {
		copy(y, q[:2])
		state[0], state[2] = q[0], scaleDim(q[2], 1, int(nq))
	}
	if len(v) == 3 {
		state[3] = scaleDim(v[2], 1, int(nk))
		y[2] = scaleDim(state[3], int(nq), 1)
	}
	d := c.DType(0)
	c.SetTensor(0, d, y)
	if c.Has(3) {
		d = c.DType(3)
	}
	c.SetTensor(1, d, state)
	return nil
}

// evalLinearAttention advances, token by token, a state S [d_k, d_v] for every
// key/value head. With decay g, rate β and the rule's parts switched on:
//
//	S ← exp(g)·S;  v ← β·(v - Sᵀk);  S ← S + k⊗v;  o = scale·Sᵀq
func evalLinearAttention(e *Eval) error {
	a := e.Attrs()
	nq, nk := a.Int("q_num_heads", 0), a.Int("kv_num_heads", 0)
	rule := a.String("update_rule", "gated_delta")
	if !slices.Contains([]string{"linear", "gated", "delta", "gated_delta"}, rule) {
		return fmt.Errorf("update_rule %q is not one of linear, gated, delta, gated_delta", rule)
	}
	gated, delta := rule == "gated" || rule == "gated_delta", rule == "delta" || rule == "gated_delta"
	if gated != e.Has(4) || delta != e.Has(5) {
		return fmt.Errorf("update_rule %s needs decay only when gated and beta only with delta", rule)
	}
	for i := range 3 {
		if e.T(i).Rank() != 3 {
			return fmt.Errorf("input %s must be [B,T,H·D], it is %v", e.inputName(i), e.T(i))
		}
	}
	q, k, v := e.heads(0, nq), e.heads(1, nk), e.heads(2, nk)
	if nk < 1 || nq%nk != 0 || k.batch != q.batch || v.batch != q.batch || k.seq != q.seq || v.seq != q.seq || k.size != q.size {
		return fmt.Errorf("query %v, key %v and value %v do not fit each other", q.shape(), k.shape(), v.shape())
	}
	stateShape := []int{q.batch, k.heads, k.size, v.size}
	stateType := e.T(0).DType()
	state := make([]float64, sizeOf(stateShape))
	if past := e.T(3); past != nil {
		if !slices.Equal(past.Shape(), stateShape) {
			return fmt.Errorf("past_state %v must have shape %v", past, stateShape)
		}
		state, stateType = past.Floats(), past.DType()
	}
	decay, err := perHead(e, 4, q, k.heads, k.size)
	if err != nil {
		return err
	}
	beta, err := perHead(e, 5, q, k.heads, 1)
	if err != nil {
		return err
	}
	scale := float64(a.Float("scale", 0))
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(q.size))
	}
	group := q.heads / k.heads
	out := e.Result(0, e.T(0).DType(), q.batch, q.seq, q.heads*v.size)
	if v.size == 0 {
		return errors.New("heads of value are empty")
	}
	val := make([]float64, v.size)
	for b := range q.batch {
		for h := range k.heads {
			s := state[(b*k.heads+h)*k.size*v.size:][:k.size*v.size]
			for t := range q.seq {
				key := k.row(b, h, t)
				copy(val, v.row(b, h, t))
				if gated {
					for d := range k.size {
						g := math.Exp(decay(b, t, h, d))
						for m := range v.size {
							s[d*v.size+m] *= g
						}
					}
				}
				if delta {
					for m := range val {
						seen := 0.0
						for d, x := range key {
							seen += s[d*v.size+m] * x
						}
						val[m] = beta(b, t, h, 0) * (val[m] - seen)
					}
				}
				for i := range s {
					s[i] += key[i/v.size] * val[i%v.size]
				}
				for g := range group {
					query := q.row(b, h*group+g, t)
					for m := range val {
						sum := 0.0
						for d, x := range query {
							sum += x * s[d*v.size+m]
						}
						out.SetFloat(((b*q.seq+t)*q.heads+h*group+g)*v.size+m, scale*sum)
					}
				}
			}
		}
	}
	e.storeFloats(1, stateType, state, stateShape...)
	return nil
}

// perHead reads input i, [B,T,n] with one number for all heads, one for each, or size
// for each; nil when absent.
func perHead(e *Eval, i int, q *heads, nHeads, size int) (func(b, t, h, d int) float64, error) {
	x := e.T(i)
	if x == nil {
		return nil, nil
	}
	if x.Rank() != 3 || x.Dim(0) != q.batch || x.Dim(1) != q.seq {
		return nil, fmt.Errorf("input %s is %v, want [%dx%dx…]", e.inputName(i), x, q.batch, q.seq)
	}
	n := x.Dim(2)
	row := func(b, t int) int { return (b*q.seq + t) * n }
	switch {
	case n == nHeads:
		return func(b, t, h, _ int) float64 { return x.Float(row(b, t) + h) }, nil
	case n == nHeads*size:
		return func(b, t, h, d int) float64 { return x.Float(row(b, t) + h*size + d) }, nil
	case n == 1 && size == 1:
		return func(b, t, _, _ int) float64 { return x.Float(row(b, t)) }, nil
	}
	return nil, fmt.Errorf("input %s is %v, which does not fit %d heads", e.inputName(i), x, nHeads)
}
