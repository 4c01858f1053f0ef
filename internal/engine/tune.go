package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// TuneOptions say how long Tune may take.
type TuneOptions struct {
	Budget   time.Duration                // for everything but a compilation that is going on
	Progress func(round, rounds int)      // called as rounds begin and end; may be nil
	clock    func(st *step) time.Duration // stands for a step's time in tests
}

// Tuning is what Tune found.
type Tuning struct {
	Choices map[string]string // for Options.Choices; empty where nothing is gained
	Steps   []TunedStep       // with several candidates, in the order of the program
	Rounds  int               // candidates of one step, at most
	Done    int               // rounds that were measured

	// The sum of the least times of all steps with the kernels that lowering takes and with
	// those chosen, runs taking turns. Both are 0 where no step was faster.
	Before, After time.Duration
}

// TunedStep is a step with several candidates. Times are the least of several runs that
// take turns, 0 where the step was not measured.
type TunedStep struct {
	Name, Op      string
	Kernel        string // that lowering takes
	Best          string // the fastest, which may be Kernel
	Before, After time.Duration
}

// What Tune asks for before it prefers a candidate: leastPairs runs of either, a part of
// a step's time that exceeds what is left of noise in minima, and a part of a whole run's.
const (
	leastPairs = 5
	mostPairs  = 300
	stepGain   = 0.03
	wholeGain  = 0.005

	verifyShare = 0.25            // of the budget
	verifyAfter = 1 * time.Second // once the caller has asked to stop
)

// Tune measures the candidates of every step on this machine. In each round it compiles a
// second plan in which each step has the next of its candidates, and lets the two plans
// take turns: so every candidate runs on its own data, among the steps around it. What
// was faster is compiled together in the end, and kept only if the whole run gained.
//
// A done ctx ends the rounds, and what was found by then is compared. Choices of o are not
// looked at.
func Tune(ctx context.Context, g *graph.Graph, o Options, inputs []op.Value, t TuneOptions) (*Tuning, error) {
	end := time.Now().Add(t.Budget)
	o.Choices = nil
	base, err := Compile(g, o)
	if err != nil {
		return nil, err
	}
	s, err := base.NewSession()
	if err != nil {
		return nil, err
	}
	defer s.Close()
	r := &tuner{graph: g, options: o, inputs: inputs, base: s, settings: t, ratio: map[string]float64{}}
	r.collect()
	out := &Tuning{Rounds: r.rounds}
	rounds := end.Add(-time.Duration(verifyShare * float64(t.Budget)))
	for i := range r.rounds {
		if ctx.Err() != nil || time.Until(rounds) <= 0 {
			break
		}
		r.progress(i)
		slice := time.Until(rounds) / time.Duration(r.rounds-i)
		done, err := r.round(ctx, i, time.Now().Add(slice), rounds)
		if err != nil {
			return nil, err
		}
		if done {
			out.Done++
		}
	}
	r.progress(r.rounds)
	if ctx.Err() != nil {
		end = time.Now().Add(verifyAfter)
	}
	if err := r.verify(context.WithoutCancel(ctx), end, out); err != nil {
		return nil, err
	}
	out.Steps = r.steps
	return out, nil
}

type tuner struct {
	graph      *graph.Graph
	options    Options
	inputs     []op.Value
	settings   TuneOptions
	base       *Session
	steps      []TunedStep
	index      []int      // of each in the program
	candidates [][]string // of each
	rounds     int
	ratio      map[string]float64 // of the best candidate's time to that of the first, by step
}

func (r *tuner) progress(round int) {
	if r.settings.Progress != nil {
		r.settings.Progress(round, r.rounds)
	}
}

// collect finds the steps with candidates. Choices go by name, so a name must be that of
// one step.
func (r *tuner) collect() {
	infos := r.base.plan.Steps()
	count := map[string]int{}
	for _, st := range infos {
		if st.Candidates != nil {
			count[st.Name]++
		}
	}
	for i, st := range infos {
		if n := len(st.Candidates); n > 1 && count[st.Name] == 1 {
			r.steps = append(r.steps, TunedStep{Name: st.Name, Op: st.Op, Kernel: st.Candidates[0], Best: st.Candidates[0]})
			r.index, r.candidates = append(r.index, i), append(r.candidates, st.Candidates)
			r.rounds = max(r.rounds, n-1)
		}
	}
}

// plan compiles with choices. The program is the same but for the kernels.
func (r *tuner) plan(choices map[string]string) (*Session, error) {
	o := r.options
	o.Choices = choices
	p, err := Compile(r.graph, o)
	if err != nil {
		return nil, err
	}
	if !slices.EqualFunc(p.steps, r.base.plan.steps, func(a, b *step) bool { return a.name == b.name && a.op == b.op }) {
		return nil, errors.New("tune: other kernels make another program")
	}
	return p.NewSession()
}

// round measures candidate i+1 of each step that has one until end, or, where that is not
// long enough, until last. It reports whether it was.
func (r *tuner) round(ctx context.Context, i int, end, last time.Time) (done bool, err error) {
	choices := map[string]string{}
	for k, st := range r.steps {
		if names := r.candidates[k]; i+1 < len(names) {
			choices[st.Name] = names[i+1]
		}
	}
	other, err := r.plan(choices)
	if err != nil {
		return false, err
	}
	defer other.Close()
	least, pairs, err := r.turns(ctx, other, end, last)
	if err != nil || pairs < leastPairs {
		return false, err
	}
	for k := range r.steps {
		st := &r.steps[k]
		name, ok := choices[st.Name]
		if !ok {
			continue
		}
		before, after := least[0][r.index[k]], least[1][r.index[k]]
		ratio := float64(after) / float64(max(before, 1))
		if best, ok := r.ratio[st.Name]; st.Before == 0 || ok && ratio < best || !ok && ratio < 1-stepGain {
			st.Before, st.After = before, before
			if ratio < 1-stepGain {
				st.After, st.Best, r.ratio[st.Name] = after, name, ratio
			}
		}
	}
	return true, nil
}

// turns runs the base and another session in turn, once for warmth and then leastPairs
// times, and on until end, but not beyond last. It returns the least time of each step.
func (r *tuner) turns(ctx context.Context, other *Session, end, last time.Time) (least [2][]time.Duration, pairs int, err error) {
	for n := 0; n <= mostPairs; n++ {
		var times [2][]time.Duration
		for which, s := range []*Session{r.base, other} {
			if _, times[which], err = s.runValues(ctx, r.inputs, true); err != nil {
				if ctx.Err() != nil {
					return least, max(n-1, 0), nil
				}
				return least, 0, fmt.Errorf("tune: %w", err)
			}
			if clock := r.settings.clock; clock != nil {
				for i, st := range s.plan.steps {
					times[which][i] = clock(st)
				}
			}
		}
		for which, t := range times {
			switch n {
			case 0:
			case 1:
				least[which] = t
			default:
				for i, d := range t {
					least[which][i] = min(least[which][i], d)
				}
			}
		}
		if now := time.Now(); n >= leastPairs && now.After(end) || n > 0 && now.After(last) || ctx.Err() != nil {
			return least, n, nil
		}
	}
	return least, mostPairs, nil
}

// verify compares whole runs with and without the candidates that were faster.
func (r *tuner) verify(ctx context.Context, end time.Time, out *Tuning) error {
	choices := map[string]string{}
	for _, st := range r.steps {
		if st.Best != st.Kernel {
			choices[st.Name] = st.Best
		}
	}
	if len(choices) == 0 {
		return nil
	}
	other, err := r.plan(choices)
	if err != nil {
		return err
	}
	defer other.Close()
	least, _, err := r.turns(ctx, other, end, end)
	if err != nil {
		return err
	}
	for i := range least[0] {
		out.Before += least[0][i]
		out.After += least[1][i]
	}
	if float64(out.After) < (1-wholeGain)*float64(out.Before) {
		out.Choices = choices
	}
	return nil
}
