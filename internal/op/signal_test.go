package op

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The inverse transform gives the signal back, for any length, and so does the real pair
// of onesided transforms.
func TestDFTInverse(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(r, "n")
		x := wave(2, n, 1)
		full := one(t, "DFT", nil, x)
		back := one(t, "DFT", graph.Attrs{"inverse": int64(1)}, full)
		half := one(t, "DFT", graph.Attrs{"onesided": int64(1)}, x)
		again := one(t, "DFT", graph.Attrs{"onesided": int64(1), "inverse": int64(1)}, half, tensor.Scalar(int64(n)))
		for i, v := range x.F32() {
			if math.Abs(back.Float(2*i)-float64(v)) > 1e-5 || math.Abs(back.Float(2*i+1)) > 1e-5 || math.Abs(again.Float(i)-float64(v)) > 1e-5 {
				r.Fatalf("length %d, sample %d: %v, %v and %v", n, i, v, back.Float(2*i), again.Float(i))
			}
		}
	})
}

func TestSpectrumOfCosine(t *testing.T) {
	x := tensor.New(tensor.Float64, 1, 12, 1)
	for i := range 12 {
		x.SetFloat(i, math.Cos(2*math.Pi*3*float64(i)/12))
	}
	y := one(t, "STFT", nil, x, tensor.Scalar(int64(12)))
	want := make([]float64, 14)
	want[6] = 6
	near(t, y, want...)
	near(t, one(t, "HannWindow", nil, tensor.Scalar(int64(4))), 0, 0.5, 1, 0.5)
}

func TestSTFTFrames(t *testing.T) {
	y := one(t, "STFT", graph.Attrs{"onesided": int64(0)}, wave(2, 20, 1), tensor.Scalar(int64(5)), wave(8))
	if got := y.String(); got != "float32[2x3x8x2]" {
		t.Errorf("got %s", got)
	}
	if _, err := run(t, "", "STFT", nil, 1, wave(1, 4, 1), tensor.Scalar(int64(1)), wave(8)); err == nil {
		t.Error("a frame longer than the signal was accepted")
	}
}

func TestRandomSeeds(t *testing.T) {
	attrs := graph.Attrs{"shape": []int64{2000}, "seed": float32(3), "mean": float32(2)}
	a, b := one(t, "RandomNormal", attrs), one(t, "RandomNormal", attrs)
	near(t, a, b.Floats()...)
	sum := 0.0
	for _, v := range a.F32() {
		sum += float64(v)
	}
	if mean := sum / 2000; math.Abs(mean-2) > 0.15 {
		t.Errorf("the mean is %v", mean)
	}
	draws := one(t, "Multinomial", graph.Attrs{"sample_size": int64(50), "seed": float32(1)}, tensor.Of([]float32{0, float32(math.Inf(-1)), 0}, 1, 3))
	for _, k := range draws.Ints() {
		if k == 1 {
			t.Error("a class of probability 0 was drawn")
		}
	}
}
