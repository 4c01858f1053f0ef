package ecg

import "math/rand/v2"

// source draws the random numbers of one subject.
type source struct{ pcg *rand.PCG }

func newSource(seed, stream uint64) source { return source{rand.NewPCG(seed, stream)} }

// uniform returns a number in [lo, hi).
func (s source) uniform(lo, hi float64) float64 {
	u := float64(s.pcg.Uint64()>>11) * 0x1p-53
	return lo + float64(u*(hi-lo))
}

// chance reports true with probability p.
func (s source) chance(p float64) bool { return s.uniform(0, 1) < p }

// sign returns 1 or -1.
func (s source) sign() float64 {
	if s.chance(0.5) {
		return -1
	}
	return 1
}

// normal returns the sum of twelve uniform numbers less their mean: nearly Gaussian with
// unit variance, and no logarithm in it.
func (s source) normal() float64 {
	var sum uint64
	for range 3 {
		u := s.pcg.Uint64()
		sum += u&0xffff + u>>16&0xffff + u>>32&0xffff + u>>48
	}
	return (float64(sum) - 6*65535) / 65536
}

// around returns m times a factor that varies by the relative standard deviation rel and
// stays within half and one and a half.
func (s source) around(m, rel float64) float64 {
	return m * min(max(1+float64(rel*s.normal()), 0.5), 1.5)
}
