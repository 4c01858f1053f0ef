package train

import (
	"math"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestSettingsAreRefused holds that what a kind does not take, and what is no number, is
// refused under its key instead of dropped.
func TestSettingsAreRefused(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	sgd := func(change func(*Optimizer)) error {
		o := Optimizer{Kind: "sgd", Rate: 0.1, Momentum: 0.9}
		change(&o)
		return o.Validate()
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{sgd(func(o *Optimizer) { o.Rate = inf }), "optimizer: rate"},
		{sgd(func(o *Optimizer) { o.Rate = nan }), "optimizer: rate"},
		{sgd(func(o *Optimizer) { o.Decay = inf }), "optimizer: weight_decay"},
		{sgd(func(o *Optimizer) { o.Momentum = 2 }), "optimizer: momentum: 2"},
		{sgd(func(o *Optimizer) { o.Kind = "adam" }), "adam has no momentum; it belongs to sgd, rmsprop, lars"},
		{sgd(func(o *Optimizer) { o.Beta1 = 0.5 }), "sgd has no beta1"},
		{sgd(func(o *Optimizer) { o.Trust = 1 }), "sgd has no trust"},
		{sgd(func(o *Optimizer) { o.Nesterov, o.Momentum = true, 0 }), "nesterov"},
		{Loss{Kind: MSE, Delta: 1}.Validate(), "loss: delta"},
		{Loss{Kind: Huber, Delta: inf}.Validate(), "loss: delta"},
		{Loss{Kind: MSE, Smoothing: 0.1}.Validate(), "loss: weights, ignore and smoothing"},
		{Loss{Kind: CrossEntropy, Weights: []float32{1, float32(inf)}}.Validate(), "loss: weights"},
		{Schedule{Milestones: []int{3}}.Validate(), "constant has no milestones; it belongs to kind: step"},
		{Schedule{Kind: "step"}.Validate(), "step needs milestones"},
		{Schedule{Kind: "step", Milestones: []int{1}, Factor: inf}.Validate(), "schedule: factor"},
		{Schedule{Kind: "cosine", Floor: nan}.Validate(), "schedule: floor"},
		{Schedule{Kind: "cosine", Peak: 0.5}.Validate(), "cosine has no peak"},
		{Augment{Noise: inf}.Validate(), "augment: noise"},
		{Augment{Mixup: nan}.Validate(), "augment: mixup"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("error %v, want %q", c.err, c.want)
		}
	}
	for _, o := range []Optimizer{{Kind: "lars", Rate: 1, Trust: 0.1, Epsilon: 1e-9}, {Kind: "rmsprop", Rate: 1, Alpha: 0.9, Momentum: 0.5}} {
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestLARSWithoutMomentum holds that no momentum is none, whatever the operator's default.
func TestLARSWithoutMomentum(t *testing.T) {
	u, err := Optimizer{Kind: "lars", Rate: 1}.update(false)
	if v, ok := u.attrs["momentum"]; err != nil || !ok || v != float32(0) {
		t.Errorf("momentum %v, %v", v, err)
	}
}

// TestScoresWithoutClasses trains a network whose output has no dimension for classes.
func TestScoresWithoutClasses(t *testing.T) {
	for _, s := range []Spec{{Soft: true, Loss: Loss{Kind: CrossEntropy}}, {Loss: Loss{Kind: CrossEntropy}}, {Loss: Loss{Kind: KL}}} {
		g := graph.New("flat")
		x := g.Input("x", graph.TensorType(tensor.Float32, 1, 3))
		y := g.Add("MatMul", "mul", nil, x, g.Constant("w", tensor.Of([]float32{1, 2, 3}, 3, 1)))
		g.Output(g.Add("Reshape", "flat", nil, y, g.Ints("shape", -1)))
		s.Batch, s.Optimizer = 4, Optimizer{Kind: "sgd", Rate: 0.1}
		if _, err := NewProgram(g, s); err == nil || !strings.Contains(err.Error(), "wants scores of classes") {
			t.Errorf("%s: %v", s.Loss.Kind, err)
		}
	}
}
