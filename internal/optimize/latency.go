package optimize

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Latency is the time of one inference in milliseconds, over Runs runs.
type Latency struct {
	Runs                     int
	Min, Mean, P50, P95, P99 float64
}

// Rounds in which the models take turns, so that whatever else the machine does meets
// all of them alike, and how long each model runs in one.
const (
	rounds     = 20
	fullTurn   = 25 * time.Millisecond
	leastTurn  = 3 // runs of a slow model in one turn
	longestRun = 4 * time.Second
	warmUps    = 2 // at the start of a turn, for the caches
)

// measureLatency times the plans on one input, in turns.
func measureLatency(ctx context.Context, plans []*engine.Plan, x *tensor.Tensor, turn time.Duration, done func(int)) ([]Latency, error) {
	type runner struct {
		s     *engine.Session
		out   []*tensor.Tensor // nil where outputs have no size ahead
		times []float64
	}
	in, vals := []*tensor.Tensor{x}, []op.Value{x}
	run := func(r *runner) error {
		if r.out != nil {
			return r.s.RunInto(ctx, in, r.out)
		}
		_, err := r.s.Run(ctx, vals)
		return err
	}
	rs := make([]*runner, len(plans))
	for i, p := range plans {
		s, err := p.NewSession()
		if err != nil {
			return nil, err
		}
		defer s.Close()
		rs[i] = &runner{s: s, out: outputsOf(p)}
	}
	runtime.GC()
	for round := range rounds {
		for _, r := range rs {
			for range warmUps {
				if err := run(r); err != nil {
					return nil, err
				}
			}
			start := time.Now()
			for k := 0; k < leastTurn || time.Since(start) < turn; k++ {
				if k > 0 && time.Since(start) > longestRun {
					break
				}
				t := time.Now()
				if err := run(r); err != nil {
					return nil, err
				}
				r.times = append(r.times, float64(time.Since(t))/1e6)
			}
		}
		if done != nil {
			done(round + 1)
		}
	}
	out := make([]Latency, len(rs))
	for i, r := range rs {
		out[i] = summarize(r.times)
	}
	return out, nil
}

// outputsOf allocates the outputs of p, nil where a size is not known ahead.
func outputsOf(p *engine.Plan) []*tensor.Tensor {
	var out []*tensor.Tensor
	for _, port := range p.Outputs() {
		if port.Shape == nil {
			return nil
		}
		t, err := tensor.Make(port.Type.DType, port.Shape)
		if err != nil {
			return nil
		}
		out = append(out, t)
	}
	return out
}

func summarize(ms []float64) Latency {
	slices.Sort(ms)
	l := Latency{Runs: len(ms)}
	for _, v := range ms {
		l.Mean += v / float64(len(ms))
	}
	l.Min, l.P50, l.P95, l.P99 = ms[0], percentile(ms, 0.5), percentile(ms, 0.95), percentile(ms, 0.99)
	return l
}

// percentile returns the least of the sorted values that is not below the share p of them.
func percentile(sorted []float64, p float64) float64 {
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// stepTimes profiles plans in turns; each step has its least time.
func stepTimes(ctx context.Context, plans []*engine.Plan, x *tensor.Tensor, runs int) ([][]engine.StepTime, error) {
	sessions := make([]*engine.Session, len(plans))
	for i, p := range plans {
		s, err := p.NewSession()
		if err != nil {
			return nil, err
		}
		defer s.Close()
		sessions[i] = s
	}
	out := make([][]engine.StepTime, len(plans))
	for range runs {
		for i, s := range sessions {
			steps, err := s.Profile(ctx, []op.Value{x})
			if err != nil {
				return nil, fmt.Errorf("profile: %w", err)
			}
			if out[i] == nil {
				out[i] = steps
				continue
			}
			for k := range steps {
				out[i][k].Duration = min(out[i][k].Duration, steps[k].Duration)
			}
		}
	}
	return out, nil
}
