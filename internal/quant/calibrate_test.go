package quant

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// observe returns the statistics of some samples of numbers.
func observe(t testing.TB, samples ...[]float32) *Stats {
	t.Helper()
	s := &Stats{}
	for _, v := range samples {
		if err := s.observe(tensor.Of(v, len(v)), defaultMomentum); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// draw returns n samples of size numbers from f.
func draw(n, size int, f func(*rand.Rand) float64) [][]float32 {
	rng := rand.New(rand.NewPCG(3, 5))
	out := make([][]float32, n)
	for i := range out {
		out[i] = make([]float32, size)
		for j := range out[i] {
			out[i][j] = float32(f(rng))
		}
	}
	return out
}

func TestRangesOfKnownDistributions(t *testing.T) {
	normal := observe(t, draw(100, 5000, (*rand.Rand).NormFloat64)...)
	near := func(what string, got, want, tolerance float64) {
		t.Helper()
		if math.Abs(got-want) > tolerance {
			t.Errorf("%s: %.4f, want %.4f", what, got, want)
		}
	}
	// Quantiles of the normal distribution: ±3.8906 holds 99.99 %, ±2.5758 99 %.
	p := normal.Range(Percentile, 0.9999)
	near("percentile, low", p.Lo, -3.8906, 0.15)
	near("percentile, high", p.Hi, 3.8906, 0.15)
	p = normal.Range(Percentile, 0.99)
	near("99 %, low", p.Lo, -2.5758, 0.02)
	near("99 %, high", p.Hi, 2.5758, 0.02)
	// The optimal uniform 256-level quantizer of a normal signal clips near 3.9 σ
	// (W. Mauersberger, "Experimental results on the performance of mismatched
	// quantizers", 1979, gives the step 0.0308 for 256 levels).
	m := normal.Range(MSE, 0)
	near("least squares, low", m.Lo, -3.94, 0.25)
	near("least squares, high", m.Hi, 3.94, 0.25)
	if mm := normal.Range(MinMax, 0); mm.Lo != normal.Min || mm.Hi != normal.Max || mm.Hi < 4 {
		t.Errorf("extremes %v", mm)
	}

	// A uniform distribution is best kept whole.
	uniform := observe(t, draw(50, 4000, func(r *rand.Rand) float64 { return r.Float64()*3 - 1 })...)
	for _, m := range Methods() {
		r := uniform.Range(m, 0)
		near(m.String()+" of uniform, low", r.Lo, -1, 0.03)
		near(m.String()+" of uniform, high", r.Hi, 2, 0.03)
	}

	// One absurd outlier: methods that count values cut it off, as far as the bins resolve.
	spiked := draw(40, 5000, (*rand.Rand).NormFloat64)
	spiked[30][17] = 1000
	s := observe(t, spiked...)
	if r := s.Range(Percentile, 0); r.Hi > 20 {
		t.Errorf("percentile keeps an outlier: %v", r)
	}
	if r := s.Range(Entropy, 0); r.Hi > 128*s.hist.width {
		t.Errorf("entropy keeps an outlier: %v", r)
	}
	if r := s.Range(MinMax, 0); r.Hi != 1000 {
		t.Errorf("minmax loses the maximum: %v", r)
	}
	if r := s.Range(MovingAverage, 0); r.Hi > 100 {
		t.Errorf("the moving average follows one outlier: %v", r)
	}
}

func TestMovingAverage(t *testing.T) {
	s := &Stats{}
	lo, hi := 0.0, 0.0
	for i := range 50 {
		v := []float32{float32(-i), float32(2 * i)}
		if err := s.observe(tensor.Of(v, 2), 0.1); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		lo = 0.9*lo + 0.1*float64(-i)
		hi = 0.9*hi + 0.1*float64(2*i)
	}
	if r := s.Range(MovingAverage, 0); math.Abs(r.Lo-lo) > 1e-9 || math.Abs(r.Hi-hi) > 1e-9 {
		t.Errorf("%v, want %v %v", r, lo, hi)
	}
}

// Counts depend on the values seen, not on their order or how they are cut into samples,
// and agree with counting at the final width.
func TestHistogramGrowsExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float32 {
			e := rapid.IntRange(-30, 30).Draw(t, "exponent")
			return float32(math.Ldexp(rapid.Float64Range(-1, 1).Draw(t, "mantissa"), e))
		}), 1, 300).Draw(t, "values")
		feed := func(v []float32, cut int) *histogram {
			h := &histogram{}
			for part := range slices.Chunk(v, cut) {
				limit := 0.0
				for _, x := range part {
					limit = max(limit, math.Abs(float64(x)))
				}
				h.add(part, limit)
			}
			return h
		}
		a := feed(v, 7)
		back := slices.Clone(v)
		slices.Reverse(back)
		b := feed(back, 50)
		if a.width != b.width || a.zeros != b.zeros || a.total != b.total || !slices.Equal(a.side[0], b.side[0]) || !slices.Equal(a.side[1], b.side[1]) {
			t.Fatalf("order matters: width %g against %g", a.width, b.width)
		}
		var want [2][bins]int64
		zeros := int64(0)
		for _, x := range v {
			switch {
			case x == 0:
				zeros++
			case x > 0:
				want[0][int(float64(x)/a.width)]++
			default:
				want[1][int(float64(-x)/a.width)]++
			}
		}
		for s := range want {
			if c := a.side[s]; c != nil && !slices.Equal(c, want[s][:]) || c == nil && zeros < int64(len(v)) {
				t.Fatalf("side %d is miscounted", s)
			}
		}
		if a.zeros != zeros || a.total != int64(len(v)) {
			t.Fatalf("%d zeros of %d", a.zeros, a.total)
		}
	})
}

// divergenceByHand follows the definition on explicit distributions.
func divergenceByHand(counts []int64, lo, hi int) float64 {
	n := hi - lo
	p, q := make([]float64, n), make([]float64, n)
	for i, c := range counts {
		p[min(max(i-lo, 0), n-1)] += float64(c)
	}
	groups := min(256, n)
	for g := range groups {
		mass, used := 0.0, 0.0
		from, to := g*n/groups, (g+1)*n/groups
		for i := from; i < to; i++ {
			if counts[lo+i] > 0 {
				mass += float64(counts[lo+i])
				used++
			}
		}
		for i := from; i < to; i++ {
			if counts[lo+i] > 0 {
				q[i] = mass / used
			}
		}
	}
	norm := func(v []float64) {
		sum := 0.0
		for _, x := range v {
			sum += x
		}
		for i := range v {
			v[i] /= sum
		}
	}
	norm(p)
	norm(q)
	d := 0.0
	for i := range p {
		if p[i] > 0 {
			d += p[i] * math.Log(p[i]/max(q[i], 1e-9))
		}
	}
	return d
}

func TestEntropyAgainstBruteForce(t *testing.T) {
	for name, f := range map[string]func(*rand.Rand) float64{
		"normal":      (*rand.Rand).NormFloat64,
		"exponential": (*rand.Rand).ExpFloat64,
		"heavy tail":  func(r *rand.Rand) float64 { return math.Pow(r.ExpFloat64(), 3) },
		"relu":        func(r *rand.Rand) float64 { return max(0, r.NormFloat64()) },
	} {
		s := observe(t, draw(20, 4000, f)...)
		counts, zero := s.hist.line()
		reach := max(zero, len(counts)-zero)
		least := math.Inf(1)
		for k := 128; k <= reach; k++ {
			lo, hi := max(zero-k, 0), min(zero+k, len(counts))
			want := divergenceByHand(counts, lo, hi)
			if got := divergence(counts, lo, hi); math.Abs(got-want) > 1e-9 {
				t.Fatalf("%s: divergence at %d bins is %g, by hand %g", name, k, got, want)
			}
			least = min(least, want)
		}
		r := s.Range(Entropy, 0)
		k := int(math.Round(max(-r.Lo, r.Hi) / s.hist.width))
		k = min(k, reach)
		got := divergenceByHand(counts, max(zero-k, 0), min(zero+k, len(counts)))
		t.Logf("%s: %v of [%.2f %.2f], divergence %.5f, least of all %.5f", name, r, s.Min, s.Max, got, least)
		if got > least*1.1+1e-6 {
			t.Errorf("%s: threshold %d has divergence %g, the least is %g", name, k, got, least)
		}
	}
}

func TestOddValues(t *testing.T) {
	inf := float32(math.Inf(1))
	s := observe(t, []float32{1, float32(math.NaN()), inf, -2}, []float32{}, []float32{float32(math.NaN())})
	if s.NonFinite != 3 || s.Min != -2 || s.Max != 1 || s.Samples != 1 {
		t.Errorf("%+v", s)
	}
	for _, v := range []float32{0, 5, -5, 1e-42, -3e38} {
		s := observe(t, []float32{v, v, v})
		for _, m := range Methods() {
			r := s.Range(m, 0)
			for _, d := range []tensor.DType{tensor.Uint8, tensor.Int8} {
				p := paramsOf(r, d)
				lo, hi := d.IntRange()
				if !(p.Scale > 0) || math.IsInf(float64(p.Scale), 0) || int64(p.Zero) < lo || int64(p.Zero) > hi {
					t.Errorf("%v of %v: range %v, %+v", m, v, r, p)
				}
				back := quantizeTensor(tensor.Of([]float32{v}, 1), p, d)
				got := float64(back.Int(0)-int64(p.Zero)) * float64(p.Scale)
				if math.Abs(got-float64(v)) > float64(p.Scale) {
					t.Errorf("%v of %v comes back as %v", m, v, got)
				}
			}
		}
	}
}

func TestUncalibratedStaysFloat(t *testing.T) {
	g, samples := transformerBlock(t)
	c := calibrate(t, g, samples)
	c.Values["up_bias"].NonFinite = 1
	delete(c.Values, "mean")
	r := quantize(t, g, c, Config{})
	for _, y := range r.Layers {
		if (y.Node == "up" || y.Node == "mean" || y.Node == "scores") && (y.Quantized || y.Reason == "") {
			t.Errorf("%+v", y)
		}
	}
	run(t, Engine(1), r.Graph, samples[:1])
}

func TestCalibrationErrors(t *testing.T) {
	g, samples := transformerBlock(t)
	ctx := context.Background()
	if _, err := Calibrate(ctx, g, Slice(), CalibrationConfig{}, nil); err == nil {
		t.Error("no samples are accepted")
	}
	if _, err := Calibrate(ctx, g, Slice(sample{"y": samples[0]["x"]}), CalibrationConfig{}, nil); err == nil {
		t.Error("a sample without the input is accepted")
	}
	failing := func(yield func(sample, error) bool) { yield(nil, fmt.Errorf("unreadable")) }
	if _, err := Calibrate(ctx, g, failing, CalibrationConfig{}, nil); err == nil {
		t.Error("a failing source is accepted")
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Calibrate(stopped, g, Slice(samples...), CalibrationConfig{}, nil); err == nil {
		t.Error("a cancelled context is ignored")
	}
}

// The executors see the same values, so calibration gives nearly the same ranges.
func TestExecutorsCalibrateAlike(t *testing.T) {
	g, samples := transformerBlock(t)
	a := calibrate(t, g, samples)
	b, err := Calibrate(context.Background(), g, Slice(samples...), CalibrationConfig{Executor: Interpreter()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range a.Values {
		if o := b.Values[name]; o == nil || math.Abs(o.Max-s.Max) > 1e-4 || math.Abs(o.Min-s.Min) > 1e-4 || o.Samples != s.Samples {
			t.Errorf("%s: %v against %v", name, s.Range(MinMax, 0), b.Values[name])
		}
	}
}

// Calibration holds as much memory after 10,000 samples as after 32.
func TestCalibrationMemoryIsFlat(t *testing.T) {
	g := graph.New("small")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 64))
	w := tensor.New(tensor.Float32, 64, 64)
	for i := range w.F32() {
		w.F32()[i] = float32(math.Sin(float64(i)))
	}
	h := g.Add("Relu", "relu", nil, g.Add("Gemm", "fc", nil, x, g.Constant("w", w)))
	g.Output(g.Add("Gemm", "scores", nil, h, g.Constant("w2", w)))
	g, err := Prepare(g)
	if err != nil {
		t.Fatal(err)
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	measure := func(n int) (held, peak uint64) {
		base := heap()
		source := func(yield func(sample, error) bool) {
			rng := rand.New(rand.NewPCG(1, 1))
			for i := range n {
				s := tensor.New(tensor.Float32, 1, 64)
				for j := range s.F32() {
					s.F32()[j] = float32(rng.NormFloat64() * float64(1+i%100))
				}
				if i%(n/8) == n/8-1 {
					peak = max(peak, heap()-base)
				}
				if !yield(sample{"x": s}, nil) {
					return
				}
			}
		}
		cal, err := Calibrate(context.Background(), g, source, CalibrationConfig{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if cal.Samples != n || cal.Values["relu"].hist.total != int64(n*64) {
			t.Fatalf("%d samples, %d values", cal.Samples, cal.Values["relu"].hist.total)
		}
		held = heap() - base
		runtime.KeepAlive(cal)
		return held, peak
	}
	measure(32) // what is allocated once
	h32, p32 := measure(32)
	h10k, p10k := measure(10000)
	t.Logf("32 samples: %d bytes held, %d peak; 10000: %d held, %d peak", h32, p32, h10k, p10k)
	const slack = 64 << 10
	if h10k > h32+slack || p10k > p32+slack {
		t.Errorf("memory grows with the samples: %d and %d bytes for 32, %d and %d for 10000", h32, p32, h10k, p10k)
	}
}
