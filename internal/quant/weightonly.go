package quant

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// WeightOnlyConfig says how WeightOnly stores weights.
type WeightOnlyConfig struct {
	Bits      int  // 8 (0 means 8) or 4
	Block     int  // of 4 bits: weights that share a scale, a power of two from 16; 0 means 32
	PerTensor bool // of 8 bits: one scale per weight tensor
	Keep      map[string]string
}

// WeightOnly returns g with constant weights stored in 8 or 4 bits and all arithmetic in
// floating point: a smaller file, hardly less accuracy, and no speed but where memory is
// what a layer waits for. 8 bits serve Conv, Gemm and MatMul as DequantizeLinear of a
// constant; 4 bits serve Gemm and MatMul as MatMulNBits of domain com.microsoft, the
// others get 8.
func WeightOnly(g *graph.Graph, cfg WeightOnlyConfig) (*Result, error) {
	switch cfg.Bits {
	case 0:
		cfg.Bits = 8
	case 4, 8:
	default:
		return nil, fmt.Errorf("weight-only: %d bits are not supported, only 4 and 8", cfg.Bits)
	}
	if cfg.Block == 0 {
		cfg.Block = 32
	}
	if cfg.Block < 16 || cfg.Block > 1<<16 || cfg.Block&(cfg.Block-1) != 0 {
		return nil, errors.New("weight-only: the block must be a power of two from 16 to 65536")
	}
	e := newEditor(g, fmt.Sprintf("weights in %d bits", cfg.Bits))
	grid := weightGrid{perTensor: cfg.PerTensor}
	cache := map[*graph.Value]*graph.Value{} // weights that several layers share
	for _, n := range e.source() {
		if reason := weightedReason(n, cfg.Keep); reason != "" {
			e.float(n, reason)
			continue
		}
		if cfg.Bits == 4 && !n.Is("Conv") && (n.Is("MatMul") || len(n.In(0).Type.Shape) == 2) {
			e.fourBits(n, cfg.Block)
			continue
		}
		w := n.In(1)
		axis := weightAxis(n)
		scales := grid.scales(w.Const, axis, nil)
		stored := grid.quantize(w.Const, axis, scales)
		if cache[w] == nil {
			attrs, shape := graph.Attrs{"axis": int64(axis)}, []int{len(scales)}
			if cfg.PerTensor {
				attrs, shape = graph.Attrs{}, nil
			}
			d := e.add("DequantizeLinear", w.Name+"_dequantize", attrs, []*graph.Value{
				e.g.Constant(w.Name+"_quantized", stored), e.g.Constant(w.Name+"_scale", tensor.Of(scales, shape...)),
				e.g.Constant(w.Name+"_zero_point", tensor.New(tensor.Int8, shape...))}, w.Name+"_dq")
			d.Outputs[0].Type = w.Type.Clone()
			cache[w] = d.Outputs[0]
		}
		n.Inputs[1] = cache[w]
		e.nodes = append(e.nodes, n)
		e.done(n, Layer{Bits: 32, Weights: grid.info(w.Const, stored, axis, scales)})
	}
	return e.result()
}

// fourBits puts MatMulNBits in the place of a product with a constant matrix.
func (e *editor) fourBits(n *graph.Node, block int) {
	w := n.In(1)
	axis := weightAxis(n)
	columns, k := w.Const.Dim(axis), w.Const.Dim(1-axis)
	at := func(col, i int) float64 {
		if axis == 0 {
			return float64(w.Const.F32()[col*k+i])
		}
		return float64(w.Const.F32()[i*columns+col])
	}
	blocks := (k + block - 1) / block
	packed := tensor.New(tensor.Uint8, columns, blocks, block/2)
	scales := make([]float32, columns*blocks)
	var p power
	values := make([]float64, block)
	for col := range columns {
		for b := range blocks {
			v := values[:min(block, k-b*block)]
			for i := range v {
				v[i] = at(col, b*block+i)
			}
			s := blockScale(v)
			scales[col*blocks+b] = s
			out := packed.Bytes()[(col*blocks+b)*block/2:][:block/2]
			for i := range out {
				out[i] = 0x88 // zero, also in the padding of the last block
			}
			for i, x := range v {
				q := nibble(x, s)
				p.add(x, float64(q-8)*float64(s))
				shift := i % 2 * 4
				out[i/2] = out[i/2]&^(15<<shift) | byte(q)<<shift
			}
		}
	}
	attrs := graph.Attrs{"K": int64(k), "N": int64(columns), "bits": int64(4), "block_size": int64(block)}
	m := e.add("MatMulNBits", n.Name, attrs, []*graph.Value{n.In(0), e.g.Constant(w.Name+"_quantized", packed),
		e.g.Constant(w.Name+"_scale", tensor.Of(scales, columns*blocks))}, "")
	m.Domain = graph.DomainMicrosoft
	e.finish(n, m)
	e.done(n, Layer{Bits: 32, Weights: &WeightInfo{Shape: w.Const.Shape(), Bits: 4, PerChannel: true, MinScale: slices.Min(scales), MaxScale: slices.Max(scales), SQNR: p.dB()}})
}

// nibble returns v in units of s as 0..15, 8 standing for zero.
func nibble(v float64, s float32) int {
	if s == 0 {
		return 8
	}
	return int(min(max(math.RoundToEven(v/float64(s))+8, 0), 15))
}

// blockScale returns the scale of the least squared error among those that bring the
// greatest magnitude to between 7 and 8.5 steps.
func blockScale(v []float64) float32 {
	limit := 0.0
	for _, x := range v {
		limit = max(limit, math.Abs(x))
	}
	best, least := float32(0), math.Inf(1)
	for i := range 13 {
		s := float32(limit / (7 + float64(i)/8))
		cost := 0.0
		for _, x := range v {
			d := x - float64(nibble(x, s)-8)*float64(s)
			cost += float64(d * d)
		}
		if cost < least {
			best, least = s, cost
		}
	}
	return best
}
