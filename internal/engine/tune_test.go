package engine

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// choosable is a network with a dense 3×3 window, a depthwise one and a matrix product.
func choosable() *graph.Graph {
	g := graph.New("choosable")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 32, 14, 13))
	pads := []int64{1, 1, 1, 1}
	y := g.Add("Relu", "dense", nil, g.Add("Conv", "conv", graph.Attrs{"pads": pads}, x, g.Constant("w", random(1, 32, 32, 3, 3)), g.Constant("b", random(2, 32))))
	y = g.Add("Conv", "deep", graph.Attrs{"pads": pads, "group": int64(32)}, y, g.Constant("dw", random(3, 32, 1, 3, 3)))
	y = g.Add("Flatten", "flat", nil, g.Add("GlobalAveragePool", "mean", nil, y))
	g.Output(g.Add("MatMul", "logits", nil, y, g.Constant("fc", random(4, 32, 40))))
	return g
}

// Every candidate of every step runs, is what it says, and computes the same: bytes equal,
// floats closely.
func TestChoices(t *testing.T) {
	in := random(5, 1, 32, 14, 13)
	for name, g := range map[string]*graph.Graph{"f32": choosable(), "int8": withQDQ(t, choosable(), tensor.Uint8, in)} {
		base := compile(t, g, Options{})
		want, err := base.Run(context.Background(), []op.Value{in})
		if err != nil {
			t.Fatal(err)
		}
		for i, st := range base.Plan().Steps() {
			if st.Why == "" && !st.Fallback {
				t.Errorf("%s: step %s does not say why %s", name, st.Name, st.Kernel)
			}
			for _, c := range st.Candidates {
				s := compile(t, g, Options{Choices: map[string]string{st.Name: c}})
				if got := s.Plan().Steps()[i]; !strings.Contains(got.Kernel, c) || got.Why != WhyTuned {
					t.Errorf("%s: step %s has kernel %s (%s), chosen was %s", name, st.Name, got.Kernel, got.Why, c)
				}
				got, err := s.Run(context.Background(), []op.Value{in})
				if err != nil {
					t.Fatal(err)
				}
				a, b := got[0].(*tensor.Tensor), want[0].(*tensor.Tensor)
				if name == "int8" && strings.Contains(c, "u8s8") && !bytes.Equal(a.Bytes(), b.Bytes()) {
					t.Errorf("%s changes the bytes of step %s", c, st.Name)
				}
				if ok, abs, _ := tensor.CloseTo(a, b, 1e-4, 1e-4); name == "f32" && !ok {
					t.Errorf("%s changes step %s by %g", c, st.Name, abs)
				}
			}
		}
	}
}

func TestChoicesThatCannotBeHad(t *testing.T) {
	for step, c := range map[string]string{"dense": "f32_gemm_1x1_none", "nothing": "f32_gemm_4x16_go", "mean": "f32_gemm_4x16_go", "deep": "f32_winograd2x2_16c_go"} {
		_, err := Compile(choosable(), Options{Choices: map[string]string{step: c}})
		if !errors.Is(err, kernel.ErrChoice) || !strings.Contains(err.Error(), step) {
			t.Errorf("%s for %s: got %v", c, step, err)
		}
	}
}

// TestSealedChoices: a sealed plan runs the kernels that were chosen when it was sealed.
func TestSealedChoices(t *testing.T) {
	choices := map[string]string{}
	base := compile(t, choosable(), Options{}).Plan()
	for _, st := range base.Steps() {
		if n := len(st.Candidates); n > 0 {
			choices[st.Name] = st.Candidates[n-1]
		}
	}
	p, err := Compile(choosable(), Options{Choices: choices})
	if err != nil {
		t.Fatal(err)
	}
	data, err := p.Seal([]byte("the model"))
	if err != nil {
		t.Fatal(err)
	}
	if err := VerifySealed(t.Context(), data, p); err != nil {
		t.Fatal(err)
	}
	s, err := Unseal(data)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Plan(1)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := again.print(), p.print(); a != b {
		t.Errorf("steps %s, sealed were %s", a, b)
	}
}

// TestTune gives steps made-up times by their kernels: what is chosen depends on nothing
// but them.
func TestTune(t *testing.T) {
	g, in := choosable(), []op.Value{random(5, 1, 32, 14, 13)}
	last := map[string]string{}
	for _, st := range compile(t, g, Options{}).Plan().Steps() {
		if n := len(st.Candidates); n > 1 {
			last[st.Name] = st.Candidates[n-1]
		}
	}
	if len(last) == 0 {
		t.Skip("every step has one kernel at this level")
	}
	fast := func(st *step) bool { return last[st.name] != "" && strings.Contains(st.kernel, last[st.name]) }
	for _, c := range []struct {
		name  string
		clock func(st *step) time.Duration
		gain  bool
		best  bool // a step is faster alone
	}{
		{"faster", func(st *step) time.Duration {
			if fast(st) {
				return 5 * time.Millisecond
			}
			return 10 * time.Millisecond
		}, true, true},
		{"equal", func(*step) time.Duration { return time.Millisecond }, false, false},
		{"within noise", func(st *step) time.Duration {
			if fast(st) {
				return 98 * time.Microsecond
			}
			return 100 * time.Microsecond
		}, false, false},
		{"too small a part", func(st *step) time.Duration {
			if fast(st) {
				return 5 * time.Microsecond
			}
			if last[st.name] != "" {
				return 10 * time.Microsecond
			}
			return time.Second
		}, false, true},
	} {
		rounds := -1
		got, err := Tune(context.Background(), g, Options{}, in, TuneOptions{Budget: time.Second, clock: c.clock, Progress: func(n, _ int) { rounds = n }})
		if err != nil {
			t.Fatal(err)
		}
		if got.Done != got.Rounds || rounds != got.Rounds {
			t.Errorf("%s: %d of %d rounds, %d told", c.name, got.Done, got.Rounds, rounds)
		}
		if len(got.Steps) != len(last) {
			t.Errorf("%s: %d steps, want %d", c.name, len(got.Steps), len(last))
		}
		for _, st := range got.Steps {
			want := st.Kernel
			if c.best {
				want = last[st.Name]
			}
			if st.Best != want || st.Before == 0 {
				t.Errorf("%s: step %s has %s (%v → %v), want %s", c.name, st.Name, st.Best, st.Before, st.After, want)
			}
			if got.Choices[st.Name] != st.Best && c.gain {
				t.Errorf("%s: step %s is chosen %q", c.name, st.Name, got.Choices[st.Name])
			}
		}
		if gain := len(got.Choices) > 0; gain != c.gain || gain && got.After >= got.Before {
			t.Errorf("%s: choices %v, %v → %v", c.name, got.Choices, got.Before, got.After)
		}
	}
}

// TestTuneStops: a caller who has asked to stop gets what was measured by then.
func TestTuneStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	got, err := Tune(ctx, choosable(), Options{}, []op.Value{random(5, 1, 32, 14, 13)}, TuneOptions{Budget: time.Hour})
	if err != nil || got.Done != 0 || len(got.Choices) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	ctx, cancel = context.WithCancel(context.Background())
	defer cancel()
	runs := 0
	clock := func(st *step) time.Duration {
		if runs++; runs > 2000 {
			cancel()
		}
		return time.Millisecond
	}
	if _, err = Tune(ctx, choosable(), Options{}, []op.Value{random(5, 1, 32, 14, 13)}, TuneOptions{Budget: time.Hour, clock: clock}); err != nil {
		t.Error(err)
	}
}
