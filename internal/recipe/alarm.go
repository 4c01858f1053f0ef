package recipe

import (
	"context"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
)

// AlarmKey is the metadata key under which a model that restores its input carries the mean
// square of the error that is an alarm.
const AlarmKey = "edgewise.alarm"

// Alarms tells where a network that restores its input could not, on samples that it was not
// trained on. Samples over the threshold that overlap or follow each other are one alarm. It
// is false where none of them ends in a labelled stretch.
type Alarms struct {
	Threshold    float64   `json:"threshold"` // mean square of the error
	Labelled     int       `json:"labelled"`  // stretches
	Found        int       `json:"found"`
	False        int       `json:"false_alarms"`
	FalseSamples int       `json:"false_samples"` // over the threshold, outside all stretches
	Samples      int       `json:"samples"`
	Stretches    []Stretch `json:"stretches"`
}

// Stretch is a labelled stretch of a time series.
type Stretch struct {
	Series string  `json:"series"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	Found  bool    `json:"found"`
	First  string  `json:"first,omitempty"` // time of the first sample over the threshold
	Peak   float64 `json:"peak"`            // largest error as a multiple of the threshold
}

// alarms judges the test part by a threshold from the training part alone.
func (j *job) alarms(ctx context.Context, g *graph.Graph, result *Result) error {
	if j.r.Alarm == 0 || result.Test == nil {
		return nil
	}
	normal, err := evaluate(ctx, g, j.learned, j.threads, func(n int) {
		j.report(Event{Stage: "threshold", Done: n, Total: j.learned.Len()})
	})
	if err != nil {
		return err
	}
	result.Alarms = judgeAlarms(j.test.data, result.Test.errors, j.r.Alarm*slices.Max(normal.errors))
	if _, known := j.test.data.Episodes(); !known {
		j.note("no anomalies are labelled in the test part, so that every alarm counts as a false one; hint: `anomalies` under data")
	}
	return nil
}

func judgeAlarms(d *dataset.Dataset, errors []float64, threshold float64) *Alarms {
	a := &Alarms{Threshold: threshold, Samples: len(errors)}
	labelled := make([]bool, len(errors))
	episodes, _ := d.Episodes()
	for _, e := range episodes {
		s := Stretch{Series: e.Series, From: e.From, To: e.To}
		for _, i := range e.Samples {
			labelled[i] = true
			if errors[i] > threshold && !s.Found {
				s.Found = true
				_, s.First = d.Series(i)
			}
			if threshold > 0 {
				s.Peak = max(s.Peak, errors[i]/threshold)
			}
		}
		a.Labelled++
		if s.Found {
			a.Found++
		}
		a.Stretches = append(a.Stretches, s)
	}
	last, right := -1, false // of the alarm that goes on
	end := func() {
		if last >= 0 && !right {
			a.False++
		}
	}
	for i, v := range errors {
		if v <= threshold {
			continue
		}
		if last < 0 || !d.Follows(i, last) {
			end()
			right = false
		}
		last = i
		right = right || labelled[i]
		if !labelled[i] {
			a.FalseSamples++
		}
	}
	end()
	return a
}
