package quant

import "math"

// bins is the number of bins for each sign. Merging two into one must be exact, so it
// is even.
const bins = 2048

// histogram counts magnitudes by sign in bins of equal width. Bin i of either side holds
// the values whose magnitude is in [i·width, (i+1)·width). The width is a power of two
// and doubles when a value does not fit, each pair of bins becoming one; so the counts
// depend on the set of values seen, not on their order, and on no rounding. Exact zeros,
// which every 8-bit grid represents, are counted apart.
type histogram struct {
	width float64
	zeros int64
	total int64 // zeros included
	side  [2][]int64
}

// reach returns the magnitude that no longer fits.
func (h *histogram) reach() float64 { return h.width * bins }

// grow makes room for magnitude a > 0.
func (h *histogram) grow(a float64) {
	if h.width == 0 {
		// The least power of two with a < width·bins.
		_, e := math.Frexp(a / bins)
		h.width = math.Ldexp(1, e)
		return
	}
	for a >= h.reach() {
		for s := range h.side {
			if c := h.side[s]; c != nil {
				for i := range bins / 2 {
					c[i] = c[2*i] + c[2*i+1]
				}
				clear(c[bins/2:])
			}
		}
		h.width *= 2
	}
}

// add counts finite values, of which limit is the greatest magnitude.
func (h *histogram) add(values []float32, limit float64) {
	h.total += int64(len(values))
	if limit == 0 {
		h.zeros += int64(len(values))
		return
	}
	if limit >= h.reach() {
		h.grow(limit)
	}
	for s := range h.side {
		if h.side[s] == nil {
			h.side[s] = make([]int64, bins)
		}
	}
	// A product with a power of two is exact, so it bins as the division would; powers
	// beyond float32 are taken in float64.
	scale := 1 / h.width
	pos, neg := h.side[0][:bins], h.side[1][:bins]
	zeros := int64(0)
	for _, v := range values {
		switch {
		case v > 0:
			pos[min(int(float64(v)*scale), bins-1)]++
		case v < 0:
			neg[min(int(float64(-v)*scale), bins-1)]++
		default:
			zeros++
		}
	}
	h.zeros += zeros
}

// span is a half-open interval of values with a count.
type span struct {
	lo, hi float64
	n      int64
}

func (s span) mid() float64 { return (s.lo + s.hi) / 2 }

// spans returns the bins that hold something in ascending order of value, with zeros as
// an empty interval at 0. Bins are clipped to [lo, hi], the extremes seen.
func (h *histogram) spans(lo, hi float64) []span {
	var out []span
	put := func(a, b float64, n int64) {
		if n > 0 {
			out = append(out, span{max(a, lo), min(b, hi), n})
		}
	}
	if c := h.side[1]; c != nil {
		for i := bins - 1; i >= 0; i-- {
			put(-float64(i+1)*h.width, -float64(i)*h.width, c[i])
		}
	}
	if h.zeros > 0 {
		out = append(out, span{0, 0, h.zeros})
	}
	if c := h.side[0]; c != nil {
		for i := range bins {
			put(float64(i)*h.width, float64(i+1)*h.width, c[i])
		}
	}
	return out
}
