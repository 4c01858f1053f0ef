package optimize

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestWilson(t *testing.T) {
	// From the closed form at n=10, p=0.5: 0.5 ± 1.959964·√(0.025+0.0096036)/(1.384146).
	lo, hi := wilson(0.5, 10)
	if math.Abs(lo-0.2366) > 1e-4 || math.Abs(hi-0.7634) > 1e-4 {
		t.Errorf("%.4f..%.4f", lo, hi)
	}
}

// The interval of the paired difference covers the true one in about 95 of 100 draws.
func TestPairedDropCovers(t *testing.T) {
	for _, c := range []struct {
		n         int
		lost, won float64 // probabilities
	}{{400, 0.01, 0.01}, {400, 0.03, 0.005}, {100, 0.1, 0.05}, {2000, 0.004, 0.002}} {
		rng := uint64(1)
		draw := func() float64 { // xorshift64*
			rng ^= rng >> 12
			rng ^= rng << 25
			rng ^= rng >> 27
			return float64((rng*0x2545F4914F6CDD1D)>>11) / (1 << 53)
		}
		const trials = 3000
		covered := 0
		for range trials {
			lost, won := 0, 0
			for range c.n {
				switch u := draw(); {
				case u < c.lost:
					lost++
				case u < c.lost+c.won:
					won++
				}
			}
			d := float64(lost-won) / float64(c.n)
			if math.Abs(d-(c.lost-c.won)) <= pairedDrop(lost, won, c.n) {
				covered++
			}
		}
		if share := float64(covered) / trials; share < 0.93 || share > 0.99 {
			t.Errorf("%+v: the interval covers the truth in %.1f %% of draws", c, 100*share)
		}
	}
	if w := pairedDrop(0, 0, 400); w <= 0 {
		t.Errorf("no change on 400 samples is taken for certainty: ±%v", w)
	}
}

func TestAtLeast(t *testing.T) {
	// Exactly: 3 of 3 at 1/3 is 1/27; 2 or more of 3 at 1/2 is 1/2.
	for _, c := range []struct {
		k, n    int
		p, want float64
	}{{3, 3, 1. / 3, 1. / 27}, {2, 3, 0.5, 0.5}, {0, 5, 0.1, 1}, {5, 5, 1, 1}, {1, 5, 0, 0}} {
		if got := atLeast(c.k, c.n, c.p); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("atLeast(%d, %d, %v) = %v, want %v", c.k, c.n, c.p, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 2000).Draw(t, "n")
		k, p := rapid.IntRange(1, n).Draw(t, "k"), rapid.Float64Range(0.001, 0.999).Draw(t, "p")
		if a, b := atLeast(k, n, p), atLeast(k-1, n, p); !(a >= 0 && a <= b+1e-12 && b <= 1) {
			t.Errorf("P(≥%d)=%v, P(≥%d)=%v", k, a, k-1, b)
		}
	})
}

func TestAtChance(t *testing.T) {
	for _, c := range []struct {
		right, n int
		p        float64
		want     bool
	}{
		{3, 3, 1. / 3, false}, {1, 1, 0.5, false}, // all right
		{0, 3, 1. / 3, true}, {60, 400, 0.14, true}, {80, 400, 0.14, false},
		{8, 500, 0.002, false}, {1, 500, 0.002, true},
	} {
		if got := atChance(c.right, c.n, c.p); got != c.want {
			t.Errorf("%d of %d at %v: %v", c.right, c.n, c.p, got)
		}
	}
}
