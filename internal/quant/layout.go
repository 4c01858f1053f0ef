package quant

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// role is the part a node can play among integers.
type role uint8

const (
	staysFloat  role = iota
	weighted         // constant weights, int32 accumulation
	elementwise      // scales of its own for every operand and for the result
	same             // moves data: the result has the operand's scale
)

// island is what becomes one integer operator: a node, the clamps folded into its range
// and, for the patterns in which exporters spell out one function, several nodes.
// Between its nodes nothing is quantized.
type island struct {
	nodes  []*graph.Node // the first gives it its name
	role   role
	inputs []*graph.Value // float operands that are not constant
	consts []*graph.Value // float operands that are constant and want quantizing
	out    *graph.Value
	reason string // for staysFloat

	leads bool // to a layer with weights
	on    bool // is quantized
}

func (s *island) head() *graph.Node { return s.nodes[0] }

// layout divides a graph into islands.
type layout struct {
	g       *graph.Graph
	uses    []int
	users   [][]*graph.Node
	islands []*island // in the order of their heads
	of      map[*graph.Node]*island
	inner   map[*graph.Value]bool // made and used inside one island
}

func newLayout(g *graph.Graph) *layout {
	l := &layout{g: g, uses: g.Uses(), users: g.Users(), of: map[*graph.Node]*island{}, inner: map[*graph.Value]bool{}}
	for _, n := range g.Nodes {
		if l.of[n] == nil {
			l.begin(n)
		}
	}
	l.findLeads()
	return l
}

// sole returns the only user of v, nil when there are several or v is an output.
func (l *layout) sole(v *graph.Value) *graph.Node {
	if v == nil || l.uses[v.ID] != 1 || len(l.users[v.ID]) != 1 || len(l.users[v.ID][0].Bodies()) > 0 {
		return nil
	}
	return l.users[v.ID][0]
}

// begin makes the island of which n is the head.
func (l *layout) begin(n *graph.Node) {
	s := &island{}
	l.islands = append(l.islands, s)
	l.take(s, n)
	s.role, s.reason = l.classify(n)
	if s.role == staysFloat {
		s.inputs = slices.Clone(n.Inputs)
		return
	}
	for _, v := range n.Inputs {
		s.operand(v)
	}
	switch {
	case s.role == same:
		s.inputs, s.consts = []*graph.Value{n.In(0)}, nil
	case s.role == weighted:
		s.inputs, s.consts = []*graph.Value{n.In(0)}, nil
		l.joinBias(s)
	default:
		l.joinGate(s)
		if len(s.consts) == 1 && s.consts[0].Const.Len() == 1 {
			s.consts = nil // a function of one value
		}
	}
	if s.role != same {
		l.joinClamps(s)
	}
}

func (l *layout) take(s *island, n *graph.Node) {
	if s.out != nil {
		l.inner[s.out] = true
	}
	s.nodes = append(s.nodes, n)
	l.of[n] = s
	s.out = n.Out(0)
}

// operand files v among the operands that are to be quantized.
func (s *island) operand(v *graph.Value) {
	switch {
	case !isFloat(v):
	case v.Const == nil:
		s.inputs = append(s.inputs, v)
	default:
		s.consts = append(s.consts, v)
	}
}

// joinClamps folds Relu and Clip into the range of what they follow.
func (l *layout) joinClamps(s *island) {
	for {
		m := l.sole(s.out)
		if m == nil || l.of[m] != nil || !isClamp(m) || m.In(0) != s.out {
			return
		}
		l.take(s, m)
	}
}

// isClamp reports whether n is Relu, or Clip with known bounds.
func isClamp(n *graph.Node) bool {
	if n.Is("Relu") {
		return true
	}
	if !n.Is("Clip") {
		return false
	}
	for i := 1; i < 3; i++ {
		if v := n.In(i); v != nil && (v.Const == nil || v.Const.Len() != 1) {
			return false
		}
	}
	return true
}

// joinGate takes the product of x·sigmoid(x) and x·hardsigmoid(x) into the island of the
// gate: together they are one function of x.
func (l *layout) joinGate(s *island) {
	n := s.head()
	if !n.Is("Sigmoid") && !n.Is("HardSigmoid") {
		return
	}
	if m := l.sole(s.out); m != nil && m.Is("Mul") && (m.In(0) == n.In(0) || m.In(1) == n.In(0)) {
		l.take(s, m)
	}
}

// joinBias takes the addition of a constant vector into the island of a matrix product.
func (l *layout) joinBias(s *island) {
	m := l.sole(s.out)
	if !s.head().Is("MatMul") || m == nil || !m.Is("Add") {
		return
	}
	b := m.In(0)
	if b == s.out {
		b = m.In(1)
	}
	if b.Const != nil && b.Const.Rank() == 1 && b.Const.Len() == s.head().In(1).Const.Dim(1) {
		l.take(s, m)
	}
}

// moves reports whether n only moves data, so that its result needs no range.
func (l *layout) moves(n *graph.Node) bool { return l.of[n].role == same }

// origin follows v upwards over movement to the value whose range it has.
func (l *layout) origin(v *graph.Value) *graph.Value {
	for v.Def != nil && l.of[v.Def] != nil && l.of[v.Def].role == same {
		v = v.Def.In(0)
	}
	return v
}

// producer returns the island that makes v, nil for inputs.
func (l *layout) producer(v *graph.Value) *island {
	if v == nil || v.Def == nil {
		return nil
	}
	return l.of[v.Def]
}

// findLeads notes which islands have a layer with weights behind them, whichever way.
func (l *layout) findLeads() {
	wanted := make([]bool, l.g.NumIDs())
	for i := len(l.g.Nodes) - 1; i >= 0; i-- {
		n := l.g.Nodes[i]
		s := l.of[n]
		for _, o := range n.Outputs {
			s.leads = s.leads || o != nil && wanted[o.ID]
		}
		if s.leads || s.role == weighted {
			for _, v := range n.Inputs {
				if v != nil {
					wanted[v.ID] = true
				}
			}
		}
	}
}

// classify returns the role of a node as the head of an island, or why it has none. The
// operator's own entry says what is possible; what remains here are the forms for which
// package rewrite has an integer operator.
func (l *layout) classify(n *graph.Node) (role, string) {
	d := op.Of(n)
	if d == nil {
		return staysFloat, "operator is not known"
	}
	if len(n.Outputs) == 0 || !isFloat(n.Out(0)) || !isFloat(n.In(0)) {
		return staysFloat, "does not compute on float32"
	}
	if n.In(0).Const != nil && n.Op != "Add" && n.Op != "Mul" && n.Op != "Concat" {
		return staysFloat, "its data is constant"
	}
	kind := d.Quant.Kind
	if n.Is("ReduceMean") && spatialMean(n) {
		kind = op.QuantElementwise
	}
	switch kind {
	case op.QuantWeighted:
		if r := weightedForm(n); r != "" {
			return staysFloat, r
		}
		return weighted, ""
	case op.QuantElementwise:
		if r := elementwiseForm(n); r != "" {
			return staysFloat, r
		}
		return elementwise, ""
	case op.QuantSame:
		if r := sameForm(n); r != "" {
			return staysFloat, r
		}
		return same, ""
	}
	return staysFloat, fmt.Sprintf("%s has no integer form", n.Op)
}

func weightedForm(n *graph.Node) string {
	w := n.In(1)
	if !isFloat(w) || w.Const == nil {
		return "its weights are not constant"
	}
	channels := 0
	switch n.Op {
	case "Conv":
		channels = w.Const.Dim(0)
	case "Gemm":
		if n.Attrs.Int("transA", 0) != 0 || n.Attrs.Float("alpha", 1) != 1 || n.Attrs.Float("beta", 1) != 1 {
			return "transA, alpha and beta have no integer form"
		}
		channels = w.Const.Dim(weightAxis(n))
	case "MatMul":
		if w.Const.Rank() != 2 {
			return "its weights are not a matrix"
		}
		_, static := n.In(0).Type.Shape.Static()
		if r := len(n.In(0).Type.Shape); r < 2 || r > 2 && !static {
			return "the shape of its input is not known"
		}
	}
	if b := n.In(2); b != nil && (!isFloat(b) || b.Const == nil || b.Const.Len() != channels) {
		return "its bias is not a constant per output channel"
	}
	if w.Const.Len() == 0 {
		return "it has no weights"
	}
	for _, v := range w.Const.F32() {
		if v-v != 0 {
			return "its weights are not finite"
		}
	}
	return ""
}

// weightAxis returns the axis of the output channels in n's weights.
func weightAxis(n *graph.Node) int {
	if n.Is("Gemm") && n.Attrs.Int("transB", 0) != 0 {
		return 0
	}
	return op.Of(n).Quant.Axis
}

func elementwiseForm(n *graph.Node) string {
	switch {
	case n.Is("Clip") && !isClamp(n):
		return "its bounds are not constant"
	case n.Is("AveragePool") && n.Attrs.Has("dilations"):
		return "dilated pooling has no integer form"
	case n.Is("Add"), n.Is("Mul"), n.Is("Concat"):
		constant := 0
		for _, v := range n.Inputs {
			if !isFloat(v) {
				return "does not compute on float32"
			}
			if v.Const != nil {
				constant++
			}
		}
		if constant == len(n.Inputs) {
			return "all its operands are constant"
		}
	}
	return ""
}

// spatialMean reports whether n is the mean over all spatial axes of [N,C,...].
func spatialMean(n *graph.Node) bool {
	rank := len(n.In(0).Type.Shape)
	axes := n.In(1)
	if rank < 3 || axes == nil || axes.Const == nil || axes.Const.DType() != tensor.Int64 || axes.Const.Len() != rank-2 {
		return false
	}
	for _, a := range axes.Const.I64() {
		if a < 0 {
			a += int64(rank)
		}
		if a < 2 {
			return false
		}
	}
	return true
}

// sameForm reports why a node that moves data cannot do so among integers.
func sameForm(n *graph.Node) string {
	for _, o := range n.Outputs {
		if o != nil && !isFloat(o) {
			return "it has a result that is no float32"
		}
	}
	switch n.Op {
	case "GlobalMaxPool", "CenterCropPad", "Compress", "GatherElements", "GatherND", "ReverseSequence":
		return n.Op + " has no integer form"
	}
	if !op.NewFacts().Moves(n) {
		return fmt.Sprintf("this form of %s does more than move values", n.Op)
	}
	return ""
}
