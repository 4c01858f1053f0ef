package kernel

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestBinaryU8AllocatesNothing(t *testing.T) {
	for _, l := range cpu.Levels() {
		add, err := NewAddU8(l, QuantAdd{AZero: 3, BZero: 5, AMult: 0.5, BMult: 0.25, Hi: 255})
		if err != nil {
			t.Fatal(err)
		}
		mul, err := NewMulU8(l, QuantMul{AZero: 3, BZero: 5, Mult: 0.01, Hi: 255})
		if err != nil {
			t.Fatal(err)
		}
		dst, a := make([]uint8, 960), make([]uint8, 960)
		for i := range a {
			a[i] = uint8(7 * i)
		}
		for _, n := range []int{1, 24, 960} {
			if k := testing.AllocsPerRun(10, func() { add.Run(dst, a, a[:n]); mul.Run(dst, a, a[:n]) }); k != 0 {
				t.Errorf("%v: operands of %d and %d: %v allocations", l, len(a), n, k)
			}
		}
	}
}
