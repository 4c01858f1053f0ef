package engine

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
)

func init() {
	lowers(lowerBatchNormGradient, graph.DomainEdgewise, "BatchNormalizationGradient")
}

// statistics are the steps that compute the mean and 1/deviation of the channels of a
// value, and what they compute. The forward and the backward pass share them.
type statistics struct {
	passes              *kernel.ChannelPassesF32
	in                  *ref
	pixel               int
	mean, variance, inv *ref // [channels]
	count               float64
	eps                 float64
}

// batchStatistics returns the statistics of x, of which the steps are made once.
func (l *lowerer) batchStatistics(n *graph.Node, x *graph.Value, eps float64) (*statistics, string) {
	if st := l.stats[x]; st != nil && st.eps == eps {
		return st, ""
	}
	xs, _ := x.Type.Static()
	if !isF32(x) || len(xs) < 3 {
		return nil, "only float32 with channels and positions has a kernel"
	}
	in, pixel := l.channelsLast(x)
	pixels := in.len() / xs[1]
	p, err := kernel.NewChannelPassesF32(l.level, pixels, xs[1])
	if err != nil {
		return nil, err.Error()
	}
	c, name := xs[1], n.Label()
	st := &statistics{passes: p, in: in, pixel: pixel, count: float64(pixels), eps: eps,
		mean: buffer32(name+"/mean", c), inv: buffer32(name+"/inv", c), variance: buffer32(name+"/variance", c)}
	sums := buffer32(name+"/sums", p.PartsLen())
	l.add(&step{name: name + "/sum", op: n.Op, kernel: "channel sums", reads: []*ref{in}, writes: []*ref{sums}, units: p.Units(),
		run: func(s *Session, _, lo, hi int) { p.Sum(s.f32(sums), s.f32(in), pixel, lo, hi) }})
	l.add(&step{name: name + "/mean", op: n.Op, kernel: "total", reads: []*ref{sums}, writes: []*ref{st.mean}, exec: func(s *Session) error {
		mean, sums := s.f32(st.mean), s.f32(sums)
		for k := range c {
			mean[k] = float32(p.Total(sums, k) / st.count)
		}
		return nil
	}})
	squares := buffer32(name+"/squares", p.PartsLen())
	l.add(&step{name: name + "/square", op: n.Op, kernel: "channel products", reads: []*ref{in, st.mean}, writes: []*ref{squares}, units: p.Units(),
		run: func(s *Session, _, lo, hi int) {
			p.Dot(s.f32(squares), s.f32(in), s.f32(in), s.f32(st.mean), pixel, pixel, lo, hi)
		}})
	l.add(&step{name: name + "/variance", op: n.Op, kernel: "total", reads: []*ref{squares}, writes: []*ref{st.variance, st.inv}, exec: func(s *Session) error {
		variance, inv, squares := s.f32(st.variance), s.f32(st.inv), s.f32(squares)
		for k := range c {
			v := max(p.Total(squares, k)/st.count, 0)
			variance[k], inv[k] = float32(v), float32(1/math.Sqrt(v+eps))
		}
		return nil
	}})
	l.stats[x] = st
	return st, ""
}

// lowerBatchNormTraining normalizes by the batch's own statistics and moves the running
// ones toward them.
func lowerBatchNormTraining(l *lowerer, n *graph.Node) string {
	if !isF32(n.Inputs...) {
		return "only float32 has a kernel"
	}
	st, reason := l.batchStatistics(n, n.In(0), float64(n.Attrs.Float("epsilon", 1e-5)))
	if reason != "" {
		return reason
	}
	c := st.mean.len()
	scale, shift := l.plain(n.In(1)), l.plain(n.In(2))
	m, zero, t := buffer32(n.Label()+"/factor", c), buffer32(n.Label()+"/zero", c), buffer32(n.Label()+"/offset", c)
	setup := &step{name: n.Label() + "/factors", op: n.Op, kernel: "factors", reads: []*ref{st.mean, st.inv, scale, shift}, writes: []*ref{m, zero, t}}
	setup.exec = func(s *Session) error {
		mean, inv, scale, shift := s.f32(st.mean), s.f32(st.inv), s.f32(scale), s.f32(shift)
		m, t := s.f32(m), s.f32(t)
		clear(s.f32(zero))
		for k := range m {
			m[k] = scale[k] * inv[k]
			t[k] = shift[k] - mean[k]*m[k]
		}
		return nil
	}
	l.add(setup)
	out, pixel := l.makeChannelsLast(n.Outputs[0])
	l.add(&step{name: n.Label(), op: n.Op, kernel: "channel affine", reads: []*ref{st.in, m, zero, t}, writes: []*ref{out}, units: st.passes.Units(),
		run: func(s *Session, _, lo, hi int) {
			x := s.f32(st.in)
			st.passes.Affine(s.f32(out), x, x, s.f32(m), s.f32(zero), s.f32(t), pixel, st.pixel, st.pixel, lo, hi)
		}})
	momentum := n.Attrs.Float("momentum", 0.9)
	for i, batch := range []*ref{st.mean, st.variance} {
		if n.Out(1+i) == nil {
			continue
		}
		old := l.plain(n.In(3 + i))
		moved := l.makeRaw(n.Outputs[1+i])
		l.add(&step{name: n.Outputs[1+i].Name, op: n.Op, kernel: "running", reads: []*ref{old, batch}, writes: []*ref{moved}, exec: func(s *Session) error {
			old, batch, moved := s.f32(old), s.f32(batch), s.f32(moved)
			for k := range moved {
				moved[k] = old[k]*momentum + batch[k]*(1-momentum)
			}
			return nil
		}})
	}
	return ""
}

// lowerBatchNormGradient: with d = dY - ΣdY/n - (X-mean)·inv²·Σ dY·(X-mean)/n the gradient
// by the input is scale·inv·d, an affine function of X and dY in every channel.
func lowerBatchNormGradient(l *lowerer, n *graph.Node) string {
	dy, x := n.In(0), n.In(1)
	ds, _ := dy.Type.Static()
	xs, _ := x.Type.Static()
	scale, _ := n.In(2).Type.Static()
	if !isF32(n.Inputs...) || len(xs) < 2 || !slices.Equal(ds, xs) || !slices.Equal(scale, xs[1:2]) {
		return "only float32 of equal shapes with a scale for each channel has a kernel"
	}
	st, reason := l.batchStatistics(n, x, float64(n.Attrs.Float("epsilon", 1e-5)))
	if reason != "" {
		return reason
	}
	name, c, p := n.Label(), st.mean.len(), st.passes
	grad, pixel := l.channelsLast(dy)
	sums, products := buffer32(name+"/sums", p.PartsLen()), buffer32(name+"/products", p.PartsLen())
	l.add(&step{name: name + "/sum", op: n.Op, kernel: "channel sums", reads: []*ref{grad, st.in, st.mean}, writes: []*ref{sums, products}, units: p.Units(),
		run: func(s *Session, _, lo, hi int) {
			p.Sum(s.f32(sums), s.f32(grad), pixel, lo, hi)
			p.Dot(s.f32(products), s.f32(st.in), s.f32(grad), s.f32(st.mean), st.pixel, pixel, lo, hi)
		}})
	factors := l.plain(n.In(2))
	m, u, t := buffer32(name+"/x", c), buffer32(name+"/dy", c), buffer32(name+"/offset", c)
	setup := &step{name: name + "/factors", op: n.Op, kernel: "factors", reads: []*ref{sums, products, factors, st.mean, st.inv}, writes: []*ref{m, u, t}}
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
		mean, inv, scale := s.f32(st.mean), s.f32(st.inv), s.f32(factors)
		m, u, t := s.f32(m), s.f32(u), s.f32(t)
		for k := range c {
			db, ds := p.Total(s.f32(sums), k), p.Total(s.f32(products), k)
			i, a := float64(inv[k]), float64(scale[k])
			u[k] = float32(a * i)
			slope := -a * i * i * i * ds / st.count
			m[k] = float32(slope)
			t[k] = float32(-a*i*db/st.count - slope*float64(mean[k]))
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
	l.add(&step{name: name, op: n.Op, kernel: "channel affine", reads: []*ref{grad, st.in, m, u, t}, writes: []*ref{out}, inPlace: sameStrides(grad, out), units: p.Units(),
		run: func(s *Session, _, lo, hi int) {
			p.Affine(s.f32(out), s.f32(st.in), s.f32(grad), s.f32(m), s.f32(u), s.f32(t), outPixel, st.pixel, pixel, lo, hi)
		}})
	return ""
}
