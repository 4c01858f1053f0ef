package quant

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// heartbeat returns the prepared classifier with calibration and evaluation samples.
func heartbeat(t testing.TB, calibration, evaluation int) (g *graph.Graph, cal, eval []sample, labels []int) {
	t.Helper()
	g, err := Prepare(zoo.Heartbeat())
	if err != nil {
		t.Fatal(err)
	}
	split := func(x *tensor.Tensor) []sample {
		n, size := x.Dim(0), x.Len()/x.Dim(0)
		out := make([]sample, n)
		for i := range out {
			out[i] = sample{"ecg": tensor.Of(x.F32()[i*size:(i+1)*size], 1, x.Dim(1), x.Dim(2))}
		}
		return out
	}
	c, _, _ := zoo.HeartbeatCalibration(calibration)
	e, labels, _ := zoo.HeartbeatData(evaluation)
	return g, split(c), split(e), labels
}

// mobilenet returns a small prepared MobileNetV2 with smooth random images. With relu,
// its activations are Relu instead of the six-clipped one.
func mobilenet(t testing.TB, samples int, relu bool) (*graph.Graph, []sample) {
	t.Helper()
	g, err := zoo.Build("mobilenetv2-0.35-64")
	if err != nil {
		t.Fatal(err)
	}
	if relu {
		for _, n := range g.Nodes {
			if n.Op == "Clip" {
				n.Op, n.Inputs = "Relu", n.Inputs[:1]
			}
		}
	}
	if g, err = Prepare(g); err != nil {
		t.Fatal(err)
	}
	return g, images(samples, 3, 64)
}

func images(n, channels, size int) []sample {
	rng := rand.New(rand.NewPCG(7, 7))
	out := make([]sample, n)
	for i := range out {
		x := tensor.New(tensor.Float32, 1, channels, size, size)
		for c := range channels {
			fx, fy, phase := rng.NormFloat64()/6, rng.NormFloat64()/6, rng.Float64()*6
			for j := range size * size {
				v := 0.6*math.Sin(fx*float64(j%size)+fy*float64(j/size)+phase) + 0.1*rng.NormFloat64()
				x.F32()[c*size*size+j] = float32(min(max(v, -1), 1))
			}
		}
		out[i] = sample{"image": x}
	}
	return out
}

func calibrate(t testing.TB, g *graph.Graph, samples []sample) *Calibration {
	t.Helper()
	cal, err := Calibrate(context.Background(), g, Slice(samples...), CalibrationConfig{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cal
}

func quantize(t testing.TB, g *graph.Graph, cal *Calibration, cfg Config) *Result {
	t.Helper()
	r, err := Quantize(g, cal, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// run returns copies of the outputs for every sample.
func run(t testing.TB, e Executor, g *graph.Graph, samples []sample) [][]*tensor.Tensor {
	t.Helper()
	r, err := e.Open(g)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all [][]*tensor.Tensor
	_, err = eachSample(context.Background(), r, Slice(samples...), func(_ int, _ sample, out outputs) error {
		var kept []*tensor.Tensor
		for _, o := range out {
			kept = append(kept, o.Clone())
		}
		all = append(all, kept)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func argmax(t *tensor.Tensor) int {
	best := 0
	for i := range t.Len() {
		if t.Float(i) > t.Float(best) {
			best = i
		}
	}
	return best
}

// accuracy returns the share of samples of the right class in percent.
func accuracy(t testing.TB, g *graph.Graph, samples []sample, labels []int) float64 {
	t.Helper()
	right := 0
	for i, out := range run(t, Engine(1), g, samples) {
		if argmax(out[0]) == labels[i] {
			right++
		}
	}
	return 100 * float64(right) / float64(len(samples))
}

func sqnr(t testing.TB, g, q *graph.Graph, samples []sample) float64 {
	t.Helper()
	db, err := SQNR(context.Background(), g, q, Slice(samples...), Engine(1))
	if err != nil {
		t.Fatal(err)
	}
	return db
}
