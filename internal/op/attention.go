package op

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// DomainPreview holds operators that the standard tries out.
const DomainPreview = "ai.onnx.preview"

// attentionOps are the operators of transformers.
func attentionOps() []Def {
	return []Def{
		{Name: "Attention", In: "Q K V attn_mask? past_key? past_value? nonpad_kv_seqlen?", Out: "Y present_key? present_value? qk_matmul_output?",
			Attrs: "is_causal:int kv_num_heads:int left_window_size:int q_num_heads:int qk_matmul_output_mode:int right_window_size:int scale:float softcap:float softmax_precision:int",
			Infer: inferAttention, Eval: evalAttention, MACs: attentionMACs},
		{Name: "FlexAttention", Domain: DomainPreview, In: "Q K V", Out: "Y", Attrs: "prob_mod:graph scale:float score_mod:graph softmax_precision:int",
			Infer: inferFlexAttention, Eval: evalFlexAttention, MACs: attentionMACs},
	}
}

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

func inferAttention(c *Infer) error {
	q, k, v := c.Shape(0), c.Shape(1), c.Shape(2)
	if q == nil || k == nil || v == nil {
		for i := range c.Node.Outputs {
			c.SetTensor(i, c.DType(min(i, 1)), nil)
		}
		return nil
	}
	if len(q) != 3 && len(q) != 4 || len(k) != len(q) || len(v) != len(q) {
		return fmt.Errorf("Q %v, K %v and V %v must all have rank 3 or 4", q, k, v)
	}
	qHeads, kvHeads := graph.Unknown, graph.Unknown
	per := func(d graph.Dim, n int64) graph.Dim {
		if n < 1 || !d.Known() {
			return graph.Unknown
		}
		return graph.Dim{Size: d.Size / int(n)}
	}
	var y graph.Shape
	var seqQ, seqK, sizeK, sizeV graph.Dim
	if len(q) == 4 {
		qHeads, kvHeads = q[1], k[1]
		seqQ, seqK, sizeK, sizeV = q[2], k[2], k[3], v[3]
		y = graph.Shape{q[0], qHeads, seqQ, sizeV}
	} else {
		nq, nk := c.Attrs().Int("q_num_heads", 0), c.Attrs().Int("kv_num_heads", 0)
		if nq < 1 || nk < 1 || nq > tensor.MaxElements || nk > tensor.MaxElements {
			return errors.New("q_num_heads and kv_num_heads must be given for inputs of rank 3")
		}
		qHeads.Size, kvHeads.Size = int(nq), int(nk)
		seqQ, seqK, sizeK, sizeV = q[1], k[1], per(k[2], nk), per(v[2], nk)
		y = graph.Shape{q[0], seqQ, productDim(graph.Shape{qHeads, sizeV})}
	}
	total := seqK
	if c.Has(4) {
		past := c.Shape(4)
		if len(past) == 4 && past[2].Known() && seqK.Known() {
			total = graph.Dim{Size: past[2].Size + seqK.Size}
		} else {
			total = graph.Unknown
		}
	}
	c.SetTensor(0, c.DType(0), y)
	c.SetTensor(1, c.DType(1), graph.Shape{q[0], kvHeads, total, sizeK})
	c.SetTensor(2, c.DType(2), graph.Shape{q[0], kvHeads, total, sizeV})
	c.SetTensor(3, c.DType(0), graph.Shape{q[0], qHeads, seqQ, total})
	return nil
}

// attentionMACs counts Q·Kᵀ and the product with V.
func attentionMACs(c *Infer) int64 {
	q, ok1 := c.Shape(0).Static()
	k, ok2 := c.Shape(1).Static()
	v, ok3 := c.Shape(2).Static()
	if !ok1 || !ok2 || !ok3 || len(q) < 3 || len(k) != len(q) || len(v) != len(q) {
		return 0
	}
	n := len(q)
	seq := int64(k[n-2])
	if past, ok := c.Shape(4).Static(); ok && len(past) == 4 {
		seq += int64(past[2])
	}
	out := int64(sizeOf(q)) // Q·Kᵀ: every element of Q meets every key
	if rows := int64(sizeOf(q[:n-1])); n == 4 {
		return seq * (out + rows*int64(v[3]))
	}
	share := int64(1)
	if kv := c.Attrs().Int("kv_num_heads", 1); kv > 0 {
		share = max(c.Attrs().Int("q_num_heads", kv)/kv, 1)
	}
	return seq * (out + int64(q[0])*int64(q[1])*int64(v[2])*share)
}

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

func evalAttention(e *Eval) error {
	a := e.Attrs()
	q := e.heads(0, a.Int("q_num_heads", 0))
	k := e.heads(1, a.Int("kv_num_heads", 0))
	v := e.heads(2, a.Int("kv_num_heads", 0))
	if e.Has(4) != e.Has(5) {
		return errors.New("past_key and past_value must be given together")
	}
	past := 0
	if e.Has(4) {
		pk, pv := e.heads(4, 0), e.heads(5, 0)
		past = pk.seq
		var err error
		if k, err = k.prepend(pk); err != nil {
			return err
		}
		if v, err = v.prepend(pv); err != nil {
			return err
		}
	}
	if k.batch != q.batch || v.batch != q.batch || k.heads != v.heads || k.seq != v.seq || k.size != q.size || k.heads == 0 || q.heads%k.heads != 0 {
		return fmt.Errorf("Q %v, K %v and V %v do not fit each other", q.shape(), k.shape(), v.shape())
	}
	bias, err := newAttentionBias(e, q, k, past)
	if err != nil {
		return err
	}
	scale := math.Sqrt(1 / math.Sqrt(float64(q.size)))
	if a.Has("scale") {
		scale = math.Sqrt(float64(a.Float("scale", 1)))
	}
	softcap, mode := float64(a.Float("softcap", 0)), a.Int("qk_matmul_output_mode", 0)
	if mode < 0 || mode > 3 {
		return fmt.Errorf("qk_matmul_output_mode %d is not one of 0..3", mode)
	}
	var seen *tensor.Tensor
	if len(e.Out) > 3 && e.Node.Outputs[3] != nil {
		seen = e.Result(3, e.T(0).DType(), q.batch, q.heads, q.seq, k.seq)
	}
	y := e.Result(0, e.T(0).DType(), attentionShape(e.T(0), q, v)...)
	scores, biases := make([]float64, k.seq), make([]float64, k.seq)
	sum := make([]float64, v.size)
	for b := range q.batch {
		for h := range q.heads {
			kv := h / (q.heads / k.heads)
			for s := range q.seq {
				show := func(m int64) {
					if seen != nil && m == mode {
						for t, x := range scores {
							seen.SetFloat(((b*q.heads+h)*q.seq+s)*k.seq+t, x)
						}
					}
				}
				row := q.row(b, h, s)
				for t := range scores {
					scores[t] = 0
					for d, x := range k.row(b, kv, t) {
						scores[t] += row[d] * scale * (x * scale)
					}
				}
				show(0)
				if softcap > 0 {
					for t, x := range scores {
						scores[t] = math.Tanh(x/softcap) * softcap
					}
				}
				show(1)
				masked := true
				for t := range scores {
					biases[t] = bias.at(b, h, s, t)
					masked = masked && math.IsInf(biases[t], -1)
					if scores[t] += biases[t]; math.IsInf(biases[t], -1) {
						scores[t] = biases[t] // also where the score is infinite or NaN
					}
				}
				show(2)
				if masked {
					clear(scores) // no key is attended: the row is zero, not NaN
				} else {
					softmaxRow(scores)
				}
				show(3)
				clear(sum)
				for t, p := range scores {
					if p == 0 && math.IsInf(biases[t], -1) {
						continue // what is excluded does not count, be it infinite
					}
					for d, x := range v.row(b, kv, t) {
						sum[d] += p * x
					}
				}
				at := ((b*q.heads+h)*q.seq + s) * v.size
				if e.T(0).Rank() == 3 {
					at = ((b*q.seq+s)*q.heads + h) * v.size
				}
				for d, x := range sum {
					y.SetFloat(at+d, x)
				}
			}
		}
	}
	e.storeFloats(1, e.T(1).DType(), k.data, k.shape()...)
	e.storeFloats(2, e.T(2).DType(), v.data, v.shape()...)
	return nil
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

func inferFlexAttention(c *Infer) error {
	q, k, v := c.Shape(0), c.Shape(1), c.Shape(2)
	for _, s := range []graph.Shape{q, k, v} {
		if s != nil && len(s) != 4 {
			return fmt.Errorf("Q %v, K %v and V %v must have rank 4", q, k, v)
		}
	}
	y, scores := unknownShape(4), unknownShape(4)
	if q != nil {
		copy(y, q[:3])
		copy(scores, q[:3])
	}
	if k != nil {
		scores[3] = k[2]
	}
	if v != nil {
		y[3] = v[3]
	}
	d, err := scoreType(c.Attrs(), c.DType(0))
	if err != nil {
		return err
	}
	for _, name := range []string{"score_mod", "prob_mod"} {
		b := c.Attrs().Graph(name)
		if b == nil {
			continue
		}
		if err := checkBody(b, 1, 1); err != nil {
			return err
		}
		b.Inputs[0].Type = graph.Type{DType: d, Shape: scores}
		if err := c.InferBody(b); err != nil {
			return err
		}
	}
	c.SetTensor(0, c.DType(0), y)
	return nil
}

// scoreType is the element type in which scores pass through softmax and the bodies.
func scoreType(a graph.Attrs, in tensor.DType) (tensor.DType, error) {
	if a.Has("softmax_precision") {
		d, err := dtypeAttr(a.Int("softmax_precision", 0))
		if err == nil && !d.IsFloat() {
			err = fmt.Errorf("softmax_precision %v is not a float type", d)
		}
		return d, err
	}
	if in == tensor.Float64 {
		return in, nil
	}
	return tensor.Float32, nil
}

func evalFlexAttention(e *Eval) error {
	for i := range 3 {
		if e.T(i).Rank() != 4 {
			return fmt.Errorf("input %s must have rank 4, it is %v", e.inputName(i), e.T(i))
		}
	}
	q, k, v := e.heads(0, 0), e.heads(1, 0), e.heads(2, 0)
	if k.batch != q.batch || v.batch != q.batch || k.heads != v.heads || k.seq != v.seq || k.size != q.size || k.heads == 0 || q.heads%k.heads != 0 {
		return fmt.Errorf("Q %v, K %v and V %v do not fit each other", q.shape(), k.shape(), v.shape())
	}
	a := e.Attrs()
	d, err := scoreType(a, e.T(0).DType())
	if err != nil {
		return err
	}
	scale := 1 / math.Sqrt(float64(q.size))
	if a.Has("scale") {
		scale = float64(a.Float("scale", 1))
	}
	group := q.heads / k.heads
	scores := e.Make(d, []int{q.batch, q.heads, q.seq, k.seq})
	for i := range scores.Len() {
		t, s := i%k.seq, i/k.seq%q.seq
		h, b := i/k.seq/q.seq%q.heads, i/k.seq/q.seq/q.heads
		scores.SetFloat(i, scale*dot(q.row(b, h, s), k.row(b, h/group, t)))
	}
	if scores, err = e.modify(a.Graph("score_mod"), scores); err != nil {
		return fmt.Errorf("score_mod: %w", err)
	}
	probs := e.Make(d, scores.Shape())
	row := make([]float64, k.seq)
	for i := 0; i < probs.Len(); i += k.seq {
		for t := range row {
			row[t] = scores.Float(i + t)
		}
		softmaxRow(row)
		for t, p := range row {
			probs.SetFloat(i+t, p)
		}
	}
	if probs, err = e.modify(a.Graph("prob_mod"), probs); err != nil {
		return fmt.Errorf("prob_mod: %w", err)
	}
	y := e.Result(0, e.T(0).DType(), q.batch, q.heads, q.seq, v.size)
	for i := range y.Len() {
		d, r := i%v.size, i/v.size
		h, b := r/q.seq%q.heads, r/q.seq/q.heads
		sum := 0.0
		for t := range k.seq {
			sum += probs.Float(r*k.seq+t) * v.row(b, h/group, t)[d]
		}
		y.SetFloat(i, sum)
	}
	return nil
}

// modify passes t through a body that keeps type and shape; a nil body changes nothing.
func (e *Eval) modify(body *graph.Graph, t *tensor.Tensor) (*tensor.Tensor, error) {
	if body == nil {
		return t, nil
	}
	if err := checkBody(body, 1, 1); err != nil {
		return nil, err
	}
	out, err := e.Run(body, []Value{t})
	if err != nil {
		return nil, err
	}
	m, ok := out[0].(*tensor.Tensor)
	if !ok || m.DType() != t.DType() || !slices.Equal(m.Shape(), t.Shape()) {
		return nil, fmt.Errorf("the body turned %v into %s", t, describe(out))
	}
	return m, nil
}
