package cli

import (
	"context"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/tensor"
)

// decoders is how many samples are made ahead at a time.
const decoders = 2

// specForData refuses a specification without the data that it is for.
func specForData(spec, data string) error {
	if spec != "" && data == "" {
		return usagef("--spec %s says how to read --data, which is missing", spec)
	}
	return nil
}

// preprocess settles how samples of d become the input of m, and says so.
func (a *app) preprocess(ctx context.Context, m *edgewise.Model, d *dataset.Dataset, seed uint64) (dataset.Preprocess, error) {
	if len(m.Graph().Inputs) != 1 {
		return dataset.Preprocess{}, usagef("--data feeds models with one input, this one has %s", inputNames(m))
	}
	a.note("data: %s", d.Describe())
	return optimize.Preprocess(ctx, m.Graph(), d, seed, events{a})
}

// modelInputs yields samples of d, in that order, as the one input of m.
func modelInputs(ctx context.Context, m *edgewise.Model, d *dataset.Dataset, order []int, pre dataset.Preprocess) quant.Samples {
	name := m.Graph().Inputs[0].Name
	return func(yield func(map[string]*tensor.Tensor, error) bool) {
		for item := range d.Prepared(ctx, order, pre, decoders) {
			if item.Err != nil {
				yield(nil, item.Err)
				return
			}
			if !yield(map[string]*tensor.Tensor{name: item.Input}, nil) {
				return
			}
		}
	}
}
