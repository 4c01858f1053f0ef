package kernel

import (
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// Sources, residuals and destinations that end at a page that faults.
func TestConvU8Guarded(t *testing.T) {
	for _, c := range convCases() {
		w, q, src, residual := c.build(rand.New(rand.NewPCG(1, 3)))
		s := c.s
		gs, gr, gd := guarded(t, s.inLen()), guarded(t, s.resLen()), guarded(t, s.outLen())
		copy(gs, src)
		copy(gr, residual)
		for _, l := range cpu.Levels() {
			op, err := NewConvU8(l, s, w, q)
			if err != nil {
				t.Fatal(err)
			}
			op.Run(gd, gs, gr, guarded(t, op.ScratchBytes()), 0, op.Units())
		}
	}
}

func TestSlicesU8Guarded(t *testing.T) {
	for _, l := range cpu.Levels() {
		for n := 1; n < 200; n++ {
			a, b, dst := guarded(t, n), guarded(t, n), guarded(t, n)
			addU8(t, l, QuantAdd{AMult: 1, BMult: 1, Hi: 255}).Run(dst, a, b)
			mulU8(t, l, QuantMul{Mult: 1, Hi: 255}).Run(dst, a, b)
			accumulateU8(l, int32s(guarded(t, 4*n), n), a)
			maxU8(l, dst, a)
			f := guardedF32(t, make([]float32, n))
			DequantizeU8(l, f, a, 0.5, 3)
			QuantizeU8(l, dst, f, 0.5, 3, 0, 255)
			RangeF32(l, f)
			LookupU8(l, dst, a, new([256]uint8))
		}
	}
}
