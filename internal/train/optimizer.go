package train

import (
	"fmt"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// Optimizer says how a parameter follows its gradient. Zero fields take the defaults of
// the operators in package op, which state the formulas.
type Optimizer struct {
	// Kind is one of sgd, adam, adamw, rmsprop, lars, lamb.
	Kind string `yaml:"kind"`

	Rate     float64 `yaml:"rate"` // the learning rate that the schedule scales
	Momentum float64 `yaml:"momentum"`
	Nesterov bool    `yaml:"nesterov"`
	Decay    float64 `yaml:"weight_decay"` // not for biases and normalizations
	Beta1    float64 `yaml:"beta1"`
	Beta2    float64 `yaml:"beta2"`
	Epsilon  float64 `yaml:"epsilon"`
	Alpha    float64 `yaml:"alpha"` // rmsprop
	Trust    float64 `yaml:"trust"` // lars
}

// Optimizers lists the kinds.
func Optimizers() []string { return []string{"sgd", "adam", "adamw", "rmsprop", "lars", "lamb"} }

// update describes the operator of an optimizer.
type update struct {
	name   string
	states int
	timed  bool // takes the number of the step
	attrs  graph.Attrs
}

func (o Optimizer) update(decay bool) (update, error) {
	a := graph.Attrs{}
	set := func(name string, v float64) {
		if v != 0 {
			a[name] = float32(v)
		}
	}
	if decay {
		set("weight_decay", o.Decay)
	}
	set("epsilon", o.Epsilon)
	switch o.Kind {
	case "sgd":
		delete(a, "epsilon")
		set("momentum", o.Momentum)
		if o.Momentum == 0 {
			return update{"SGDUpdate", 0, false, a}, nil
		}
		if o.Nesterov {
			a["nesterov"] = int64(1)
		}
		return update{"SGDUpdate", 1, false, a}, nil
	case "adam", "adamw", "lamb":
		set("beta1", o.Beta1)
		set("beta2", o.Beta2)
		if o.Kind == "lamb" {
			return update{"LAMBUpdate", 2, true, a}, nil
		}
		if o.Kind == "adamw" {
			a["decoupled"] = int64(1)
		}
		return update{"AdamUpdate", 2, true, a}, nil
	case "rmsprop":
		set("alpha", o.Alpha)
		set("momentum", o.Momentum)
		if o.Momentum == 0 {
			return update{"RMSPropUpdate", 1, false, a}, nil
		}
		return update{"RMSPropUpdate", 2, false, a}, nil
	case "lars":
		set("momentum", o.Momentum)
		set("trust", o.Trust)
		return update{"LARSUpdate", 1, false, a}, nil
	}
	return update{}, fmt.Errorf("optimizer %q is not one of %s", o.Kind, strings.Join(Optimizers(), ", "))
}

// Validate checks the settings by themselves.
func (o Optimizer) Validate() error {
	if !(o.Rate > 0) {
		return fmt.Errorf("the learning rate %v is not above 0", o.Rate)
	}
	for name, v := range map[string]float64{"momentum": o.Momentum, "beta1": o.Beta1, "beta2": o.Beta2, "alpha": o.Alpha} {
		if !(v >= 0 && v < 1) {
			return fmt.Errorf("%s %v is not within 0..1", name, v)
		}
	}
	if !(o.Decay >= 0 && o.Epsilon >= 0 && o.Trust >= 0) {
		return fmt.Errorf("weight_decay, epsilon and trust must not be negative")
	}
	_, err := o.update(false)
	return err
}

// clip scales gradients so that their norm over all of them is at most limit (Pascanu,
// Mikolov and Bengio 2013, algorithm 1). Absent gradients are nil.
func clip(b *op.Builder, grads []*graph.Value, limit float64) []*graph.Value {
	var squares []*graph.Value
	for _, g := range grads {
		if g != nil {
			squares = append(squares, b.Op("ReduceSumSquare", graph.Attrs{"keepdims": int64(0)}, g))
		}
	}
	if squares == nil {
		return grads
	}
	norm := b.Op("Sqrt", nil, b.Op("Sum", nil, squares...))
	factor := b.Op("Min", nil, b.Op("Div", nil, b.Number(limit, norm), b.Op("Max", nil, norm, b.Number(1e-12, norm))), b.Number(1, norm))
	out := make([]*graph.Value, len(grads))
	for i, g := range grads {
		if g != nil {
			out[i] = b.Op("Mul", nil, g, factor)
		}
	}
	return out
}
