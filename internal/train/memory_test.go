package train

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/autodiff"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// deep is a residual network of inverted bottlenecks for 3×16×16 images and four classes.
func deep(r *rand.Rand, blocks int) *graph.Graph {
	g := graph.New("deep")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 3, 16, 16))
	full := func(name string, v float32, n int) *graph.Value {
		return g.Constant(name, tensor.Of(slices.Repeat([]float32{v}, n), n))
	}
	unit := func(name string, x *graph.Value, in, out, kernel, group int) *graph.Value {
		pad := int64(kernel / 2)
		a := graph.Attrs{"pads": []int64{pad, pad, pad, pad}, "group": int64(group)}
		x = g.Add("Conv", name, a, x, g.Constant(name+".weight", random(r, 0.3, out, in/group, kernel, kernel)))
		return g.Add("BatchNormalization", name+"_bn", nil, x, full(name+".scale", 1, out), full(name+".shift", 0, out),
			full(name+".mean", 0, out), full(name+".var", 1, out))
	}
	lo, hi := g.Constant("zero", tensor.Scalar[float32](0)), g.Constant("six", tensor.Scalar[float32](6))
	relu6 := func(x *graph.Value) *graph.Value { return g.Add("Clip", "relu6", nil, x, lo, hi) }
	x = g.Add("Relu", "relu", nil, unit("stem", x, 3, 8, 3, 1))
	for range blocks {
		y := relu6(unit("expand", x, 8, 32, 1, 1))
		y = relu6(unit("depthwise", y, 32, 32, 3, 32))
		x = g.Add("Add", "residual", nil, x, unit("project", y, 32, 8, 1, 1))
	}
	x = g.Add("Flatten", "flat", nil, g.Add("GlobalAveragePool", "pool", nil, x))
	g.Output(g.Add("Gemm", "head", nil, x, g.Constant("head.weight", random(r, 0.3, 8, 4)), full("head.bias", 0, 4)))
	return g
}

// trained runs some steps of a plan of a program and returns the states it ends with. Where
// apart is set, new states are written to memory of their own before they are the old ones.
func trained(t *testing.T, p *Program, plan *engine.Plan, apart bool) []*tensor.Tensor {
	t.Helper()
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s := newStep(t, p, 0.05)
	old, made := s.in[p.Data+3:], s.out[1+p.Outputs:]
	if apart {
		for i := range made {
			made[i] = made[i].Clone()
		}
	}
	r := rand.New(rand.NewPCG(3, 4))
	shape, _ := p.Graph.Inputs[0].Type.Static()
	for k := range 3 {
		s.in[0], s.in[p.Data] = random(r, 1, shape...), tensor.New(tensor.Int64, shape[0])
		for i := range shape[0] {
			s.in[p.Data].SetInt(i, int64(r.IntN(4)))
		}
		s.in[p.Data+2].SetFloat(0, float64(k+1))
		if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
			t.Fatal(err)
		}
		for i := range made {
			copy(old[i].Bytes(), made[i].Bytes())
		}
	}
	return old
}

func same(t *testing.T, p *Program, what string, got, want []*tensor.Tensor) {
	t.Helper()
	for i := range want {
		if !slices.Equal(got[i].Bytes(), want[i].Bytes()) {
			t.Fatalf("%s: %s (%s) is another", what, p.States[i].Name, p.Graph.Name)
		}
	}
}

// TestRecomputationChangesNothing runs a step at every rung of its ladder, as it is built
// and with its states in place.
func TestRecomputationChangesNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p, err := NewProgram(deep(r, 4), Spec{Batch: 8, Loss: Loss{Kind: CrossEntropy, Smoothing: 0.1}, Average: 0.9,
		Optimizer: Optimizer{Kind: "sgd", Rate: 0.05, Momentum: 0.9, Decay: 1e-3}})
	if err != nil {
		t.Fatal(err)
	}
	o := engine.Options{Threads: 2, Recompute: true, States: len(p.States)}
	plan, err := engine.Compile(p.Graph, o)
	if err != nil {
		t.Fatal(err)
	}
	want := trained(t, p, plan, true)
	rungs := autodiff.NewTape(p.Graph, p.Graph.Outputs[0]).Ladder()
	if len(rungs) < 8 || rungs[0].MACs != 0 || rungs[len(rungs)-1].MACs == 0 {
		t.Fatalf("a ladder of %d rungs", len(rungs))
	}
	arena := plan.ArenaBytes()
	for _, n := range []int{0, 1, len(rungs) / 2, len(rungs)} {
		g, err := p.keeping(rungs[:n])
		if err != nil {
			t.Fatal(err)
		}
		if plan, err = engine.Compile(g, o); err != nil {
			t.Fatal(err)
		}
		same(t, p, "with recomputation", trained(t, p, plan, false), want)
	}
	if least := plan.ArenaBytes(); least > arena*6/10 {
		t.Errorf("the working memory fell from %d to %d bytes alone", arena, least)
	}
}

func TestABoundOfMemoryIsMetOrNamed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p, err := NewProgram(deep(r, 4), Spec{Batch: 8, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.05}})
	if err != nil {
		t.Fatal(err)
	}
	plan, free, err := p.compile(engine.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if free.MACs != 0 || free.Values == 0 || plan.ArenaBytes() >= free.Before {
		t.Errorf("without a bound: %+v", free)
	}
	room := plan.WeightBytes() + plan.ArenaBytes()*9/10
	plan, r2, err := p.compile(engine.Options{}, room)
	if err != nil {
		t.Fatal(err)
	}
	if stepBytes(plan) > room || r2.MACs == 0 || r2.Values <= free.Values {
		t.Errorf("%d bytes for a bound of %d: %+v", plan.ArenaBytes(), room, r2)
	}
	var little *roomError
	if _, _, err := p.compile(engine.Options{}, 1000); !errors.As(err, &little) {
		t.Fatalf("a bound that cannot be met gives %v", err)
	}
	if plan, _, err = p.compile(engine.Options{}, little.least); err != nil || stepBytes(plan) != little.least {
		t.Errorf("in the least room there is: %v", err)
	}
}

// TestTheLeastMemoryIsEnough takes a refusal at its word.
func TestTheLeastMemoryIsEnough(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	teacher := deep(r, 6)
	cfg := Config{Epochs: 1, Threads: 1, Spec: Spec{Batch: 8, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: 0.05}, RAM: 1e6}}
	cfg.Spec.Distill = &Distillation{Teacher: teacher, Hard: 1, Lessons: []Lesson{{Kind: KD, Weight: 1, Temperature: 2}}}
	_, err := New(deep(r, 2), cfg)
	if !errors.Is(err, ErrMemory) {
		t.Fatalf("1 MB gives %v", err)
	}
	var least int
	_, said, _ := strings.Cut(err.Error(), "hint: it takes ")
	if n, _ := fmt.Sscanf(said, "%d MB at least", &least); n != 1 {
		t.Fatalf("%v does not name the least", err)
	}
	cfg.Spec.RAM = least * 1e6
	trainer, err := New(deep(r, 2), cfg)
	if err != nil {
		t.Fatalf("with %d MB: %v", least, err)
	}
	m, taught := trainer.Memory(), 0
	for _, v := range teacher.Constants() {
		taught += v.Const.SizeBytes()
	}
	if m.Total() > cfg.Spec.RAM || m.Weights < taught {
		t.Errorf("%s, for a bound of %d MB and a teacher of %d bytes", m, least, taught)
	}
	cfg.Spec.RAM -= 2e6
	if _, err := New(deep(r, 2), cfg); !errors.Is(err, ErrMemory) {
		t.Errorf("2 MB less than the least: %v", err)
	}
}

// TestAStepAllocatesNoTensors: what a step needs is in its plan. Ends of a loss alone may be
// computed by the reference, on a row for each sample.
func TestAStepAllocatesNoTensors(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, kind := range []string{"sgd", "adam"} {
		p, err := NewProgram(deep(r, 2), Spec{Batch: 8, Loss: Loss{Kind: CrossEntropy, Smoothing: 0.1}, Average: 0.9, Optimizer: Optimizer{Kind: kind, Rate: 0.01}})
		if err != nil {
			t.Fatal(err)
		}
		plan, _, err := p.compile(engine.Options{Threads: 2}, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range plan.Steps() {
			if st.Fallback && !strings.HasPrefix(st.Name, "loss/") {
				t.Errorf("step %s %s is computed by the reference: %s", st.Name, st.Op, st.Reason)
			}
		}
		session, err := plan.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		s := newStep(t, p, 0.01)
		s.in[0], s.in[p.Data] = random(r, 1, 8, 3, 16, 16), tensor.New(tensor.Int64, 8)
		s.in[p.Data+2].SetFloat(0, 1)
		run := func() {
			if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
				t.Fatal(err)
			}
		}
		early := testing.AllocsPerRun(20, run)
		if late := testing.AllocsPerRun(20, run); late != early || early > 250 {
			t.Errorf("%s: %v allocations in a step, %v later", kind, early, late)
		}
	}
}

// TestNothingGrows compares what an early and a late epoch allocate and leave.
func TestNothingGrows(t *testing.T) {
	cfg := config()
	cfg.Evaluate, cfg.Epochs, cfg.Threads = nil, 24, 2
	var total, live []uint64
	cfg.Progress = func(e Event) {
		if e.Finished {
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			total, live = append(total, m.TotalAlloc), append(live, m.HeapAlloc)
		}
	}
	trainer, err := New(network(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.Run(context.Background(), newImages(200)); err != nil {
		t.Fatal(err)
	}
	early, late := total[11]-total[3], total[23]-total[15]
	if late > early+early/10 {
		t.Errorf("eight epochs allocate %d bytes, later ones %d", early, late)
	}
	if live[23] > live[3]+100<<10 {
		t.Errorf("%d bytes live after 4 epochs, %d after 24", live[3], live[23])
	}
}
