package op

import (
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// randomOps draw random numbers. With the attribute seed a node draws the same numbers
// in every run; the generator is PCG, so they differ from other runtimes' numbers.
func randomOps() []Def {
	normal := func(a graph.Attrs, r *rand.Rand) func() float64 {
		mean, scale := float64(a.Float("mean", 0)), float64(a.Float("scale", 1))
		return func() float64 { return mean + scale*r.NormFloat64() }
	}
	uniform := func(a graph.Attrs, r *rand.Rand) func() float64 {
		low, high := float64(a.Float("low", 0)), float64(a.Float("high", 1))
		return func() float64 { return low + (high-low)*r.Float64() }
	}
	return []Def{
		{Name: "RandomNormal", Out: "output", Attrs: "dtype:int mean:float scale:float seed:float shape:ints!", Infer: inferRandom, Eval: evalRandom(normal), Impure: true},
		{Name: "RandomNormalLike", In: "input", Out: "output", Attrs: "dtype:int mean:float scale:float seed:float", Infer: inferRandom, Eval: evalRandom(normal), Impure: true},
		{Name: "RandomUniform", Out: "output", Attrs: "dtype:int high:float low:float seed:float shape:ints!", Infer: inferRandom, Eval: evalRandom(uniform), Impure: true},
		{Name: "RandomUniformLike", In: "input", Out: "output", Attrs: "dtype:int high:float low:float seed:float", Infer: inferRandom, Eval: evalRandom(uniform), Impure: true},
		{Name: "Bernoulli", In: "input", Out: "output", Attrs: "dtype:int seed:float", Infer: inferRandom, Eval: evalBernoulli, Impure: true},
		{Name: "Multinomial", In: "input", Out: "output", Attrs: "dtype:int sample_size:int seed:float", Infer: inferMultinomial, Eval: evalMultinomial, Impure: true},
	}
}

func generator(a graph.Attrs) *rand.Rand {
	if a.Has("seed") {
		return rand.New(rand.NewPCG(uint64(math.Float32bits(a.Float("seed", 0))), 0))
	}
	return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
}

// randomType returns the element type and shape of the result: from the attributes, or
// like those of the input.
func randomType(a graph.Attrs, like tensor.DType, shape graph.Shape) (tensor.DType, graph.Shape, error) {
	d := like
	if d == tensor.Invalid && a.Has("shape") {
		d = tensor.Float32
	}
	if a.Has("dtype") {
		var err error
		if d, err = dtypeAttr(a.Int("dtype", 0)); err != nil {
			return d, nil, err
		}
	}
	if a.Has("shape") {
		shape = graph.Shape{}
		for _, n := range a.Ints("shape") {
			if n < 0 || n > tensor.MaxElements {
				return d, nil, fmt.Errorf("size %d is not valid in %v", n, a.Ints("shape"))
			}
			shape = append(shape, graph.Dim{Size: int(n)})
		}
	}
	return d, shape, nil
}

func inferRandom(c *Infer) error {
	d, s, err := randomType(c.Attrs(), c.DType(0), c.Shape(0))
	if err != nil {
		return err
	}
	c.SetTensor(0, d, s)
	return nil
}

// randomResult makes output 0.
func (e *Eval) randomResult() (*tensor.Tensor, error) {
	like, shape := tensor.Invalid, graph.Shape(nil)
	if len(e.In) > 0 {
		like, shape = e.T(0).DType(), graph.Dims(e.T(0).Shape()...)
	}
	d, s, err := randomType(e.Attrs(), like, shape)
	if err != nil {
		return nil, err
	}
	sizes, _ := s.Static()
	return e.Result(0, d, sizes...), nil
}

func evalRandom(distribution func(graph.Attrs, *rand.Rand) func() float64) func(*Eval) error {
	return func(e *Eval) error {
		out, err := e.randomResult()
		if err != nil {
			return err
		}
		draw := distribution(e.Attrs(), generator(e.Attrs()))
		for i := range out.Len() {
			out.SetFloat(i, draw())
		}
		return nil
	}
}

// evalBernoulli draws 1 with the probability given for each element.
func evalBernoulli(e *Eval) error {
	out, err := e.randomResult()
	if err != nil {
		return err
	}
	x, r := e.T(0), generator(e.Attrs())
	for i := range out.Len() {
		if r.Float64() < x.Float(i) {
			out.SetInt(i, 1)
		}
	}
	return nil
}

func multinomialType(a graph.Attrs) (tensor.DType, int, error) {
	d, err := dtypeAttr(a.Int("dtype", int64(tensor.Int32)))
	n := a.Int("sample_size", 1)
	if err == nil && (n < 0 || n > tensor.MaxElements) {
		err = fmt.Errorf("sample_size %d is not valid", n)
	}
	return d, int(n), err
}

func inferMultinomial(c *Infer) error {
	d, n, err := multinomialType(c.Attrs())
	if err != nil {
		return err
	}
	batch := graph.Unknown
	if s := c.Shape(0); len(s) == 2 {
		batch = s[0]
	}
	c.SetTensor(0, d, graph.Shape{batch, graph.Dim{Size: n}})
	return nil
}

// evalMultinomial draws classes with the unnormalized log-probabilities of each row.
func evalMultinomial(e *Eval) error {
	d, n, err := multinomialType(e.Attrs())
	if err != nil {
		return err
	}
	x := e.T(0)
	if x.Rank() != 2 || x.Dim(1) == 0 {
		return fmt.Errorf("input must be [batch,classes], it is %v", x)
	}
	classes := x.Dim(1)
	out := e.Result(0, d, x.Dim(0), n)
	r := generator(e.Attrs())
	weights := make([]float64, classes)
	for b := range x.Dim(0) {
		top := math.Inf(-1)
		for k := range classes {
			top = max(top, x.Float(b*classes+k))
		}
		sum := 0.0
		for k := range weights {
			weights[k] = math.Exp(x.Float(b*classes+k) - top)
			sum += weights[k]
		}
		for i := range n {
			left := r.Float64() * sum
			k := 0
			for k < classes-1 && left >= weights[k] {
				left -= weights[k]
				k++
			}
			out.SetInt(b*n+i, int64(k))
		}
	}
	return nil
}
