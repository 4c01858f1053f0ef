package engine

import (
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerMatMulNBits, graph.DomainMicrosoft, "MatMulNBits")
}

// lowerMatMulNBits is a product whose weights stay in few bits.
func lowerMatMulNBits(l *lowerer, n *graph.Node) string {
	a, q, scales, zeros, bias := n.In(0), n.In(1), n.In(2), n.In(3), n.In(5)
	switch {
	case !isF32(a, scales, bias):
		return "only float32 has a kernel"
	case q.Const == nil || scales.Const == nil || zeros != nil && zeros.Const == nil || bias != nil && bias.Const == nil:
		return "the weights are not constant"
	case n.In(4) != nil || n.Attrs.Int("weight_prepacked", 0) != 0 || q.Const.DType() != tensor.Uint8:
		return "its form of weights has no kernel"
	}
	w := kernel.NBitsWeights{K: int(n.Attrs.Int("K", 0)), N: int(n.Attrs.Int("N", 0)), Bits: int(n.Attrs.Int("bits", 4)),
		Block: int(n.Attrs.Int("block_size", 0)), Q: q.Const.Bytes(), Scale: scales.Const.F32()}
	as, _ := a.Type.Static()
	ys, _ := n.Outputs[0].Type.Static()
	if len(as) == 0 || w.K < 1 || w.N < 1 || w.Block < 8 || as[len(as)-1] != w.K || ys[len(ys)-1] != w.N {
		return "its form of weights has no kernel"
	}
	blocks := (w.K + w.Block - 1) / w.Block
	row := (blocks*w.Bits + 7) / 8
	switch {
	case zeros == nil:
		w.Zero = func(int, int) float32 { return float32(int(1) << (w.Bits - 1)) }
	case zeros.Const.DType() == tensor.Uint8 && zeros.Const.Len() == w.N*row:
		packed := zeros.Const.Bytes()
		w.Zero = func(column, block int) float32 {
			bit := block * w.Bits
			return float32(packed[column*row+bit/8] >> (bit % 8) & byte(1<<w.Bits-1))
		}
	case zeros.Const.DType() == tensor.Float32 && zeros.Const.Len() == w.N*blocks:
		values := zeros.Const.F32()
		w.Zero = func(column, block int) float32 { return values[column*blocks+block] }
	default:
		return "its zero points have no kernel"
	}
	var addend []float32
	if bias != nil {
		addend = bias.Const.F32()
	}
	m := 1
	for _, d := range as[:len(as)-1] {
		m *= d
	}
	p, err := kernel.NewNBitsF32(l.level, m, w.K, w.N, w, addend, l.packing())
	if err != nil {
		return err.Error()
	}
	in := l.plain(a)
	out := l.make(n.Outputs[0], tensor.Strides(ys), nil)
	l.plan.weights += len(q.Const.Bytes()) + 4*scales.Const.Len()
	l.add(&step{name: n.Label(), op: n.Op, kernel: p.Name(), macs: int64(m) * int64(w.K) * int64(w.N), reads: []*ref{in}, writes: []*ref{out},
		units: p.Units(), scratch: p.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) { p.Run(s.f32(out), s.f32(in), s.scratch[worker], lo, hi) }})
	return ""
}
