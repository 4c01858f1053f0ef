package engine

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// dynamic builds x → quantize by range → integer product → scales → bias.
func dynamic(conv bool, weights tensor.DType, fused bool) *graph.Graph {
	g := graph.New("dynamic")
	shape, w, channels := []int{3, 20}, []int{20, 13}, 13
	opName, attrs, along := "MatMulInteger", graph.Attrs{}, []int{13}
	if conv {
		shape, w, channels = []int{1, 6, 9, 8}, []int{13, 6, 3, 3}, 13
		opName, attrs, along = "ConvInteger", graph.Attrs{"pads": []int64{1, 1, 1, 1}}, []int{1, channels, 1, 1}
	}
	x := g.Input("x", graph.TensorType(tensor.Float32, shape...))
	q := g.NewNode("DynamicQuantizeLinear", "", "q", nil, []*graph.Value{x}, "xq", "xs", "xz")
	g.Nodes = append(g.Nodes, q)
	wq := g.Constant("w", fill(tensor.New(weights, w...), 1))
	wz := tensor.New(weights)
	if weights == tensor.Uint8 {
		wz.SetInt(0, 119)
	}
	ws := random(2, along...)
	for i := range ws.F32() {
		ws.F32()[i] = 0.01 + ws.F32()[i]*0.005
	}
	scales := g.Add("Mul", "scales", nil, q.Outputs[1], g.Constant("ws", ws))
	if !fused {
		g.Output(scales)
	}
	acc := g.Add(opName, "product", attrs, q.Outputs[0], wq, q.Outputs[2], g.Constant("wz", wz))
	y := g.Add("Mul", "scaled", nil, g.Add("Cast", "cast", graph.Attrs{"to": int64(tensor.Float32)}, acc), scales)
	g.Output(g.Add("Add", "biased", nil, y, g.Constant("b", random(3, along...))))
	return g
}

func TestDynamicInt8(t *testing.T) {
	for _, conv := range []bool{false, true} {
		for _, weights := range []tensor.DType{tensor.Int8, tensor.Uint8} {
			for _, fused := range []bool{false, true} {
				for _, level := range cpu.Levels() {
					g := dynamic(conv, weights, fused)
					s := compile(t, g, Options{Level: level, Portable: true})
					for _, st := range s.Plan().Steps() {
						if st.Fallback {
							t.Errorf("conv=%v: %s: %s", conv, st.Name, st.Reason)
						}
					}
					if n := s.Plan().Fused()[ruleDynamic]; fused && n != 1 {
						t.Errorf("conv=%v: the scales were fused %d times", conv, n)
					}
					shape, _ := g.Inputs[0].Type.Static()
					against(t, s, g, 1e-6, 1e-6, random(7, shape...))
				}
			}
		}
	}
}
