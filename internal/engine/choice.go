package engine

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/kernel"
)

// chooser is a prepared operator that can be computed with one of several micro-kernels.
type chooser interface {
	Candidates() []string
	Why() string
}

// WhyTuned is StepInfo.Why of a step whose kernel Options.Choices names.
const WhyTuned = "tuned"

// why returns the candidates of a step, and for what reason it has its kernel.
func (p *Plan) why(st *step) (candidates []string, why string) {
	switch {
	case st.fallback:
		return nil, ""
	case st.kernels == nil:
		return nil, "only one"
	}
	if candidates = st.kernels.Candidates(); len(candidates) < 2 {
		candidates = nil
	}
	if p.choices[st.name] != "" {
		return candidates, WhyTuned
	}
	return candidates, st.kernels.Why()
}

// choice returns the kernel that is chosen for the step of a group.
func (l *lowerer) choice(g *group) kernel.Option {
	name := g.last().Label()
	c, ok := l.choices[name]
	if ok {
		if l.chosen == nil {
			l.chosen = map[string]bool{}
		}
		l.chosen[name] = true
	}
	return kernel.Choice(c)
}

// refusal returns why a constructor fails. A choice that cannot be had must not become a
// reference step: compiling fails by it.
func (l *lowerer) refusal(g *group, err error) (reason string) {
	if errors.Is(err, kernel.ErrChoice) && l.refused == nil {
		l.refused = fmt.Errorf("step %s: %w", g.last().Label(), err)
	}
	return err.Error()
}

// unchosen returns the error of choices that were refused or are for no step.
func (l *lowerer) unchosen() error {
	if l.refused != nil {
		return l.refused
	}
	for _, name := range slices.Sorted(maps.Keys(l.choices)) {
		if !l.chosen[name] {
			return fmt.Errorf("%w: no step %q has a choice", kernel.ErrChoice, name)
		}
	}
	return nil
}
