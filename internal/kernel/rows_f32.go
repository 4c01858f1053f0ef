package kernel

import (
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

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
