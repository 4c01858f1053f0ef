package engine

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

func init() {
	lowers(lowerUpdate, graph.DomainEdgewise, "SGDUpdate", "AdamUpdate", "RMSPropUpdate")
}

// lowerUpdate computes the update of a parameter element by element, so that its new value
// may lie where the old one lay. Outputs are the caller's tensors: parameters and states
// live between runs.
func lowerUpdate(l *lowerer, n *graph.Node) string {
	if !isF32(n.Inputs...) {
		return "only float32 has a kernel"
	}
	var in []*ref
	for _, v := range n.Inputs {
		if v == nil {
			in = append(in, nil)
			continue
		}
		in = append(in, l.plain(v))
	}
	st := &step{name: n.Label(), op: n.Op, kernel: "update"}
	for _, r := range in {
		if r != nil {
			st.reads = append(st.reads, r)
		}
	}
	var out []*ref
	for _, v := range n.Outputs {
		if v == nil {
			return "an output is absent"
		}
		out = append(out, l.makeRaw(v))
	}
	st.writes = out
	u := &updater{attrs: n.Attrs, in: in, out: out}
	switch {
	case n.Op == "AdamUpdate":
		u.apply = u.adam
	case n.Op == "RMSPropUpdate":
		u.apply = u.rmsProp
	case len(out) > 1:
		u.apply = u.momentum
	default:
		u.apply = u.sgd
	}
	total := in[0].len()
	st.units = (total + unitElements - 1) / unitElements
	st.run = func(s *Session, _, lo, hi int) {
		a, b := lo*unitElements, min(hi*unitElements, total)
		u.apply(s, func(r *ref) []float32 { return s.f32(r)[a:b] })
	}
	l.add(st)
	return ""
}

// updater is one update; the formulas are those of the operators in package op.
type updater struct {
	attrs   graph.Attrs
	in, out []*ref
	apply   func(s *Session, part func(*ref) []float32)
}

func (u *updater) number(s *Session, i int) float32 { return s.f32(u.in[i])[0] }

func (u *updater) sgd(s *Session, part func(*ref) []float32) {
	rate, decay := u.number(s, 2), u.attrs.Float("weight_decay", 0)
	p, g, to := part(u.in[0]), part(u.in[1]), part(u.out[0])
	for i := range to {
		to[i] = p[i] - rate*(g[i]+decay*p[i])
	}
}

func (u *updater) momentum(s *Session, part func(*ref) []float32) {
	rate, decay := u.number(s, 2), u.attrs.Float("weight_decay", 0)
	momentum, fresh := u.attrs.Float("momentum", 0), 1-u.attrs.Float("dampening", 0)
	p, g, v, to, moved := part(u.in[0]), part(u.in[1]), part(u.in[3]), part(u.out[0]), part(u.out[1])
	nesterov := u.attrs.Int("nesterov", 0) != 0
	for i := range to {
		d := g[i] + decay*p[i]
		m := momentum*v[i] + fresh*d
		moved[i] = m
		if nesterov {
			m = d + momentum*m
		}
		to[i] = p[i] - rate*m
	}
}

func (u *updater) adam(s *Session, part func(*ref) []float32) {
	rate, t := u.number(s, 2), float64(u.number(s, 3))
	decay, decoupled := u.attrs.Float("weight_decay", 0), u.attrs.Int("decoupled", 0) != 0
	b1, b2, eps := u.attrs.Float("beta1", 0.9), u.attrs.Float("beta2", 0.999), u.attrs.Float("epsilon", 1e-8)
	first, second := float32(1/(1-math.Pow(float64(b1), t))), float32(1/(1-math.Pow(float64(b2), t)))
	p, g, m, v := part(u.in[0]), part(u.in[1]), part(u.in[4]), part(u.in[5])
	to, m1, v1 := part(u.out[0]), part(u.out[1]), part(u.out[2])
	for i := range to {
		x, d := p[i], g[i]
		if decoupled {
			x -= rate * decay * x
		} else {
			d += decay * x
		}
		a, b := b1*m[i]+(1-b1)*d, b2*v[i]+(1-b2)*d*d
		m1[i], v1[i] = a, b
		to[i] = x - rate*a*first/(float32(math.Sqrt(float64(b*second)))+eps)
	}
}

func (u *updater) rmsProp(s *Session, part func(*ref) []float32) {
	rate, decay := u.number(s, 2), u.attrs.Float("weight_decay", 0)
	alpha, eps, momentum := u.attrs.Float("alpha", 0.99), u.attrs.Float("epsilon", 1e-8), u.attrs.Float("momentum", 0)
	p, g, q := part(u.in[0]), part(u.in[1]), part(u.in[3])
	to, q1 := part(u.out[0]), part(u.out[1])
	var v, v1 []float32
	if len(u.out) > 2 {
		v, v1 = part(u.in[4]), part(u.out[2])
	}
	for i := range to {
		d := g[i] + decay*p[i]
		a := alpha*q[i] + (1-alpha)*d*d
		q1[i] = a
		d /= float32(math.Sqrt(float64(a))) + eps
		if v != nil {
			d += momentum * v[i]
			v1[i] = d
		}
		to[i] = p[i] - rate*d
	}
}
