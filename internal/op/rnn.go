package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// rnnOps are recurrent layers over whole sequences.
func rnnOps() []Def {
	const attrs = "activation_alpha:floats activation_beta:floats activations:strings clip:float direction:string hidden_size:int layout:int"
	return []Def{
		{Name: "RNN", In: "X W R B? sequence_lens? initial_h?", Out: "Y? Y_h?", Attrs: attrs,
			Infer: inferRecurrent(1), Eval: evalRecurrent(1, stepRNN, "Tanh"), MACs: recurrentMACs},
		{Name: "GRU", In: "X W R B? sequence_lens? initial_h?", Out: "Y? Y_h?", Attrs: attrs + " linear_before_reset:int",
			Infer: inferRecurrent(3), Eval: evalRecurrent(3, stepGRU, "Sigmoid", "Tanh"), MACs: recurrentMACs},
		{Name: "LSTM", In: "X W R B? sequence_lens? initial_h? initial_c? P?", Out: "Y? Y_h? Y_c?", Attrs: attrs + " input_forget:int",
			Infer: inferRecurrent(4), Eval: evalRecurrent(4, stepLSTM, "Sigmoid", "Tanh", "Tanh"), MACs: recurrentMACs},
	}
}

// inferRecurrent: X is [steps,batch,input], R [directions,gates·hidden,hidden]; with
// layout 1 the batch comes first everywhere.
func inferRecurrent(gates int) func(*Infer) error {
	return func(c *Infer) error {
		x, w, r := c.Shape(0), c.Shape(1), c.Shape(2)
		if x != nil && len(x) != 3 || w != nil && len(w) != 3 || r != nil && len(r) != 3 {
			return fmt.Errorf("X %v, W %v and R %v must have rank 3", x, w, r)
		}
		steps, batch, dirs, hidden := graph.Unknown, graph.Unknown, graph.Unknown, graph.Unknown
		if r != nil {
			dirs, hidden = r[0], r[2]
		}
		if h := c.Attrs().Int("hidden_size", 0); !hidden.Known() && h > 0 && h < tensor.MaxElements {
			hidden.Size = int(h)
		}
		batchFirst := c.Attrs().Int("layout", 0) == 1
		if x != nil {
			steps, batch = x[0], x[1]
			if batchFirst {
				steps, batch = batch, steps
			}
		}
		y, state := graph.Shape{steps, dirs, batch, hidden}, graph.Shape{dirs, batch, hidden}
		if batchFirst {
			y, state = graph.Shape{batch, steps, dirs, hidden}, graph.Shape{batch, dirs, hidden}
		}
		c.SetTensor(0, c.DType(0), y)
		c.SetTensor(1, c.DType(0), state)
		c.SetTensor(2, c.DType(0), state)
		return nil
	}
}

func recurrentMACs(c *Infer) int64 {
	x, ok1 := c.Shape(0).Static()
	w, ok2 := c.Shape(1).Static()
	r, ok3 := c.Shape(2).Static()
	if !ok1 || !ok2 || !ok3 || len(x) != 3 {
		return 0
	}
	return int64(x[0]) * int64(x[1]) * (int64(sizeOf(w)) + int64(sizeOf(r)))
}

// recurrent is one recurrent node: sizes, weights in double precision, activations.
type recurrent struct {
	steps, batch, input, hidden, dirs, gates int
	batchFirst                               bool
	x, w, r, b, p                            []float64
	lens                                     []int64
	acts                                     []func(float64) float64 // three for each direction at most
	clip                                     float64
	linear                                   bool // linear_before_reset
	couple                                   bool // input_forget
}

// evalRecurrent evaluates a layer whose step function advances h and c in place from
// the cell's terms.
func evalRecurrent(gates int, step func(k *cell, h, c []float64), defaults ...string) func(*Eval) error {
	return func(e *Eval) error {
		n, err := newRecurrent(e, gates, defaults)
		if err != nil {
			return err
		}
		h, err := n.state(e, 5)
		if err != nil {
			return err
		}
		c, err := n.state(e, 6)
		if err != nil {
			return err
		}
		y := make([]float64, n.steps*n.dirs*n.batch*n.hidden)
		for d := range n.dirs {
			k := &cell{recurrent: n, dir: d, acts: n.acts[d*len(defaults):][:len(defaults)],
				pre: make([]float64, gates*n.hidden), rec: make([]float64, gates*n.hidden)}
			reverse := d == 1 || e.Attrs().String("direction", "forward") == "reverse"
			for b := range n.batch {
				hs, cs := h[n.stateAt(d, b):][:n.hidden], c[n.stateAt(d, b):][:n.hidden]
				length := n.steps
				if n.lens != nil {
					length = int(n.lens[b])
				}
				for i := range length {
					t := i
					if reverse {
						t = length - 1 - i
					}
					k.terms(t, b, hs)
					step(k, hs, cs)
					copy(y[n.outAt(t, d, b):], hs)
				}
				if length == 0 {
					clear(hs)
					clear(cs)
				}
			}
		}
		dt := e.T(0).DType()
		shape, state := []int{n.steps, n.dirs, n.batch, n.hidden}, []int{n.dirs, n.batch, n.hidden}
		if n.batchFirst {
			shape, state = []int{n.batch, n.steps, n.dirs, n.hidden}, []int{n.batch, n.dirs, n.hidden}
		}
		for i, v := range [][]float64{y, h, c}[:len(e.Out)] {
			s := state
			if i == 0 {
				s = shape
			}
			out := e.Result(i, dt, s...)
			for j, f := range v {
				out.SetFloat(j, f)
			}
		}
		return nil
	}
}

func newRecurrent(e *Eval, gates int, defaults []string) (*recurrent, error) {
	x, w, r, a := e.T(0), e.T(1), e.T(2), e.Attrs()
	if x.Rank() != 3 || w.Rank() != 3 || r.Rank() != 3 {
		return nil, fmt.Errorf("X %v, W %v and R %v must have rank 3", x, w, r)
	}
	n := &recurrent{steps: x.Dim(0), batch: x.Dim(1), input: x.Dim(2), dirs: r.Dim(0), hidden: r.Dim(2), gates: gates,
		batchFirst: a.Int("layout", 0) == 1, clip: math.Inf(1), linear: a.Bool("linear_before_reset", false), couple: a.Bool("input_forget", false)}
	if n.batchFirst {
		n.steps, n.batch = n.batch, n.steps
	}
	dirs := 1
	switch d := a.String("direction", "forward"); d {
	case "forward", "reverse":
	case "bidirectional":
		dirs = 2
	default:
		return nil, fmt.Errorf("direction %q is not one of forward, reverse, bidirectional", d)
	}
	if n.dirs != dirs || !slices.Equal(w.Shape(), []int{dirs, gates * n.hidden, n.input}) || !slices.Equal(r.Shape(), []int{dirs, gates * n.hidden, n.hidden}) {
		return nil, fmt.Errorf("W %v and R %v do not fit X %v with %d directions and %d gates", w, r, x, dirs, gates)
	}
	optional := func(i, size int) ([]float64, error) {
		t := e.T(i)
		if t == nil {
			return make([]float64, dirs*size), nil
		}
		if t.Len() != dirs*size {
			return nil, fmt.Errorf("input %s is %v, want [%dx%d]", e.inputName(i), t, dirs, size)
		}
		return t.Floats(), nil
	}
	var err error
	if n.b, err = optional(3, 2*gates*n.hidden); err != nil {
		return nil, err
	}
	if n.p, err = optional(7, 3*n.hidden); err != nil {
		return nil, err
	}
	if n.lens = e.Ints(4); n.lens != nil {
		if len(n.lens) != n.batch {
			return nil, fmt.Errorf("%d sequence_lens for a batch of %d", len(n.lens), n.batch)
		}
		for _, l := range n.lens {
			if l < 0 || l > int64(n.steps) {
				return nil, fmt.Errorf("sequence length %d is not within 0..%d", l, n.steps)
			}
		}
	}
	if a.Has("clip") {
		n.clip = float64(a.Float("clip", 0))
	}
	if n.acts, err = cellActivations(a, dirs, defaults); err != nil {
		return nil, err
	}
	if limit := MaxEvalBytes / 8; n.steps*n.batch > limit/max(dirs*n.hidden, 1) {
		return nil, fmt.Errorf("the result for X %v and %d hidden units is over the limit", x, n.hidden)
	}
	n.x, n.w, n.r = x.Floats(), w.Floats(), r.Floats()
	return n, nil
}

// state reads an initial state; zeros when absent.
func (n *recurrent) state(e *Eval, i int) ([]float64, error) {
	size := n.dirs * n.batch * n.hidden
	t := e.T(i)
	if t == nil {
		return make([]float64, size), nil
	}
	if t.Len() != size {
		return nil, fmt.Errorf("input %s is %v, want %d elements", e.inputName(i), t, size)
	}
	return t.Floats(), nil
}

func (n *recurrent) stateAt(d, b int) int {
	if n.batchFirst {
		return (b*n.dirs + d) * n.hidden
	}
	return (d*n.batch + b) * n.hidden
}

func (n *recurrent) outAt(t, d, b int) int {
	if n.batchFirst {
		return ((b*n.steps+t)*n.dirs + d) * n.hidden
	}
	return ((t*n.dirs+d)*n.batch + b) * n.hidden
}
