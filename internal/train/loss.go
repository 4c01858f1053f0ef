package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Loss says what a training step minimizes: the mean over the batch of a distance between
// a network's output and its target.
type Loss struct {
	// Kind is one of CrossEntropy, MSE, L1, Huber, BCE, KL.
	Kind string `yaml:"kind"`

	Weights   []float32 `yaml:"weights"`   // CrossEntropy: of each class
	Ignore    *int64    `yaml:"ignore"`    // CrossEntropy: a label that counts nothing
	Smoothing float64   `yaml:"smoothing"` // CrossEntropy: share of the target spread over all classes
	Delta     float64   `yaml:"delta"`     // Huber: where the square becomes a line, 1 if 0
}

// Kinds of losses. Targets of CrossEntropy are int64 labels [N, d...] or, as those of KL,
// probabilities in the shape of the scores [N, C, d...]; those of the others have the
// shape of the output. Scores are logits; BCE takes logits too.
const (
	CrossEntropy = "cross-entropy"
	MSE          = "mse"
	L1           = "l1"
	Huber        = "huber"
	BCE          = "bce"
	KL           = "kl"
)

// Losses lists the kinds.
func Losses() []string { return []string{CrossEntropy, MSE, L1, Huber, BCE, KL} }

// Validate checks the settings by themselves.
func (l Loss) Validate() error {
	if !slices.Contains(Losses(), l.Kind) {
		return fmt.Errorf("loss %q is not one of %s", l.Kind, strings.Join(Losses(), ", "))
	}
	switch classes := l.Kind == CrossEntropy; {
	case !(l.Smoothing >= 0 && l.Smoothing < 1):
		return fmt.Errorf("loss: smoothing: %v is no share: want 0 or more, and less than 1", l.Smoothing)
	case !(l.Delta >= 0) || !finite(l.Delta):
		return fmt.Errorf("loss: delta: %v is not a number from 0", l.Delta)
	case !classes && (l.Weights != nil || l.Ignore != nil || l.Smoothing != 0):
		return fmt.Errorf("loss: weights, ignore and smoothing belong to kind %s, not to %s", CrossEntropy, l.Kind)
	case l.Kind != Huber && l.Delta != 0:
		return fmt.Errorf("loss: delta belongs to kind %s, not to %s", Huber, l.Kind)
	}
	for _, w := range l.Weights {
		if !(w >= 0) || !finite(float64(w)) {
			return fmt.Errorf("loss: weights: %v of a class is not a number from 0", w)
		}
	}
	return nil
}

// target returns the type of the target for an output.
func (l Loss) target(y *graph.Value, soft bool) (graph.Type, error) {
	s, ok := y.Type.Static()
	if !ok {
		return graph.Type{}, fmt.Errorf("the shape of output %v is not known", y)
	}
	if (l.Kind == CrossEntropy || l.Kind == KL) && len(s) < 2 {
		return graph.Type{}, fmt.Errorf("loss: %s wants scores of classes, and output %v has none", l.Kind, y)
	}
	if l.Kind != CrossEntropy || soft {
		return graph.TensorType(y.Type.DType, s...), nil
	}
	return graph.TensorType(tensor.Int64, append([]int{s[0]}, s[2:]...)...), nil
}

// build appends the loss of output y against a target.
func (l Loss) build(b *op.Builder, y, target *graph.Value) *graph.Value {
	mean := func(v *graph.Value) *graph.Value { return b.Op("ReduceMean", graph.Attrs{"keepdims": int64(0)}, v) }
	switch l.Kind {
	case CrossEntropy:
		return l.crossEntropy(b, y, target)
	case KL:
		return divergence(b, b.Op("LogSoftmax", graph.Attrs{"axis": int64(1)}, y), target)
	case MSE:
		d := b.Op("Sub", nil, y, target)
		return mean(b.Op("Mul", nil, d, d))
	case L1:
		return mean(b.Op("Abs", nil, b.Op("Sub", nil, y, target)))
	case Huber:
		return mean(l.huber(b, b.Op("Sub", nil, y, target)))
	case BCE:
		// softplus(y) - t·y: the binary cross-entropy of sigmoid(y), without its overflow.
		return mean(b.Op("Sub", nil, b.Op("Softplus", nil, y), b.Op("Mul", nil, y, target)))
	}
	b.Fail("loss %q is not one of %s", l.Kind, strings.Join(Losses(), ", "))
	return nil
}

// huber is d²/2 up to delta and delta·(|d| - delta/2) beyond.
func (l Loss) huber(b *op.Builder, d *graph.Value) *graph.Value {
	delta := l.Delta
	if delta == 0 {
		delta = 1
	}
	size := b.Op("Abs", nil, d)
	square := b.Op("Mul", nil, b.Op("Mul", nil, d, d), b.Number(0.5, d))
	line := b.Op("Mul", nil, b.Op("Sub", nil, size, b.Number(delta/2, d)), b.Number(delta, d))
	return b.Op("Where", nil, b.Op("Less", nil, size, b.Number(delta, d)), square, line)
}

// crossEntropy takes labels or probabilities. Smoothing (Szegedy et al. 2016, section 7)
// mixes the target with the uniform distribution.
func (l Loss) crossEntropy(b *op.Builder, y, target *graph.Value) *graph.Value {
	classes := b.Shape(y)[1]
	var weights *graph.Value
	if l.Weights != nil {
		if len(l.Weights) != classes {
			b.Fail("%d class weights for %d classes", len(l.Weights), classes)
		}
		weights = b.Graph.Constant("class_weights", tensor.Of(l.Weights, classes))
	}
	if target.Type.DType.IsFloat() {
		if weights != nil || l.Ignore != nil {
			b.Fail("class weights and an ignored label need targets that are labels")
		}
		if l.Smoothing > 0 {
			mixed := b.Op("Mul", nil, target, b.Number(1-l.Smoothing, target))
			target = b.Op("Add", nil, mixed, b.Number(l.Smoothing/float64(classes), target))
		}
		log := b.Op("LogSoftmax", graph.Attrs{"axis": int64(1)}, y)
		return batchMean(b, b.Op("Neg", nil, b.Op("Mul", nil, target, log)), b.Shape(y))
	}
	a := graph.Attrs{"reduction": "mean"}
	if l.Ignore != nil {
		a["ignore_index"] = *l.Ignore
	}
	in := []*graph.Value{y, target}
	if weights != nil {
		in = append(in, weights)
	}
	hard := b.Op("SoftmaxCrossEntropyLoss", a, in...)
	if l.Smoothing == 0 {
		return hard
	}
	if l.Ignore != nil || weights != nil {
		b.Fail("label smoothing does not go with class weights or an ignored label")
	}
	log := b.Op("LogSoftmax", graph.Attrs{"axis": int64(1)}, y)
	uniform := b.Op("Neg", nil, b.Op("ReduceMean", graph.Attrs{"keepdims": int64(0)}, log))
	share := func(v *graph.Value, s float64) *graph.Value { return b.Op("Mul", nil, v, b.Number(s, v)) }
	return b.Op("Add", nil, share(hard, 1-l.Smoothing), share(uniform, l.Smoothing))
}

// divergence is KL(target ‖ exp(log)) summed over classes, mean over everything else. Zero
// probabilities count nothing.
func divergence(b *op.Builder, log, target *graph.Value) *graph.Value {
	positive := b.Op("Greater", nil, target, b.Number(0, target))
	safe := b.Op("Where", nil, positive, target, b.Number(1, target))
	d := b.Op("Mul", nil, target, b.Op("Sub", nil, b.Op("Log", nil, safe), log))
	return batchMean(b, d, b.Shape(log))
}

// batchMean sums over dimension 1 and takes the mean over the others.
func batchMean(b *op.Builder, v *graph.Value, shape []int) *graph.Value {
	rows := 1
	for i, d := range shape {
		if i != 1 {
			rows *= d
		}
	}
	sum := b.Op("ReduceSum", graph.Attrs{"keepdims": int64(0)}, v)
	return b.Op("Mul", nil, sum, b.Number(1/math.Max(float64(rows), 1), sum))
}
