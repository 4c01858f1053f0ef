// Package quant turns float graphs into 8-bit ones after training. Every step takes
// graphs and returns graphs:
//
//	Prepare      simplify, and give every node a name that reports can use
//	Equalize     balance channels of neighbouring layers; the function stays the same
//	Calibrate    run samples through the float graph and keep statistics of each value
//	Quantize     insert QuantizeLinear and DequantizeLinear around what becomes integer
//	CorrectBias  take the mean error of each layer out of its bias
//	Sensitivity  what each layer alone costs in accuracy of the outputs
//	Search       which layers go back to floating point so that a bound holds
//	CompareTimes where integers are measured slower; Slower names what to keep float
//
// Dynamic and WeightOnly are modes that need no samples.
//
// The result is in the standard QDQ form, which other runtimes read too: uint8 (or
// int8) activations with one scale and zero point per tensor, int8 weights that are
// symmetric with a scale per output channel, int32 biases with the scale of input times
// weight. What runs is what package rewrite makes of it: integer operators with one
// documented requantization, so measuring a quantized graph by the engine measures the
// very arithmetic that is deployed.
//
// The package knows no files and no data sets: samples come as an iterator.
package quant

import (
	"fmt"
	"iter"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/rewrite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Samples yields model inputs by name. It is walked once per pass, and some functions
// make several passes: it must yield the same samples each time.
type Samples = iter.Seq2[map[string]*tensor.Tensor, error]

// Progress is told how far a long function has come. total is -1 while unknown.
type Progress func(stage string, done, total int)

func (p Progress) report(stage string, done, total int) {
	if p != nil {
		p(stage, done, total)
	}
}

// Slice returns samples that are held in memory.
func Slice(samples ...map[string]*tensor.Tensor) Samples {
	return func(yield func(map[string]*tensor.Tensor, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// Prepare returns a simplified copy of g in which every node has a name of its own, the
// key that all functions here use for layers. Types are inferred.
func Prepare(g *graph.Graph) (*graph.Graph, error) {
	c := g.Clone()
	if _, err := rewrite.Simplify(c, rewrite.Options{}); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", g.Name, err)
	}
	if _, err := op.InferTypes(c); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", g.Name, err)
	}
	taken := map[string]bool{}
	c.Walk(func(_ *graph.Graph, n *graph.Node) {
		name := n.Label()
		for i := 1; taken[name]; i++ {
			name = fmt.Sprintf("%s_%d", n.Label(), i)
		}
		taken[name] = true
		n.Name = name
	})
	return c, c.Verify()
}

// isFloat reports whether v is a float32 tensor.
func isFloat(v *graph.Value) bool {
	return v != nil && v.Type.Kind == graph.KindTensor && v.Type.DType == tensor.Float32
}
