package optimize

import (
	"context"
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// Samples for the trial of customary preprocessings: at first, and where they leave it open.
const (
	preprocessTrials = 96
	preprocessMost   = 1500
)

// Preprocess settles how samples of d become inputs of g, a model of one input: it takes
// what the model or the data tell, and where they do not, the customary way with which
// the model decides best on labelled samples. What could not be settled is noted as a guess.
func Preprocess(ctx context.Context, g *graph.Graph, d *dataset.Dataset, seed uint64, progress Progress) (dataset.Preprocess, error) {
	t, err := newTask(g, d)
	if err != nil {
		return dataset.Preprocess{}, err
	}
	c := &chooser{ctx: ctx, graph: g, task: t, eval: d, train: d.Calibration(), seed: seed, rep: &reporter{to: progress}}
	p, _, err := c.choose()
	switch {
	case err != nil:
		return p, err
	case c.guess != "":
		c.rep.note(c.guess)
	}
	c.rep.note("preprocessing: " + p.String())
	return p, nil
}

// chooser finds the preprocessing of a model.
type chooser struct {
	ctx         context.Context
	graph       *graph.Graph
	task        *task
	eval, train *dataset.Dataset // train may be nil
	seed        uint64
	rep         *reporter

	guess string // why the choice is one, "" where it is not
}

// choosePreprocess settles the preprocessing and reports it.
func (j *job) choosePreprocess() (dataset.Preprocess, error) {
	c := &chooser{ctx: j.ctx, graph: j.src.graph, task: j.task, eval: j.split.eval, train: j.split.train, seed: j.cfg.Seed, rep: &j.rep}
	p, trials, err := c.choose()
	if err != nil {
		return p, err
	}
	if c.guess != "" {
		j.warn("%s", c.guess)
	}
	j.report.Preprocess = PreInfo{Text: p.String(), Why: p.Why, Spec: p, YAML: p.YAML(), Tried: trials}
	return p, nil
}

// choose returns the preprocessing, and the trials where several ways were tried.
func (c *chooser) choose() (dataset.Preprocess, []PreTrial, error) {
	cands, err := dataset.Infer(c.task.target, c.eval)
	if err != nil {
		return dataset.Preprocess{}, nil, err
	}
	if len(cands) == 0 {
		return dataset.Preprocess{}, nil, fmt.Errorf("no way is known to bring %s into the input %v", c.eval.Describe(), c.task.input)
	}
	if len(cands) == 1 {
		return cands[0], nil, nil
	}
	if c.task.metric != metricTop1 {
		c.guess = fmt.Sprintf("the model does not tell its preprocessing and there are no labels to find it by: %s is a guess; a dataset.yaml can say it", cands[0])
		return cands[0], nil, nil
	}
	trials, best, err := c.try(cands)
	if err != nil {
		return dataset.Preprocess{}, nil, err
	}
	if first := trials[0].Accuracy; !slices.ContainsFunc(trials, func(x PreTrial) bool { return x.Accuracy != first }) {
		c.guess = fmt.Sprintf("%d customary ways of preprocessing let the model decide equally well, on %.1f %% of %d labelled samples: %s is a guess; a dataset.yaml can say it", len(cands), 100*first, trials[0].Samples, cands[best])
		return cands[best], trials, nil
	}
	c.rep.note(fmt.Sprintf("preprocessing: of %d customary ways the original model decided best with this one: %.1f %% of %d labelled samples", len(cands), 100*trials[best].Accuracy, trials[best].Samples))
	p := cands[best]
	p.Why = append(p.Why, fmt.Sprintf("best of %d customary ways on %d labelled samples", len(cands), trials[best].Samples))
	return p, trials, nil
}

// try evaluates the model with each candidate on labelled samples, those of the training
// part where there is one. The ways that are not clearly worse than the best are tried on
// more and more samples.
func (c *chooser) try(cands []dataset.Preprocess) (trials []PreTrial, best int, err error) {
	d := c.train
	if d == nil || !d.HasLabels() {
		d = c.eval
	}
	trials = make([]PreTrial, len(cands))
	left := make([]int, len(cands))
	for i := range left {
		left[i] = i
	}
	for n := preprocessTrials; ; n *= 4 {
		sub := d.Subset(d.Spread(n, c.seed))
		c.rep.begin("preprocessing", len(left))
		var decided *score // of the way before, where that makes the same inputs
		for k, i := range left {
			if k == 0 || !cands[i].SameInput(cands[left[k-1]]) {
				if decided, err = evaluate(c.ctx, c.task, c.graph, nil, newFeed(sub, cands[i], c.task.input.Name), nil, nil); err != nil {
					return nil, 0, fmt.Errorf("original model: %w", err)
				}
			}
			trials[i] = PreTrial{cands[i].String(), hits(decided.decisions, sub, cands[i].LabelOffset), sub.Len()}
			c.rep.done(k + 1)
		}
		best = left[0]
		for _, i := range left {
			if trials[i].Accuracy > trials[best].Accuracy {
				best = i
			}
		}
		lo, _ := wilson(trials[best].Accuracy, sub.Len())
		left = slices.DeleteFunc(left, func(i int) bool {
			_, hi := wilson(trials[i].Accuracy, sub.Len())
			return i != best && hi < lo
		})
		if len(left) == 1 || n >= preprocessMost || sub.Len() == d.Len() {
			return trials, best, nil
		}
	}
}

// hits returns the share of decisions that name the samples' classes, numbered by offset.
func hits(decisions []int32, d *dataset.Dataset, offset int) float64 {
	n := 0
	for i, c := range decisions {
		if int(c) == d.Label(i)+offset {
			n++
		}
	}
	return float64(n) / float64(max(len(decisions), 1))
}
