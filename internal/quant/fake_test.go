package quant

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// TestFakeIsWhatDeploys: untrained, the deployed graph gives the bytes of the quantized one
// that it was made from, in every width, and the fake-quantized float graph decides alike.
func TestFakeIsWhatDeploys(t *testing.T) {
	ctx := context.Background()
	g, cal, eval, _ := heartbeat(t, 50, 200)
	c := calibrate(t, g, cal)
	for bits := 8; bits >= 2; bits-- {
		for _, perTensor := range []bool{false, true} {
			r := quantize(t, g, c, Config{Bits: bits, WeightMSE: true, PerTensor: perTensor})
			r, _, err := CorrectBias(ctx, g, r, Slice(cal[:20]...), BiasConfig{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			fake, err := Fake(g, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range fake.Nodes {
				if n.Is("QuantizeLinear") || n.Is("DequantizeLinear") {
					t.Errorf("%v is left in the fake-quantized graph", n)
				}
			}
			got, err := Deploy(fake)
			if err != nil {
				t.Fatal(err)
			}
			a, b, f := run(t, Engine(1), r.Graph, eval), run(t, Engine(1), got, eval), run(t, Engine(1), fake, eval)
			other := 0
			for i := range a {
				if !slices.Equal(a[i][0].Bytes(), b[i][0].Bytes()) {
					t.Fatalf("%d bits: sample %d: the deployed graph gives %v, the quantized one %v", bits, i, b[i][0], a[i][0])
				}
				if argmax(f[i][0]) != argmax(b[i][0]) {
					other++
				}
			}
			if other > len(a)/100 {
				t.Errorf("%d bits: %d of %d decisions differ between fake and real quantization", bits, other, len(a))
			}
		}
	}
}

// TestFakeHoldsEveryForm: residual sums, pools, clamps, gates and concatenations have
// their fake form where the integers are.
func TestFakeHoldsEveryForm(t *testing.T) {
	g, samples := mobilenet(t, 2, false)
	r := quantize(t, g, calibrate(t, g, samples), Config{Bits: 4, LayerBits: map[string]int{"stem": 8}})
	fake, err := Fake(g, r)
	if err != nil {
		t.Fatal(err)
	}
	count := func(g *graph.Graph, op string) (n int) {
		for _, m := range g.Nodes {
			if m.Op == op {
				n++
			}
		}
		return n
	}
	if a, b := count(fake, "FakeQuantize"), count(r.Graph, "DequantizeLinear"); a != b {
		t.Errorf("%d values are fake-quantized, %d quantized", a, b)
	}
	got, err := Deploy(fake)
	if err != nil {
		t.Fatal(err)
	}
	want := run(t, Engine(1), r.Graph, samples)
	for i, out := range run(t, Engine(1), got, samples) {
		if !slices.Equal(out[0].Bytes(), want[i][0].Bytes()) {
			t.Errorf("sample %d: the deployed graph differs from the quantized one", i)
		}
	}
	if bits := fmt.Sprint(weightBits(r, "stem"), weightBits(r, "head")); bits != "8 4" {
		t.Errorf("layers have %s bits", bits)
	}
}

func weightBits(r *Result, layer string) int {
	for _, y := range r.Layers {
		if y.Node == layer && y.Weights != nil {
			return y.Weights.Bits
		}
	}
	return 0
}
