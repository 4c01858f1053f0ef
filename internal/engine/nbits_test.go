package engine

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestMatMulNBits(t *testing.T) {
	const k, n, block = 70, 40, 32
	const blocks = (k + block - 1) / block
	bytes := func(seed uint32, shape ...int) *tensor.Tensor {
		b := tensor.New(tensor.Uint8, shape...)
		for i := range b.Bytes() {
			seed = seed*1664525 + 1013904223
			b.Bytes()[i] = byte(seed >> 24)
		}
		return b
	}
	for _, bits := range []int{2, 4, 8} {
		for _, zeros := range []*tensor.Tensor{nil, bytes(5, n, (blocks*bits+7)/8), random(6, n, blocks)} {
			for _, rows := range []int{1, 33} {
				g := graph.New("nbits")
				x := g.Input("x", graph.TensorType(tensor.Float32, 1, rows, k))
				in := []*graph.Value{x, g.Constant("q", bytes(7, n, blocks, block*bits/8)), g.Constant("s", random(8, n*blocks)), nil, nil, g.Constant("bias", random(9, n))}
				if zeros != nil {
					in[3] = g.Constant("z", zeros)
				}
				node := g.NewNode("MatMulNBits", graph.DomainMicrosoft, "y", graph.Attrs{"K": int64(k), "N": int64(n), "bits": int64(bits), "block_size": int64(block)}, in, "y")
				g.Nodes = append(g.Nodes, node)
				g.Output(node.Outputs[0])
				s := compile(t, g, Options{})
				if st := s.Plan().Steps(); len(st) != 1 || st[0].Fallback {
					t.Errorf("%d bits: %+v", bits, st)
				}
				against(t, s, g, 1e-3, 1e-4, random(3, 1, rows, k))
			}
		}
	}
}
