package ecg

import (
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"
	"testing"
)

// The checksum holds on every platform; a change of it means that the shipped weights no
// longer belong to this data.
func TestWindowsAreReproducible(t *testing.T) {
	x, labels := Windows(EvaluationSeed, 500)
	h := fnv.New64a()
	var b [2]byte
	for _, v := range x {
		binary.LittleEndian.PutUint16(b[:], uint16(v))
		h.Write(b[:])
	}
	for _, l := range labels {
		h.Write([]byte{byte(l)})
	}
	const want uint64 = 0xda19bc9a979a8c70
	if got := h.Sum64(); got != want {
		t.Errorf("checksum is %#x, want %#x", got, want)
	}
}

func TestSmallerSetIsPrefix(t *testing.T) {
	x, labels := Windows(5, 40)
	y, fewer := Windows(5, 17)
	if !slices.Equal(x[:len(y)], y) || !slices.Equal(labels[:len(fewer)], fewer) {
		t.Error("17 windows are not the first of 40")
	}
}

func TestSeedsShareNoWindow(t *testing.T) {
	seen := map[[Window]int16]uint64{}
	for _, seed := range []uint64{TrainSeed, ValidationSeed, CalibrationSeed, EvaluationSeed} {
		x, _ := Windows(seed, 200)
		for ; len(x) > 0; x = x[Window:] {
			w := [Window]int16(x)
			if other, ok := seen[w]; ok {
				t.Fatalf("seeds %d and %d share a window", seed, other)
			}
			seen[w] = seed
		}
	}
}

func TestEveryClassIsCommon(t *testing.T) {
	_, labels := Windows(TrainSeed, 3000)
	var count [numberClasses]int
	for _, l := range labels {
		count[l]++
	}
	for c, n := range count {
		if n < 3000/12 || n > 3000*3/5 {
			t.Errorf("class %s has %d of 3000 windows", Class(c), n)
		}
	}
	if len(Names()) != numberClasses {
		t.Errorf("%d names of %d classes", len(Names()), numberClasses)
	}
}

// The R wave of a normal beat stands out where the detector is said to fire.
func TestPeakLiesAtPeak(t *testing.T) {
	x, labels := Dataset(9, 1500)
	var normal, found int
	for i, l := range labels {
		if Class(l) != Normal {
			continue
		}
		normal++
		w := x[i*Window : (i+1)*Window]
		around := slices.Max(w[Peak-5 : Peak+6])
		if around > slices.Max(w[Peak-20:Peak-5]) && around > slices.Max(w[Peak+6:Peak+20]) {
			found++
		}
	}
	if found < normal*95/100 {
		t.Errorf("%d of %d normal beats have their peak at the middle", found, normal)
	}
}

func TestNormalize(t *testing.T) {
	src := make([]int16, Window)
	for i := range src {
		src[i] = int16(1000 + 300*(i%7) - 17*i)
	}
	dst := make([]float32, Window)
	Normalize(dst, src)
	var sum, squares float64
	for _, v := range dst {
		sum += float64(v)
		squares += float64(v) * float64(v)
	}
	if math.Abs(sum) > 1e-3 || math.Abs(squares/Window-1) > 1e-5 {
		t.Errorf("mean %g, variance %g", sum/Window, squares/Window)
	}
	louder := make([]int16, Window)
	for i, v := range src {
		louder[i] = 2 * v
	}
	other := make([]float32, Window)
	Normalize(other, louder)
	for i := range dst {
		if math.Abs(float64(dst[i]-other[i])) > 1e-6 {
			t.Fatalf("gain changes sample %d from %g to %g", i, dst[i], other[i])
		}
	}
	for i := range src {
		src[i] = math.MinInt16
	}
	Normalize(dst, src)
	if slices.Max(dst) != 0 || slices.Min(dst) != 0 {
		t.Error("a flat window does not become zeros")
	}
}

func TestElementaryFunctions(t *testing.T) {
	src := newSource(1, 1)
	check := func(name string, x, got, want float64) {
		if math.Abs(got-want) > 1e-10 {
			t.Fatalf("%s(%g) = %.15g, want %.15g", name, x, got, want)
		}
	}
	for range 20000 {
		x := src.uniform(-40, 0)
		check("exp", x, exp(x), math.Exp(x))
		turns := src.uniform(-30, 30)
		s, c := sincos(turns)
		check("sin", turns, s, math.Sin(2*math.Pi*turns))
		check("cos", turns, c, math.Cos(2*math.Pi*turns))
		a := src.uniform(-math.Pi, math.Pi)
		check("angle", a, 2*math.Pi*angle(3*math.Cos(a), 3*math.Sin(a)), a)
	}
	if exp(0) != 1 || exp(-1e9) != 0 {
		t.Errorf("exp(0) = %g, exp(-1e9) = %g", exp(0), exp(-1e9))
	}
}

func TestNoiseIsNearlyGaussian(t *testing.T) {
	src := newSource(2, 2)
	const n = 200000
	var sum, squares, fourth float64
	for range n {
		v := src.normal()
		sum += v
		squares += v * v
		fourth += v * v * v * v
	}
	// The kurtosis of a sum of twelve uniform numbers is 2.9.
	if math.Abs(sum/n) > 0.01 || math.Abs(squares/n-1) > 0.01 || math.Abs(fourth/n-2.9) > 0.1 {
		t.Errorf("moments %.3f, %.3f, %.3f", sum/n, squares/n, fourth/n)
	}
}

func BenchmarkWindows(b *testing.B) {
	for b.Loop() {
		Windows(EvaluationSeed, 1000)
	}
}
