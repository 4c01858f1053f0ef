package quant

import "math"

// Products that are added up are written as conversions here, so that no platform
// contracts them and the ranges are the same everywhere.

// levels is the number of values of 8 bits.
const levels = 256

// percentile returns the range that keeps the given share of the values. Where both
// signs occur, each tail loses half of the rest. Values are taken as spread evenly
// within a bin.
func (h *histogram) percentile(full Range, share float64) Range {
	spans := h.spans(full.Lo, full.Hi)
	drop := (1 - share) * float64(h.total)
	if full.Lo < 0 && full.Hi > 0 {
		drop /= 2
	}
	out := full
	if full.Lo < 0 {
		left := drop
		for _, s := range spans {
			if left < float64(s.n) {
				out.Lo = s.lo + float64((s.hi-s.lo)*(left/float64(s.n)))
				break
			}
			left -= float64(s.n)
		}
	}
	if full.Hi > 0 {
		left := drop
		for i := len(spans) - 1; i >= 0; i-- {
			s := spans[i]
			if left < float64(s.n) {
				out.Hi = s.hi - float64((s.hi-s.lo)*(left/float64(s.n)))
				break
			}
			left -= float64(s.n)
		}
	}
	return Range{min(out.Lo, 0), max(out.Hi, 0)}
}

// leastSquares returns the range of the least expected squared error. Inside the range
// the error of rounding is taken as uniform, step²/12; outside it is the distance to the
// end. Exact zeros cost nothing. Candidates shrink both ends together, then each alone.
func (h *histogram) leastSquares(full Range) Range {
	spans := h.spans(full.Lo, full.Hi)
	cost := func(r Range) float64 {
		lo, hi := min(r.Lo, 0), max(r.Hi, 0)
		step := (hi - lo) / (levels - 1)
		rounding := step * step / 12
		total := 0.0
		for _, s := range spans {
			m, n := s.mid(), float64(s.n)
			switch {
			case s.lo == s.hi && m == 0:
			case m > hi:
				total += float64(n * (m - hi) * (m - hi))
			case m < lo:
				total += float64(n * (lo - m) * (lo - m))
			default:
				total += float64(n * rounding)
			}
		}
		return total
	}
	const steps = 100
	best, least := full, cost(full)
	try := func(r Range) {
		if c := cost(r); c < least {
			best, least = r, c
		}
	}
	for i := steps - 1; i > 0; i-- {
		f := float64(i) / steps
		try(Range{full.Lo * f, full.Hi * f})
	}
	both := best
	for i := steps - 1; i > 0; i-- {
		try(Range{both.Lo, full.Hi * float64(i) / steps})
	}
	one := best
	for i := steps - 1; i > 0; i-- {
		try(Range{full.Lo * float64(i) / steps, one.Hi})
	}
	return best
}

// entropy returns the range [-T, T], cut to the extremes seen, whose T is the best of
// the bin ends. For every candidate the kept bins, with the clipped mass added to the
// outermost, are the reference distribution P; the same bins without the clipped mass,
// averaged over groups that 8 bits cannot tell apart, are Q; least P·log(P/Q) wins.
// Exact zeros are left out: every candidate represents them.
func (h *histogram) entropy(full Range) Range {
	counts, zero := h.line()
	reach := max(zero, len(counts)-zero)
	best, least := reach, math.Inf(1)
	for t := min(levels/2, reach); t <= reach; t++ {
		lo, hi := max(zero-t, 0), min(zero+t, len(counts))
		if d := divergence(counts, lo, hi); d < least {
			best, least = t, d
		}
		if t >= levels*2 {
			t += 7 // the curve is smooth where a group holds several bins
		}
	}
	limit := float64(best) * h.width
	return Range{max(full.Lo, -limit), min(full.Hi, limit)}
}

// line returns the counts of all bins from the least to the greatest that holds
// something, and the index at which the positive ones begin.
func (h *histogram) line() (counts []int64, zero int) {
	last := func(c []int64) int {
		n := len(c)
		for n > 0 && c[n-1] == 0 {
			n--
		}
		return n
	}
	n, p := last(h.side[1]), last(h.side[0])
	counts = make([]int64, 0, n+p)
	for i := n - 1; i >= 0; i-- {
		counts = append(counts, h.side[1][i])
	}
	return append(counts, h.side[0][:p]...), n
}

// emptyShare stands for the probability of a bin to which Q gives none: large against
// the chance of one element, small against what matters.
const emptyShare = 1e-9

// divergence returns the Kullback–Leibler divergence in nats between the distribution
// clipped to counts[lo:hi] and its quantized form.
func divergence(counts []int64, lo, hi int) float64 {
	kept := counts[lo:hi]
	var below, above, inside, total int64
	for _, c := range counts[:lo] {
		below += c
	}
	for _, c := range counts[hi:] {
		above += c
	}
	for _, c := range kept {
		inside += c
	}
	if total = below + above + inside; inside == 0 {
		return math.Inf(1)
	}
	groups := min(levels, len(kept))
	sum := 0.0
	for g := range groups {
		a, b := g*len(kept)/groups, (g+1)*len(kept)/groups
		var mass int64
		used := 0
		for _, c := range kept[a:b] {
			mass += c
			if c > 0 {
				used++
			}
		}
		for i := a; i < b; i++ {
			p := kept[i]
			if i == 0 {
				p += below
			}
			if i == len(kept)-1 {
				p += above
			}
			if p == 0 {
				continue
			}
			q := emptyShare
			if kept[i] > 0 {
				q = float64(mass) / float64(used) / float64(inside)
			}
			share := float64(p) / float64(total)
			sum += float64(share * math.Log(share/q))
		}
	}
	return sum
}
