package quant

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// SearchConfig drives Search.
type SearchConfig struct {
	// Build makes the quantized graph with the given layers kept in floating point, by
	// name with the reason. It may correct biases and whatever else belongs to it.
	Build func(ctx context.Context, keep map[string]string) (*Result, error)

	// Evaluate returns the accuracy of a result, in points: higher is better.
	Evaluate func(ctx context.Context, r *Result) (float64, error)

	Float   float64 // accuracy of the float graph
	MaxDrop float64 // points below Float that are allowed

	// Sensitivity ranks the layers that may go back. TimeLost is what a layer's return
	// costs per inference; layers without an entry cost nothing, and those at or below
	// zero are faster in floating point.
	Sensitivity []LayerSensitivity
	TimeLost    map[string]time.Duration

	Keep      map[string]string // layers that stay float in any case
	MaxTrials int               // evaluations beyond the first; 0 means 40
	Until     time.Time         // no evaluation begins later; zero sets no limit
}

// Trial is one step of a search: a set of layers that was tried.
type Trial struct {
	Changed  []string // layers that this step moved
	ToFloat  bool     // back to float, or to integers again
	Kept     int      // layers in floating point during the trial
	Accuracy float64
	Lost     time.Duration // predicted, against everything in integers
	Accepted bool
	Reason   string
}

// SearchResult is the outcome of Search.
type SearchResult struct {
	Best     *Result
	Keep     map[string]string
	Accuracy float64
	Met      bool // the bound holds
	Stopped  bool // by MaxTrials or Until, with sets left to try
	Trials   []Trial
}

// Search returns layers to floating point until the accuracy is within MaxDrop of the
// float graph's. Layers go in the order of the noise that each is known to cause per
// time that its return costs, in groups that double, so that many layers need few
// evaluations; a group that gains nothing stays, since its layers may do so only together
// with others. Once the bound holds, time is won back: layers, the most expensive first,
// return to integers, in groups that are halved where the bound would be missed.
//
// It always returns the best it has seen: the bound met with least time lost, else the
// highest accuracy. Every step is recorded.
func Search(ctx context.Context, cfg SearchConfig, progress Progress) (*SearchResult, error) {
	if cfg.Build == nil || cfg.Evaluate == nil {
		return nil, errors.New("search: Build and Evaluate must be given")
	}
	if cfg.MaxTrials == 0 {
		cfg.MaxTrials = 40
	}
	s := &search{cfg: cfg, keep: maps.Clone(cfg.Keep), res: &SearchResult{}, progress: progress}
	if s.keep == nil {
		s.keep = map[string]string{}
	}
	if _, err := s.try(ctx, nil, true, s.keep); err != nil {
		return nil, err
	}
	if s.res.Met {
		return s.res, nil
	}
	if err := s.forward(ctx); err != nil {
		return nil, err
	}
	if s.res.Met {
		if err := s.backward(ctx); err != nil {
			return nil, err
		}
	}
	return s.res, nil
}

type search struct {
	cfg      SearchConfig
	keep     map[string]string
	accuracy float64 // with keep
	res      *SearchResult
	progress Progress
	moved    []string // layers that went back to float, in order
}

// left reports whether a further set may be tried.
func (s *search) left() bool {
	ok := len(s.res.Trials) <= s.cfg.MaxTrials && (s.cfg.Until.IsZero() || time.Now().Before(s.cfg.Until))
	s.res.Stopped = s.res.Stopped || !ok
	return ok
}

// lost adds up the predicted cost of layers in floating point.
func (s *search) lost(keep map[string]string) time.Duration {
	var d time.Duration
	for name := range keep {
		d += s.cfg.TimeLost[name]
	}
	return d
}

// try evaluates a set of kept layers and records the trial, not yet accepted but for
// the first.
func (s *search) try(ctx context.Context, changed []string, toFloat bool, keep map[string]string) (float64, error) {
	r, err := s.cfg.Build(ctx, maps.Clone(keep))
	if err != nil {
		return 0, fmt.Errorf("search: %w", err)
	}
	a, err := s.cfg.Evaluate(ctx, r)
	if err != nil {
		return 0, fmt.Errorf("search: evaluate: %w", err)
	}
	t := Trial{Changed: changed, ToFloat: toFloat, Kept: len(keep), Accuracy: a, Lost: s.lost(keep)}
	met := a >= s.cfg.Float-s.cfg.MaxDrop
	first := len(s.res.Trials) == 0
	if first {
		t.Accepted, t.Reason = true, "everything in integers that can be"
		s.accuracy = a
	}
	s.res.Trials = append(s.res.Trials, t)
	if first || met && (!s.res.Met || t.Lost <= s.lost(s.res.Keep)) || !met && !s.res.Met && a > s.res.Accuracy {
		s.res.Best, s.res.Keep, s.res.Accuracy, s.res.Met = r, maps.Clone(keep), a, met
	}
	s.progress.report("mixed precision", len(s.res.Trials), -1)
	return a, nil
}

func (s *search) last() *Trial { return &s.res.Trials[len(s.res.Trials)-1] }

// order returns the layers that may go back, the best bargain first.
func (s *search) order() []LayerSensitivity {
	var out []LayerSensitivity
	for _, y := range s.cfg.Sensitivity {
		if _, kept := s.keep[y.Node]; !kept {
			out = append(out, y)
		}
	}
	// Where a return costs nothing, a nanosecond keeps the order by noise.
	worth := func(y LayerSensitivity) float64 {
		return y.Noise / float64(max(s.cfg.TimeLost[y.Node], time.Nanosecond))
	}
	slices.SortStableFunc(out, func(a, b LayerSensitivity) int { return cmp.Compare(worth(b), worth(a)) })
	return out
}

// forward moves groups of layers to float until the bound holds.
func (s *search) forward(ctx context.Context) error {
	todo := s.order()
	for size := 1; len(todo) > 0 && s.left() && !s.res.Met; size *= 2 {
		size = min(size, len(todo))
		var names []string
		keep := maps.Clone(s.keep)
		for _, y := range todo[:size] {
			names = append(names, y.Node)
			keep[y.Node] = fmt.Sprintf("returned for accuracy: alone it leaves %.1f dB", y.SQNR)
		}
		todo = todo[size:]
		a, err := s.try(ctx, names, true, keep)
		if err != nil {
			return err
		}
		gain := a - s.accuracy
		t := s.last()
		t.Accepted = gain > 0 || s.res.Met
		if t.Reason = fmt.Sprintf("gains %.2f points", gain); !t.Accepted {
			t.Reason = fmt.Sprintf("gains nothing so far (%+.2f points)", gain)
		}
		s.keep, s.accuracy = keep, max(a, s.accuracy)
		s.moved = append(s.moved, names...)
	}
	return nil
}

// backward returns layers to integers while the bound holds.
func (s *search) backward(ctx context.Context) error {
	s.keep = maps.Clone(s.res.Keep)
	cost := func(name string) time.Duration { return s.cfg.TimeLost[name] }
	names := slices.DeleteFunc(slices.Clone(s.moved), func(n string) bool { return cost(n) < 0 })
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(cost(b), cost(a)) })
	if len(names) < len(s.moved) {
		return s.remove(ctx, names)
	}
	return s.halves(ctx, names) // without any of them the bound was missed
}

func (s *search) halves(ctx context.Context, names []string) error {
	if len(names) < 2 {
		return nil
	}
	if err := s.remove(ctx, names[:len(names)/2]); err != nil {
		return err
	}
	return s.remove(ctx, names[len(names)/2:])
}

// remove returns the layers to integers together, or in parts where that misses the bound.
func (s *search) remove(ctx context.Context, names []string) error {
	if len(names) == 0 || !s.left() {
		return nil
	}
	keep := maps.Clone(s.keep)
	for _, name := range names {
		delete(keep, name)
	}
	a, err := s.try(ctx, names, false, keep)
	if err != nil {
		return err
	}
	t := s.last()
	if a < s.cfg.Float-s.cfg.MaxDrop {
		t.Reason = fmt.Sprintf("the bound is missed (%+.2f points)", a-s.cfg.Float)
		return s.halves(ctx, names)
	}
	t.Accepted, t.Reason = true, "the bound holds"
	s.keep = keep
	return nil
}
