package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// optimizerOps are the updates of a training step as operators, one node a parameter, so
// that a step is one graph. Of the parameter P, the gradient G, the learning rate R (one
// number) and the states they make the new parameter and the new states; T is the number
// of this update, counted from 1.
//
// The formulas are those of PyTorch's torch.optim where it has the optimizer (SGD, Adam,
// AdamW, RMSprop), so that recipes carry over.
func optimizerOps() []Def {
	def := func(name, in, out, attrs string, states []int, step func(e *Eval, v [][]float64)) Def {
		return Def{Name: name, Domain: graph.DomainEdgewise, In: in, Out: out, Attrs: attrs, Infer: inferUpdate(states), Eval: evalUpdate(states, step)}
	}
	return []Def{
		def("SGDUpdate", "P G R V?", "P V?", "dampening:float momentum:float nesterov:int weight_decay:float", []int{3}, updateSGD),
		def("AdamUpdate", "P G R T M V", "P M V", "beta1:float beta2:float decoupled:int epsilon:float weight_decay:float", []int{4, 5}, updateAdam),
		def("RMSPropUpdate", "P G R S V?", "P S V?", "alpha:float epsilon:float momentum:float weight_decay:float", []int{3, 4}, updateRMSProp),
		def("LARSUpdate", "P G R V", "P V", "epsilon:float momentum:float trust:float weight_decay:float", []int{3}, updateLARS),
		def("LAMBUpdate", "P G R T M V", "P M V", "beta1:float beta2:float epsilon:float weight_decay:float", []int{4, 5}, updateLAMB),
	}
}

// inferUpdate: the outputs are the parameter and the states at the given inputs.
func inferUpdate(states []int) func(*Infer) error {
	return func(c *Infer) error {
		for _, i := range append([]int{1}, states...) {
			if !c.Has(i) {
				continue
			}
			if _, err := graph.Merge(c.Type(0), c.Type(i)); err != nil {
				return fmt.Errorf("input %d does not have the parameter's type: %w", i, err)
			}
		}
		for k := range c.Node.Outputs {
			c.Set(k, c.Type(0))
		}
		return nil
	}
}

// evalUpdate calls step with the parameter, the gradient and the states as numbers, to be
// changed in place; an absent state is nil.
func evalUpdate(states []int, step func(e *Eval, v [][]float64)) func(*Eval) error {
	return func(e *Eval) error {
		p := e.float(0)
		v := [][]float64{p.Floats()}
		for _, i := range append([]int{1}, states...) {
			if !e.Has(i) {
				v = append(v, nil)
				continue
			}
			t := e.float(i)
			if t.DType() != p.DType() || !slices.Equal(t.Shape(), p.Shape()) {
				e.Fail("parameter %v and input %s %v differ in type", p, e.inputName(i), t)
			}
			v = append(v, t.Floats())
		}
		step(e, v)
		e.store(0, p.DType(), v[0], p.Shape()...)
		for k := range states {
			if v[2+k] != nil {
				e.store(1+k, p.DType(), v[2+k], p.Shape()...)
			}
		}
		return nil
	}
}

// updateSGD: Sutskever et al. 2013 for the momenta.
func updateSGD(e *Eval, x [][]float64) {
	a, rate := e.Attrs(), e.scalar(2, 0)
	decay, momentum, dampening := attrFloat(a, "weight_decay", 0), attrFloat(a, "momentum", 0), attrFloat(a, "dampening", 0)
	p, g, v := x[0], x[1], x[2]
	for i := range p {
		d := g[i] + decay*p[i]
		if v != nil {
			v[i] = momentum*v[i] + (1-dampening)*d
			if a.Int("nesterov", 0) != 0 {
				d += momentum * v[i]
			} else {
				d = v[i]
			}
		}
		p[i] -= rate * d
	}
}

// adamDirection advances the moments of element i by the gradient d and returns the
// direction with their bias corrected.
func (e *Eval) adamDirection(m, v []float64, i int, d float64) float64 {
	a, t := e.Attrs(), e.scalar(3, 1)
	b1, b2 := attrFloat(a, "beta1", 0.9), attrFloat(a, "beta2", 0.999)
	m[i] = b1*m[i] + (1-b1)*d
	v[i] = b2*v[i] + (1-b2)*d*d
	return m[i] / (1 - math.Pow(b1, t)) / (math.Sqrt(v[i]/(1-math.Pow(b2, t))) + attrFloat(a, "epsilon", 1e-8))
}

// updateAdam: Kingma and Ba 2015, algorithm 1; decoupled decay is that of Loshchilov and
// Hutter 2019.
func updateAdam(e *Eval, x [][]float64) {
	a, rate := e.Attrs(), e.scalar(2, 0)
	decay, decoupled := attrFloat(a, "weight_decay", 0), a.Int("decoupled", 0) != 0
	p, g, m, v := x[0], x[1], x[2], x[3]
	for i := range p {
		d := g[i]
		if decoupled {
			p[i] -= rate * decay * p[i]
		} else {
			d += decay * p[i]
		}
		p[i] -= rate * e.adamDirection(m, v, i, d)
	}
}

// updateRMSProp: Tieleman and Hinton 2012.
func updateRMSProp(e *Eval, x [][]float64) {
	a, rate := e.Attrs(), e.scalar(2, 0)
	alpha, eps := attrFloat(a, "alpha", 0.99), attrFloat(a, "epsilon", 1e-8)
	decay, momentum := attrFloat(a, "weight_decay", 0), attrFloat(a, "momentum", 0)
	p, g, s, v := x[0], x[1], x[2], x[3]
	for i := range p {
		d := g[i] + decay*p[i]
		s[i] = alpha*s[i] + (1-alpha)*d*d
		d /= math.Sqrt(s[i]) + eps
		if v != nil {
			v[i] = momentum*v[i] + d
			d = v[i]
		}
		p[i] -= rate * d
	}
}

// updateLARS: You, Gitman and Ginsburg 2017, equation 6: the rate of a layer follows the
// ratio of the norms of its weights and gradient.
func updateLARS(e *Eval, x [][]float64) {
	a, rate := e.Attrs(), e.scalar(2, 0)
	decay, momentum := attrFloat(a, "weight_decay", 0), attrFloat(a, "momentum", 0.9)
	p, g, v := x[0], x[1], x[2]
	trust := 1.0
	if np, ng := length(p), length(g); np > 0 && ng > 0 {
		trust = attrFloat(a, "trust", 1e-3) * np / (ng + decay*np + attrFloat(a, "epsilon", 1e-8))
	}
	for i := range p {
		v[i] = momentum*v[i] + rate*trust*(g[i]+decay*p[i])
		p[i] -= v[i]
	}
}

// updateLAMB: You et al. 2020, algorithm 2, with the identity for the scaling function.
func updateLAMB(e *Eval, x [][]float64) {
	rate, decay := e.scalar(2, 0), attrFloat(e.Attrs(), "weight_decay", 0)
	p, g, m, v := x[0], x[1], x[2], x[3]
	d := make([]float64, len(p))
	for i := range p {
		d[i] = e.adamDirection(m, v, i, g[i]) + decay*p[i]
	}
	trust := 1.0
	if np, nd := length(p), length(d); np > 0 && nd > 0 {
		trust = np / nd
	}
	for i := range p {
		p[i] -= rate * trust * d[i]
	}
}

// length is the Euclidean norm.
func length(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	return math.Sqrt(sum)
}
