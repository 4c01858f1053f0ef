package recipe

import (
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/train"
)

// taughtBy checks that the data gives what the loss compares the network's output with.
func (j *job) taughtBy(cfg *train.Config) error {
	d, loss := j.learned.data, j.r.Loss
	if !j.learned.judged() || cfg.Spec.Distill != nil && cfg.Spec.Distill.Hard == 0 {
		return nil // the teacher alone teaches
	}
	classes := loss.Kind == train.CrossEntropy || loss.Kind == train.KL
	switch {
	case d.HasTargets() && loss.Kind == train.CrossEntropy && !cfg.Spec.Soft && cfg.Augment.Mixup == 0:
		return fmt.Errorf("loss: %s compares with labels, and the data gives target values; hint: `loss: {kind: mse}`, or `labels` in place of `target` under data", loss.Kind)
	case d.HasTargets():
		return nil
	case !classes:
		return fmt.Errorf("loss: %s compares with target values, and the data gives labels; hint: `loss: {kind: cross-entropy}`, or `target` under data", loss.Kind)
	}
	n := dataset.Scores(j.network.Outputs[0])
	for i := range d.Len() {
		c := j.learned.label(i)
		if n > 0 && (c < 0 || c >= n) && (loss.Ignore == nil || *loss.Ignore != int64(c)) {
			return fmt.Errorf("classes: sample %d is of class %d (counted from 0), and the network has %d classes; hint: `classes` gives it as many as the data has, `label_offset` under data numbers them", i, c, n)
		}
	}
	return nil
}
