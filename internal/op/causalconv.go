package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// evalCausalConv convolves each channel with its own kernel over the past alone: the
// input stands behind the last k-1 samples of earlier calls, zeros at the start.
func evalCausalConv(e *Eval) error {
	x, w := e.float(0), e.float(1)
	if x.Rank() != 3 || w.Rank() != 3 || w.Dim(0) != x.Dim(1) || w.Dim(1) != 1 || w.Dim(2) < 1 {
		e.Fail("input %v and weight %v do not fit: want [N,C,L] and [C,1,k]", x, w)
	}
	batch, ch, length, k := x.Dim(0), x.Dim(1), x.Dim(2), w.Dim(2)
	if e.Has(3) && !slices.Equal(e.T(3).Shape(), []int{batch, ch, k - 1}) {
		e.Fail("past_state is %v, want %v", e.T(3), []int{batch, ch, k - 1})
	}
	bias := e.bias(2, ch)
	act := func(v float64) float64 { return v }
	switch name := e.Attrs().String("activation", "none"); name {
	case "silu", "swish":
		act = swish(1)
	case "none":
	default:
		e.Fail("activation %q is none of silu, swish, none", name)
	}
	y := e.Result(0, x.DType(), x.Shape()...)
	state := e.Result(1, x.DType(), batch, ch, k-1)
	line := make([]float64, k-1+length)
	for row := range batch * ch {
		for i := range k - 1 {
			line[i] = 0
			if e.Has(3) {
				line[i] = e.T(3).Float(row*(k-1) + i)
			}
		}
		for i := range length {
			line[k-1+i] = x.Float(row*length + i)
		}
		for i := range length {
			sum := 0.0
			if bias != nil {
				sum = bias[row%ch]
			}
			for j := range k {
				sum += line[i+j] * w.Float(row%ch*k+j)
			}
			y.SetFloat(row*length+i, act(sum))
		}
		for i := range k - 1 {
			state.SetFloat(row*(k-1)+i, line[length+i])
		}
	}
	return nil
}

func inferCausalConv(c *Infer) error {
	x, w := c.Shape(0), c.Shape(1)
	c.SetTensor(0, c.DType(0), x)
	if !x.Ranked() || !w.Ranked() {
		c.SetTensor(1, c.DType(0), nil)
		return nil
	}
	if len(x) != 3 || len(w) != 3 {
		return fmt.Errorf("input %v and weight %v do not fit: want [N,C,L] and [C,1,k]", x, w)
	}
	k := w[2]
	if k.Known() {
		k.Size--
	} else {
		k = graph.Unknown
	}
	c.SetTensor(1, c.DType(0), graph.Shape{x[0], x[1], k})
	return nil
}
