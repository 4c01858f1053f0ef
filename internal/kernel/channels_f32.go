package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// channelsF32 are rows of n channels each, whose channels are summed or scaled each by
// itself: the passes of the gradients of depthwise convolutions. Steps are in bytes. Assembly reads the fields by their offsets.
type channelsF32 struct {
	acc, a, b unsafe.Pointer
	m, u, t   unsafe.Pointer // [n] each
	rows, n   int            // both at least 1

	accStep, aStep, bStep int
	accTap, tapStep       int // of dot3
}

// dot adds Σ a·b over the rows to acc[n].
func (c *channelsF32) dot(l cpu.Level) {
	if !c.arch(l, channelDot) {
		c.multiply(1)
	}
}

// dot3 adds Σ a[tap]·b to acc[tap][n] for three taps: rows of a that lie tapStep apart.
func (c *channelsF32) dot3(l cpu.Level) {
	if !c.arch(l, channelDot3) {
		c.multiply(3)
	}
}

func (c *channelsF32) multiply(taps int) {
	for t := range taps {
		acc := unsafe.Slice((*float32)(unsafe.Add(c.acc, t*c.accTap)), c.n)
		for r := range c.rows {
			a := unsafe.Slice((*float32)(unsafe.Add(c.a, r*c.aStep+t*c.tapStep)), c.n)
			b := unsafe.Slice((*float32)(unsafe.Add(c.b, r*c.bStep)), c.n)
			for i, v := range a {
				acc[i] += v * b[i]
			}
		}
	}
}

// sum adds Σ a over the rows to acc[n].
func (c *channelsF32) sum(l cpu.Level) {
	c.b, c.bStep = c.a, 0
	if c.arch(l, channelSum) {
		return
	}
	acc := unsafe.Slice((*float32)(c.acc), c.n)
	c.eachRow(func(_, a, _ []float32) {
		for i, v := range a {
			acc[i] += v
		}
	})
}

// affine sets the rows of acc to a·m + b·u + t.
func (c *channelsF32) affine(l cpu.Level) {
	if c.arch(l, channelAffine) {
		return
	}
	m, u, t := unsafe.Slice((*float32)(c.m), c.n), unsafe.Slice((*float32)(c.u), c.n), unsafe.Slice((*float32)(c.t), c.n)
	c.eachRow(func(d, a, b []float32) {
		for i := range d {
			d[i] = a[i]*m[i] + b[i]*u[i] + t[i]
		}
	})
}

func (c *channelsF32) eachRow(f func(d, a, b []float32)) {
	row := func(p unsafe.Pointer, at int) []float32 { return unsafe.Slice((*float32)(unsafe.Add(p, at)), c.n) }
	for r := range c.rows {
		f(row(c.acc, r*c.accStep), row(c.a, r*c.aStep), row(c.b, r*c.bStep))
	}
}

type channelsCall uint8

const (
	channelDot channelsCall = iota
	channelDot3
	channelSum
	channelAffine
)

// batchRows bounds the rows of one call, so that a collection of garbage never waits for
// it long.
func (c *channelsF32) batchRows() int { return max(1, callValues/c.n) }

// arch runs assembly where the level has it.
func (c *channelsF32) arch(l cpu.Level, call channelsCall) bool {
	if !channelsArch(l) || c.n > callValues {
		return false
	}
	part, left := *c, c.rows
	for left > 0 {
		part.rows = min(left, c.batchRows())
		part.call(l, call)
		if left -= part.rows; left > 0 { // no pointer beyond the last row
			part.a, part.b = unsafe.Add(part.a, part.rows*c.aStep), unsafe.Add(part.b, part.rows*c.bStep)
			part.acc = unsafe.Add(part.acc, part.rows*c.accStep)
		}
	}
	return true
}

// GateF32 sets dst to x where lo ≤ y ≤ hi and to zero elsewhere: the gradient of a Clip of
// y, and with the least float32 above zero for lo that of a Relu whose output is y. dst may
// be x or y.
func GateF32(l cpu.Level, dst, x, y []float32, lo, hi float32) {
	x, y = x[:len(dst)], y[:len(dst)]
	for len(dst) > 0 {
		n := min(len(dst), callValues)
		for i := gateArch(l, dst[:n], x[:n], y[:n], lo, hi); i < n; i++ {
			v := float32(0)
			if lo <= y[i] && y[i] <= hi {
				v = x[i]
			}
			dst[i] = v
		}
		dst, x, y = dst[n:], x[n:], y[n:]
	}
}

func init() { later(func() { registerChannels(cpu.Generic, 1, "_1_go") }) }

// registerChannels lists the kernels of a level.
func registerChannels(l cpu.Level, lanes int, tag string) {
	const rows, n = 32, 32 // three taps reach two rows further
	for op, run := range map[string]func(*channelsF32){
		"channeldot": func(c *channelsF32) { c.dot(l) }, "channeldot3": func(c *channelsF32) { c.dot3(l) }, "channelsum": func(c *channelsF32) { c.sum(l) }, "channelaffine": func(c *channelsF32) { c.affine(l) },
	} {
		register(Entry{Name: "f32_" + op + tag, Level: l, DType: "f32", Op: op, NR: lanes, Bytes: true,
			Trial: func() (func(), float64) {
				a, b, d, p := alignedF32((rows+2)*n), alignedF32(rows*n), alignedF32(rows*n), alignedF32(n)
				at := func(v []float32) unsafe.Pointer { return unsafe.Pointer(&v[0]) }
				c := channelsF32{acc: at(d), a: at(a), b: at(b), m: at(p), u: at(p), t: at(p), rows: rows, n: n, aStep: 4 * n, bStep: 4 * n, tapStep: 4 * n, accTap: 4 * n}
				if op == "channelaffine" {
					c.accStep = 4 * n
				}
				return func() { d := c; run(&d) }, 8 * rows * n
			}})
	}
	register(Entry{Name: "f32_gate" + tag, Level: l, DType: "f32", Op: "gate", NR: lanes, Bytes: true,
		Trial: func() (func(), float64) {
			x, y, d := alignedF32(1024), alignedF32(1024), alignedF32(1024)
			return func() { GateF32(l, d, x, y, 0, 6) }, 12 * 1024
		}})
}
