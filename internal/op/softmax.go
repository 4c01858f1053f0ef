package op

import (
	"math"

	"github.com/edgewise-ml/edgewise/tensor"
)

// softmaxOps normalize along one axis.
func softmaxOps() []Def {
	soft := alongAxis("Softmax", softmax)
	soft.Quant = Quant{Kind: QuantElementwise, Lo: 0, Hi: 1}
	return []Def{soft, alongAxis("LogSoftmax", logSoftmax), alongAxis("Hardmax", hardmax)}
}

// alongAxis defines an operator that replaces every vector along attribute axis (-1).
func alongAxis(name string, f func(v []float64)) Def {
	return Def{Name: name, In: "input", Out: "output", Attrs: "axis:int", Infer: inferAlongAxis, Eval: func(e *Eval) error {
		x := e.float(0)
		axis := e.Axis(e.Attrs().Int("axis", -1), x.Rank())
		out := e.Result(0, x.DType(), x.Shape()...)
		eachVector(out, x, axis, f)
		return nil
	}}
}

func inferAlongAxis(c *Infer) error {
	if s := c.Shape(0); s.Ranked() {
		if _, err := ResolveAxis(c.Attrs().Int("axis", -1), len(s)); err != nil {
			return err
		}
	}
	return inferLike(0)(c)
}

// eachVector calls f with every vector of x along axis, to be changed in place, and
// stores the result into out.
func eachVector(out, x *tensor.Tensor, axis int, f func(v []float64)) {
	if x.Len() == 0 {
		return // sizes beside a zero may be of any magnitude
	}
	outer, n, inner := splitAt(x.Shape(), axis)
	v := make([]float64, n)
	for o := range outer {
		for k := range inner {
			for i := range v {
				v[i] = x.Float((o*n+i)*inner + k)
			}
			f(v)
			for i := range v {
				out.SetFloat((o*n+i)*inner+k, v[i])
			}
		}
	}
}

// softmax subtracts the maximum first, so that nothing overflows.
func softmax(v []float64) {
	m, sum := maximum(v), 0.0
	for i, x := range v {
		v[i] = math.Exp(x - m)
		sum += v[i]
	}
	for i := range v {
		v[i] /= sum
	}
}

func logSoftmax(v []float64) {
	m, sum := maximum(v), 0.0
	for _, x := range v {
		sum += math.Exp(x - m)
	}
	log := math.Log(sum)
	for i := range v {
		v[i] -= m + log
	}
}

// hardmax is one at the first maximum and zero elsewhere.
func hardmax(v []float64) {
	best := 0
	for i := range v {
		if v[i] > v[best] {
			best = i
		}
	}
	for i := range v {
		v[i] = 0
	}
	if len(v) > 0 {
		v[best] = 1
	}
}

func maximum(v []float64) float64 {
	m := math.Inf(-1)
	for _, x := range v {
		m = max(m, x)
	}
	return m
}
