package op

import (
	"math"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// wave fills a tensor with numbers that have no symmetry.
func wave(shape ...int) *tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.F32() {
		t.F32()[i] = float32(math.Sin(float64(3*i+1)) / 2)
	}
	return t
}

func TestLSTMOneStep(t *testing.T) {
	// One unit, one feature: the equations by hand. Gates in the order i, o, f, c.
	x := tensor.Of([]float32{0.5}, 1, 1, 1)
	w, r := tensor.Of([]float32{1, 2, 3, 4}, 1, 4, 1), tensor.Of([]float32{0.1, 0.2, 0.3, 0.4}, 1, 4, 1)
	b, p := tensor.Of([]float32{0, 0, 0, 0, 1, 1, 1, 1}, 1, 8), tensor.Of([]float32{0.5, 0.6, 0.7}, 1, 3)
	h0, c0 := tensor.Of([]float32{0.25}, 1, 1, 1), tensor.Of([]float32{-0.5}, 1, 1, 1)
	out, err := run(t, "", "LSTM", nil, 3, x, w, r, b, nil, h0, c0, p)
	if err != nil {
		t.Fatal(err)
	}
	sigmoid := func(v float64) float64 { return 1 / (1 + math.Exp(-v)) }
	i, f := sigmoid(0.5+0.025+1-0.25), sigmoid(1.5+0.075+1-0.35)
	c := f*-0.5 + i*math.Tanh(2+0.1+1)
	o := sigmoid(1 + 0.05 + 1 + 0.6*c)
	near(t, out[0].(*tensor.Tensor), o*math.Tanh(c))
	near(t, out[2].(*tensor.Tensor), c)
}

// The reverse direction over a sequence equals the forward one over the reversed
// sequence, and layout 1 is a transposition.
func TestRecurrentDirections(t *testing.T) {
	const steps, batch, input, hidden = 4, 2, 3, 2
	for name, gates := range map[string]int{"RNN": 1, "GRU": 3, "LSTM": 4} {
		x, w, r, b := wave(steps, batch, input), wave(1, gates*hidden, input), wave(1, gates*hidden, hidden), wave(1, 2*gates*hidden)
		lens := tensor.Of([]int32{4, 2}, 2)
		get := func(attrs graph.Attrs, x *tensor.Tensor) *tensor.Tensor {
			out, err := run(t, "", name, attrs, 2, x, w, r, b, lens)
			if err != nil {
				t.Fatal(name, err)
			}
			return out[0].(*tensor.Tensor)
		}
		flip := func(y *tensor.Tensor, batchAxis int64) *tensor.Tensor {
			return one(t, "ReverseSequence", graph.Attrs{"batch_axis": batchAxis}, y, ints(4, 2))
		}
		a := get(graph.Attrs{"direction": "reverse"}, x)
		forward := get(nil, flip(x, 1))
		squeezed, err := forward.Reshape(steps, batch, hidden)
		if err != nil {
			t.Fatal(err)
		}
		near(t, a, flip(squeezed, 1).Floats()...)
		if tail := forward.F32()[(3*batch+1)*hidden:]; tail[0] != 0 || tail[1] != 0 {
			t.Errorf("%s: values %v beyond the length of the sequence", name, tail)
		}
		first := get(graph.Attrs{"layout": int64(1)}, one(t, "Transpose", graph.Attrs{"perm": []int64{1, 0, 2}}, x))
		near(t, one(t, "Transpose", graph.Attrs{"perm": []int64{1, 2, 0, 3}}, first), get(nil, x).Floats()...)
	}
}

func TestRecurrentRefuses(t *testing.T) {
	x, w, r := wave(2, 1, 3), wave(1, 8, 3), wave(1, 8, 2)
	for name, attrs := range map[string]graph.Attrs{
		"direction":  {"direction": "sideways"},
		"activation": {"activations": []string{"Sigmoid", "Tanh", "Cosine"}},
		"too few":    {"activations": []string{"Sigmoid"}},
		"two ways":   {"direction": "bidirectional"},
	} {
		if _, err := run(t, "", "LSTM", attrs, 1, x, w, r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestAttentionGroups(t *testing.T) {
	// Four query heads over two key heads equal four key heads with each repeated.
	q, k, v := wave(1, 4, 3, 2), wave(1, 2, 5, 2), wave(1, 2, 5, 3)
	repeat := func(x *tensor.Tensor) *tensor.Tensor {
		return one(t, "Gather", graph.Attrs{"axis": int64(1)}, x, ints(0, 0, 1, 1))
	}
	attrs := graph.Attrs{"is_causal": int64(1)}
	near(t, one(t, "Attention", attrs, q, k, v), one(t, "Attention", attrs, q, repeat(k), repeat(v)).Floats()...)
	// The first query of a causal block sees the first key only.
	y := one(t, "Attention", attrs, q, k, v)
	near(t, tensor.Of(slices.Clone(y.F32()[:3]), 3), v.Floats()[:3]...)
	// A row without any key is zero.
	mask := tensor.Of([]bool{false, false, false, false, false}, 1, 5)
	near(t, one(t, "Attention", nil, q, k, v, mask), make([]float64, 36)...)
}

// Attending in two steps with a cache equals attending at once.
func TestAttentionCache(t *testing.T) {
	q, k, v := wave(1, 1, 4, 2), wave(1, 1, 4, 2), wave(1, 1, 4, 2)
	part := func(x *tensor.Tensor, from, to int64) *tensor.Tensor {
		return one(t, "Slice", nil, x, ints(from), ints(to), ints(2))
	}
	attrs := graph.Attrs{"is_causal": int64(1)}
	all := one(t, "Attention", attrs, q, k, v)
	out, err := run(t, "", "Attention", attrs, 3, part(q, 3, 4), part(k, 3, 4), part(v, 3, 4), nil, part(k, 0, 3), part(v, 0, 3))
	if err != nil {
		t.Fatal(err)
	}
	near(t, out[0].(*tensor.Tensor), all.Floats()[6:]...)
	near(t, out[1].(*tensor.Tensor), k.Floats()...)
}
