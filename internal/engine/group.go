package engine

import (
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/tensor"
)

// group is a chain of nodes that becomes one step: a head and what follows it, each
// the only user of the one before. It is lowered where its last node stands, when
// every other operand has been made.
type group struct {
	nodes []*graph.Node
	lower func(l *lowerer, g *group) (reason string)

	bias     *tensor.Tensor // added per output channel
	residual *graph.Value   // added, of the output's shape
	act      kernel.Act
	product  *product       // of two computed operands
	clip     *graph.Node    // 8-bit bounds right after the head
	add      *graph.Node    // QLinearAdd
	addClip  *graph.Node    // 8-bit bounds after it
	scale    *graph.Value   // of the input of an integer product, known at run time
	scales   *tensor.Tensor // of its weights, per channel
	rules    []string
}

func (g *group) last() *graph.Node { return g.nodes[len(g.nodes)-1] }
func (g *group) head() *graph.Node { return g.nodes[0] }
func (g *group) out() *graph.Value { return g.last().Outputs[0] }

func (g *group) take(n *graph.Node, rule string) {
	g.nodes = append(g.nodes, n)
	g.rules = append(g.rules, rule)
}

// findGroups claims chains from their heads, in node order, so that the outcome does
// not depend on anything else.
func (l *lowerer) findGroups() {
	for _, n := range l.g.Nodes {
		if l.groups[n] != nil {
			continue
		}
		g := l.chain(n)
		if g == nil || len(g.nodes) < 2 {
			continue
		}
		for _, m := range g.nodes {
			l.groups[m] = g
		}
	}
}

func (l *lowerer) chain(n *graph.Node) *group {
	switch {
	case n.Is("MatMul") && (n.In(1).Const == nil || n.In(1).Const.Rank() != 2):
		return l.productChain(n)
	case (n.Is("Conv") || n.Is("ConvTranspose")) && n.In(1).Const == nil:
		return nil // what follows computed weights is a step of its own
	case n.Is("Add"):
		return l.sumChain(n)
	case n.Is("Conv"), n.Is("ConvTranspose"), n.Is("Gemm"), n.Is("MatMul"):
		return l.floatChain(n)
	case n.Is("QLinearConv"), n.Is("QLinearMatMul"):
		return l.quantChain(n)
	case n.Domain == graph.DomainMicrosoft && (n.Op == "QGemm" || n.Op == "QLinearAdd" || n.Op == "QLinearMul"):
		return l.quantChain(n)
	case n.Is("ConvInteger"), n.Is("MatMulInteger"):
		return l.integerChain(n)
	case n.Is("DequantizeLinear"):
		return l.tableChain(n)
	case n.Is("BatchNormalization"):
		return l.normChain(n)
	case n.Domain == graph.DomainEdgewise && (n.Op == "ReluGradient" || n.Op == "ClipGradient"):
		return l.gateChain(n)
	}
	return nil
}

// next returns the only user of v, when it is a free node of this graph.
func (l *lowerer) next(v *graph.Value) *graph.Node {
	if v == nil || l.uses[v.ID] != 1 || len(l.users[v.ID]) != 1 {
		return nil
	}
	n := l.users[v.ID][0]
	if l.groups[n] != nil || len(n.Bodies()) > 0 {
		return nil
	}
	return n
}

// floatChain is a linear operator followed by any of: a constant per channel, a tensor
// of the same shape, an activation.
func (l *lowerer) floatChain(n *graph.Node) *group {
	shape, ok := n.Outputs[0].Type.Static()
	if !ok || n.Outputs[0].Type.DType != tensor.Float32 {
		return nil
	}
	g := &group{nodes: []*graph.Node{n}}
	channel := len(shape) - 1
	switch n.Op {
	case "Conv":
		g.lower, channel = lowerConvGroup, 1
	case "ConvTranspose":
		g.lower, channel = lowerTransposedGroup, 1
	default:
		g.lower = lowerMatMulGroup
	}
	for {
		m := l.next(g.out())
		if m == nil {
			return g
		}
		if m.Is("Add") && (g.residual == nil || g.bias == nil) {
			other := m.Inputs[0]
			if other == g.out() {
				other = m.Inputs[1]
			}
			if b := perChannel(other, shape, channel); b != nil && g.bias == nil && l.on(ruleBias) {
				g.bias = b
				g.take(m, ruleBias)
				continue
			}
			s, ok := other.Type.Static()
			if ok && slices.Equal(s, shape) && other.Const == nil && g.residual == nil && l.on(ruleResidual) {
				g.residual = other
				g.take(m, ruleResidual)
				continue
			}
			return g
		}
		if a, ok := slopes(m, shape); ok && m.In(0) == g.out() && channel == 1 && l.on(ruleAct) {
			g.act = a
			g.take(m, ruleAct)
			return g
		}
		if a, ok := activation(m); ok && m.In(0) == g.out() && l.on(ruleAct) {
			g.act = a
			g.take(m, ruleAct)
		}
		return g
	}
}

// slopes returns the activation of a PRelu with one constant slope per channel of shape.
func slopes(n *graph.Node, shape []int) (a kernel.Act, ok bool) {
	if !n.Is("PRelu") || n.Inputs[1].Const == nil {
		return a, false
	}
	t := perChannel(n.Inputs[1], shape, 1)
	if t == nil {
		return a, false
	}
	return kernel.Act{Kind: kernel.ActPRelu, Slope: t.F32()}, true
}

// perChannel returns the values of a constant that broadcasts to shape along one
// dimension only, one for each index there.
func perChannel(v *graph.Value, shape []int, channel int) *tensor.Tensor {
	if v.Const == nil || v.Const.DType() != tensor.Float32 || v.Const.Rank() > len(shape) {
		return nil
	}
	t := v.Const
	off := len(shape) - t.Rank()
	for i, d := range t.Shape() {
		if d != 1 && off+i != channel {
			return nil
		}
	}
	out := tensor.New(tensor.Float32, shape[channel])
	switch t.Len() {
	case shape[channel]:
		copy(out.F32(), t.F32())
	case 1:
		for i := range out.F32() {
			out.F32()[i] = t.F32()[0]
		}
	default:
		return nil
	}
	return out
}

// note counts the group's rules on the step about to be made.
func (l *lowerer) note(g *group) {
	for _, r := range g.rules {
		l.applied(r)
	}
}
