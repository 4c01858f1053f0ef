package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// normF32 are rows of n values that batch normalization passes over, with numbers for each
// place of a row. Steps are in bytes. Assembly reads the fields by their offsets.
type normF32 struct {
	dst, a, b     unsafe.Pointer
	m, t, p, u, q unsafe.Pointer // [n] each
	sum, dot      unsafe.Pointer // [n] each
	rows, n       int            // both at least 1

	dstStep, aStep, bStep int
	lo, hi                float32
}

// normPass is what is done with the rows. g is b where a·m + t is within lo … hi and 0
// elsewhere, in passes that are gated, or else b.
type normPass uint8

const (
	normSum    normPass = iota // sum += Σ a
	normSquare                 // sum += Σ (a-q)²
	normClamp                  // dst = a·m + t between lo and hi
	normSums                   // sum += Σ g, dot += Σ g·(a-q)
	normAffine                 // dst = a·p + g·u + q
	normGatedSums
	normGatedAffine
)

var normPassNames = []string{"normsum", "normsquare", "normclamp", "normsums", "normaffine", "normgatedsums", "normgatedaffine"}

// run does a pass, in calls that a collection of garbage never waits for long.
func (c *normF32) run(l cpu.Level, pass normPass) {
	if c.n > callValues || !normArch(l) {
		c.portable(pass)
		return
	}
	part := *c
	for left := c.rows; ; {
		part.rows = min(left, max(1, callValues/c.n))
		part.call(l, pass)
		if left -= part.rows; left == 0 { // no pointer beyond the last row
			return
		}
		part.a = unsafe.Add(part.a, part.rows*c.aStep)
		if c.b != nil {
			part.b = unsafe.Add(part.b, part.rows*c.bStep)
		}
		if c.dst != nil {
			part.dst = unsafe.Add(part.dst, part.rows*c.dstStep)
		}
	}
}

// portable is the twin of the assembly. Products are rounded before they are added, so
// that a gate opens where the pass forward was within bounds on every processor.
func (c *normF32) portable(pass normPass) {
	of := func(p unsafe.Pointer) []float32 {
		if p == nil {
			return nil
		}
		return unsafe.Slice((*float32)(p), c.n)
	}
	row := func(p unsafe.Pointer, at int) []float32 {
		if p == nil {
			return nil
		}
		return of(unsafe.Add(p, at))
	}
	m, t, p, u, q, sum, dot := of(c.m), of(c.t), of(c.p), of(c.u), of(c.q), of(c.sum), of(c.dot)
	gated := pass >= normGatedSums
	for r := range c.rows {
		a, b, dst := row(c.a, r*c.aStep), row(c.b, r*c.bStep), row(c.dst, r*c.dstStep)
		gate := func(i int) float32 {
			if gated {
				if z := float32(a[i]*m[i]) + t[i]; !(c.lo <= z && z <= c.hi) {
					return 0
				}
			}
			return b[i]
		}
		for i, x := range a {
			switch pass {
			case normSum:
				sum[i] += x
			case normSquare:
				d := x - q[i]
				sum[i] += d * d
			case normClamp:
				dst[i] = min(max(float32(x*m[i])+t[i], c.lo), c.hi)
			case normSums, normGatedSums:
				g := gate(i)
				sum[i] += g
				dot[i] += g * (x - q[i])
			default:
				dst[i] = x*p[i] + gate(i)*u[i] + q[i]
			}
		}
	}
}

func init() { later(func() { registerNorm(cpu.Generic, 1, "_1_go") }) }

// registerNorm lists the kernels of a level.
func registerNorm(l cpu.Level, lanes int, tag string) {
	const rows, n = 16, 64
	for pass, name := range normPassNames {
		register(Entry{Name: "f32_" + name + tag, Level: l, DType: "f32", Op: name, NR: lanes, Bytes: true,
			Trial: func() (func(), float64) {
				at := func(n int) unsafe.Pointer { return unsafe.Pointer(&alignedF32(n)[0]) }
				c := normF32{dst: at(rows * n), a: at(rows * n), b: at(rows * n), m: at(n), t: at(n), p: at(n), u: at(n), q: at(n), sum: at(n), dot: at(n),
					rows: rows, n: n, dstStep: 4 * n, aStep: 4 * n, bStep: 4 * n, hi: 6}
				streams := []float64{1, 1, 2, 2, 3, 2, 3}[pass]
				return func() { c.run(l, normPass(pass)) }, 4 * streams * rows * n
			}})
	}
}
