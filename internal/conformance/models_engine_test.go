package conformance

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// levelTol is the difference allowed between instruction sets, relative to the largest
// magnitude of an output: sums in another order, nothing else.
const levelTol = 1e-4

// outputStep is what an output of a float network may differ by where the network ends on a
// grid of 8 bits: one step of it, which a value between two of them takes or does not.
func outputStep(file string) float64 {
	if file == "yolox_nano_int8_quantize.tflite" {
		return 1.01 / 256
	}
	return 0
}

// TestModelsOnEveryLevel runs every real model with the kernels of each instruction set
// that this machine has, on one and two threads, and from two sessions at once. Integer
// outputs are the same bytes everywhere. Large models leave the portable kernels out.
func TestModelsOnEveryLevel(t *testing.T) {
	refused := 0
	files := modelFiles(t, "*")
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if _, err := tflite.Read(path); strings.HasSuffix(path, ".tflite") && err != nil {
				refused++
				t.Skipf("refused: %v", err)
			}
			g := readModel(t, path)
			run := modelRuns(t, path, g)[0]
			inputs := firstInputs(g, run)
			best := plan(t, g, inputs, engine.Options{})
			want := tensors(t, best, inputs)
			logFallbacks(t, best, inputs)
			runTogether(t, best, inputs, want)
			noAllocations(t, best, inputs)

			two := plan(t, g, inputs, engine.Options{Threads: 2})
			sameOutputs(t, "2 threads", best, tensors(t, two, inputs), want, 0)
			noAllocations(t, two, inputs)
			if testing.Short() {
				return
			}
			for _, level := range cpu.Levels() {
				if level == best.Level() || level == cpu.Generic && macs(best) > 200e6 {
					continue
				}
				p := plan(t, g, inputs, engine.Options{Level: level, Portable: true})
				sameOutputs(t, level.String(), best, tensors(t, p, inputs), want, outputStep(filepath.Base(path)))
			}
		})
	}
	if refused > 1 { // the one with variables
		t.Errorf("%d of %d models are refused", refused, len(files))
	}
}

// firstInputs returns the inputs of the first step of a run, in the graph's order.
func firstInputs(g *graph.Graph, run modelRun) []op.Value {
	in := map[string]*tensor.Tensor{}
	for name, x := range run.steps[0] {
		in[name] = x
	}
	for name := range run.state {
		in[name] = firstState(g, name)
	}
	values, _ := inOrder(g, in)
	return values
}

func plan(t testing.TB, g *graph.Graph, inputs []op.Value, o engine.Options) *engine.Plan {
	t.Helper()
	o.Shapes = map[string][]int{}
	for i, v := range g.Inputs {
		o.Shapes[v.Name] = inputs[i].(*tensor.Tensor).Shape()
	}
	p, err := engine.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tensors runs a plan once in a session of its own.
func tensors(t testing.TB, p *engine.Plan, inputs []op.Value) []*tensor.Tensor {
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	values, err := s.Run(context.Background(), inputs)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]*tensor.Tensor, len(values))
	for i, v := range values {
		out[i] = v.(*tensor.Tensor)
	}
	return out
}

func macs(p *engine.Plan) int64 {
	var n int64
	for _, st := range p.Steps() {
		n += st.MACs
	}
	return n
}

// integerNetwork reports whether all weighty products of a graph are of integers.
func integerNetwork(p *engine.Plan) bool {
	for _, st := range p.Steps() {
		if st.MACs > 0 && strings.Contains(st.Kernel, "f32") && !strings.Contains(st.Kernel, "softmax") {
			return false
		}
	}
	return true
}

// sameOutputs holds outputs against those of the best level: integers and what a network
// of integers gives to the bit, floats to the tolerance.
func sameOutputs(t *testing.T, name string, p *engine.Plan, got, want []*tensor.Tensor, step float64) {
	t.Helper()
	tol := levelTol
	if integerNetwork(p) {
		tol = 1e-6 // a softmax may follow
	}
	for i, o := range p.Outputs() {
		if !want[i].DType().IsFloat() {
			if !bytes.Equal(got[i].Bytes(), want[i].Bytes()) {
				t.Errorf("%s: output %s is not the same", name, o.Name)
			}
			continue
		}
		if err := near(got[i], want[i], tol+step, 0); err != nil {
			t.Errorf("%s: output %s: %v", name, o.Name, err)
		}
		if d := relative(got[i], want[i]); d > 1e-5 {
			t.Logf("%s: output %s is off by %.2g of its largest magnitude", name, o.Name, d)
		}
	}
}

// runTogether runs sessions of one plan at the same time, which must all give want.
func runTogether(t *testing.T, p *engine.Plan, inputs []op.Value, want []*tensor.Tensor) {
	t.Helper()
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			s, err := p.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for range 2 {
				got, err := s.Run(context.Background(), inputs)
				if err != nil {
					t.Error(err)
					return
				}
				for i, v := range got {
					if !bytes.Equal(v.(*tensor.Tensor).Bytes(), want[i].Bytes()) {
						t.Errorf("%d threads: a session beside others gives another output %d", p.Threads(), i)
					}
				}
			}
		})
	}
	wg.Wait()
}

// noAllocations holds RunInto to its word, where no step is computed by the reference.
func noAllocations(t *testing.T, p *engine.Plan, inputs []op.Value) {
	t.Helper()
	if slices.ContainsFunc(p.Steps(), func(st engine.StepInfo) bool { return st.Fallback }) {
		return
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var in, out []*tensor.Tensor
	for _, v := range inputs {
		in = append(in, v.(*tensor.Tensor))
	}
	for _, o := range p.Outputs() {
		if o.Shape == nil {
			return
		}
		out = append(out, tensor.New(o.Type.DType, o.Shape...))
	}
	ctx := context.Background()
	if n := testing.AllocsPerRun(1, func() {
		if err := s.RunInto(ctx, in, out); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%d threads: RunInto allocates %v times", p.Threads(), n)
	}
}

// logFallbacks says which steps have no kernel, why, and what they cost.
func logFallbacks(t *testing.T, p *engine.Plan, inputs []op.Value) {
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var least []engine.StepTime
	for range 3 {
		times, err := s.Profile(context.Background(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		if least == nil {
			least = times
		}
		for i, st := range times {
			least[i].Duration = min(least[i].Duration, st.Duration)
		}
	}
	var total, slow time.Duration
	for _, st := range least {
		total += st.Duration
		if st.Fallback {
			slow += st.Duration
			t.Logf("without a kernel: %s %s, %v: %s", st.Op, st.Name, st.Duration, st.Reason)
		}
	}
	t.Logf("%d steps, %v, %.1f %% of it without kernels; integers only: %v", len(least), total, 100*float64(slow)/float64(total), integerNetwork(p))
}
