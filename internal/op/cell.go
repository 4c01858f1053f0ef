package op

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// cell is one direction's view of a node while it runs.
type cell struct {
	*recurrent
	dir  int
	acts []func(float64) float64
	pre  []float64 // [gates·hidden] input terms and biases
	rec  []float64 // [gates·hidden] recurrent terms
}

// terms computes pre = W·x + Wb and rec = R·h + Rb for step t of sample b.
func (k *cell) terms(t, b int, h []float64) {
	at := t*k.batch + b
	if k.batchFirst {
		at = b*k.steps + t
	}
	x := k.x[at*k.input:][:k.input]
	rows := k.gates * k.hidden
	bias := k.b[k.dir*2*rows:]
	for g := range rows {
		row := k.dir*rows + g
		k.pre[g] = bias[g] + dot(k.w[row*k.input:][:k.input], x)
		k.rec[g] = bias[rows+g] + dot(k.r[row*k.hidden:][:k.hidden], h)
	}
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// act applies activation i to a clipped value.
func (k *cell) act(i int, v float64) float64 {
	return k.acts[i](min(max(v, -k.clip), k.clip))
}

// stepRNN: H = f(W·X + R·H + Wb + Rb).
func stepRNN(k *cell, h, _ []float64) {
	for j := range h {
		h[j] = k.act(0, k.pre[j]+k.rec[j])
	}
}

// stepGRU: z and r are the update and reset gates; H = (1-z)·h + z·H, where the
// candidate h sees the state either reset before its matrix or after it.
func stepGRU(k *cell, h, _ []float64) {
	n := k.hidden
	z, r := make([]float64, n), make([]float64, n)
	for j := range n {
		z[j] = k.act(0, k.pre[j]+k.rec[j])
		r[j] = k.act(0, k.pre[n+j]+k.rec[n+j])
	}
	reset := make([]float64, n)
	for j := range n {
		reset[j] = r[j] * h[j]
	}
	rows := 3 * n
	for j := range n {
		rec := r[j] * k.rec[2*n+j]
		if !k.linear {
			row := k.dir*rows + 2*n + j
			rec = k.b[k.dir*2*rows+rows+2*n+j] + dot(k.r[row*n:][:n], reset)
		}
		candidate := k.act(1, k.pre[2*n+j]+rec)
		h[j] = (1-z[j])*candidate + z[j]*h[j]
	}
}

// stepLSTM: gates stand in the order input, output, forget, cell; peepholes in the order
// input, output, forget.
func stepLSTM(k *cell, h, c []float64) {
	n := k.hidden
	p := k.p[k.dir*3*n:]
	for j := range n {
		gate := func(g int) float64 { return k.pre[g*n+j] + k.rec[g*n+j] }
		in := k.act(0, gate(0)+p[j]*c[j])
		forget := 1 - in
		if !k.couple {
			forget = k.act(0, gate(2)+p[2*n+j]*c[j])
		}
		c[j] = forget*c[j] + in*k.act(1, gate(3))
		out := k.act(0, gate(1)+p[n+j]*c[j])
		h[j] = out * k.acts[2](c[j])
	}
}

// cellActivations resolves the functions of all directions. The values of activation_alpha
// and activation_beta are used up in order by the functions that take one.
func cellActivations(a graph.Attrs, dirs int, defaults []string) ([]func(float64) float64, error) {
	names := a.Strings("activations")
	if len(names) == 0 {
		names = slices.Repeat(defaults, dirs)
	}
	if len(names) < dirs*len(defaults) {
		return nil, fmt.Errorf("%d activations for %d directions, want %d each", len(names), dirs, len(defaults))
	}
	alphas, betas := a.Floats("activation_alpha"), a.Floats("activation_beta")
	take := func(list *[]float32, def float64) float64 {
		if len(*list) == 0 {
			return def
		}
		v := (*list)[0]
		*list = (*list)[1:]
		return float64(v)
	}
	out := make([]func(float64) float64, 0, dirs*len(defaults))
	for _, name := range names[:dirs*len(defaults)] {
		f, err := cellActivation(name, func(def float64) float64 { return take(&alphas, def) }, func(def float64) float64 { return take(&betas, def) })
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// cellActivation returns the function with a name; alpha and beta yield its parameters,
// given their defaults.
func cellActivation(name string, alpha, beta func(float64) float64) (func(float64) float64, error) {
	switch strings.ToLower(name) {
	case "relu":
		return func(x float64) float64 { return max(x, 0) }, nil
	case "tanh":
		return math.Tanh, nil
	case "sigmoid":
		return func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, nil
	case "softsign":
		return func(x float64) float64 { return x / (1 + math.Abs(x)) }, nil
	case "softplus":
		return func(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }, nil
	case "affine":
		a, b := alpha(1), beta(0)
		return func(x float64) float64 { return a*x + b }, nil
	case "scaledtanh":
		a, b := alpha(1), beta(1)
		return func(x float64) float64 { return a * math.Tanh(b*x) }, nil
	case "hardsigmoid":
		a, b := alpha(0.2), beta(0.5)
		return func(x float64) float64 { return min(max(a*x+b, 0), 1) }, nil
	case "leakyrelu":
		a := alpha(0.01)
		return func(x float64) float64 {
			if x < 0 {
				return a * x
			}
			return x
		}, nil
	case "thresholdedrelu":
		a := alpha(1)
		return func(x float64) float64 {
			if x > a {
				return x
			}
			return 0
		}, nil
	case "elu":
		a := alpha(1)
		return func(x float64) float64 {
			if x < 0 {
				return a * math.Expm1(x)
			}
			return x
		}, nil
	}
	return nil, fmt.Errorf("activation %q is not known", name)
}
