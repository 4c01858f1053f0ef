package op

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const lossAttrs = "ignore_index:int reduction:string"

// lossOps are classification losses over scores [N, C, d...] and labels [N, d...].
func lossOps() []Def {
	return []Def{
		{Name: "NegativeLogLikelihoodLoss", In: "input target weight?", Out: "loss", Attrs: lossAttrs, Infer: inferLoss, Eval: evalNLLLoss},
		{Name: "SoftmaxCrossEntropyLoss", In: "scores labels weights?", Out: "output log_prob?", Attrs: lossAttrs, Infer: inferLoss, Eval: evalCrossEntropy},
	}
}

func inferLoss(c *Infer) error {
	s, t := c.Shape(0), c.Shape(1)
	if s.Ranked() && t.Ranked() && (len(s) < 2 || len(t) != len(s)-1) {
		return fmt.Errorf("scores %v and labels %v do not fit: want [N, C, d...] and [N, d...]", s, t)
	}
	out := graph.Shape{}
	if c.Attrs().String("reduction", "mean") == "none" {
		out = t
	}
	c.SetTensor(0, c.DType(0), out)
	c.SetTensor(1, c.DType(0), s)
	return nil
}

func evalNLLLoss(e *Eval) error {
	x := e.float(0)
	return e.likelihood(x, x.Floats())
}

// evalCrossEntropy is the negative log likelihood of the log-softmax over channels.
func evalCrossEntropy(e *Eval) error {
	x := e.float(0)
	if x.Rank() < 2 {
		e.Fail("scores %v have no classes", x)
	}
	log := e.Result(1, x.DType(), x.Shape()...)
	eachVector(log, x, 1, logSoftmax)
	return e.likelihood(x, log.Floats())
}

// likelihood reduces -weight[label]·log[label]; elements whose label is ignore_index
// count nothing. The mean is over the weights.
func (e *Eval) likelihood(x *tensor.Tensor, log []float64) error {
	label := e.Ints(1)
	if x.Rank() < 2 || !slices.Equal(e.T(1).Shape(), append([]int{x.Dim(0)}, x.Shape()[2:]...)) {
		e.Fail("scores %v and labels %v do not fit: want [N, C, d...] and [N, d...]", x, e.T(1))
	}
	classes, plane := x.Dim(1), volume(x.Shape()[2:])
	weight := func(int64) float64 { return 1 }
	if e.Has(2) {
		w := e.bias(2, classes)
		weight = func(c int64) float64 { return w[c] }
	}
	ignore, ignores := e.Attrs()["ignore_index"].(int64)
	loss, sum, total := make([]float64, len(label)), 0.0, 0.0
	for i, c := range label {
		if ignores && c == ignore {
			continue
		}
		if c < 0 || c >= int64(classes) {
			e.Fail("label %d is outside the %d classes", c, classes)
		}
		w := weight(c)
		loss[i] = -w * log[(i/plane*classes+int(c))*plane+i%plane]
		sum += loss[i]
		total += w
	}
	switch r := e.Attrs().String("reduction", "mean"); r {
	case "none":
		e.store(0, x.DType(), loss, e.T(1).Shape()...)
	case "sum":
		e.store(0, x.DType(), []float64{sum})
	case "mean":
		e.store(0, x.DType(), []float64{sum / total})
	default:
		e.Fail("reduction %q is none of none, sum, mean", r)
	}
	return nil
}
