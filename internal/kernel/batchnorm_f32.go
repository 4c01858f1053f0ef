package kernel

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// A BatchNormF32 are the prepared passes of batch normalization in training over pixels of
// some channels, and of a Relu or Clip right after it: one pass over memory for the
// statistics, one for the result, two for the gradient. What the activation lets through is
// found anew from the input, so neither its input nor its output is read on the way back.
//
// Sums go over parts of the pixels, one unit each, and are added up by the Finish methods,
// so that the order of addition does not depend on the number of workers.
type BatchNormF32 struct {
	level            cpu.Level
	pixels, channels int
	parts            int
	lo, hi           float32 // of the result
	above, below     float32 // from which on and up to which it has a gradient
	gated            bool
	row              int // values that are a row of the kernels where pixels lie side by side
}

// A part has about normPart values: read twice, they come from the second cache once.
// Several pixels make a row of at least normRow values and whole vectors, unless that is
// beyond maxNormRow.
const (
	normPart   = 1 << 16
	normRow    = 64
	normLanes  = 16
	maxNormRow = 1 << 11
)

// NewBatchNormF32 prepares passes for the kernels of a level; values of the result are held
// between the bounds of act, a clamp or the zero Act. What lies at a bound has no
// gradient.
func NewBatchNormF32(l cpu.Level, pixels, channels int, act Act) (*BatchNormF32, error) {
	if pixels < 1 || channels < 1 || !productWithin(maxElements, pixels, channels) {
		return nil, fmt.Errorf("batch normalization f32: %d pixels of %d channels", pixels, channels)
	}
	lo, hi, more := act.clamp()
	if more {
		return nil, fmt.Errorf("batch normalization f32: %v is no clamp", act.Kind)
	}
	b := &BatchNormF32{level: l, pixels: pixels, channels: channels, lo: lo, hi: hi, above: lo, below: hi, gated: act.Kind != ActNone,
		parts: min(max(pixels*channels/normPart, 1), pixels), row: channels}
	if !math.IsInf(float64(lo), -1) {
		b.above = math.Nextafter32(lo, float32(math.Inf(1)))
	}
	if !math.IsInf(float64(hi), 1) {
		b.below = math.Nextafter32(hi, float32(math.Inf(-1)))
	}
	for b.row < normRow || b.row%normLanes != 0 {
		if b.row += channels; b.row > maxNormRow {
			b.row = channels
			break
		}
	}
	return b, nil
}

// Name names the pass that makes the result.
func (b *BatchNormF32) Name() string {
	if b.gated {
		return "normalize and clamp"
	}
	return "normalize"
}

// Units returns the number of independent units of each pass.
func (b *BatchNormF32) Units() int { return b.parts }

// Span returns the range of values in which the pixels of units lo ≤ u < hi lie where pixels
// are dense.
func (b *BatchNormF32) Span(lo, hi int) (from, to int) {
	return lo * b.pixels / b.parts * b.channels, hi * b.pixels / b.parts * b.channels
}

// PartsLen returns how many values Statistics and Sums write.
func (b *BatchNormF32) PartsLen() int { return 2 * b.parts * b.channels }

// ScratchBytes returns the scratch that each worker needs.
func (b *BatchNormF32) ScratchBytes() int { return 4 * 7 * b.row }

// normRun is one unit of a pass.
type normRun struct {
	*BatchNormF32
	normF32
	from, count int // pixels
	free        []float32
}

func (b *BatchNormF32) unit(u int, scratch []byte) normRun {
	from := u * b.pixels / b.parts
	return normRun{BatchNormF32: b, normF32: normF32{lo: b.lo, hi: b.hi}, from: from, count: (u+1)*b.pixels/b.parts - from,
		free: floatScratch(scratch, b.ScratchBytes()/4)}
}

// pixelsAt returns where the unit begins in x, whose pixels lie step apart.
func (r *normRun) pixelsAt(x []float32, step int) unsafe.Pointer {
	_ = x[(r.from+r.count-1)*step+r.channels-1]
	return unsafe.Pointer(&x[r.from*step])
}

// spread returns numbers of the channels as often as a row has pixels, or zeros for nil.
func (r *normRun) spread(v []float32) unsafe.Pointer {
	to := r.free[:r.row]
	r.free = r.free[r.row:]
	if v == nil {
		clear(to)
		return unsafe.Pointer(&to[0])
	}
	v = v[:r.channels]
	if r.row == r.channels {
		return unsafe.Pointer(&v[0])
	}
	for at := copy(to, v); at < len(to); {
		at += copy(to[at:], to[:at])
	}
	return unsafe.Pointer(&to[0])
}

// pass runs over the unit, in rows of several pixels where these lie side by side; steps
// are given in values.
func (r *normRun) pass(p normPass, step, bStep, dstStep int) {
	per := r.row / r.channels
	if step != r.channels || r.b != nil && bStep != r.channels || r.dst != nil && dstStep != r.channels {
		per = 1
	}
	c := r.normF32
	c.aStep, c.bStep, c.dstStep = 4*step*per, 4*bStep*per, 4*dstStep*per
	whole := r.count / per
	if whole > 0 {
		c.rows, c.n = whole, per*r.channels
		c.run(r.level, p)
	}
	if rest := r.count % per; rest > 0 {
		c.a = unsafe.Add(c.a, whole*c.aStep)
		if c.b != nil {
			c.b = unsafe.Add(c.b, whole*c.bStep)
		}
		if c.dst != nil {
			c.dst = unsafe.Add(c.dst, whole*c.dstStep)
		}
		c.rows, c.n = 1, rest*r.channels
		c.run(r.level, p)
	}
}

// fold adds up the places of a row that belong to one channel.
func (r *normRun) fold(to []float32, from unsafe.Pointer) {
	v := unsafe.Slice((*float32)(from), r.row)
	copy(to, v)
	for v = v[r.channels:]; len(v) > 0; v = v[r.channels:] {
		for i, x := range v[:r.channels] {
			to[i] += x
		}
	}
}

func (b *BatchNormF32) part(parts []float32, u int) (first, second []float32) {
	p := parts[2*u*b.channels:][:2*b.channels]
	return p[:b.channels], p[b.channels:]
}

// Statistics computes the means of units lo ≤ u < hi and the squares of what differs from
// them, of pixels that lie step values apart.
func (b *BatchNormF32) Statistics(parts, x []float32, step int, scratch []byte, lo, hi int) {
	for u := lo; u < hi; u++ {
		r := b.unit(u, scratch)
		mean, squares := b.part(parts, u)
		r.a, r.sum = r.pixelsAt(x, step), r.spread(nil)
		r.pass(normSum, step, 0, 0)
		r.fold(mean, r.sum)
		for i := range mean {
			mean[i] /= float32(r.count)
		}
		r.sum, r.q = r.spread(nil), r.spread(mean)
		r.pass(normSquare, step, 0, 0)
		r.fold(squares, r.sum)
	}
}

// FinishStatistics makes of all parts the mean and the variance of every channel (Chan,
// Golub and LeVeque 1979, of several sets at once).
func (b *BatchNormF32) FinishStatistics(mean, variance, parts []float32) {
	count := func(u int) float64 { return float64((u+1)*b.pixels/b.parts - u*b.pixels/b.parts) }
	for k := range b.channels {
		sum := 0.0
		for u := range b.parts {
			sum += count(u) * float64(parts[2*u*b.channels+k])
		}
		centre, squares := sum/float64(b.pixels), 0.0
		for u := range b.parts {
			d := float64(parts[2*u*b.channels+k]) - centre
			squares += float64(parts[(2*u+1)*b.channels+k]) + count(u)*d*d
		}
		mean[k], variance[k] = float32(centre), float32(squares/float64(b.pixels))
	}
}

// Apply sets y to x·m + t between the bounds, for units lo ≤ u < hi.
func (b *BatchNormF32) Apply(y, x, m, t []float32, yStep, step int, scratch []byte, lo, hi int) {
	for u := lo; u < hi; u++ {
		r := b.unit(u, scratch)
		r.a, r.dst, r.m, r.t = r.pixelsAt(x, step), r.pixelsAt(y, yStep), r.spread(m), r.spread(t)
		r.pass(normClamp, step, 0, yStep)
	}
}

// Sums computes Σ g and Σ g·(x-mean) of units lo ≤ u < hi, where g is dy where Apply was
// within the bounds and zero elsewhere.
func (b *BatchNormF32) Sums(parts, x, dy, m, t, mean []float32, step, dyStep int, scratch []byte, lo, hi int) {
	for u := lo; u < hi; u++ {
		r := b.unit(u, scratch)
		r.a, r.b = r.pixelsAt(x, step), r.pixelsAt(dy, dyStep)
		r.m, r.t, r.q, r.sum, r.dot = r.spread(m), r.spread(t), r.spread(mean), r.spread(nil), r.spread(nil)
		r.pass(r.way(normSums), step, dyStep, 0)
		sum, dot := b.part(parts, u)
		r.fold(sum, r.sum)
		r.fold(dot, r.dot)
	}
}

// FinishSums adds up the parts of channel k.
func (b *BatchNormF32) FinishSums(parts []float32, k int) (sum, dot float64) {
	for u := range b.parts {
		sum += float64(parts[2*u*b.channels+k])
		dot += float64(parts[(2*u+1)*b.channels+k])
	}
	return sum, dot
}

// Gradient sets dx to x·p + g·u + q with the g of Sums, for units lo ≤ u < hi. dx may be dy.
func (b *BatchNormF32) Gradient(dx, x, dy, m, t, p, u, q []float32, dxStep, step, dyStep int, scratch []byte, lo, hi int) {
	for i := lo; i < hi; i++ {
		r := b.unit(i, scratch)
		r.a, r.b, r.dst = r.pixelsAt(x, step), r.pixelsAt(dy, dyStep), r.pixelsAt(dx, dxStep)
		r.m, r.t, r.p, r.u, r.q = r.spread(m), r.spread(t), r.spread(p), r.spread(u), r.spread(q)
		r.pass(r.way(normAffine), step, dyStep, dxStep)
	}
}

// way returns the pass with its gate where there is one.
func (r *normRun) way(p normPass) normPass {
	if r.gated {
		r.normF32.lo, r.normF32.hi = r.above, r.below
		p += normGatedSums - normSums
	}
	return p
}
