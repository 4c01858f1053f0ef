package quant

import (
	"context"
	"math"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// unbalance multiplies the weights and bias of depthwise layers by a different factor per
// channel and divides the next layer's by it: with Relu between, the function stays, and
// one scale for all channels no longer serves any.
func unbalance(g *graph.Graph) *graph.Graph {
	c := g.Clone()
	e := &equalizer{g: c, uses: c.Uses(), users: c.Users(), layers: map[*graph.Node]*balanced{}}
	for _, n := range c.Nodes {
		a := e.layer(n)
		if a == nil || a.groups == 1 {
			continue
		}
		b, _ := e.next(a)
		if b == nil {
			continue
		}
		up, down := make([]float64, a.outputs()), make([]float64, a.outputs())
		for i := range up {
			up[i] = math.Pow(2, float64(i*7%15)-7)
			down[i] = 1 / up[i]
		}
		a.scaleOutputs(up)
		b.scaleInputs(down)
		a.store(c)
		b.store(c)
	}
	return c
}

// sameFunction holds b's outputs against a's, to a part of the largest output.
func sameFunction(t *testing.T, what string, a, b *graph.Graph, samples []sample) {
	t.Helper()
	x, y := run(t, Engine(1), a, samples), run(t, Engine(1), b, samples)
	for i := range x {
		largest := 0.0
		for _, v := range x[i][0].Floats() {
			largest = max(largest, math.Abs(v))
		}
		if ok, abs, _ := tensor.CloseTo(y[i][0], x[i][0], 1e-4*largest, 0); !ok {
			t.Errorf("%s changes the function: %g of %g", what, abs, largest)
		}
	}
}

func TestUnbalancedHeartbeat(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates many networks")
	}
	g, cal, eval, labels := heartbeat(t, 60, 400)
	bad := unbalance(g)
	sameFunction(t, "unbalancing", g, bad, eval[:10])
	equal, info, err := Equalize(bad)
	if err != nil {
		t.Fatal(err)
	}
	sameFunction(t, "equalizing", bad, equal, eval[:10])
	if len(info.Pairs) != 11 {
		t.Errorf("%d pairs were equalized: %v", len(info.Pairs), info.Skipped)
	}
	measure := func(g *graph.Graph, cfg Config) (points, db float64) {
		r := quantize(t, g, calibrate(t, g, cal), cfg)
		return accuracy(t, r.Graph, eval, labels), sqnr(t, g, r.Graph, eval[:50])
	}
	float := accuracy(t, g, eval, labels)
	collapsed, c := measure(bad, Config{PerTensor: true})
	perChannel, p := measure(bad, Config{})
	recovered, r := measure(equal, Config{PerTensor: true})
	both, b := measure(equal, Config{})
	t.Logf("float %.2f %%; unbalanced: per tensor %.2f %% (%.1f dB), per channel %.2f %% (%.1f dB); equalized: per tensor %.2f %% (%.1f dB), per channel %.2f %% (%.1f dB)",
		float, collapsed, c, perChannel, p, recovered, r, both, b)
	if collapsed > float-10 {
		t.Errorf("per-tensor weights reach %.2f %% on unbalanced channels; the network is not bad enough to show anything", collapsed)
	}
	if perChannel < collapsed+20 || recovered < float-2 || both < float-1 {
		t.Error("scales per channel must help, equalization must recover the accuracy")
	}
}

func TestUnbalancedMobileNet(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates many networks")
	}
	g, samples := mobilenet(t, 8, true)
	bad := unbalance(g)
	equal, info, err := Equalize(bad)
	if err != nil {
		t.Fatal(err)
	}
	sameFunction(t, "equalizing", bad, equal, samples[:2])
	if len(info.Pairs) < 30 {
		t.Errorf("%d pairs were equalized: %v", len(info.Pairs), info.Skipped)
	}
	measure := func(g *graph.Graph) float64 {
		return sqnr(t, g, quantize(t, g, calibrate(t, g, samples), Config{PerTensor: true}).Graph, samples)
	}
	collapsed, recovered := measure(bad), measure(equal)
	t.Logf("per tensor %.1f dB, equalized %.1f dB", collapsed, recovered)
	if collapsed > 0 || recovered < collapsed+3 {
		t.Error("per-tensor weights must collapse on unbalanced channels, equalization mend it")
	}
}

func TestClampsAreNotEqualized(t *testing.T) {
	g, _ := mobilenet(t, 1, false)
	_, info, err := Equalize(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range info.Pairs {
		for _, n := range g.Nodes {
			if n.Name == p.First && g.Users()[n.Outputs[0].ID][0].Op == "Clip" {
				t.Errorf("%s and %s were equalized over a clamp", p.First, p.Second)
			}
		}
	}
	if len(info.Skipped) == 0 {
		t.Error("nothing is said of the pairs with a clamp")
	}
}

func TestBiasCorrection(t *testing.T) {
	if testing.Short() {
		t.Skip("evaluates many networks")
	}
	g, cal, eval, _ := heartbeat(t, 100, 100)
	c := calibrate(t, g, cal)
	r := quantize(t, g, c, Config{PerTensor: true})
	// The mean error of the scores over the samples, which correction is to remove.
	drift := func(r *Result) float64 {
		mean := make([]float64, 5)
		err := compare(context.Background(), g, r.Graph, outputNames(g), outputNames(r.Graph), Slice(cal...), nil, func(_ int, a, b []*tensor.Tensor) error {
			for i := range mean {
				mean[i] += (a[0].Float(i) - b[0].Float(i)) / float64(len(cal))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for _, m := range mean {
			sum += m * m
		}
		return math.Sqrt(sum / float64(len(mean)))
	}
	before, db := drift(r), sqnr(t, g, r.Graph, eval)
	untouched := r.Graph.Clone().Constants()
	for _, sequential := range []bool{false, true} {
		fixed, list, err := CorrectBias(context.Background(), g, r, Slice(cal...), BiasConfig{Sequential: sequential}, nil)
		if err != nil {
			t.Fatal(err)
		}
		after := drift(fixed)
		t.Logf("sequential %v: drift %.4f → %.4f, %.1f dB → %.1f dB", sequential, before, after, db, sqnr(t, g, fixed.Graph, eval))
		if len(list) != 12 || list[0].Reason != "" || list[0].Changed == 0 {
			t.Errorf("corrections: %+v", list)
		}
		if sequential && after > before/4 || !sequential && after > before*0.8 {
			t.Errorf("sequential %v: drift %.4f, before %.4f", sequential, after, before)
		}
	}
	for i, v := range r.Graph.Constants() {
		if v.Const != untouched[i].Const {
			t.Errorf("the uncorrected graph's %s has changed", v.Name)
		}
	}
}
