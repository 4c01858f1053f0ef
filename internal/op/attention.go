package op

import (
	"errors"
	"fmt"
	"math"

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
