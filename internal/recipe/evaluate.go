package recipe

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Score is how a network does on samples, one at a time, as it does where it is deployed.
type Score struct {
	Samples   int      `json:"samples"`
	Accuracy  *float64 `json:"accuracy,omitempty"` // share of samples whose class is decided right
	RMSE      *float64 `json:"rmse,omitempty"`     // of outputs against targets
	MAE       *float64 `json:"mae,omitempty"`
	Confusion [][]int  `json:"confusion,omitempty"` // [true class][decision], where classes are few

	errors []float64 // of outputs against targets, the mean square of each sample
}

// metrics returns the figures of a score by name.
func (s *Score) metrics(part string) map[string]float64 {
	m := map[string]float64{}
	for name, v := range map[string]*float64{"accuracy": s.Accuracy, "rmse": s.RMSE, "mae": s.MAE} {
		if v != nil {
			m[part+"_"+name] = *v
		}
	}
	return m
}

// maxConfusion is the greatest number of classes whose confusion is kept.
const maxConfusion = 100

// evaluate judges a network by its first output on all samples, over several threads that
// each run it by itself: the figures do not depend on their number.
func evaluate(ctx context.Context, g *graph.Graph, s *samples, threads int, done func(int)) (*Score, error) {
	options := engine.Options{Threads: 1}
	if shape, ok := g.Inputs[0].Type.Static(); !ok || len(shape) == 0 {
		options.Shapes = map[string][]int{g.Inputs[0].Name: s.pre.Shape}
	}
	plan, err := engine.Compile(g, options)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	n := s.Len()
	e := &evaluation{samples: s, decisions: make([]int, n), squares: make([]float64, n), absolutes: make([]float64, n), done: done}
	var wg sync.WaitGroup
	for range min(threads, s.Len()) {
		wg.Go(func() {
			if err := e.work(ctx, plan); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return e.score(), nil
}

// evaluation is what its workers share.
type evaluation struct {
	samples   *samples
	decisions []int     // by sample
	squares   []float64 // by sample: sums over the values of an output
	absolutes []float64
	next      atomic.Int64
	size      atomic.Int64 // of an output

	mu       sync.Mutex
	finished int
	done     func(int)
}

func (e *evaluation) work(ctx context.Context, plan *engine.Plan) error {
	session, err := plan.NewSession()
	if err != nil {
		return err
	}
	defer session.Close()
	x := tensor.New(tensor.Float32, e.samples.pre.Shape...)
	var outs []*tensor.Tensor
	for _, o := range plan.Outputs() {
		if o.Shape == nil {
			return fmt.Errorf("the shape of output %s is not known", o.Name)
		}
		outs = append(outs, tensor.New(o.Type.DType, o.Shape...))
	}
	e.size.Store(int64(outs[0].Len()))
	for {
		i := int(e.next.Add(1)) - 1
		if i >= e.samples.Len() || ctx.Err() != nil {
			return nil
		}
		if err := e.samples.fill(x, i); err != nil {
			return err
		}
		if err := session.RunInto(ctx, []*tensor.Tensor{x}, outs); err != nil {
			return fmt.Errorf("sample %d: %w", i, err)
		}
		if err := e.judge(i, x, outs[0]); err != nil {
			return err
		}
		e.mu.Lock()
		e.finished++
		if e.done != nil {
			e.done(e.finished)
		}
		e.mu.Unlock()
	}
}

// judge notes how output y of sample i does; x is its input.
func (e *evaluation) judge(i int, x, y *tensor.Tensor) error {
	if !e.samples.data.HasTargets() {
		e.decisions[i] = decide(y)
		return nil
	}
	want := e.samples.target(i)
	if e.samples.data.TargetIsInput() {
		want = x.F32()
	}
	if len(want) != y.Len() {
		return fmt.Errorf("sample %d has a target of %d values, the network gives %d", i, len(want), y.Len())
	}
	for k, w := range want {
		d := y.Float(k) - float64(w)
		e.squares[i] += d * d
		e.absolutes[i] += math.Abs(d)
	}
	return nil
}

// decide returns the class of the largest score, for one score whether it is above a half;
// -1 where one is not a number.
func decide(y *tensor.Tensor) int {
	best := 0
	for i := range y.Len() {
		v := y.Float(i)
		switch {
		case math.IsNaN(v):
			return -1
		case y.Len() == 1 && v > 0.5:
			return 1
		case v > y.Float(best):
			best = i
		}
	}
	return best
}

func (e *evaluation) score() *Score {
	n := e.samples.Len()
	s := &Score{Samples: n}
	if e.samples.data.HasTargets() {
		// Sums are taken in the order of the samples, whoever was done first.
		var squares, absolutes float64
		for i := range n {
			squares, absolutes = squares+e.squares[i], absolutes+e.absolutes[i]
		}
		s.errors = make([]float64, n)
		for i := range n {
			s.errors[i] = e.squares[i] / float64(e.size.Load())
		}
		values := float64(n) * float64(e.size.Load())
		rmse, mae := math.Sqrt(squares/values), absolutes/values
		s.RMSE, s.MAE = &rmse, &mae
		return s
	}
	classes := max(int(e.size.Load()), 2)
	if classes <= maxConfusion {
		s.Confusion = make([][]int, classes)
		for i := range s.Confusion {
			s.Confusion[i] = make([]int, classes)
		}
	}
	right := 0
	for i, d := range e.decisions {
		want := e.samples.label(i)
		if d == want {
			right++
		}
		if s.Confusion != nil && d >= 0 && want >= 0 && want < classes {
			s.Confusion[want][d]++
		}
	}
	accuracy := float64(right) / float64(n)
	s.Accuracy = &accuracy
	return s
}
