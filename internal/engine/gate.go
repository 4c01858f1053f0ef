package engine

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

// This file lowers the gradients of bounds that stand alone: they pass where a value is
// within them. The sum of two gradients before and the sums that batch normalizations need
// after are parts of the same pass over memory, as in a network with residuals.

func init() {
	alone := func(l *lowerer, n *graph.Node) string { return l.gate(n, n.In(0), nil) }
	lowers(alone, graph.DomainEdgewise, "ReluGradient", "ClipGradient")
}

func isGate(n *graph.Node) bool {
	return n.Domain == graph.DomainEdgewise && (n.Op == "ReluGradient" || n.Op == "ClipGradient")
}

// sumChain is a sum of two tensors of one shape that a gate alone takes.
func (l *lowerer) sumChain(n *graph.Node) *group {
	m := l.next(n.Outputs[0])
	if m == nil || !isGate(m) || m.In(0) != n.Outputs[0] || l.normBack(m) != nil || len(n.Inputs) != 2 || !isF32(n.Inputs...) || !l.on(ruleResidual) {
		return nil
	}
	a, okA := n.In(0).Type.Static()
	b, okB := n.In(1).Type.Static()
	if !okA || !okB || !slices.Equal(a, b) {
		return nil
	}
	g := &group{nodes: []*graph.Node{n}, lower: func(l *lowerer, g *group) string {
		for _, m := range g.nodes {
			if r := l.unfit(m); r != "" {
				return r
			}
		}
		l.note(g)
		return l.gate(m, n.In(0), n.In(1))
	}}
	g.take(m, ruleResidual)
	return g
}

// gateBounds returns the least and the greatest value that a gate lets through: those beside
// the bounds of what was cut off.
func gateBounds(n *graph.Node) (lo, hi float32, ok bool) {
	if n.Op == "ReluGradient" {
		return math.SmallestNonzeroFloat32, float32(math.Inf(1)), true
	}
	lo, okLo := clipBound(n.In(2), float32(math.Inf(-1)))
	hi, okHi := clipBound(n.In(3), float32(math.Inf(1)))
	if !math.IsInf(float64(lo), -1) {
		lo = math.Nextafter32(lo, float32(math.Inf(1)))
	}
	if !math.IsInf(float64(hi), 1) {
		hi = math.Nextafter32(hi, float32(math.Inf(-1)))
	}
	return lo, hi, okLo && okHi
}

// gate passes dy, or the sum of dy and more, where input 1 of n is within bounds. It keeps
// the order in memory of that; the others follow.
func (l *lowerer) gate(n *graph.Node, dy, more *graph.Value) string {
	lo, hi, ok := gateBounds(n)
	if !ok {
		return "only constant bounds have a kernel"
	}
	ds, _ := dy.Type.Static()
	ys, _ := n.In(1).Type.Static()
	if !isF32(n.Inputs...) || !slices.Equal(ds, ys) {
		return "only float32 of equal shapes has a kernel"
	}
	y := l.dense(n.In(1))
	grad := l.like(dy, y)
	st := &step{name: n.Label(), op: n.Op, kernel: "gate", reads: []*ref{grad, y}}
	var second *ref
	if more != nil {
		second = l.like(more, y)
		st.op, st.reads = "Add+"+n.Op, append(st.reads, second)
	}
	st.inPlace = grad != second
	to := l.gateTargets(n, y)
	out := l.make(n.Outputs[0], y.strides, nil)
	st.writes = []*ref{out}
	level := l.level
	// pass computes values a ≤ i < b.
	pass := func(s *Session, a, b int) {
		for ; a < b; a += unitElements {
			end := min(a+unitElements, b)
			dst, x := s.f32(out)[a:end], s.f32(grad)[a:end]
			if second != nil {
				kernel.Add.Apply(level, dst, x, s.f32(second)[a:end])
				x = dst
			}
			kernel.GateF32(level, dst, x, s.f32(y)[a:end], lo, hi)
		}
	}
	if to == nil {
		total := y.len()
		st.units = (total + unitElements - 1) / unitElements
		st.run = func(s *Session, _, from, to int) { pass(s, from*unitElements, min(to*unitElements, total)) }
		l.add(st)
		return ""
	}
	p, pixel := to[0].passes, y.shape[1]
	st.kernel, st.units, st.scratch = "gate and channel sums", p.Units(), p.ScratchBytes()
	for _, t := range to {
		st.reads, st.writes = append(st.reads, t.st.in, t.st.mean), append(st.writes, t.parts)
	}
	st.run = func(s *Session, worker, from, end int) {
		for u := from; u < end; u++ {
			a, b := p.Span(u, u+1)
			pass(s, a, b)
			for _, t := range to {
				mean := s.f32(t.st.mean)
				t.passes.Sums(s.f32(t.parts), s.f32(t.st.in), s.f32(out), mean, mean, mean, t.st.pixel, pixel, s.scratch[worker], u, u+1)
			}
		}
	}
	l.add(st)
	return ""
}

// gateTarget is a batch normalization whose gradient takes what a gate makes.
type gateTarget struct {
	passes *kernel.BatchNormF32
	st     *statistics
	parts  *ref // its sums
}

// gateTargets returns the normalizations that a gate with pixels as in y makes sums for, and
// notes that it does.
func (l *lowerer) gateTargets(n *graph.Node, y *ref) []gateTarget {
	if pixel, ok := y.channelsLast(); !ok || len(y.shape) < 3 || pixel != y.shape[1] {
		return nil
	}
	var to []gateTarget
	for _, m := range l.users[n.Outputs[0].ID] {
		if m.Domain != graph.DomainEdgewise || m.Op != "BatchNormalizationGradient" || m.In(0) != n.Outputs[0] || l.summed[m] != nil {
			continue
		}
		x := m.In(1)
		xs, _ := x.Type.Static()
		if l.unfit(m) != "" || !slices.Equal(xs, y.shape) || len(l.forms[x]) == 0 {
			continue
		}
		p, reason := l.passes(x, nil)
		if reason != "" {
			continue
		}
		t := gateTarget{p, l.batchStatistics(m, x, p), buffer32(m.Label()+"/parts", p.PartsLen())}
		l.summed[m] = t.parts
		to = append(to, t)
	}
	return to
}
