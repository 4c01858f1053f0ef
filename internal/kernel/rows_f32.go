package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// callValues bounds one assembly call, for the sake of the garbage collector.
const callValues = 16 << 10

// applyRows is Apply for rows of n values whose steps are in bytes. It takes the channels
// from channel on, which counts for ActPRelu.
func (a Act) applyRows(l cpu.Level, dst, src unsafe.Pointer, rows, n, dstStep, srcStep, channel int) {
	if a.Kind == ActPRelu {
		PRelu.applyRows(l, dst, src, unsafe.Pointer(&a.Slope[channel : channel+n][0]), rows, n, dstStep, srcStep, 0)
		return
	}
	if dstStep == 4*n && srcStep == 4*n {
		rows, n = 1, rows*n
	}
	if rows == 1 {
		a.Apply(l, unsafe.Slice((*float32)(dst), n), unsafe.Slice((*float32)(src), n))
		return
	}
	if a.rowsArch(l, dst, src, rows, n, dstStep, srcStep) {
		return
	}
	for r := range rows {
		a.Apply(l, unsafe.Slice((*float32)(unsafe.Add(dst, r*dstStep)), n), unsafe.Slice((*float32)(unsafe.Add(src, r*srcStep)), n))
	}
}

// applyRows computes k for rows of n pairs whose steps are in bytes; a step of 0 repeats
// a row.
func (k BinaryKind) applyRows(l cpu.Level, dst, a, b unsafe.Pointer, rows, n, dstStep, aStep, bStep int) {
	if k.rowsArch(l, dst, a, b, rows, n, dstStep, aStep, bStep) {
		return
	}
	for r := range rows {
		d, x := unsafe.Slice((*float32)(unsafe.Add(dst, r*dstStep)), n), unsafe.Slice((*float32)(unsafe.Add(a, r*aStep)), n)
		y := unsafe.Slice((*float32)(unsafe.Add(b, r*bStep)), n)
		if !k.applyArch(l, d, x, y, false) {
			k.applyGo(d, x, y)
		}
	}
}

// repeatedBuffer is how many values a short repeated vector is copied out to.
const repeatedBuffer = 256

// applyRepeated computes k(a, b) where b is repeated.
func (k BinaryKind) applyRepeated(l cpu.Level, dst, a, b []float32) {
	var buffer [repeatedBuffer]float32
	if len(b) < 16 && len(a) >= 64 {
		// Rows shorter than a vector would each be a partial one.
		n := len(buffer) / len(b) * len(b)
		for i := copy(buffer[:n], b); i < n; i *= 2 {
			copy(buffer[i:n], buffer[:i])
		}
		b = buffer[:n]
	}
	n := len(b)
	if rows := len(a) / n; rows > 0 {
		k.applyRows(l, unsafe.Pointer(&dst[0]), unsafe.Pointer(&a[0]), unsafe.Pointer(&b[0]), rows, n, 4*n, 4*n, 0)
	}
	if i := len(a) / n * n; i < len(a) {
		rest := len(a) - i
		k.applyRows(l, unsafe.Pointer(&dst[i]), unsafe.Pointer(&a[i]), unsafe.Pointer(&b[0]), 1, rest, 0, 0, 0)
	}
}

// mixTap says of which two pixels an output pixel is made. at and next are where they start
// in bytes; where w1 is 0 the second is not read.
type mixTap struct {
	at, next int
	w0, w1   float32
}

// mixF32 makes pixels of n channels by taps: w0·src[at] + w1·src[next]. Assembly reads the
// fields by their offsets.
type mixF32 struct {
	dst, src unsafe.Pointer
	taps     *mixTap
	pixels   int
	n        int
	dstStep  int // bytes from pixel to pixel
}

func (m *mixF32) goRun() {
	for i, t := range unsafe.Slice(m.taps, m.pixels) {
		dst := unsafe.Slice((*float32)(unsafe.Add(m.dst, i*m.dstStep)), m.n)
		a := unsafe.Slice((*float32)(unsafe.Add(m.src, t.at)), m.n)
		if t.w1 == 0 {
			copy(dst, a)
			continue
		}
		b := unsafe.Slice((*float32)(unsafe.Add(m.src, t.next)), m.n)
		for i, v := range a {
			dst[i] = t.w0*v + t.w1*b[i]
		}
	}
}

// sumRowsF32 adds rows of n values, step bytes apart, to dst. Assembly reads the fields by
// their offsets.
type sumRowsF32 struct {
	dst, src unsafe.Pointer
	rows, n  int
	step     int
}

func (s *sumRowsF32) goRun() {
	dst := unsafe.Slice((*float32)(s.dst), s.n)
	for r := range s.rows {
		for i, v := range unsafe.Slice((*float32)(unsafe.Add(s.src, r*s.step)), s.n) {
			dst[i] += v
		}
	}
}

func init() { later(func() { registerRowsF32(cpu.Generic, 1, "_1_go") }) }

// registerRowsF32 lists the kernels over rows at a level.
func registerRowsF32(l cpu.Level, lanes int, tag string) {
	const n, rows = 64, 16
	register(Entry{Name: "f32_mix" + tag, Level: l, DType: "f32", Op: "mix", NR: lanes, Bytes: true, Trial: func() (func(), float64) {
		src, dst, taps := alignedF32(n*rows), alignedF32(n*rows), make([]mixTap, rows)
		for i := range taps {
			taps[i] = mixTap{at: 4 * n * i, next: 4 * n * max(i-1, 0), w0: 0.75, w1: 0.25}
		}
		m := &mixF32{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), taps: &taps[0], pixels: rows, n: n, dstStep: 4 * n}
		return func() { m.run(l) }, 12 * n * rows
	}})
	register(Entry{Name: "f32_sumrows" + tag, Level: l, DType: "f32", Op: "sumrows", NR: lanes, Bytes: true, Trial: func() (func(), float64) {
		src, dst := alignedF32(n*rows), alignedF32(n)
		s := &sumRowsF32{dst: unsafe.Pointer(&dst[0]), src: unsafe.Pointer(&src[0]), rows: rows, n: n, step: 4 * n}
		return func() { s.run(l) }, 4 * n * rows
	}})
}
