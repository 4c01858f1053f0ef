package quant

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Pair is two layers between which channels were balanced.
type Pair struct {
	First, Second      string
	Channels           int
	MinScale, MaxScale float64 // by which the first layer's channels were divided
}

// Skipped is a layer that could not be equalized with the next, and why.
type Skipped struct{ Node, Reason string }

// Equalization tells what Equalize did.
type Equalization struct {
	Pairs   []Pair
	Skipped []Skipped
	Rounds  int
}

// Equalize balances the weight ranges of the channels between neighbouring layers:
// cross-layer equalization of M. Nagel, M. van Baalen, T. Blankevoort and M. Welling,
// "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019.
//
// Where f(s·x) = s·f(x) for all s > 0 between two layers, channel i of the first can be
// divided by s[i] and the same channel of the second multiplied by it without changing
// the function. With s[i] = √(r1[i]/r2[i]), r being the greatest magnitude of the
// channel's weights, both get the same range. Pairs are visited until nothing changes
// much, since a layer that is second in one pair is first in the next.
//
// Relu, LeakyRelu and pooling are such functions, a clamp like Clip(0, 6) is not: with
// one bound for all channels it would need a bound per channel. Such pairs are left as
// they are and listed; per-channel weight scales serve them.
//
// The function of the returned graph is that of g up to float32 rounding. Calibration
// must come afterwards.
func Equalize(g *graph.Graph) (*graph.Graph, *Equalization, error) {
	c := g.Clone()
	e := &equalizer{g: c, uses: c.Uses(), users: c.Users(), layers: map[*graph.Node]*balanced{}}
	info := &Equalization{}
	type pair struct {
		a, b  *balanced
		scale []float64 // total
	}
	var pairs []pair
	for _, n := range c.Nodes {
		a := e.layer(n)
		if a == nil {
			continue
		}
		b, reason := e.next(a)
		if b == nil {
			info.Skipped = append(info.Skipped, Skipped{n.Label(), reason})
			continue
		}
		p := pair{a: a, b: b, scale: make([]float64, a.outputs())}
		for i := range p.scale {
			p.scale[i] = 1
		}
		pairs = append(pairs, p)
	}
	for moved := true; moved && info.Rounds < maxRounds; info.Rounds++ {
		moved = false
		for _, p := range pairs {
			r1, r2 := p.a.outputRanges(), p.b.inputRanges()
			up, down := make([]float64, len(p.scale)), make([]float64, len(p.scale))
			for i := range p.scale {
				s := 1.0 // for a dead channel
				if r1[i] > 0 && r2[i] > 0 {
					s = min(max(p.scale[i]*math.Sqrt(r1[i]/r2[i]), 1/maxScale), maxScale) / p.scale[i]
				}
				moved = moved || math.Abs(math.Log(s)) > 1e-2
				p.scale[i] *= s
				up[i], down[i] = s, 1/s
			}
			p.a.scaleOutputs(down)
			p.b.scaleInputs(up)
		}
	}
	for _, p := range pairs {
		y := Pair{First: p.a.node.Label(), Second: p.b.node.Label(), Channels: len(p.scale), MinScale: math.Inf(1)}
		for _, s := range p.scale {
			y.MinScale, y.MaxScale = min(y.MinScale, s), max(y.MaxScale, s)
		}
		info.Pairs = append(info.Pairs, y)
		p.a.store(c)
		p.b.store(c)
	}
	if err := c.Verify(); err != nil {
		return nil, nil, fmt.Errorf("equalize %s: %w", g.Name, err)
	}
	return c, info, nil
}

const (
	maxRounds = 40
	maxScale  = 65536.0 // in either direction, so that float32 keeps its precision
)

// balanced is a layer whose weights are being scaled, in float64 until all is done.
type balanced struct {
	node   *graph.Node
	shape  []int
	w      []float64
	bias   []float64 // nil when absent
	axis   int       // of outputs
	groups int
	stored bool
}

func (b *balanced) outputs() int { return b.shape[b.axis] }

// inputs returns the number of input channels.
func (b *balanced) inputs() int { return b.shape[1-b.axis] * b.groups }

// channel returns the channels that weight i joins.
func (b *balanced) channel(i int) (out, in int) {
	inner := 1
	for _, d := range b.shape[2:] {
		inner *= d
	}
	i /= inner
	second := i % b.shape[1]
	first := i / b.shape[1]
	if b.axis == 1 {
		return second, first
	}
	return first, first/(b.shape[0]/b.groups)*b.shape[1] + second
}

func (b *balanced) outputRanges() []float64 {
	r := make([]float64, b.outputs())
	for i, v := range b.w {
		o, _ := b.channel(i)
		r[o] = max(r[o], math.Abs(v))
	}
	return r
}

func (b *balanced) inputRanges() []float64 {
	r := make([]float64, b.inputs())
	for i, v := range b.w {
		_, c := b.channel(i)
		r[c] = max(r[c], math.Abs(v))
	}
	return r
}

// scaleOutputs multiplies every output channel by its factor, the bias with it.
func (b *balanced) scaleOutputs(s []float64) {
	for i := range b.w {
		out, _ := b.channel(i)
		b.w[i] *= s[out]
	}
	for i := range b.bias {
		b.bias[i] *= s[i]
	}
}

// scaleInputs multiplies every input channel by its factor.
func (b *balanced) scaleInputs(s []float64) {
	for i := range b.w {
		_, in := b.channel(i)
		b.w[i] *= s[in]
	}
}

// store gives the node constants of its own with the scaled values.
func (b *balanced) store(g *graph.Graph) {
	if b.stored {
		return
	}
	b.stored = true
	put := func(at int, v []float64, shape ...int) {
		t := tensor.New(tensor.Float32, shape...)
		for i, x := range v {
			t.F32()[i] = float32(x)
		}
		b.node.Inputs[at] = g.Constant(b.node.Inputs[at].Name, t)
	}
	put(1, b.w, b.shape...)
	if b.bias != nil {
		put(2, b.bias, len(b.bias))
	}
}

type equalizer struct {
	g      *graph.Graph
	uses   []int
	users  [][]*graph.Node
	layers map[*graph.Node]*balanced
}

// layer returns n as a layer that can be scaled, nil when it is none.
func (e *equalizer) layer(n *graph.Node) *balanced {
	if b := e.layers[n]; b != nil {
		return b
	}
	if !n.Is("Conv") && !n.Is("Gemm") || weightedForm(n) != "" || e.uses[n.In(1).ID] != 1 {
		return nil
	}
	w := n.In(1).Const
	b := &balanced{node: n, shape: w.Shape(), w: w.Floats(), groups: 1}
	if n.Is("Gemm") {
		b.axis = weightAxis(n)
	} else {
		b.groups = int(n.Attrs.Int("group", 1))
		if b.groups < 1 || b.shape[0]%b.groups != 0 {
			return nil
		}
	}
	if v := n.In(2); v != nil {
		if e.uses[v.ID] != 1 {
			return nil
		}
		b.bias = v.Const.Floats()
	}
	e.layers[n] = b
	return b
}

// next returns the layer that alone uses a's result, over functions that scaling passes
// through, or why there is none.
func (e *equalizer) next(a *balanced) (*balanced, string) {
	v := a.node.Out(0)
	for {
		if e.uses[v.ID] != 1 || len(e.users[v.ID]) != 1 {
			return nil, "its result has several users or is an output"
		}
		n := e.users[v.ID][0]
		if b := e.layer(n); b != nil && n.In(0) == v {
			if b.inputs() != a.outputs() {
				return nil, fmt.Sprintf("%s does not take its channels one to one", n.Label())
			}
			return b, ""
		}
		if !homogeneous(n, a.outputs()) || n.In(0) != v {
			return nil, fmt.Sprintf("%v lies between it and the next layer", n)
		}
		v = n.Out(0)
	}
}

// homogeneous reports whether scaling a channel of n's operand by s > 0 scales the same
// channel of its result, and nothing else.
func homogeneous(n *graph.Node, channels int) bool {
	if n.Domain != "" || len(n.Outputs) != 1 {
		return false
	}
	switch n.Op {
	case "Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Identity":
		return true
	case "ReduceMean":
		return spatialMean(n)
	case "Pad":
		return sameForm(n) == "" && channelsKept(n, channels)
	case "Reshape", "Flatten", "Squeeze":
		return channelsKept(n, channels)
	}
	return false
}

// channelsKept reports whether operand and result are batches of the same channels
// along axis 1 with equal sizes after it but for ones.
func channelsKept(n *graph.Node, channels int) bool {
	count := func(v *graph.Value) int {
		s := v.Type.Shape
		if len(s) < 2 || s[1].Size != channels {
			return -1
		}
		k := 1
		for _, d := range s[2:] {
			if !d.Known() {
				return -1
			}
			k *= d.Size
		}
		return k
	}
	x, y := count(n.In(0)), count(n.Out(0))
	return x >= 0 && y >= 0 && (x == y || n.Is("Pad"))
}
