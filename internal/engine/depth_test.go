package engine

import (
	"fmt"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// noFallbacks reports steps computed by reference evaluation.
func noFallbacks(t *testing.T, s *Session) {
	t.Helper()
	for _, st := range s.Plan().Steps() {
		if st.Fallback {
			t.Errorf("%s is computed by the reference: %s", st.Op, st.Reason)
		}
	}
}

// TestMovesOfElements runs operators that only move elements, on tensors that lie
// channels-last and row-major, of four bytes and one.
func TestMovesOfElements(t *testing.T) {
	type build func(g *graph.Graph, x *graph.Value) *graph.Value
	cases := map[string]build{
		"SpaceToDepth": func(g *graph.Graph, x *graph.Value) *graph.Value {
			return g.Add("SpaceToDepth", "y", graph.Attrs{"blocksize": int64(2)}, x)
		},
	}
	for _, mode := range []string{"DCR", "CRD"} {
		cases["DepthToSpace "+mode] = func(g *graph.Graph, x *graph.Value) *graph.Value {
			return g.Add("DepthToSpace", "y", graph.Attrs{"blocksize": int64(2), "mode": mode}, x)
		}
	}
	for _, mode := range []string{"constant", "reflect", "edge", "wrap"} {
		for _, pads := range [][]int64{{0, 0, 2, 1, 0, 0, 3, 2}, {1, 2, 0, 0, 0, 3, 0, 7}} {
			if mode == "reflect" {
				pads[0] = 0 // of one element there is nothing to reflect
			}
			cases[fmt.Sprint("Pad ", mode, pads)] = func(g *graph.Graph, x *graph.Value) *graph.Value {
				return g.Add("Pad", "y", graph.Attrs{"mode": mode}, x, g.Ints("pads", pads...))
			}
		}
	}
	for name, c := range cases {
		for _, d := range []tensor.DType{tensor.Float32, tensor.Uint8} {
			for _, last := range []bool{true, false} {
				t.Run(fmt.Sprintf("%s %v last=%v", name, d, last), func(t *testing.T) {
					g := graph.New("g")
					x := g.Input("x", graph.TensorType(d, 1, 8, 6, 8))
					if last {
						// A pool leaves its result channels-last.
						g.Output(c(g, g.Add("MaxPool", "pool", graph.Attrs{"kernel_shape": []int64{1, 1}}, x)))
					} else {
						g.Output(c(g, x))
					}
					s := compile(t, g, Options{})
					noFallbacks(t, s)
					in := random(5, 1, 8, 6, 8)
					if d == tensor.Uint8 {
						in = tensor.New(d, 1, 8, 6, 8)
						for i := range in.Bytes() {
							in.Bytes()[i] = byte(i * 7)
						}
					}
					against(t, s, g, 0, 0, in)
				})
			}
		}
	}
}

func TestFunctionsOfOneValue(t *testing.T) {
	for _, name := range []string{"Abs", "Sqrt", "Floor", "Ceil", "Round", "Log", "Erf", "Exp", "Sin", "Cos", "Neg", "Reciprocal", "Selu", "Elu", "Softplus", "Mish"} {
		t.Run(name, func(t *testing.T) {
			g := graph.New(name)
			x := g.Input("x", graph.TensorType(tensor.Float32, 3, 50))
			g.Output(g.Add(name, "y", nil, x))
			s := compile(t, g, Options{})
			noFallbacks(t, s)
			in := random(6, 3, 50)
			for i, v := range in.F32() {
				in.F32()[i] = 4 * v
				if name == "Sqrt" || name == "Log" {
					in.F32()[i] = 4*v*v + 0.01
				}
			}
			against(t, s, g, 1e-6, 2e-6, in)
		})
	}
}
