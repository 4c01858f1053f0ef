package conformance

import (
	"bytes"
	"context"
	"math"
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
			sameBytes(t, "2 threads", tensors(t, two, inputs), want)
			noAllocations(t, two, inputs)
			if testing.Short() {
				return
			}
			for _, level := range cpu.Levels() {
				if level == best.Level() || level == cpu.Generic && macs(best) > 200e6 {
					continue
				}
				p := plan(t, g, inputs, engine.Options{Level: level, Portable: true})
				sameOutputs(t, level.String(), g, best, tensors(t, p, inputs), want)
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

// sameBytes holds outputs against others to the bit: what a run gives does not depend on
// how many threads share it.
func sameBytes(t *testing.T, name string, got, want []*tensor.Tensor) {
	t.Helper()
	for i := range want {
		if !bytes.Equal(got[i].Bytes(), want[i].Bytes()) {
			t.Errorf("%s: output %d is not the same", name, i)
		}
	}
}

// sameOutputs holds outputs against those of the best level: integers and what a network
// of integers gives to the bit, floats to the tolerance.
//
// A network of floats whose results become integers at the end is an exception: a float
// beside the middle of two steps falls to one side or the other by the order of its sums.
// Such outputs may leave the tolerance by one step of their scale in a few places.
func sameOutputs(t *testing.T, name string, g *graph.Graph, p *engine.Plan, got, want []*tensor.Tensor) {
	t.Helper()
	tol, quantizes := levelTol, false
	if integerNetwork(p) {
		tol = 1e-6 // a softmax may follow
	} else {
		quantizes = slices.ContainsFunc(p.Steps(), func(st engine.StepInfo) bool { return st.Op == "QuantizeLinear" })
	}
	for i, o := range p.Outputs() {
		if !want[i].DType().IsFloat() {
			if !bytes.Equal(got[i].Bytes(), want[i].Bytes()) {
				t.Errorf("%s: output %s is not the same", name, o.Name)
			}
			continue
		}
		if step := quantum(g.Outputs[i]); quantizes && step > 0 {
			sameButTies(t, name+": output "+o.Name, got[i], want[i], step)
			continue
		}
		if err := near(got[i], want[i], tol, 0); err != nil {
			t.Errorf("%s: output %s: %v", name, o.Name, err)
		}
		if d := relative(got[i], want[i]); d > 1e-5 {
			t.Logf("%s: output %s is off by %.2g of its largest magnitude", name, o.Name, d)
		}
	}
}

// quantum returns the step between the values of an output that is a quantized tensor made
// float and then at most moved, and 0 for any other.
func quantum(v *graph.Value) float64 {
	for v.Def != nil {
		switch v.Def.Op {
		case "DequantizeLinear":
			if scale := v.Def.Inputs[1].Const; scale != nil && scale.Len() == 1 && scale.DType() == tensor.Float32 {
				return float64(tensor.Data[float32](scale)[0])
			}
			return 0
		case "Transpose", "Reshape", "Squeeze", "Unsqueeze":
			v = v.Def.Inputs[0]
		default:
			return 0
		}
	}
	return 0
}

// sameButTies holds a tensor of whole steps against another: one element of a thousand may
// be one step away.
func sameButTies(t *testing.T, what string, got, want *tensor.Tensor, step float64) {
	t.Helper()
	x, y, other := tensor.Data[float32](got), tensor.Data[float32](want), 0
	for i := range y {
		d := math.Abs(float64(x[i]) - float64(y[i]))
		if !(d <= 1.001*step) {
			t.Errorf("%s: element %d is %g, want %g within a step of %g", what, i, x[i], y[i], step)
			return
		}
		if d > 0.001*step {
			other++
		}
	}
	if other > 1+len(y)/1000 {
		t.Errorf("%s: %d of %d elements are a step away", what, other, len(y))
	}
	if other > 0 {
		t.Logf("%s: %d of %d elements are a step of %g away", what, other, len(y), step)
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
