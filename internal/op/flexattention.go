package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

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
