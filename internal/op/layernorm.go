package op

import (
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// layerNormOps normalize over the trailing dimensions.
func layerNormOps() []Def {
	const ms = graph.DomainMicrosoft
	simplified := Def{Name: "SimplifiedLayerNormalization", In: "X scale", Out: "Y inv_std_var?",
		Attrs: "axis:int epsilon:float stash_type:int", Infer: inferLayerNorm(1), Eval: evalRMSNorm}
	return []Def{
		{Name: "LayerNormalization", In: "X Scale B?", Out: "Y Mean? InvStdDev?",
			Attrs: "axis:int epsilon:float stash_type:int", Infer: inferLayerNorm(2), Eval: evalLayerNorm},
		{Name: "RMSNormalization", In: "X scale", Out: "Y", Attrs: "axis:int epsilon:float stash_type:int", Infer: inferLayerNorm(0), Eval: evalRMSNorm},
		simplified,
		simplified.microsoft(),
		{Name: "SkipLayerNormalization", Domain: ms, In: "input skip gamma beta? bias?",
			Out: "output mean? inv_std_var? input_skip_bias_sum?", Attrs: "epsilon:float",
			Infer: inferSkipNorm, Eval: skipNorm(3, 4, false)},
		{Name: "SkipSimplifiedLayerNormalization", Domain: ms, In: "input skip gamma bias?",
			Out: "output mean? inv_std_var? input_skip_bias_sum?", Attrs: "epsilon:float",
			Infer: inferSkipNorm, Eval: skipNorm(-1, 3, true)},
	}
}

// inferLayerNorm infers an output like X and so many statistics, which have size 1 in
// the normalized dimensions.
func inferLayerNorm(statistics int) func(*Infer) error {
	return func(c *Infer) error {
		s := c.Shape(0)
		c.SetTensor(0, c.DType(0), s)
		var stats graph.Shape
		if s.Ranked() {
			axis, err := ResolveAxis(c.Attrs().Int("axis", -1), len(s))
			if err != nil {
				return err
			}
			stats = s.Clone()
			for i := axis; i < len(s); i++ {
				stats[i] = graph.Dim{Size: 1}
			}
		}
		for i := range statistics {
			c.SetTensor(1+i, stashType(c.Attrs()), stats)
		}
		return nil
	}
}

func stashType(a graph.Attrs) tensor.DType {
	return tensor.DType(a.Int("stash_type", int64(tensor.Float32)))
}

// layers splits x at axis into rows of the normalized dimensions, and returns the shape
// of the statistics.
func (e *Eval) layers(x *tensor.Tensor) (size int, stats []int) {
	axis := e.Axis(e.Attrs().Int("axis", -1), x.Rank())
	stats = slices.Clone(x.Shape())
	for i := axis; i < len(stats); i++ {
		stats[i] = 1
	}
	return volume(x.Shape()[axis:]), stats
}

// affine multiplies v, of x's shape, by input scale and adds input shift; both are
// broadcast to x, and absent ones change nothing.
func (e *Eval) affine(v []float64, x *tensor.Tensor, scale, shift int) {
	each := func(i int, f func(v *float64, p float64)) {
		if i < 0 || !e.Has(i) {
			return
		}
		p := e.T(i)
		full, err := BroadcastShape(p.Shape(), x.Shape())
		if err != nil || !slices.Equal(full, x.Shape()) {
			e.Fail("input %s %v does not broadcast to %v", e.inputName(i), p, x)
		}
		at := newBroadcastIndex(p.Shape(), full)
		for k := range v {
			f(&v[k], p.Float(at.next()))
		}
	}
	each(scale, func(v *float64, p float64) { *v *= p })
	each(shift, func(v *float64, p float64) { *v += p })
}

func evalLayerNorm(e *Eval) error {
	x := e.float(0)
	size, stats := e.layers(x)
	eps := attrFloat(e.Attrs(), "epsilon", 1e-5)
	v := x.Floats()
	means, invs := e.scratch(stats...), e.scratch(stats...)
	for r := range means {
		means[r], invs[r] = standardize(v[r*size:][:size], eps)
	}
	e.affine(v, x, 1, 2)
	e.store(0, x.DType(), v, x.Shape()...)
	e.store(1, stashType(e.Attrs()), means, stats...)
	e.store(2, stashType(e.Attrs()), invs, stats...)
	return nil
}

// evalRMSNorm divides by the root mean square, without taking off the mean.
func evalRMSNorm(e *Eval) error {
	x := e.float(0)
	size, stats := e.layers(x)
	v := x.Floats()
	invs := e.scratch(stats...)
	for r := range invs {
		invs[r] = scaleToUnit(v[r*size:][:size], attrFloat(e.Attrs(), "epsilon", 1e-5))
	}
	e.affine(v, x, 1, -1)
	e.store(0, x.DType(), v, x.Shape()...)
	e.store(1, stashType(e.Attrs()), invs, stats...)
	return nil
}

// scaleToUnit makes the mean square of v one and returns the factor.
func scaleToUnit(v []float64, eps float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x * x
	}
	inv := 1 / math.Sqrt(sum/float64(len(v))+eps)
	for i := range v {
		v[i] *= inv
	}
	return inv
}

func inferSkipNorm(c *Infer) error {
	s := c.Shape(0)
	c.SetTensor(0, c.DType(0), s)
	c.SetTensor(3, c.DType(0), s)
	stats := s.Clone()
	if len(stats) > 0 {
		stats[len(stats)-1] = graph.Dim{Size: 1}
	}
	c.SetTensor(1, tensor.Float32, stats)
	c.SetTensor(2, tensor.Float32, stats)
	return nil
}

// skipNorm normalizes input + skip + bias over the last dimension; the sum is an output
// of its own. beta and bias are input numbers, -1 for none.
func skipNorm(beta, bias int, rms bool) func(*Eval) error {
	return func(e *Eval) error {
		x := e.float(0)
		if x.Rank() == 0 {
			e.Fail("input %v has no dimension to normalize", x)
		}
		v := x.Floats()
		e.affine(v, x, -1, 1)
		e.affine(v, x, -1, bias)
		e.store(3, x.DType(), v, x.Shape()...)
		size := x.Dim(-1)
		stats := slices.Clone(x.Shape())
		stats[len(stats)-1] = 1
		means, invs := e.scratch(stats...), e.scratch(stats...)
		eps := attrFloat(e.Attrs(), "epsilon", 1e-12)
		for r := range means {
			if row := v[r*size:][:size]; rms {
				invs[r] = scaleToUnit(row, eps)
			} else {
				means[r], invs[r] = standardize(row, eps)
			}
		}
		e.affine(v, x, 2, beta)
		e.store(0, x.DType(), v, x.Shape()...)
		e.store(1, tensor.Float32, means, stats...)
		e.store(2, tensor.Float32, invs, stats...)
		return nil
	}
}
