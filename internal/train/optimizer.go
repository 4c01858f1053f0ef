package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// Optimizer says how a parameter follows its gradient. Zero fields take the defaults of
// the operators in package op, which state the formulas; but no momentum is none.
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
		a["momentum"] = float32(o.Momentum)
		set("trust", o.Trust)
		return update{"LARSUpdate", 1, false, a}, nil
	}
	return update{}, fmt.Errorf("optimizer %q is not one of %s", o.Kind, strings.Join(Optimizers(), ", "))
}

// Validate checks the settings by themselves. What a kind does not take is refused: it
// would be dropped otherwise.
func (o Optimizer) Validate() error {
	if !(o.Rate > 0) || !finite(o.Rate) {
		return fmt.Errorf("optimizer: rate: the learning rate %v is not a number above 0", o.Rate)
	}
	if _, err := o.update(false); err != nil {
		return err
	}
	for _, f := range []struct {
		key   string
		v     float64
		below float64
		kinds string // that take it
	}{
		{"momentum", o.Momentum, 1, "sgd rmsprop lars"},
		{"beta1", o.Beta1, 1, "adam adamw lamb"},
		{"beta2", o.Beta2, 1, "adam adamw lamb"},
		{"alpha", o.Alpha, 1, "rmsprop"},
		{"weight_decay", o.Decay, math.Inf(1), o.Kind},
		{"epsilon", o.Epsilon, math.Inf(1), "adam adamw rmsprop lars lamb"},
		{"trust", o.Trust, math.Inf(1), "lars"},
	} {
		switch {
		case !(f.v >= 0 && f.v < f.below):
			return fmt.Errorf("optimizer: %s: %v is not a number from 0 and below %v", f.key, f.v, f.below)
		case f.v != 0 && !slices.Contains(strings.Fields(f.kinds), o.Kind):
			return fmt.Errorf("optimizer: %s has no %s; it belongs to %s", o.Kind, f.key, strings.Join(strings.Fields(f.kinds), ", "))
		}
	}
	if o.Nesterov && (o.Kind != "sgd" || o.Momentum == 0) {
		return fmt.Errorf("optimizer: nesterov belongs to sgd with momentum")
	}
	return nil
}

// finite reports whether v is a number within all bounds.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

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
