package op

import (
	"fmt"
	"math"
	"slices"
)

// domainTraining holds the optimizers of ONNX.
const domainTraining = "ai.onnx.preview.training"

// trainingOps are optimizer steps. Inputs are the learning rate R, the update count T,
// then all parameters, all gradients and the states; outputs the new parameters and states.
func trainingOps() []Def {
	def := func(name, attrs string, groups int, step func(e *Eval, rate float64, count float64) func(p []float64)) Def {
		return Def{Name: name, Domain: domainTraining, In: "R T inputs+", Out: "outputs+", Attrs: attrs,
			Infer: inferOptimizer(groups), Eval: evalOptimizer(groups, step)}
	}
	return []Def{
		def("Adagrad", "decay_factor:float epsilon:float norm_coefficient:float", 3, adagrad),
		def("Momentum", "alpha:float! beta:float! mode:string! norm_coefficient:float!", 3, momentum),
		def("Adam", "alpha:float beta:float epsilon:float norm_coefficient:float norm_coefficient_post:float", 4, adam),
	}
}

// inferOptimizer: of the groups of inputs, all but the gradients come out again.
func inferOptimizer(groups int) func(*Infer) error {
	return func(c *Infer) error {
		n := len(c.Node.Inputs) - 2
		if n%groups != 0 {
			return fmt.Errorf("has %d inputs, want %d for each parameter", n, groups)
		}
		each := n / groups
		for k := range len(c.Node.Outputs) {
			from := k
			if k >= each {
				from += each // skip the gradients
			}
			c.Set(k, c.Type(2+from))
		}
		return nil
	}
}

// evalOptimizer runs step on every element: it sees and changes parameter, gradient and
// states.
func evalOptimizer(groups int, step func(e *Eval, rate, count float64) func(p []float64)) func(*Eval) error {
	return func(e *Eval) error {
		n := len(e.In) - 2
		if n%groups != 0 {
			e.Fail("has %d inputs, want %d for each parameter", n, groups)
		}
		each := n / groups
		f := step(e, e.scalar(0, 0), e.scalar(1, 0))
		for k := range each {
			x := e.float(2 + k)
			values := make([][]float64, groups)
			for g := range values {
				t := e.float(2 + g*each + k)
				if !slices.Equal(t.Shape(), x.Shape()) {
					e.Fail("parameter %v and its input %v differ in shape", x, t)
				}
				values[g] = t.Floats()
			}
			p := make([]float64, groups)
			for i := range x.Len() {
				for g := range p {
					p[g] = values[g][i]
				}
				f(p)
				for g := range p {
					values[g][i] = p[g]
				}
			}
			e.store(k, x.DType(), values[0], x.Shape()...)
			for g := 2; g < groups; g++ {
				e.store((g-1)*each+k, x.DType(), values[g], x.Shape()...)
			}
		}
		return nil
	}
}

// adagrad divides by the root of the sum of squared gradients (Duchi et al. 2011).
func adagrad(e *Eval, rate, count float64) func(p []float64) {
	a := e.Attrs()
	decay, eps, l2 := attrFloat(a, "decay_factor", 0), attrFloat(a, "epsilon", 0), attrFloat(a, "norm_coefficient", 0)
	rate /= 1 + count*decay
	return func(p []float64) {
		g := p[1] + l2*p[0]
		p[2] += g * g
		p[0] -= rate * g / (math.Sqrt(p[2]) + eps)
	}
}

// momentum is stochastic gradient descent with standard or Nesterov momentum.
func momentum(e *Eval, rate, count float64) func(p []float64) {
	a := e.Attrs()
	alpha, beta, l2 := attrFloat(a, "alpha", 0), attrFloat(a, "beta", 0), attrFloat(a, "norm_coefficient", 0)
	if count == 0 {
		beta = 1
	}
	nesterov := a.String("mode", "standard") == "nesterov"
	return func(p []float64) {
		g := p[1] + l2*p[0]
		p[2] = alpha*p[2] + beta*g
		if nesterov {
			p[0] -= rate * (g + alpha*p[2])
		} else {
			p[0] -= rate * p[2]
		}
	}
}

// adam follows Kingma and Ba (2015), the bias correction being folded into the rate.
func adam(e *Eval, rate, count float64) func(p []float64) {
	a := e.Attrs()
	alpha, beta := attrFloat(a, "alpha", 0.9), attrFloat(a, "beta", 0.999)
	eps, l2, post := attrFloat(a, "epsilon", 0), attrFloat(a, "norm_coefficient", 0), attrFloat(a, "norm_coefficient_post", 0)
	if count > 0 {
		rate *= math.Sqrt(1-math.Pow(beta, count)) / (1 - math.Pow(alpha, count))
	}
	return func(p []float64) {
		g := p[1] + l2*p[0]
		p[2] = alpha*p[2] + (1-alpha)*g
		p[3] = beta*p[3] + (1-beta)*g*g
		p[0] = (1 - post) * (p[0] - rate*p[2]/(math.Sqrt(p[3])+eps))
	}
}
