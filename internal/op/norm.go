package op

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/tensor"
)

// normOps normalize by statistics of the data or by given ones.
func normOps() []Def {
	return []Def{
		{Name: "BatchNormalization", In: "X scale B input_mean input_var", Out: "Y running_mean? running_var?",
			Attrs: "epsilon:float momentum:float training_mode:int", Infer: inferBatchNorm, Eval: evalBatchNorm},
		{Name: "InstanceNormalization", In: "input scale B", Out: "output", Attrs: "epsilon:float", Infer: inferLike(0), Eval: evalInstanceNorm},
		{Name: "GroupNormalization", In: "X scale bias", Out: "Y", Attrs: "epsilon:float num_groups:int! stash_type:int", Infer: inferLike(0), Eval: evalGroupNorm},
		{Name: "LpNormalization", In: "input", Out: "output", Attrs: "axis:int p:int", Infer: inferAlongAxis, Eval: evalLpNorm},
		{Name: "LRN", In: "X", Out: "Y", Attrs: "alpha:float beta:float bias:float size:int!", Infer: inferLike(0), Eval: evalLRN},
		{Name: "MeanVarianceNormalization", In: "X", Out: "Y", Attrs: "axes:ints", Infer: inferLike(0), Eval: evalMeanVariance},
	}
}

// channels checks that x has a channel dimension and that every named input holds one
// number per channel, and returns the batch, channel and plane sizes.
func (e *Eval) channels(x *tensor.Tensor, params ...int) (batch, channels, plane int) {
	if x.Rank() < 2 {
		e.Fail("input %v has no channels", x)
	}
	batch, channels, plane = x.Dim(0), x.Dim(1), volume(x.Shape()[2:])
	for _, i := range params {
		if e.T(i).Rank() != 1 || e.T(i).Len() != channels {
			e.Fail("input %s is %v, want one number for each of %d channels", e.inputName(i), e.T(i), channels)
		}
	}
	return batch, channels, plane
}

func inferBatchNorm(c *Infer) error {
	c.SetTensor(0, c.DType(0), c.Shape(0))
	c.SetTensor(1, c.DType(3), c.Shape(3))
	c.SetTensor(2, c.DType(4), c.Shape(4))
	s := c.Shape(0)
	for i := 1; i <= 4 && len(s) >= 2; i++ {
		p := c.Shape(i)
		if p.Ranked() && (len(p) != 1 || p[0].Known() && s[1].Known() && p[0].Size != s[1].Size) {
			return fmt.Errorf("input %d is %v, want one number per channel of %v", i, p, s)
		}
	}
	return nil
}

// evalBatchNorm is (x-mean)/sqrt(var+eps)·scale + B per channel. In training mode mean
// and variance are those of the batch, and the running ones move toward them.
func evalBatchNorm(e *Eval) error {
	x := e.float(0)
	if x.Rank() == 1 { // a batch of one channel
		x, _ = x.Reshape(x.Len(), 1)
	}
	batch, channels, plane := e.channels(x, 1, 2, 3, 4)
	a := e.Attrs()
	eps, momentum, training := attrFloat(a, "epsilon", 1e-5), attrFloat(a, "momentum", 0.9), a.Int("training_mode", 0) != 0
	mean, variance := e.T(3).Floats(), e.T(4).Floats()
	v := x.Floats()
	if training {
		runMean, runVar := slices.Clone(mean), slices.Clone(variance)
		for c := range channels {
			var column []float64
			for n := range batch {
				column = append(column, v[(n*channels+c)*plane:][:plane]...)
			}
			mean[c], variance[c] = moments(column)
			runMean[c] = runMean[c]*momentum + mean[c]*(1-momentum)
			runVar[c] = runVar[c]*momentum + variance[c]*(1-momentum)
		}
		e.store(1, e.T(3).DType(), runMean, channels)
		e.store(2, e.T(4).DType(), runVar, channels)
	} else {
		e.Set(1, e.In[3])
		e.Set(2, e.In[4])
	}
	for i := range v {
		c := i / plane % channels
		v[i] = (v[i]-mean[c])/math.Sqrt(variance[c]+eps)*e.T(1).Float(c) + e.T(2).Float(c)
	}
	e.store(0, x.DType(), v, e.T(0).Shape()...)
	return nil
}

// moments returns the mean and the population variance.
func moments(v []float64) (mu, variance float64) {
	mu = mean(v)
	for _, x := range v {
		variance += (x - mu) * (x - mu)
	}
	return mu, variance / float64(len(v))
}

// standardize makes the mean of v zero and its variance one, and returns both factors.
func standardize(v []float64, eps float64) (mu, invStd float64) {
	mu, variance := moments(v)
	invStd = 1 / math.Sqrt(variance+eps)
	for i := range v {
		v[i] = (v[i] - mu) * invStd
	}
	return mu, invStd
}

func evalInstanceNorm(e *Eval) error {
	x := e.float(0)
	_, channels, _ := e.channels(x, 1, 2)
	return e.groupNorm(x, channels, attrFloat(e.Attrs(), "epsilon", 1e-5))
}

func evalGroupNorm(e *Eval) error {
	x := e.float(0)
	_, channels, _ := e.channels(x, 1, 2)
	groups := int(e.Attrs().Int("num_groups", 1))
	if groups < 1 || groups > channels || channels%groups != 0 {
		e.Fail("num_groups=%d does not divide %d channels", groups, channels)
	}
	return e.groupNorm(x, groups, attrFloat(e.Attrs(), "epsilon", 1e-5))
}

// groupNorm standardizes over groups of channels, then scales and shifts each channel
// by inputs 1 and 2.
func (e *Eval) groupNorm(x *tensor.Tensor, groups int, eps float64) error {
	batch, channels, plane := e.channels(x, 1, 2)
	v := x.Floats()
	scale, shift := e.T(1).Floats(), e.T(2).Floats()
	size := channels / max(groups, 1) * plane
	for g := range batch * groups {
		standardize(v[g*size:][:size], eps)
	}
	for i := range v {
		c := i / plane % channels
		v[i] = v[i]*scale[c] + shift[c]
	}
	e.store(0, x.DType(), v, x.Shape()...)
	return nil
}

// evalLpNorm divides every vector along an axis by its p-norm; a zero vector stays.
func evalLpNorm(e *Eval) error {
	x := e.float(0)
	axis := e.Axis(e.Attrs().Int("axis", -1), x.Rank())
	f := norm(e.Attrs().Int("p", 2))
	out := e.Result(0, x.DType(), x.Shape()...)
	eachVector(out, x, axis, func(v []float64) {
		if n := f(v); n != 0 {
			for i := range v {
				v[i] /= n
			}
		}
	})
	return nil
}

// evalLRN divides by a power of the sum of squares over neighbouring channels.
func evalLRN(e *Eval) error {
	x := e.float(0)
	a := e.Attrs()
	alpha, beta, bias := attrFloat(a, "alpha", 1e-4), attrFloat(a, "beta", 0.75), attrFloat(a, "bias", 1)
	size := int(a.Int("size", 1))
	if size < 1 {
		e.Fail("size=%d is not positive", size)
	}
	batch, channels, plane := e.channels(x)
	v, out := x.Floats(), make([]float64, x.Len())
	for n := range batch {
		for c := range channels {
			from, to := max(0, c-(size-1)/2), min(channels, c+size/2+1)
			for i := range plane {
				sum := 0.0
				for k := from; k < to; k++ {
					s := v[(n*channels+k)*plane+i]
					sum += s * s
				}
				at := (n*channels+c)*plane + i
				out[at] = v[at] / math.Pow(bias+alpha/float64(size)*sum, beta)
			}
		}
	}
	e.store(0, x.DType(), out, x.Shape()...)
	return nil
}

// evalMeanVariance standardizes over axes; 1e-9 keeps the deviation from zero, as in the
// standard's definition.
func evalMeanVariance(e *Eval) error {
	x := e.float(0)
	axes := e.Attrs().Ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	g := e.over(x, axes, false, true)
	index := make([]int, x.Len())
	sum, square := e.scratch(g.shape...), e.scratch(g.shape...)
	v, n := x.Floats(), float64(g.count)
	for i := range index {
		index[i] = g.next()
		sum[index[i]] += v[i]
	}
	for i, j := range index {
		d := v[i] - sum[j]/n
		square[j] += d * d
	}
	for i, j := range index {
		v[i] = (v[i] - sum[j]/n) / (math.Sqrt(square[j]/n) + 1e-9)
	}
	e.store(0, x.DType(), v, x.Shape()...)
	return nil
}
