package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// QuantAdd is the addition of two quantized tensors:
//
//	v = float32(a-AZero)*AMult + float32(b-BZero)*BMult
//
// where AMult and BMult are the operands' scales over the output's, both
// products and the sum rounded to binary32, then clamped and rounded as
// requant.go says. A negative BMult subtracts.
type QuantAdd struct {
	AZero, BZero    uint8
	AMult, BMult    float32
	OutZero, Lo, Hi uint8
}

// QuantMul is the product of two quantized tensors:
//
//	v = float32((a-AZero)·(b-BZero)) * Mult
//
// with an exact integer product and Mult the product of the operands' scales
// over the output's.
type QuantMul struct {
	AZero, BZero    uint8
	Mult            float32
	OutZero, Lo, Hi uint8
}

// Validate reports whether the numbers can be used.
func (q *QuantAdd) Validate() error {
	if !finite(q.AMult, q.BMult) {
		return errors.New("quantized add: a multiplier is not finite")
	}
	if q.Lo > q.Hi {
		return fmt.Errorf("quantized add: bounds %d..%d are empty", q.Lo, q.Hi)
	}
	return nil
}

// Validate reports whether the numbers can be used.
func (q *QuantMul) Validate() error {
	if !finite(q.Mult) {
		return errors.New("quantized mul: the multiplier is not finite")
	}
	if q.Lo > q.Hi {
		return fmt.Errorf("quantized mul: bounds %d..%d are empty", q.Lo, q.Hi)
	}
	return nil
}

// Apply returns the sum of two bytes.
func (q *QuantAdd) Apply(a, b uint8) uint8 {
	x := float32(float32(int32(a)-int32(q.AZero)) * q.AMult)
	y := float32(float32(int32(b)-int32(q.BZero)) * q.BMult)
	return clampRound(x+y, q.OutZero, q.Lo, q.Hi)
}

// Apply returns the product of two bytes.
func (q *QuantMul) Apply(a, b uint8) uint8 {
	n := (int32(a) - int32(q.AZero)) * (int32(b) - int32(q.BZero))
	return clampRound(float32(float32(n)*q.Mult), q.OutZero, q.Lo, q.Hi)
}

// repeat is BinaryU8.Run.
func repeat(dst, a, b []uint8, p *preparedAdd) {
	n := len(b)
	if len(a) != len(dst) || n == 0 && len(dst) > 0 || n > 0 && len(dst)%n != 0 {
		panic(fmt.Sprintf("kernel: quantized operands of %d and %d values for %d", len(a), n, len(dst)))
	}
	switch {
	case n == 1:
		p.scalar(dst, a, b[0])
	case n >= len(dst):
		p.run(dst, a, b)
	default:
		// Short vectors are repeated into a longer one, so that calls are long.
		var buf [1024]uint8
		if n <= len(buf)/2 {
			m := len(buf) / n * n
			for i := 0; i < m; i += n {
				copy(buf[i:m], b)
			}
			b, n = buf[:m], m
		}
		for i := 0; i < len(dst); i += n {
			e := min(i+n, len(dst))
			p.run(dst[i:e], a[i:e], b[:e-i])
		}
	}
}

// preparedAdd is a QuantAdd with its kernel chosen. Assembly reads the first
// fields by offset: keep the order.
type preparedAdd struct {
	aZero, bZero uint32
	aMult, bMult float32
	zero         uint32 // twice
	lo, hi       uint32 // four times
	product      uint32 // 1 for a QuantMul, whose multiplier is aMult
	add          QuantAdd
	mul          QuantMul
	level        cpu.Level
}

func (q *QuantAdd) prepare(l cpu.Level) *preparedAdd {
	p := &preparedAdd{add: *q, level: l}
	p.aZero, p.bZero, p.aMult, p.bMult = uint32(q.AZero), uint32(q.BZero), q.AMult, q.BMult
	p.zero, p.lo, p.hi = uint32(q.OutZero)*0x10001, uint32(q.Lo)*0x01010101, uint32(q.Hi)*0x01010101
	if 255*(max(q.AMult, -q.AMult)+max(q.BMult, -q.BMult)) >= requantLimit {
		p.level = cpu.Generic
	}
	return p
}

func (q *QuantMul) prepare(l cpu.Level) *preparedAdd {
	p := &preparedAdd{mul: *q, product: 1, level: l}
	p.aZero, p.bZero, p.aMult = uint32(q.AZero), uint32(q.BZero), q.Mult
	p.zero, p.lo, p.hi = uint32(q.OutZero)*0x10001, uint32(q.Lo)*0x01010101, uint32(q.Hi)*0x01010101
	if 255*255*max(q.Mult, -q.Mult) >= requantLimit {
		p.level = cpu.Generic
	}
	return p
}

// maxBinary bounds the bytes of one call of assembly.
const maxBinary = 64 << 10

// run computes len(dst) elements; a and b are at least as long.
func (p *preparedAdd) run(dst, a, b []uint8) {
	n := len(dst)
	a, b = a[:n], b[:n]
	done := 0
	for done < n {
		step := p.vector(dst[done:min(n, done+maxBinary)], a[done:], b[done:])
		if step == 0 {
			break
		}
		done += step
	}
	dst, a, b = dst[done:], a[done:], b[done:]
	switch {
	case p.product == 1:
		for i, x := range a {
			dst[i] = p.mul.Apply(x, b[i])
		}
	case len(dst) < 1024:
		for i, x := range a {
			dst[i] = p.add.Apply(x, b[i])
		}
	default:
		// The products are tables for long slices.
		var x, y [256]float32
		for i := range x {
			x[i] = float32(float32(int32(i)-int32(p.add.AZero)) * p.add.AMult)
			y[i] = float32(float32(int32(i)-int32(p.add.BZero)) * p.add.BMult)
		}
		zero, lo, hi := p.add.OutZero, p.add.Lo, p.add.Hi
		for i, v := range a {
			dst[i] = clampRound(x[v]+y[b[i]], zero, lo, hi)
		}
	}
}

// vector lets assembly compute a prefix and returns its length.
//
//go:noinline
func (p *preparedAdd) vector(dst, a, b []uint8) int {
	return binaryU8Asm(p.level, p, unsafe.Pointer(unsafe.SliceData(dst)), unsafe.Pointer(unsafe.SliceData(a)), unsafe.Pointer(unsafe.SliceData(b)), len(dst))
}

// scalar computes with one value of b, as a table of the 256 results.
func (p *preparedAdd) scalar(dst, a []uint8, b uint8) {
	var t [256]uint8
	for i := range t {
		if p.product == 1 {
			t[i] = p.mul.Apply(uint8(i), b)
		} else {
			t[i] = p.add.Apply(uint8(i), b)
		}
	}
	LookupU8(p.level, dst, a, &t)
}
