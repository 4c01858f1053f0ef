package recipe

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// network returns the network to train; classes is how many the data or a teacher has, 0
// where neither tells. One that is not trained yet takes its other sizes from the data too: as
// many outputs as there are values of a target, and of a time series the columns and rows.
func (r *Recipe) network(d *dataset.Dataset, classes int) (*graph.Graph, error) {
	if r.fresh() {
		o := zoo.TrainingOptions{Classes: cmp.Or(r.Classes, classes), Resolution: r.Resolution, Seed: r.Seed}
		rows, columns := d.Window()
		if rows > 1 {
			o.Channels, o.Resolution = columns, cmp.Or(o.Resolution, rows)
		}
		valued := d.HasTargets() && !d.TargetIsInput()
		if valued {
			o.Classes = d.TargetSize()
		}
		g, err := zoo.BuildTraining(strings.TrimPrefix(r.Model, edgewise.ZooPrefix), o)
		if err == nil && valued {
			err = inUnits(g, d)
		}
		return g, err
	}
	g, err := r.given()
	if err == nil && r.Classes > 0 {
		if g, err = train.NewHead(g, r.Classes, r.Seed); err != nil {
			err = fmt.Errorf("classes: %w", err)
		}
	}
	return g, err
}

// given reads the network as it is before training.
func (r *Recipe) given() (*graph.Graph, error) {
	name := r.Model
	if !r.zoo() {
		name = r.at(name)
	}
	m, err := edgewise.Open(name)
	if err != nil {
		return nil, err
	}
	return m.Graph(), nil
}

// frozen returns which weights of a network stay as they are, nil where none does. A
// pattern that fits no weight is refused: it would train what was meant to stay.
func (r *Recipe) frozen(g *graph.Graph) (func(name string) bool, error) {
	patterns, key := r.Freeze, "freeze"
	if len(r.Train) > 0 {
		patterns, key = r.Train, "train"
	}
	if len(patterns) == 0 {
		return nil, nil
	}
	var names []string
	for _, v := range g.Constants() {
		if v.Type.DType == tensor.Float32 && v.Const.Len() > 1 {
			names = append(names, v.Name)
		}
	}
	chosen := map[string]bool{}
	for _, p := range patterns {
		before := len(chosen)
		for _, n := range names {
			if train.Fits(p, n) {
				chosen[n] = true
			}
		}
		if len(chosen) == before && !slices.ContainsFunc(names, func(n string) bool { return train.Fits(p, n) }) {
			return nil, fmt.Errorf("%s: no weight is named %q; there are %s", key, p, strings.Join(names[:min(len(names), 40)], ", "))
		}
	}
	only := len(r.Train) > 0
	return func(name string) bool { return chosen[name] != only }, nil
}

// standardizing is how many samples tell mean and deviation.
const standardizing = 2000

// preprocess settles how samples become inputs of the network: a trained one is tried, one
// with random weights takes standardized inputs unless the recipe says otherwise.
func (r *Recipe) preprocess(ctx context.Context, g *graph.Graph, p *parts, progress optimize.Progress) (dataset.Preprocess, error) {
	if len(g.Inputs) != 1 {
		return dataset.Preprocess{}, fmt.Errorf("the network takes %d inputs; training feeds one", len(g.Inputs))
	}
	if !r.fresh() {
		way, err := r.customary(ctx, g, p, progress)
		if len(r.Data.Classes) > 0 || r.Classes > 0 && r.Classes == p.train.NumClasses() {
			way.LabelOffset = 0 // the recipe numbers them
		}
		return way, err
	}
	ways, err := dataset.Infer(dataset.TargetOf(g, g.Inputs[0]), p.train)
	if err != nil {
		return dataset.Preprocess{}, err
	}
	way := ways[0]
	if len(ways) > 1 && !p.train.OffsetGiven() {
		way.LabelOffset = 0 // outputs to spare are no background class
	}
	if p.train.ScaleGiven() {
		return way, nil
	}
	return way.Standardized(p.train, standardizing, r.Seed)
}

// customary settles the preprocessing of a trained network. One with a new last layer
// decides by chance, so that the network as it was read is tried in its place, on all classes of
// the data.
func (r *Recipe) customary(ctx context.Context, g *graph.Graph, p *parts, progress optimize.Progress) (dataset.Preprocess, error) {
	if r.Classes == 0 {
		return optimize.Preprocess(ctx, g, p.train, r.Seed, progress)
	}
	old, err := r.given()
	if err != nil {
		return dataset.Preprocess{}, err
	}
	scores := dataset.Scores(old.Outputs[0])
	if scores == r.Classes {
		return optimize.Preprocess(ctx, g, p.train, r.Seed, progress)
	}
	ways, err := dataset.Infer(dataset.TargetOf(g, g.Inputs[0]), p.train)
	if err != nil {
		return dataset.Preprocess{}, err
	}
	all := p.whole
	if t := all.Calibration(); t != nil {
		all = t
	}
	way := ways[0]
	if slices.ContainsFunc(ways, func(w dataset.Preprocess) bool { return !w.SameInput(way) }) {
		if spare := scores - all.NumClasses(); !all.HasLabels() || spare < 0 || spare > 1 {
			return dataset.Preprocess{}, fmt.Errorf("%s does not tell how it takes its input, and its %d scores are not the %d classes of the data, by which that could be found; hint: say it by `preprocess` under data, as {divide: 255}",
				r.Model, scores, all.NumClasses())
		}
		if way, err = optimize.Preprocess(ctx, old, all, r.Seed, progress); err != nil {
			return dataset.Preprocess{}, err
		}
	}
	if !p.train.OffsetGiven() {
		way.LabelOffset = 0
	}
	return way, nil
}
