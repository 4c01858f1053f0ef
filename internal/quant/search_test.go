package quant

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestSensitivityFindsTheBadLayers(t *testing.T) {
	g, cal, eval, _ := heartbeat(t, 60, 16)
	bad := unbalance(g)
	c := calibrate(t, bad, cal)
	list, err := Sensitivity(context.Background(), bad, c, Config{PerTensor: true}, Slice(eval...), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 12 {
		t.Fatalf("%d layers: %v", len(list), list)
	}
	for i, y := range list {
		if i > 0 && y.SQNR < list[i-1].SQNR {
			t.Errorf("not sorted: %v", list)
		}
		if math.Abs(10*math.Log10(1/y.Noise)-y.SQNR) > 1e-6 {
			t.Errorf("%+v", y)
		}
	}
	// The two layers whose channels were not touched are the least harmful.
	for _, y := range list[len(list)-2:] {
		if y.Node != "stem_conv" && y.Node != "scores" {
			t.Errorf("the unbalanced layers do not lead: %v", list)
		}
	}
}

func TestSearchOnUnbalancedHeartbeat(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates many networks")
	}
	g, cal, eval, labels := heartbeat(t, 60, 200)
	bad := unbalance(g)
	c := calibrate(t, bad, cal)
	ctx := context.Background()
	cfg := Config{PerTensor: true}
	order, err := Sensitivity(ctx, bad, c, cfg, Slice(eval[:8]...), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	lost := map[string]time.Duration{}
	for i, y := range order {
		lost[y.Node] = time.Duration(10+i%3) * time.Microsecond
	}
	float := accuracy(t, bad, eval, labels)
	res, err := Search(ctx, SearchConfig{
		Build: func(_ context.Context, keep map[string]string) (*Result, error) {
			k := cfg
			k.Keep = keep
			return Quantize(bad, c, k)
		},
		Evaluate: func(_ context.Context, r *Result) (float64, error) { return accuracy(t, r.Graph, eval, labels), nil },
		Float:    float, MaxDrop: 1, Sensitivity: order, TimeLost: lost,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, y := range res.Trials {
		t.Logf("%v to float %v: %.2f %%, %d kept, %v lost, accepted %v: %s", y.Changed, y.ToFloat, y.Accuracy, y.Kept, y.Lost, y.Accepted, y.Reason)
		if y.Reason == "" {
			t.Error("a trial has no reason")
		}
	}
	if !res.Met || res.Accuracy < float-1 || res.Trials[0].Accuracy > float-10 {
		t.Fatalf("accuracy %.2f %% of %.2f %%, met %v", res.Accuracy, float, res.Met)
	}
	if got := accuracy(t, res.Best.Graph, eval, labels); got != res.Accuracy {
		t.Errorf("the result has %.2f %%, %.2f %% is said", got, res.Accuracy)
	}
	if len(res.Keep) == 0 || len(res.Keep) >= len(order) {
		t.Errorf("%d of %d layers are kept", len(res.Keep), len(order))
	}
}

// A synthetic accuracy in which two layers matter: the search must find them, and return
// the expensive bystander that a group took along.
func TestSearchFindsTheFewest(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	var order []LayerSensitivity
	lost := map[string]time.Duration{}
	for i, n := range names {
		order = append(order, LayerSensitivity{Node: n, Noise: 1 / float64(i+1), SQNR: 10 * math.Log10(float64(i+1))})
		lost[n] = time.Millisecond
	}
	evaluations := 0
	search := func(drop float64) *SearchResult {
		evaluations = 0
		var now map[string]string
		res, err := Search(context.Background(), SearchConfig{
			Build: func(_ context.Context, keep map[string]string) (*Result, error) { now = keep; return &Result{}, nil },
			Evaluate: func(context.Context, *Result) (float64, error) {
				evaluations++
				a := 90.0
				for name, gain := range map[string]float64{"b": 4, "d": 5} {
					if _, ok := now[name]; ok {
						a += gain
					}
				}
				return a, nil
			},
			Float: 100, MaxDrop: drop, Sensitivity: order, TimeLost: lost,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := search(1.5)
	var kept []string
	for n := range res.Keep {
		kept = append(kept, n)
	}
	slices.Sort(kept)
	if !res.Met || !slices.Equal(kept, []string{"b", "d"}) {
		t.Errorf("kept %v, met %v: %+v", kept, res.Met, res.Trials)
	}
	// Where the bound cannot be met, the best seen comes back.
	if res = search(0.5); res.Met || res.Accuracy != 99 || res.Best == nil {
		t.Errorf("%+v", res)
	}
	// Where nothing is wrong, nothing is tried.
	if res = search(20); !res.Met || evaluations != 1 {
		t.Errorf("%d evaluations for %+v", evaluations, res)
	}
}

// Every layer of both programs is found again in the comparison of their times, and the
// times add up.
func TestCompareTimes(t *testing.T) {
	g, samples := mobilenet(t, 2, false)
	r := quantize(t, g, calibrate(t, g, samples), Config{})
	profile := func(e *engine.Plan) []engine.StepTime {
		s, err := e.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		out, err := s.Profile(context.Background(), values([]*tensor.Tensor{samples[0]["image"]}))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	float, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ints, err := engine.Compile(r.Graph, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ft, it := profile(float), profile(ints)
	times, border := CompareTimes(g, float, ints, ft, it)
	sum := func(steps []engine.StepTime) (d time.Duration) {
		for _, s := range steps {
			d += s.Duration
		}
		return d
	}
	layers := map[string]bool{}
	var f, i time.Duration
	for _, y := range times {
		f, i = f+y.Float, i+y.Integer
		for _, n := range y.Nodes {
			layers[n] = y.Float > 0 && y.Integer > 0
		}
	}
	if i+border != sum(it) || f > sum(ft) || f < sum(ft)*9/10 {
		t.Errorf("float %v of %v, integer %v + %v of %v", f, sum(ft), i, border, sum(it))
	}
	for _, y := range r.Layers {
		if y.Weights != nil && !layers[y.Node] {
			t.Errorf("%s has no time in one of the programs", y.Node)
		}
	}
	slow := []NodeTime{{Nodes: []string{"head", "head_relu6"}, Float: 5 * time.Microsecond, Integer: 9 * time.Microsecond},
		{Nodes: []string{"stem"}, Float: 9 * time.Microsecond, Integer: 5 * time.Microsecond}}
	if keep := Slower(r, slow, 0.05, time.Microsecond); len(keep) != 1 || keep["head"] == "" {
		t.Errorf("%v", keep)
	}
	if keep := Slower(r, slow, 0.05, 3*time.Microsecond); len(keep) != 0 {
		t.Errorf("conversions cost more than the layer gains, yet %v", keep)
	}
}

// A search that may not begin another evaluation says so and keeps the best so far.
func TestSearchStops(t *testing.T) {
	var layers []LayerSensitivity
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		layers = append(layers, LayerSensitivity{Node: n, Noise: 1})
	}
	search := func(until time.Time, trials int) *SearchResult {
		t.Helper()
		res, err := Search(context.Background(), SearchConfig{
			Build: func(context.Context, map[string]string) (*Result, error) { return &Result{}, nil },
			Evaluate: func(context.Context, *Result) (float64, error) {
				time.Sleep(time.Millisecond)
				return 10, nil
			},
			Float: 100, MaxDrop: 1, Sensitivity: layers, Until: until, MaxTrials: trials,
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	if r := search(time.Now(), 0); !r.Stopped || len(r.Trials) != 1 || r.Best == nil {
		t.Errorf("no time: %+v", r)
	}
	if r := search(time.Time{}, 2); !r.Stopped || len(r.Trials) != 3 {
		t.Errorf("two trials: %+v", r)
	}
	if r := search(time.Now().Add(time.Hour), 0); r.Stopped || len(r.Trials) != 4 {
		t.Errorf("time enough: %+v", r)
	}
}
