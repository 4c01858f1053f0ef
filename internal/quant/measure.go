package quant

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// power sums the squares of a signal and of its error.
type power struct{ signal, noise float64 }

func (p *power) add(want, got float64) {
	d := want - got
	p.signal += float64(want * want)
	p.noise += float64(d * d)
}

func (p *power) addTensors(want, got *tensor.Tensor) error {
	if !slices.Equal(want.Shape(), got.Shape()) {
		return fmt.Errorf("shape %v against %v", want, got)
	}
	if want.DType() != tensor.Float32 || got.DType() != tensor.Float32 {
		for i := range want.Len() {
			p.add(want.Float(i), got.Float(i))
		}
		return nil
	}
	g := got.F32()
	for i, v := range want.F32() {
		p.add(float64(v), float64(g[i]))
	}
	return nil
}

// dB returns the signal-to-quantization-noise ratio: +Inf without noise.
func (p *power) dB() float64 {
	switch {
	case p.noise == 0:
		return math.Inf(1)
	case p.signal == 0:
		return math.Inf(-1)
	}
	return 10 * math.Log10(p.signal/p.noise)
}

// Measure sets the SQNR of the layers of r: how far each quantized layer's output is
// from that of the float graph g, over the samples, with all that is quantized before it.
func Measure(ctx context.Context, g *graph.Graph, r *Result, samples Samples, exec Executor, progress Progress) error {
	var want, got []string
	var at []int
	for i := range r.Layers {
		y := &r.Layers[i]
		if name := r.Values[y.Output]; y.Quantized && name != "" {
			want, got, at = append(want, y.Output), append(got, name), append(at, i)
		}
	}
	if len(at) == 0 {
		return nil
	}
	ps := make([]power, len(at))
	err := compare(ctx, g, r.Graph, want, got, samples, exec, func(i int, a, b []*tensor.Tensor) error {
		for j := range ps {
			if err := ps[j].addTensors(a[j], b[j]); err != nil {
				return fmt.Errorf("value %s: %w", want[j], err)
			}
		}
		progress.report("measure", i+1, -1)
		return nil
	})
	if err != nil {
		return fmt.Errorf("measure: %w", err)
	}
	for j, i := range at {
		r.Layers[i].SQNR = ps[j].dB()
	}
	return nil
}

// SQNR returns the ratio in dB for the outputs of two graphs with the same outputs.
func SQNR(ctx context.Context, g, q *graph.Graph, samples Samples, exec Executor) (float64, error) {
	var p power
	names := outputNames(g)
	err := compare(ctx, g, q, names, outputNames(q), samples, exec, func(_ int, a, b []*tensor.Tensor) error {
		for j := range a {
			if !a[j].DType().IsFloat() {
				continue
			}
			if err := p.addTensors(a[j], b[j]); err != nil {
				return fmt.Errorf("output %s: %w", names[j], err)
			}
		}
		return nil
	})
	return p.dB(), err
}

func outputNames(g *graph.Graph) []string {
	out := make([]string, len(g.Outputs))
	for i, v := range g.Outputs {
		out[i] = v.Name
	}
	return out
}

// compare runs every sample through values of two graphs side by side.
func compare(ctx context.Context, a, b *graph.Graph, as, bs []string, samples Samples, exec Executor, see func(i int, a, b []*tensor.Tensor) error) error {
	open := func(g *graph.Graph, names []string) (Runner, error) {
		c, err := withOutputs(g, names)
		if err != nil {
			return nil, err
		}
		return executorOr(exec).Open(c)
	}
	ra, err := open(a, as)
	if err != nil {
		return err
	}
	defer ra.Close()
	rb, err := open(b, bs)
	if err != nil {
		return err
	}
	defer rb.Close()
	_, err = eachSample(ctx, ra, samples, func(i int, s sample, want outputs) error {
		got, err := rb.Run(ctx, s)
		if err != nil {
			return err
		}
		return see(i, want, got)
	})
	return err
}
