package optimize

import "math"

// z95 is the two-sided 95 % quantile of the normal distribution.
const z95 = 1.959964

// wilson returns the 95 % interval of a share p of n (Wilson 1927).
func wilson(p float64, n int) (lo, hi float64) {
	if n == 0 {
		return 0, 1
	}
	m := float64(n)
	mid := (p + z95*z95/(2*m)) / (1 + z95*z95/m)
	half := z95 / (1 + z95*z95/m) * math.Sqrt(p*(1-p)/m+z95*z95/(4*m*m))
	return max(0, mid-half), min(1, mid+half)
}

// pairedDrop returns half the width of the 95 % interval of the difference between two
// shares of the same n samples, in 0..1. lost samples are right before and wrong after,
// won ones the other way round; samples that both decide alike say nothing about the
// difference (McNemar 1947):
//
//	(lost-won)/n ± z·√(lost+won - (lost-won)²/n)/n
//
// Half a sample is added to both counts, as Agresti and Min (2005) do to all four cells:
// without it, no change on ten samples would count as certainty.
func pairedDrop(lost, won, n int) float64 {
	if n == 0 {
		return 1
	}
	m, d := float64(n), float64(lost-won)
	return min(1, z95*math.Sqrt(max(0, float64(lost+won)+1-d*d/m))/m)
}

// atLeast returns the probability of k or more successes in n independent trials of
// probability p: the p-value of a one-sided binomial test.
func atLeast(k, n int, p float64) float64 {
	switch {
	case k <= 0 || p >= 1:
		return 1
	case p <= 0:
		return 0
	}
	choose := func(k int) float64 {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(n - k + 1))
		return a - b - c
	}
	sum := 0.0
	for i := k; i <= n; i++ {
		sum += math.Exp(choose(i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// chance returns the accuracy of whoever always names the most frequent class. Where all
// samples are of one class that says nothing of the model, and it is that of guessing.
func chance(f *feed, classes int) float64 {
	count := map[int]int{}
	most := 0
	for i := range f.len() {
		l := f.data.Label(i)
		count[l]++
		most = max(most, count[l])
	}
	guess := 1 / float64(max(classes, 2))
	if len(count) < 2 {
		return guess
	}
	return max(guess, float64(most)/float64(f.len()))
}

// atChance reports whether right of n samples may well be chance (95 %). A few samples
// that are all right prove little, but raise no doubt either.
func atChance(right, n int, p float64) bool {
	return right < n && atLeast(right, n, p) > 0.05
}
