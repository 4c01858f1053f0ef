package op

import (
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

// attentionBias answers what is added to the score of query s and key t; -Inf excludes.
type attentionBias struct {
	mask        *tensor.Tensor // nil: none
	maskIndex   *broadcastIndex
	causal      bool
	left, right int64   // window, -1: unbounded
	offset      []int64 // by batch: keys before the first query
	valid       []int64 // by batch: keys that are no padding; nil: all
	queries     int
	keys        int
	heads       int
}

func newAttentionBias(e *Eval, q, k *heads, past int) (*attentionBias, error) {
	a := e.Attrs()
	b := &attentionBias{causal: a.Bool("is_causal", false), left: a.Int("left_window_size", -1), right: a.Int("right_window_size", -1),
		offset: make([]int64, q.batch), queries: q.seq, keys: k.seq, heads: q.heads}
	for i := range b.offset {
		b.offset[i] = int64(past)
	}
	if e.Has(6) {
		if e.Has(4) {
			return nil, errors.New("nonpad_kv_seqlen and past_key exclude each other")
		}
		b.valid = e.Ints(6)
		if len(b.valid) != q.batch {
			return nil, fmt.Errorf("%d entries of nonpad_kv_seqlen for a batch of %d", len(b.valid), q.batch)
		}
		for i, n := range b.valid {
			b.offset[i] = n - int64(q.seq)
		}
	}
	if b.mask = e.T(3); b.mask != nil {
		m := b.mask.Shape()
		want := []int{q.batch, q.heads, q.seq, k.seq}
		fits := len(m) >= 1 && len(m) <= 4
		for i := 0; fits && i < len(m); i++ {
			w := want[4-len(m)+i]
			// The last axis may be shorter; the rest is then excluded.
			fits = m[i] == w || m[i] == 1 || i == len(m)-1 && m[i] < w
		}
		if !fits {
			return nil, fmt.Errorf("attn_mask %v does not broadcast to %v", b.mask, want)
		}
		b.maskIndex = newBroadcastIndex(m, want)
		if m[len(m)-1] < k.seq {
			b.maskIndex.stride[3] = 1 // a short last axis is padded, not stretched
		}
	}
	return b, nil
}

func (a *attentionBias) at(b, h, s, t int) float64 {
	excluded := math.Inf(-1)
	p := a.offset[b] + int64(s)
	if a.causal && int64(t) > p || a.left >= 0 && p-int64(t) > a.left || a.right >= 0 && int64(t)-p > a.right ||
		a.valid != nil && int64(t) >= a.valid[b] {
		return excluded
	}
	if a.mask == nil {
		return 0
	}
	m := a.mask.Shape()
	if n := m[len(m)-1]; n < a.keys && t >= n {
		return excluded
	}
	st := a.maskIndex.stride
	i := b*st[0] + h*st[1] + s*st[2] + t*st[3]
	if a.mask.DType() != tensor.Bool {
		return a.mask.Float(i)
	}
	if a.mask.Int(i) == 0 {
		return excluded
	}
	return 0
}
