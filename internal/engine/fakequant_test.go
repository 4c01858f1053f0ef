package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestFakeQuantize holds both nodes against the reference: the forward one bit for bit, in
// every width, with one scale and with one for each channel, in both orders of memory.
func TestFakeQuantize(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	for _, bits := range []int64{2, 3, 4, 5, 6, 7, 8, 16, 31} {
		for _, c := range []struct {
			signed, narrow, zero int64
			axis                 int // -1 for one scale
			shape                []int
		}{
			{1, 1, 0, 0, []int{7, 5, 3, 3}}, {1, 0, 0, 1, []int{6, 9}}, {0, 0, 1, -1, []int{2, 3, 40, 41}}, {1, 0, -2, -1, []int{3, 5}}, {1, 1, 0, 0, []int{1, 4}},
		} {
			g := graph.New("fake")
			x, dy := g.Input("x", graph.TensorType(tensor.Float32, c.shape...)), g.Input("dy", graph.TensorType(tensor.Float32, c.shape...))
			scaleShape := []int{}
			if c.axis >= 0 {
				scaleShape = []int{c.shape[c.axis]}
			}
			scale := g.Input("scale", graph.TensorType(tensor.Float32, scaleShape...))
			a := graph.Attrs{"bits": bits, "signed": c.signed, "narrow": c.narrow, "axis": int64(max(c.axis, 0))}
			in := []*graph.Value{x, scale}
			if c.zero != 0 {
				z := tensor.New(tensor.Int32)
				z.SetInt(0, c.zero)
				in = append(in, g.Constant("zero", z))
			}
			err := op.Build(g, op.NewFacts(), "q", func(b *op.Builder) error {
				g.Output(b.Node(graph.DomainEdgewise, "FakeQuantize", a, 1, in...)...)
				g.Output(b.Node(graph.DomainEdgewise, "FakeQuantizeGradient", a, 2, append([]*graph.Value{dy}, in...)...)...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			values := make([]op.Value, 3)
			for i, v := range g.Inputs {
				s, _ := v.Type.Static()
				x := tensor.New(tensor.Float32, s...)
				for k := range x.F32() {
					x.F32()[k] = float32(r.NormFloat64())
					if i == 2 {
						x.F32()[k] = float32(1+r.Float64()) / float32(int64(1)<<min(bits, 20))
					}
				}
				values[i] = x
			}
			t.Run(fmt.Sprint(bits, c.signed, c.narrow, c.zero, c.axis), func(t *testing.T) {
				whole := g.Clone()
				whole.Outputs = whole.Outputs[:1]
				whole.Prune()
				against(t, compile(t, whole, Options{}), whole, 0, 0, values...)
				for _, threads := range []int{1, 3} {
					s := compile(t, g, Options{Threads: threads})
					noFallbacks(t, s)
					against(t, s, g, 1e-5, 1e-4, values...)
				}
			})
		}
	}
}
