package kernel

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

// guarded returns n bytes that end where the next page cannot be touched.
func guarded(t *testing.T, n int) []byte {
	t.Helper()
	page := syscall.Getpagesize()
	size := (n + page - 1) / page * page
	m, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skip("mmap:", err)
	}
	if err := syscall.Mprotect(m[size:], syscall.PROT_NONE); err != nil {
		t.Skip("mprotect:", err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(m) })
	return m[size-n : size : size]
}

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
			AddU8(l, QuantAdd{AMult: 1, BMult: 1, Hi: 255}, dst, a, b)
			MulU8(l, QuantMul{Mult: 1, Hi: 255}, dst, a, b)
			f := int32s(guarded(t, 4*n), n)
			accumulateU8(l, f, a)
			maxU8(l, dst, a)
		}
	}
}
