package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Schedule says how the learning rate moves over the steps of a training.
type Schedule struct {
	// Kind is one of constant, step, cosine, one-cycle; constant if empty.
	Kind string `yaml:"kind"`

	Warmup     int     `yaml:"warmup"`     // steps over which the rate first rises from zero
	Milestones []int   `yaml:"milestones"` // step: epochs after which the rate is multiplied
	Factor     float64 `yaml:"factor"`     // step: by this, 0.1 if 0
	Floor      float64 `yaml:"floor"`      // cosine, one-cycle: the last rate as a share of the highest
	Peak       float64 `yaml:"peak"`       // one-cycle: share of the steps at which the rate is highest, 0.3 if 0
}

// Schedules lists the kinds.
func Schedules() []string { return []string{"constant", "step", "cosine", "one-cycle"} }

// Validate checks the settings by themselves.
func (s Schedule) Validate() error {
	switch s.Kind {
	case "", "constant", "step", "cosine", "one-cycle":
	default:
		return fmt.Errorf("schedule %q is not one of %s", s.Kind, strings.Join(Schedules(), ", "))
	}
	for _, f := range []struct {
		key   string
		given bool
		ok    bool
		want  string
		kinds string // that take it
	}{
		{"warmup", s.Warmup != 0, s.Warmup >= 0, "a number of updates", s.Kind},
		{"milestones", s.Milestones != nil, slices.IndexFunc(s.Milestones, func(m int) bool { return m < 0 }) < 0, "epochs", "step"},
		{"factor", s.Factor != 0, s.Factor >= 0 && finite(s.Factor), "a number that is not negative", "step"},
		{"floor", s.Floor != 0, s.Floor >= 0 && s.Floor <= 1, "a share within 0..1", "cosine one-cycle"},
		{"peak", s.Peak != 0, s.Peak >= 0 && s.Peak < 1, "a share of 0 or more, and less than 1", "one-cycle"},
	} {
		switch {
		case !f.ok:
			return fmt.Errorf("schedule: %s is not %s", f.key, f.want)
		case f.given && f.kinds != s.Kind && !slices.Contains(strings.Fields(f.kinds), s.Kind):
			return fmt.Errorf("schedule: %s has no %s; it belongs to kind: %s", cmp.Or(s.Kind, "constant"), f.key, strings.Join(strings.Fields(f.kinds), ", "))
		}
	}
	if s.Kind == "step" && len(s.Milestones) == 0 {
		return errors.New("schedule: step needs milestones, the epochs after which the rate falls")
	}
	return nil
}

// rate returns the factor of the base rate at a step, counted from 0, of a training of
// total steps with the given number in an epoch.
func (s Schedule) rate(step, total, perEpoch int) float64 {
	if step < s.Warmup {
		return float64(step+1) / float64(s.Warmup)
	}
	// Progress over what follows the warm-up, 0 at its first step and 1 at the last.
	at := 0.0
	if n := total - s.Warmup - 1; n > 0 {
		at = min(float64(step-s.Warmup)/float64(n), 1)
	}
	fall := func(x float64) float64 { return s.Floor + (1-s.Floor)*(1+math.Cos(math.Pi*x))/2 }
	switch s.Kind {
	case "step":
		factor, f := s.Factor, 1.0
		if factor == 0 {
			factor = 0.1
		}
		for _, m := range s.Milestones {
			if step >= m*perEpoch {
				f *= factor
			}
		}
		return f
	case "cosine": // Loshchilov and Hutter 2017, without restarts
		return fall(at)
	case "one-cycle": // Smith and Topin 2018; both halves follow a cosine, from 1/25
		peak := s.Peak
		if peak == 0 {
			peak = 0.3
		}
		if at < peak {
			const first = 1.0 / 25
			return first + (1-first)*(1-math.Cos(math.Pi*at/peak))/2
		}
		return fall((at - peak) / (1 - peak))
	}
	return 1
}
