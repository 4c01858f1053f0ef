package optimize

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/tensor"
)

// cacheBytes bounds the prepared samples that a feed keeps; the rest is read again.
const cacheBytes = 192 << 20

// feed hands out prepared samples, by several goroutines at once.
type feed struct {
	data  *dataset.Dataset
	pre   dataset.Preprocess
	input string

	cache []atomic.Pointer[tensor.Tensor]
	held  atomic.Int64
}

func newFeed(d *dataset.Dataset, p dataset.Preprocess, input string) *feed {
	return &feed{data: d, pre: p, input: input, cache: make([]atomic.Pointer[tensor.Tensor], d.Len())}
}

func (f *feed) len() int { return f.data.Len() }

func (f *feed) get(i int) (*tensor.Tensor, error) {
	if t := f.cache[i].Load(); t != nil {
		return t, nil
	}
	t, err := f.data.Sample(i, f.pre)
	if err != nil {
		return nil, err
	}
	if n := int64(t.SizeBytes()); f.held.Add(n) <= cacheBytes {
		f.cache[i].Store(t)
	} else {
		f.held.Add(-n)
	}
	return t, nil
}

// label returns the model's class of sample i.
func (f *feed) label(i int) int { return f.data.Label(i) + f.pre.LabelOffset }

// samples yields samples lo to hi in the form that package quant takes.
func (f *feed) samples(lo, hi int) quant.Samples {
	return func(yield func(map[string]*tensor.Tensor, error) bool) {
		for i := lo; i < min(hi, f.len()); i++ {
			t, err := f.get(i)
			if !yield(map[string]*tensor.Tensor{f.input: t}, err) || err != nil {
				return
			}
		}
	}
}

// score is what an evaluation finds.
type score struct {
	samples   int
	accuracy  float64 // 0..1 by the task's metric
	agreement float64 // share of samples decided as the original decides; NaN where it is not known
	decisions []int32
	correct   []bool  // by sample: decided right, which without labels means as the original does; nil without classes
	confusion [][]int // [true class][decision], nil above maxConfusion classes
}

// maxConfusion is the greatest number of classes whose confusion is kept.
const maxConfusion = 20

// compile plans g for one sample.
func compile(g *graph.Graph, input string, shape []int, threads int) (*engine.Plan, error) {
	o := engine.Options{Threads: threads}
	if s, ok := g.Inputs[0].Type.Static(); !ok || len(s) == 0 {
		o.Shapes = map[string][]int{input: shape}
	}
	return engine.Compile(g, o)
}

// evaluate runs every sample of f through g, spread over the cores, and scores it.
// original is the score of the model as given, nil while that itself is evaluated;
// reference is its graph, for metrics without classes.
func evaluate(ctx context.Context, t *task, g, reference *graph.Graph, f *feed, original *score, done func(int)) (*score, error) {
	plan, err := compile(g, f.input, f.pre.Shape, 1)
	if err != nil {
		return nil, err
	}
	var ref *engine.Plan
	if t.metric == metricFidelity && reference != nil {
		if ref, err = compile(reference, f.input, f.pre.Shape, 1); err != nil {
			return nil, err
		}
	}
	n := f.len()
	out := &score{samples: n, decisions: make([]int32, n)}
	var next, finished atomic.Int64
	var mu sync.Mutex // guards first, signal, noise and done
	var first error
	signal, noise := make([]float64, n), make([]float64, n)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		cancel()
	}
	var wg sync.WaitGroup
	for range min(cpu.Cores(), n) {
		wg.Go(func() {
			s, err := plan.NewSession()
			if err != nil {
				fail(err)
				return
			}
			defer s.Close()
			var r *engine.Session
			if ref != nil {
				if r, err = ref.NewSession(); err != nil {
					fail(err)
					return
				}
				defer r.Close()
			}
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				y, err := f.run(ctx, s, i, t.output)
				if err != nil {
					fail(err)
					return
				}
				if t.classes > 0 {
					out.decisions[i] = int32(decide(y))
				}
				if r != nil {
					want, err := f.run(ctx, r, i, t.output)
					if err != nil {
						fail(err)
						return
					}
					signal[i], noise[i] = power(want, y)
				}
				k := int(finished.Add(1))
				if done != nil {
					mu.Lock()
					done(k)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if first == nil {
		first = context.Cause(ctx)
	}
	if first != nil {
		return nil, first
	}
	out.judge(t, f, original)
	if ref != nil {
		var sg, ns float64
		for i := range n {
			sg, ns = sg+signal[i], ns+noise[i]
		}
		out.accuracy = fidelity(sg, ns)
	}
	return out, nil
}

// fidelity is 1 less the relative RMS error, not below 0.
func fidelity(signal, noise float64) float64 {
	switch {
	case noise == 0:
		return 1
	case signal == 0 || noise != noise:
		return 0
	}
	return max(0, 1-math.Sqrt(noise/signal))
}

// power returns the sums of the squares of want and of its difference from got.
func power(want, got *tensor.Tensor) (signal, noise float64) {
	if want.Len() != got.Len() {
		return 0, math.NaN()
	}
	for i := range want.Len() {
		a := want.Float(i)
		d := a - got.Float(i)
		signal, noise = signal+a*a, noise+d*d
	}
	return signal, noise
}

// run returns one output for sample i.
func (f *feed) run(ctx context.Context, s *engine.Session, i, output int) (*tensor.Tensor, error) {
	x, err := f.get(i)
	if err != nil {
		return nil, err
	}
	out, err := s.Run(ctx, []op.Value{x})
	if err != nil {
		return nil, fmt.Errorf("sample %d: %w", i, err)
	}
	y, ok := out[output].(*tensor.Tensor)
	if !ok {
		return nil, fmt.Errorf("output %s is a %T, not a tensor", s.Plan().Outputs()[output].Name, out[output])
	}
	return y, nil
}

// differs counts the samples that only the original, and that only s decides right.
func (s *score) differs(original *score) (lost, won int) {
	for i, right := range s.correct {
		switch {
		case original.correct[i] && !right:
			lost++
		case right && !original.correct[i]:
			won++
		}
	}
	return lost, won
}

// judge counts the decisions.
func (s *score) judge(t *task, f *feed, original *score) {
	s.agreement = math.NaN()
	if t.classes == 0 {
		s.accuracy = 1
		return
	}
	n := s.samples
	s.correct = make([]bool, n)
	if original == nil {
		s.agreement = 1
		for i := range s.correct {
			s.correct[i] = true
		}
	} else {
		same := 0
		for i, d := range s.decisions {
			if d == original.decisions[i] && d >= 0 {
				same++
				s.correct[i] = true
			}
		}
		s.agreement = float64(same) / float64(n)
	}
	if t.metric == metricAgreement {
		s.accuracy = s.agreement
		return
	}
	classes := max(t.classes, 2)
	if classes <= maxConfusion {
		s.confusion = make([][]int, classes)
		for i := range s.confusion {
			s.confusion[i] = make([]int, classes)
		}
	}
	correct := 0
	for i, d := range s.decisions {
		want := f.label(i)
		if s.correct[i] = int(d) == want; s.correct[i] {
			correct++
		}
		if s.confusion != nil && d >= 0 && want >= 0 && want < classes {
			s.confusion[want][d]++
		}
	}
	s.accuracy = float64(correct) / float64(n)
}
