package cli

import (
	"fmt"
	"math"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// readSample reads a picture, a wav or another file that package dataset knows as one
// sample, prepared the way the model wants it as far as the model or spec tells.
func (a *app) readSample(m *edgewise.Model, v *graph.Value, file, spec string) (*tensor.Tensor, error) {
	d, err := dataset.Open(file, dataset.Options{Spec: spec, Single: true})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if d.Len() != 1 {
		return nil, usagef("%s holds %d samples; one is wanted here", file, d.Len())
	}
	candidates, err := dataset.Infer(dataset.TargetOf(m.Signature(), v), d)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	a.note("%s: %s", file, candidates[0])
	if len(candidates) > 1 {
		a.note("the model does not say how its input is scaled, this is a guess; a dataset.yaml given with --spec, or --input %s=x.npy, decides", v.Name)
	}
	t, err := d.Sample(0, candidates[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}

// ranked is one class of a classification.
type ranked struct {
	Index int     `json:"index"`
	Label string  `json:"label,omitempty"`
	Value float64 `json:"value"`
}

// top returns the k largest elements of the first row of scores, the larger first, equal
// ones by index.
func top(t *tensor.Tensor, k int, labels []string) []ranked {
	n := t.Len()
	if t.Rank() > 0 {
		n = t.Dim(-1)
	}
	var out []ranked
	for i := range n {
		v := min(max(t.Float(i), -math.MaxFloat64), math.MaxFloat64) // JSON has no infinity
		if math.IsNaN(v) {
			continue
		}
		at := len(out)
		for at > 0 && out[at-1].Value < v {
			at--
		}
		if at >= k {
			continue
		}
		r := ranked{Index: i, Value: v}
		if i < len(labels) {
			r.Label = labels[i]
		}
		out = append(out, ranked{})
		copy(out[at+1:], out[at:])
		out[at] = r
		out = out[:min(len(out), k)]
	}
	return out
}

// argmax returns the index of the largest element of each row of t along its last axis.
func argmax(t *tensor.Tensor) []int {
	n := 1
	if t.Rank() > 0 {
		n = t.Dim(-1)
	}
	if n == 0 {
		return nil
	}
	out := make([]int, t.Len()/n)
	for r := range out {
		for i := range n {
			if t.Float(r*n+i) > t.Float(r*n+out[r]) {
				out[r] = i
			}
		}
	}
	return out
}
