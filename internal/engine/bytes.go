package engine

import (
	"context"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerByteFunction, graph.DomainMicrosoft, "QLinearSigmoid", "QLinearLeakyRelu")
	lowers(lowerQuantize, "", "QuantizeLinear")
	lowers(lowerDequantize, "", "DequantizeLinear")
}

// A function of one byte is a table of 256 entries, computed at compile time by the
// operators' own evaluation: exact by construction, whatever the function.

func lowerByteClip(l *lowerer, n *graph.Node) string { return lowerByteFunction(l, n) }

func lowerByteFunction(l *lowerer, n *graph.Node) string {
	return lowerByteChain(l, &group{nodes: []*graph.Node{n}})
}

// byteMap adds a step that looks every byte up.
func (l *lowerer) byteMap(name, ops string, out, in *ref, table *[256]uint8) {
	level, total := l.level, in.len()
	const unit = 4 * unitElements
	l.add(&step{name: name, op: ops, kernel: "lookup u8", reads: []*ref{in}, writes: []*ref{out}, inPlace: true, units: (total + unit - 1) / unit,
		run: func(s *Session, _, lo, hi int) {
			a, b := lo*unit, min(hi*unit, total)
			kernel.LookupU8(level, s.bytes(out)[a:b], s.bytes(in)[a:b], table)
		}})
}

// lowerByteChain makes one lookup of nodes that each are a function of the one before.
func lowerByteChain(l *lowerer, g *group) string {
	for _, m := range g.nodes {
		if r := l.unfit(m); r != "" {
			return r
		}
	}
	x, y := g.head().In(0), g.out()
	if !isByte(x.Type.DType) || !isByte(y.Type.DType) {
		return "not a function of one byte"
	}
	table, err := byteTable(g.nodes, x.Type.DType)
	if err != nil {
		return err.Error()
	}
	in := l.dense(x)
	l.note(g)
	out := l.make(y, in.strides, nil)
	l.byteMap(g.last().Label(), opNames(g.nodes...), out, in, table)
	return ""
}

// byteTable evaluates a chain on all 256 bytes. Both sides are in stored form.
func byteTable(nodes []*graph.Node, d tensor.DType) (*[256]uint8, error) {
	x := tensor.New(d, 256)
	for i := range 256 {
		x.SetInt(i, int64(i)-offset(d))
	}
	for _, n := range nodes {
		e := &op.Eval{Node: n, In: make([]op.Value, len(n.Inputs)), Out: make([]op.Value, len(n.Outputs)), Ctx: context.Background()}
		e.In[0] = x
		for i, v := range n.Inputs {
			if i > 0 && v != nil {
				if v.Const == nil {
					return nil, fmt.Errorf("%v: operand %s is not constant", n, v.Name)
				}
				e.In[i] = v.Const
			}
		}
		if err := op.Evaluate(e); err != nil {
			return nil, err
		}
		y, ok := e.Out[0].(*tensor.Tensor)
		if !ok || y.Len() != 256 {
			return nil, fmt.Errorf("%v: is not elementwise", n)
		}
		x = y
	}
	if !isByte(x.DType()) {
		return nil, fmt.Errorf("the chain ends in %v", x.DType())
	}
	var t [256]uint8
	for i := range t {
		t[i] = uint8(x.Int(i) + offset(x.DType()))
	}
	return &t, nil
}

// tableChain is DequantizeLinear, functions of one value, QuantizeLinear.
func (l *lowerer) tableChain(n *graph.Node) *group {
	if !l.on(ruleTable) || !isByte(n.In(0).Type.DType) || n.In(0).Const != nil || !scalarOperands(n) {
		return nil
	}
	g := &group{nodes: []*graph.Node{n}, lower: lowerByteChain}
	for {
		m := l.next(g.out())
		if m == nil || m.In(0) != g.out() || !scalarOperands(m) || len(m.Outputs) != 1 {
			return nil
		}
		_, act := activation(m)
		d := op.Of(m)
		switch {
		case m.Is("QuantizeLinear"):
			g.take(m, ruleTable)
			return g
		case act, d != nil && d.Elementwise:
			g.nodes = append(g.nodes, m)
		default:
			return nil
		}
	}
}

// scalarOperands reports whether all inputs but the first are constants of one element.
func scalarOperands(n *graph.Node) bool {
	for _, v := range n.Inputs[1:] {
		if v != nil && (v.Const == nil || v.Const.Len() != 1 || v.Const.Rank() > 1) {
			return false
		}
	}
	return n.Attrs.Int("block_size", 0) == 0
}

// lowerQuantize is a float32 tensor to bytes with one scale.
func lowerQuantize(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	d := y.Type.DType
	q, reason := perTensor(n, 1, d)
	switch {
	case reason != "":
		return reason
	case !isF32(x) || n.Attrs.Int("block_size", 0) != 0 || n.Attrs.Int("precision", 0) > 1:
		return "this form has no kernel"
	}
	in := l.dense(x)
	// What is not read in place is better turned channels-last on the way: bytes are
	// cheaper to move, but most users of bytes want them so.
	out := l.make(y, in.strides, nil)
	level, total, scale := l.level, in.len(), float32(q.scale)
	l.add(&step{name: n.Label(), op: n.Op, kernel: "quantize u8", reads: []*ref{in}, writes: []*ref{out}, units: (total + unitElements - 1) / unitElements,
		run: func(s *Session, _, lo, hi int) {
			a, b := lo*unitElements, min(hi*unitElements, total)
			kernel.QuantizeU8(level, s.bytes(out)[a:b], s.f32(in)[a:b], scale, q.zero, 0, 255)
		}})
	return ""
}

// lowerDequantize is bytes with one scale to float32.
func lowerDequantize(l *lowerer, n *graph.Node) string {
	x, y := n.In(0), n.Outputs[0]
	q, reason := perTensor(n, 1, x.Type.DType)
	switch {
	case reason != "":
		return reason
	case !isF32(y) || n.Attrs.Int("block_size", 0) != 0:
		return "this form has no kernel"
	}
	in := l.dense(x)
	out := l.make(y, in.strides, nil)
	level, total, scale := l.level, in.len(), float32(q.scale)
	l.add(&step{name: n.Label(), op: n.Op, kernel: "dequantize u8", reads: []*ref{in}, writes: []*ref{out}, units: (total + unitElements - 1) / unitElements,
		run: func(s *Session, _, lo, hi int) {
			a, b := lo*unitElements, min(hi*unitElements, total)
			kernel.DequantizeU8(level, s.f32(out)[a:b], s.bytes(in)[a:b], scale, q.zero)
		}})
	return ""
}
