package engine

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

func init() {
	lowers(func(l *lowerer, n *graph.Node) string { return lowerBatchNormGradient(l, n, nil) }, graph.DomainEdgewise, "BatchNormalizationGradient")
}

// statistics are the mean and 1/deviation of the channels of a value, which the forward and
// the backward pass of a batch normalization share.
type statistics struct {
	in                  *ref
	pixel               int
	mean, variance, inv *ref // [channels]
	pixels              int
	eps                 float64
}

// normalization is a batch normalization in training with the activation after it, if any.
type normalization struct {
	node, act *graph.Node
	passes    *kernel.BatchNormF32
	factor    *ref // the result is input·factor + offset between bounds
	offset    *ref
	then      *group // a residual and bounds after it, if any
}

// passes prepares what a normalization does with the pixels of x and the activation act.
func (l *lowerer) passes(x *graph.Value, act *graph.Node) (*kernel.BatchNormF32, string) {
	xs, _ := x.Type.Static()
	if !isF32(x) || len(xs) < 3 {
		return nil, "only float32 with channels and positions has a kernel"
	}
	var a kernel.Act
	if act != nil {
		a, _ = activation(act)
	}
	pixels := xs[0]
	for _, d := range xs[2:] {
		pixels *= d
	}
	p, err := kernel.NewBatchNormF32(l.level, pixels, xs[1], a)
	if err != nil {
		return nil, err.Error()
	}
	return p, ""
}

// batchStatistics returns the statistics of x, of which the steps are made once.
func (l *lowerer) batchStatistics(n *graph.Node, x *graph.Value, p *kernel.BatchNormF32) *statistics {
	eps := float64(n.Attrs.Float("epsilon", 1e-5))
	if st := l.stats[x]; st != nil && st.eps == eps {
		return st
	}
	in, pixel := l.channelsLast(x)
	c, name := in.shape[1], n.Label()
	st := &statistics{in: in, pixel: pixel, pixels: in.len() / c, eps: eps,
		mean: buffer32(name+"/mean", c), inv: buffer32(name+"/inv", c), variance: buffer32(name+"/variance", c)}
	parts := buffer32(name+"/parts", p.PartsLen())
	l.add(&step{name: name + "/statistics", op: n.Op, kernel: "channel statistics", reads: []*ref{in}, writes: []*ref{parts}, units: p.Units(), scratch: p.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) {
			p.Statistics(s.f32(parts), s.f32(in), pixel, s.scratch[worker], lo, hi)
		}})
	l.add(&step{name: name + "/mean", op: n.Op, kernel: "total", reads: []*ref{parts}, writes: []*ref{st.mean, st.variance, st.inv}, exec: func(s *Session) error {
		variance, inv := s.f32(st.variance), s.f32(st.inv)
		p.FinishStatistics(s.f32(st.mean), variance, s.f32(parts))
		for k, v := range variance {
			inv[k] = float32(1 / math.Sqrt(float64(v)+eps))
		}
		return nil
	}})
	l.stats[x] = st
	return st
}

// lowerBatchNormTraining normalizes by the batch's own statistics, holds the result between
// the bounds of act where it is not nil, and moves the running statistics toward the batch's.
// then is what follows it in place of act.
func lowerBatchNormTraining(l *lowerer, n, act *graph.Node, then *group) string {
	if !isF32(n.Inputs...) {
		return "only float32 has a kernel"
	}
	p, reason := l.passes(n.In(0), act)
	if reason != "" {
		return reason
	}
	st := l.batchStatistics(n, n.In(0), p)
	c := st.mean.len()
	scale, shift := l.plain(n.In(1)), l.plain(n.In(2))
	m, t := buffer32(n.Label()+"/factor", c), buffer32(n.Label()+"/offset", c)
	setup := &step{name: n.Label() + "/factors", op: n.Op, kernel: "factors", reads: []*ref{st.mean, st.inv, scale, shift}, writes: []*ref{m, t}}
	momentum := n.Attrs.Float("momentum", 0.9)
	var running [2]struct{ old, batch, moved *ref }
	for i, batch := range []*ref{st.mean, st.variance} {
		if n.Out(1+i) != nil {
			running[i].old, running[i].batch, running[i].moved = l.plain(n.In(3+i)), batch, l.makeRaw(n.Outputs[1+i])
			setup.reads = append(setup.reads, running[i].old, batch)
			setup.writes = append(setup.writes, running[i].moved)
		}
	}
	setup.exec = func(s *Session) error {
		mean, inv, scale, shift := s.f32(st.mean), s.f32(st.inv), s.f32(scale), s.f32(shift)
		m, t := s.f32(m), s.f32(t)
		for k := range m {
			m[k] = scale[k] * inv[k]
			t[k] = shift[k] - mean[k]*m[k]
		}
		for _, r := range running {
			if r.moved == nil {
				continue
			}
			old, batch := s.f32(r.old), s.f32(r.batch)
			for k := range s.f32(r.moved) {
				s.f32(r.moved)[k] = old[k]*momentum + batch[k]*(1-momentum)
			}
		}
		return nil
	}
	l.add(setup)
	l.normalize(&normalization{node: n, act: act, passes: p, factor: m, offset: t, then: then}, st.in, st.pixel)
	return ""
}

// normalize adds the step that makes the result of a normalization.
func (l *lowerer) normalize(f *normalization, in *ref, inPixel int) {
	result, names := f.node.Outputs[0], f.node.Op
	switch {
	case f.then != nil:
		result, names = f.then.out(), opNames(f.then.nodes...)
	case f.act != nil:
		result, names = f.act.Outputs[0], opNames(f.node, f.act)
	}
	out, pixel := l.makeChannelsLast(result)
	p := f.passes
	apply := func(s *Session, worker, lo, hi int) {
		p.Apply(s.f32(out), s.f32(in), s.f32(f.factor), s.f32(f.offset), pixel, inPixel, s.scratch[worker], lo, hi)
	}
	st := &step{name: result.Def.Label(), op: names, kernel: p.Name(), reads: []*ref{in, f.factor, f.offset}, writes: []*ref{out}, units: p.Units(), scratch: p.ScratchBytes(), run: apply}
	if f.then != nil {
		res, act, level := l.like(f.then.residual, out), f.then.act, l.level
		st.kernel, st.reads = p.Name()+", add", append(st.reads, res)
		st.run = func(s *Session, worker, lo, hi int) {
			for u := lo; u < hi; u++ {
				apply(s, worker, u, u+1)
				for a, b := p.Span(u, u+1); a < b; a += unitElements {
					y := s.f32(out)[a:min(a+unitElements, b)]
					kernel.Add.Apply(level, y, y, s.f32(res)[a:a+len(y)])
					act.Apply(level, y, y)
				}
			}
		}
	}
	l.add(st)
	l.norms[f.node] = f
}

// lowerFrozenNorm normalizes by statistics that are given, where not all numbers are
// constants: fine-tuning with the normalizations as they were.
func lowerFrozenNorm(l *lowerer, n *graph.Node) string {
	p, reason := l.passes(n.In(0), nil)
	if reason != "" {
		return reason
	}
	in, pixel := l.channelsLast(n.In(0))
	c, eps := in.shape[1], float64(n.Attrs.Float("epsilon", 1e-5))
	m, t := buffer32(n.Label()+"/factor", c), buffer32(n.Label()+"/offset", c)
	var given [4]*ref // scale, shift, mean, variance
	for i := range given {
		if s, _ := n.In(1 + i).Type.Static(); !slices.Equal(s, []int{c}) {
			return "the numbers are not one for each channel"
		}
		given[i] = l.plain(n.In(1 + i))
	}
	l.add(&step{name: n.Label() + "/factors", op: n.Op, kernel: "factors", reads: given[:], writes: []*ref{m, t}, exec: func(s *Session) error {
		scale, shift, mean, variance := s.f32(given[0]), s.f32(given[1]), s.f32(given[2]), s.f32(given[3])
		m, t := s.f32(m), s.f32(t)
		for k := range m {
			f := float64(scale[k]) / math.Sqrt(float64(variance[k])+eps)
			m[k], t[k] = float32(f), float32(float64(shift[k])-f*float64(mean[k]))
		}
		return nil
	}})
	l.normalize(&normalization{node: n, passes: p, factor: m, offset: t}, in, pixel)
	return ""
}

// normChain is a batch normalization in training and the Relu or Clip after it.
func (l *lowerer) normChain(n *graph.Node) *group {
	z := n.Outputs[0]
	if n.Attrs.Int("training_mode", 0) == 0 || !isF32(n.Inputs...) || !l.on(ruleAct) {
		return nil
	}
	if g := l.residualChain(n); g != nil {
		return g
	}
	act := l.next(z)
	if act == nil || !act.Is("Relu") && !act.Is("Clip") || act.In(0) != z {
		return nil
	}
	if a, ok := activation(act); !ok || a.Kind != kernel.ActClamp {
		return nil
	}
	g := &group{nodes: []*graph.Node{n}, lower: func(l *lowerer, g *group) string {
		if r := l.unfit(n); r != "" {
			return r
		}
		l.note(g)
		return lowerBatchNormTraining(l, n, act, nil)
	}}
	g.take(act, ruleAct)
	return g
}

// residualChain is a batch normalization in training, a sum of its result with a tensor of
// the same shape and the bounds of that.
func (l *lowerer) residualChain(n *graph.Node) *group {
	z := n.Outputs[0]
	m := l.next(z)
	if m == nil || !m.Is("Add") || !l.on(ruleResidual) {
		return nil
	}
	g := &group{nodes: []*graph.Node{n}, residual: m.Inputs[0]}
	if g.residual == z {
		g.residual = m.Inputs[1]
	}
	want, ok := z.Type.Static()
	have, okRes := g.residual.Type.Static()
	if !ok || !okRes || !slices.Equal(want, have) || g.residual.Const != nil {
		return nil
	}
	g.take(m, ruleResidual)
	if next := l.next(g.out()); next != nil && next.In(0) == g.out() {
		if a, ok := activation(next); ok && a.Kind == kernel.ActClamp {
			g.act = a
			g.take(next, ruleAct)
		}
	}
	g.lower = func(l *lowerer, g *group) string {
		for _, m := range g.nodes {
			if r := l.unfit(m); r != "" {
				return r
			}
		}
		if l.target[g.out()] != nil {
			return "the sum is part of wider pixels"
		}
		l.note(g)
		return lowerBatchNormTraining(l, n, nil, g)
	}
	return g
}

// normOf returns the batch normalization that stands before the activation of which gate
// is the gradient, or nil.
func normOf(gate *graph.Node) *graph.Node {
	z := gate.In(1)
	if z.Def != nil && (z.Def.Is("Relu") || z.Def.Is("Clip")) {
		z = z.Def.In(0)
	}
	if z.Def == nil || !z.Def.Is("BatchNormalization") {
		return nil
	}
	return z.Def
}

// normBack returns the gradient of the batch normalization before it that a gate leads to
// alone.
func (l *lowerer) normBack(gate *graph.Node) *graph.Node {
	norm, back := normOf(gate), l.next(gate.Outputs[0])
	if norm == nil || back == nil || back.Domain != graph.DomainEdgewise || back.Op != "BatchNormalizationGradient" ||
		back.In(0) != gate.Outputs[0] || back.In(1) != norm.In(0) || !isF32(back.Inputs...) {
		return nil
	}
	xs, ok := back.In(1).Type.Static()
	ds, okDy := gate.In(0).Type.Static()
	scale, okScale := back.In(2).Type.Static()
	if !ok || !okDy || !okScale || len(xs) < 3 || slices.Contains(xs, 0) || !slices.Equal(xs, ds) || !slices.Equal(scale, xs[1:2]) {
		return nil
	}
	return back
}

// gateChain is the way back through an activation and the normalization before it.
func (l *lowerer) gateChain(gate *graph.Node) *group {
	back, forward := l.normBack(gate), l.groups[normOf(gate)]
	if back == nil || forward == nil {
		return nil
	}
	act := forward.last()
	if gate.Op != act.Op+"Gradient" || act.In(1) != gate.In(2) || act.In(2) != gate.In(3) || gate.In(1) != act.Outputs[0] && gate.In(1) != act.In(0) {
		return nil
	}
	g := &group{nodes: []*graph.Node{gate}, lower: func(l *lowerer, g *group) string {
		if f := l.norms[normOf(gate)]; f == nil || f.act == nil {
			return "the activation is a step of its own"
		}
		l.note(g)
		return lowerBatchNormGradient(l, back, gate)
	}}
	g.take(back, ruleAct)
	return g
}

// lowerBatchNormGradient: with d = dY - ΣdY/n - (X-mean)·inv²·Σ dY·(X-mean)/n the gradient
// by the input is scale·inv·d, an affine function of X and dY in every channel. With gate,
// the gradient of the activation after the normalization forward, dY is first let through
// or not.
func lowerBatchNormGradient(l *lowerer, n, gate *graph.Node) string {
	dy, x := n.In(0), n.In(1)
	ds, _ := dy.Type.Static()
	xs, _ := x.Type.Static()
	scale, _ := n.In(2).Type.Static()
	if !isF32(n.Inputs...) || len(xs) < 2 || !slices.Equal(ds, xs) || !slices.Equal(scale, xs[1:2]) {
		return "only float32 of equal shapes with a scale for each channel has a kernel"
	}
	p, reason := l.passes(x, nil)
	if reason != "" {
		return reason
	}
	st := l.batchStatistics(n, x, p)
	name, names, c, count := n.Label(), n.Op, st.mean.len(), float64(st.pixels)
	m, t := st.mean, st.mean // not looked at
	if gate != nil {
		dy, names = gate.In(0), opNames(gate, n)
		forward := l.norms[normOf(gate)]
		p, m, t = forward.passes, forward.factor, forward.offset
	}
	grad, gradPixel := l.channelsLast(dy)
	parts := l.summed[n]
	if parts == nil {
		parts = buffer32(name+"/parts", p.PartsLen())
		l.add(&step{name: name + "/sums", op: names, kernel: "channel sums", reads: []*ref{grad, st.in, st.mean, m, t}, writes: []*ref{parts}, units: p.Units(), scratch: p.ScratchBytes(),
			run: func(s *Session, worker, lo, hi int) {
				p.Sums(s.f32(parts), s.f32(st.in), s.f32(grad), s.f32(m), s.f32(t), s.f32(st.mean), st.pixel, gradPixel, s.scratch[worker], lo, hi)
			}})
	}
	factors := l.plain(n.In(2))
	byX, byDy, offset := buffer32(name+"/x", c), buffer32(name+"/dy", c), buffer32(name+"/offset", c)
	setup := &step{name: name + "/factors", op: n.Op, kernel: "factors", reads: []*ref{parts, factors, st.mean, st.inv}, writes: []*ref{byX, byDy, offset}}
	var dScale, dShift *ref
	if n.Out(1) != nil {
		dScale = l.makeRaw(n.Outputs[1])
		setup.writes = append(setup.writes, dScale)
	}
	if n.Out(2) != nil {
		dShift = l.makeRaw(n.Outputs[2])
		setup.writes = append(setup.writes, dShift)
	}
	setup.exec = func(s *Session) error {
		mean, inv, scale, parts := s.f32(st.mean), s.f32(st.inv), s.f32(factors), s.f32(parts)
		byX, byDy, offset := s.f32(byX), s.f32(byDy), s.f32(offset)
		for k := range c {
			db, ds := p.FinishSums(parts, k)
			i, a := float64(inv[k]), float64(scale[k])
			slope := -a * i * i * i * ds / count
			byX[k], byDy[k] = float32(slope), float32(a*i)
			offset[k] = float32(-a*i*db/count - slope*float64(mean[k]))
			if dScale != nil {
				s.f32(dScale)[k] = float32(ds * i)
			}
			if dShift != nil {
				s.f32(dShift)[k] = float32(db)
			}
		}
		return nil
	}
	l.add(setup)
	if n.Outputs[0] == nil {
		return ""
	}
	out, outPixel := l.makeChannelsLast(n.Outputs[0])
	l.add(&step{name: name, op: names, kernel: "channel affine", reads: []*ref{grad, st.in, m, t, byX, byDy, offset}, writes: []*ref{out}, inPlace: sameStrides(grad, out), units: p.Units(), scratch: p.ScratchBytes(),
		run: func(s *Session, worker, lo, hi int) {
			p.Gradient(s.f32(out), s.f32(st.in), s.f32(grad), s.f32(m), s.f32(t), s.f32(byX), s.f32(byDy), s.f32(offset), outPixel, st.pixel, gradPixel, s.scratch[worker], lo, hi)
		}})
	return ""
}
