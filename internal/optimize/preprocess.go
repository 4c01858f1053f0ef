package optimize

import (
	"fmt"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/dataset"
)

// Samples for the trial of customary preprocessings: at first, and where they leave it open.
const (
	preprocessTrials = 96
	preprocessMost   = 1500
)

// choosePreprocess takes what the model or the data tell. Where they do not, it tries the
// customary ways on labelled samples with the original model.
func (j *job) choosePreprocess() (dataset.Preprocess, error) {
	cands, err := dataset.Infer(j.task.target, j.split.eval)
	if err != nil {
		return dataset.Preprocess{}, err
	}
	if len(cands) == 0 {
		return dataset.Preprocess{}, fmt.Errorf("no way is known to bring %s into the input %v", j.split.eval.Describe(), j.task.input)
	}
	best := 0
	var trials []PreTrial
	switch {
	case len(cands) == 1:
	case j.task.metric != metricTop1:
		j.warn("the model does not tell its preprocessing and there are no labels to find it by: %s is a guess", cands[0])
	default:
		if trials, best, err = j.tryPreprocess(cands); err != nil {
			return dataset.Preprocess{}, err
		}
		j.rep.note(fmt.Sprintf("preprocessing: of %d customary ways the original model decided best with this one: %.1f %% of %d labelled samples", len(cands), 100*trials[best].Accuracy, trials[best].Samples))
	}
	p := cands[best]
	if trials != nil {
		p.Why = append(p.Why, fmt.Sprintf("best of %d customary ways on %d labelled samples", len(cands), trials[best].Samples))
	}
	j.report.Preprocess = PreInfo{Text: p.String(), Why: p.Why, Spec: p, Tried: trials}
	return p, nil
}

// tryPreprocess evaluates the original model with each candidate on labelled samples, those
// of the training part where there is one. The ways that are not clearly worse than the
// best are tried on more and more samples.
func (j *job) tryPreprocess(cands []dataset.Preprocess) (trials []PreTrial, best int, err error) {
	d := j.split.train
	if d == nil || !d.HasLabels() {
		d = j.split.eval
	}
	trials = make([]PreTrial, len(cands))
	left := make([]int, len(cands))
	for i := range left {
		left[i] = i
	}
	for n := preprocessTrials; ; n *= 4 {
		sub := d.Subset(d.Spread(n, j.cfg.Seed))
		j.rep.begin("preprocessing", len(left))
		for k, i := range left {
			s, err := evaluate(j.ctx, j.task, j.src.graph, nil, newFeed(sub, cands[i], j.task.input.Name), nil, nil)
			if err != nil {
				return nil, 0, fmt.Errorf("original model: %w", err)
			}
			trials[i] = PreTrial{cands[i].String(), s.accuracy, s.samples}
			j.rep.done(k + 1)
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
