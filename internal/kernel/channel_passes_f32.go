package kernel

import (
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// ChannelPassesF32 are prepared passes over pixels that treat every channel by itself: what
// batch normalization and the gradients of biases are made of. Pixels lie Step elements
// apart. Sums go over parts of the pixels, one unit each, and are added up by Total, so that
// the order of addition does not depend on the number of workers.
type ChannelPassesF32 struct {
	level            cpu.Level
	pixels, channels int
	parts            int
}

// A part has at least so many values; more than maxChannelParts are not made.
const (
	channelPart     = 1 << 14
	maxChannelParts = 16
)

// NewChannelPassesF32 prepares passes for the kernels of a level.
func NewChannelPassesF32(l cpu.Level, pixels, channels int) (*ChannelPassesF32, error) {
	if pixels < 1 || channels < 1 || !productWithin(maxElements, pixels, channels) {
		return nil, fmt.Errorf("channel passes f32: %d pixels of %d channels", pixels, channels)
	}
	parts := min(max(pixels*channels/channelPart, 1), maxChannelParts, pixels)
	return &ChannelPassesF32{l, pixels, channels, parts}, nil
}

// Units returns the number of independent units of each pass.
func (p *ChannelPassesF32) Units() int { return p.parts }

// PartsLen returns how many values Sum and Dot write for Total.
func (p *ChannelPassesF32) PartsLen() int { return p.parts * p.channels }

// part runs f over the pixels of a unit; sums is where it adds up.
func (p *ChannelPassesF32) part(u int, c channelsF32, f func(*channelsF32)) {
	from, to := u*p.pixels/p.parts, (u+1)*p.pixels/p.parts
	c.rows, c.n = to-from, p.channels
	c.a = unsafe.Add(c.a, from*c.aStep)
	if c.b != nil {
		c.b = unsafe.Add(c.b, from*c.bStep)
	}
	if c.accStep > 0 {
		c.acc = unsafe.Add(c.acc, from*c.accStep)
	}
	f(&c)
}

func (p *ChannelPassesF32) sums(parts []float32, u int) unsafe.Pointer {
	s := parts[u*p.channels:][:p.channels]
	clear(s)
	return unsafe.Pointer(&s[0])
}

func (p *ChannelPassesF32) check(x []float32, step int) unsafe.Pointer {
	_ = x[(p.pixels-1)*step+p.channels-1]
	return unsafe.Pointer(&x[0])
}

// Sum computes Σ x of units lo ≤ u < hi.
func (p *ChannelPassesF32) Sum(parts, x []float32, step, lo, hi int) {
	for u := lo; u < hi; u++ {
		c := channelsF32{acc: p.sums(parts, u), a: p.check(x, step), aStep: 4 * step}
		p.part(u, c, func(c *channelsF32) { c.sum(p.level) })
	}
}

// Dot computes Σ (x-centre)·y of units lo ≤ u < hi.
func (p *ChannelPassesF32) Dot(parts, x, y, centre []float32, step, yStep, lo, hi int) {
	_ = centre[p.channels-1]
	for u := lo; u < hi; u++ {
		c := channelsF32{acc: p.sums(parts, u), a: p.check(x, step), b: p.check(y, yStep), m: unsafe.Pointer(&centre[0]), aStep: 4 * step, bStep: 4 * yStep}
		p.part(u, c, func(c *channelsF32) { c.dot(p.level) })
	}
}

// Affine sets dst to x·m + y·u + t, each of m, u and t holding one number per channel, for
// units lo ≤ u < hi.
func (p *ChannelPassesF32) Affine(dst, x, y, m, u, t []float32, dstStep, step, yStep, lo, hi int) {
	_, _, _ = m[p.channels-1], u[p.channels-1], t[p.channels-1]
	for unit := lo; unit < hi; unit++ {
		c := channelsF32{acc: p.check(dst, dstStep), a: p.check(x, step), b: p.check(y, yStep), m: unsafe.Pointer(&m[0]), u: unsafe.Pointer(&u[0]), t: unsafe.Pointer(&t[0]),
			accStep: 4 * dstStep, aStep: 4 * step, bStep: 4 * yStep}
		p.part(unit, c, func(c *channelsF32) { c.affine(p.level) })
	}
}

// Total adds up the parts of channel k in double precision.
func (p *ChannelPassesF32) Total(parts []float32, k int) float64 {
	sum := 0.0
	for u := range p.parts {
		sum += float64(parts[u*p.channels+k])
	}
	return sum
}
