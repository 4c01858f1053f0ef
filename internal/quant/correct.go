package quant

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// BiasConfig says how CorrectBias measures.
type BiasConfig struct {
	// Sequential corrects layer after layer, each measured behind the corrected ones
	// on the integer kernels: one partial pass over the samples per layer. Otherwise one
	// pass over the float graph measures what each layer's own rounding does. The
	// sequential form needs a graph with float inputs, not one made with IntegerIO.
	Sequential bool

	Executor Executor // nil means the engine on one thread
}

// Correction tells what was done to a layer's bias.
type Correction struct {
	Node    string
	Reason  string  // why nothing was done
	Mean    float64 // greatest magnitude of a channel's mean error, in real units
	Changed int     // channels whose integer bias changed
}

// CorrectBias returns r with the mean error of every layer taken out of its int32 bias:
// E[float result] - E[quantized result] per output channel, over the samples, before the
// activation. Rounding weights moves the mean of a channel, most where few weights make
// it up, as in depthwise layers (Nagel et al., ICCV 2019, §4.2, empirical form). g is the
// float graph that r was made from; r is not changed.
func CorrectBias(ctx context.Context, g *graph.Graph, r *Result, samples Samples, cfg BiasConfig, progress Progress) (*Result, []Correction, error) {
	out := *r
	out.Graph = r.Graph.Clone()
	c := &corrector{float: g, q: out.Graph, samples: samples, exec: cfg.Executor}
	list := c.collect(r.Layers)
	if len(c.layers) == 0 {
		return &out, list, nil
	}
	err := c.floatMeans(ctx, progress, cfg.Sequential)
	for i := 0; err == nil && cfg.Sequential && i < len(c.layers); i++ {
		if err = c.quantMeans(ctx, c.layers[i]); err == nil {
			c.layers[i].apply()
		}
		progress.report("correct biases", i+1, len(c.layers))
	}
	if err != nil {
		return nil, nil, fmt.Errorf("correct biases: %w", err)
	}
	for _, y := range c.layers {
		if !cfg.Sequential {
			y.apply()
		}
		*y.result = Correction{Node: y.result.Node, Mean: y.worst, Changed: y.changed}
	}
	return &out, list, out.Graph.Verify()
}

type corrector struct {
	float, q *graph.Graph
	samples  Samples
	exec     Executor
	layers   []*biased
}

// biased is a quantized layer with a bias that can be corrected.
type biased struct {
	float, q *graph.Node
	result   *Correction

	want, got means // of the float and of the quantized result without bias
	worst     float64
	changed   int
}

// bias returns the node's stored bias and its scales.
func (y *biased) bias() (q *graph.Value, scales []float32) {
	d := y.q.Inputs[2].Def
	return d.Inputs[0], d.Inputs[1].Const.F32()
}

// collect finds the layers in order and lists every layer with weights.
func (c *corrector) collect(layers []Layer) []Correction {
	find := func(g *graph.Graph) map[string]*graph.Node {
		m := map[string]*graph.Node{}
		for _, n := range g.Nodes {
			m[n.Label()] = n
		}
		return m
	}
	fs, qs := find(c.float), find(c.q)
	list := make([]Correction, 0, len(layers))
	for _, y := range layers {
		if !y.Quantized || y.Weights == nil {
			continue
		}
		list = append(list, Correction{Node: y.Node})
		at := &list[len(list)-1]
		f, q := fs[y.Node], qs[y.Node]
		switch {
		case f == nil || q == nil || q.In(0) == nil || q.In(0).Def == nil:
			at.Reason = "it is not in both graphs"
		case q.In(2) == nil || q.In(2).Def == nil || !q.In(2).Def.Is("DequantizeLinear"):
			at.Reason = "it has no integer bias"
		default:
			c.layers = append(c.layers, &biased{float: f, q: q, result: at})
		}
	}
	return list
}

// means sums the elements of each channel, axis 1.
type means struct {
	sum []float64
	n   int64
}

func (m *means) add(t *tensor.Tensor) error {
	if t.Rank() < 2 || t.DType() != tensor.Float32 {
		return fmt.Errorf("result %v has no channels", t)
	}
	channels, inner := channelsOf(t, 1)
	if m.sum == nil {
		m.sum = make([]float64, channels)
	}
	if len(m.sum) != channels {
		return fmt.Errorf("result %v does not have %d channels", t, len(m.sum))
	}
	v := t.F32()
	for i := 0; i < len(v); i += inner {
		s := 0.0
		for _, x := range v[i : i+inner] {
			s += float64(x)
		}
		m.sum[i/inner%channels] += s
	}
	m.n += int64(len(v) / channels)
	return nil
}

func (m *means) at(c int) float64 {
	if m.n == 0 {
		return math.NaN()
	}
	return m.sum[c] / float64(m.n)
}

// floatMeans measures the means of the float results. With probes it also measures, in
// the same pass, the results that the stored weights give on the float operands as
// rounded to their 8-bit grid.
func (c *corrector) floatMeans(ctx context.Context, progress Progress, sequential bool) error {
	d := c.float.Clone()
	byName := map[string]*graph.Node{}
	for _, n := range d.Nodes {
		byName[n.Label()] = n
	}
	d.Outputs = nil
	for _, y := range c.layers {
		d.Outputs = append(d.Outputs, byName[y.float.Label()].Out(0))
	}
	if !sequential {
		for _, y := range c.layers {
			n := byName[y.float.Label()]
			in := y.q.In(0).Def // of the operand
			w := y.q.In(1).Def
			constant := func(v *graph.Value) *graph.Value { return d.Constant(v.Name, v.Const) }
			scale, zero := constant(in.In(1)), constant(in.In(2))
			a := d.NewNode("QuantizeLinear", "", "", graph.Attrs{}, []*graph.Value{n.In(0), scale, zero}, "")
			b := d.NewNode("DequantizeLinear", "", "", graph.Attrs{}, []*graph.Value{a.Outputs[0], scale, zero}, "")
			e := d.NewNode("DequantizeLinear", "", "", w.Attrs.Clone(), []*graph.Value{constant(w.In(0)), constant(w.In(1)), constant(w.In(2))}, "")
			p := probe(d, n, b.Outputs[0], e.Outputs[0])
			d.Nodes = append(d.Nodes, a, b, e, p)
			d.Outputs = append(d.Outputs, p.Outputs[0])
		}
	}
	if err := d.Sort(); err != nil {
		return err
	}
	d.Prune()
	return c.each(ctx, d, func(i int, out outputs) error {
		for j, y := range c.layers {
			if err := y.want.add(out[j]); err != nil {
				return fmt.Errorf("%v: %w", y.float, err)
			}
			if sequential {
				continue
			}
			if err := y.got.add(out[len(c.layers)+j]); err != nil {
				return fmt.Errorf("%v: %w", y.float, err)
			}
		}
		progress.report("measure biases", i+1, -1)
		return nil
	})
}

// probe returns a copy of a layer without bias on other operands. Without it, because a
// true copy would be merged with the layer and end its integer island.
func probe(g *graph.Graph, n *graph.Node, x, w *graph.Value) *graph.Node {
	return g.NewNode(n.Op, n.Domain, "", n.Attrs.Clone(), []*graph.Value{x, w}, "")
}

// quantMeans measures the mean of a layer's result in the quantized graph as it stands.
// A float copy of the layer on the dequantized operands gives the accumulator before it
// is rounded and clamped; all before it runs on the integer kernels.
func (c *corrector) quantMeans(ctx context.Context, y *biased) error {
	d := c.q.Clone()
	for _, n := range d.Nodes {
		if n.Label() != y.q.Label() {
			continue
		}
		p := probe(d, n, n.In(0), n.In(1))
		d.Nodes = append(d.Nodes, p)
		d.Outputs = []*graph.Value{p.Outputs[0]}
		break
	}
	if err := d.Sort(); err != nil {
		return err
	}
	d.Prune()
	return c.each(ctx, d, func(_ int, out outputs) error {
		if err := y.got.add(out[0]); err != nil {
			return fmt.Errorf("%v: %w", y.q, err)
		}
		return nil
	})
}

func (c *corrector) each(ctx context.Context, g *graph.Graph, see func(i int, out outputs) error) error {
	run, err := executorOr(c.exec).Open(g)
	if err != nil {
		return err
	}
	defer run.Close()
	_, err = eachSample(ctx, run, c.samples, func(i int, _ sample, out outputs) error { return see(i, out) })
	if errors.Is(err, errNoSamples) {
		return errNoSamples
	}
	return err
}

// apply moves the integer bias so that the means agree.
func (y *biased) apply() {
	old, scales := y.bias()
	t := old.Const.Clone()
	ints := tensor.Data[int32](t)
	for i := range ints {
		s := float64(scales[min(i, len(scales)-1)])
		wrong := y.want.at(i) - (y.got.at(i) + float64(float64(ints[i])*s))
		if wrong-wrong != 0 {
			continue
		}
		y.worst = max(y.worst, math.Abs(wrong))
		v := min(max(math.RoundToEven(float64(ints[i])+wrong/s), -maxBias), maxBias)
		if int32(v) != ints[i] {
			y.changed++
			ints[i] = int32(v)
		}
	}
	old.Const = t
}
