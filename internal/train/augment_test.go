package train

import (
	"math/rand/v2"
	"testing"

	"github.com/edgewise-ml/edgewise/tensor"
)

// A network that restores its input is to give back the sample as it was moved, without what
// was blanked or added: nothing lies where another sample's value is asked for.
func TestTargetsMoveWithTheirInput(t *testing.T) {
	x := tensor.New(tensor.Float32, 1, 2, 6, 6)
	for i := range x.Len() {
		x.SetFloat(i, float64(i+1))
	}
	moves := Augment{Flip: true, Crop: 2, Fill: -1}
	all := moves
	all.Cutout, all.Noise = 2, 0.001
	moved := 0
	for seed := range uint64(20) {
		in, target := make([]float32, x.Len()), make([]float32, x.Len())
		if err := all.apply(rand.New(rand.NewPCG(seed, 1)), in, target, x); err != nil {
			t.Fatal(err)
		}
		blanked := 0
		for i, v := range target {
			if v != -1 && (v != float32(int(v)) || v < 1) {
				t.Fatalf("seed %d: the target holds %v, which is no value of the sample", seed, v)
			}
			if v != -1 && in[i] < 0 {
				blanked++
			} else if d := in[i] - v; d > 0.1 || d < -0.1 {
				t.Fatalf("seed %d: at %d the input is %v and the target %v", seed, i, in[i], v)
			}
			if v != x.F32()[i] {
				moved++
			}
		}
		if blanked > 2*4 {
			t.Errorf("seed %d: %d values blanked", seed, blanked)
		}
	}
	if moved == 0 {
		t.Error("nothing was moved in any of 20 samples")
	}
	l := loader{source: copies{x}, augment: all, seed: 9, size: 4, dtype: tensor.Float32, x: []int{4, 2, 6, 6}, y: []int{4, 2, 6, 6}}
	b := l.empty()
	if err := l.fill(b, []int{0, 1, 2, 3}, 1); err != nil {
		t.Fatal(err)
	}
	same := 0
	for i, v := range b.target.F32() {
		if d := b.x.F32()[i] - v; d < 0.1 && d > -0.1 {
			same++
		}
	}
	if same < b.x.Len()-4*8 {
		t.Errorf("%d of %d values of a batch are those of its targets", same, b.x.Len())
	}
}

// copies are samples that are to be restored.
type copies struct{ x *tensor.Tensor }

func (c copies) Len() int                                   { return 4 }
func (c copies) Sample(int, *tensor.Tensor) (Sample, error) { return Sample{X: c.x, Target: c.x}, nil }

// Columns stay whole when a signal moves along time, however it lies.
func TestShiftIsAlongTime(t *testing.T) {
	for _, c := range []struct {
		a     Augment
		shape []int
	}{
		{Augment{Shift: 3, Last: true}, []int{1, 10, 4}},
		{Augment{Shift: 3, Last: true, Columns: 4}, []int{1, 40}},
		{Augment{Shift: 3, Columns: 4}, []int{1, 40}},
	} {
		x := tensor.New(tensor.Float32, c.shape...)
		for i := range x.Len() {
			x.SetFloat(i, float64(i+1)) // column i%4
		}
		moved := 0
		for seed := range uint64(10) {
			out := make([]float32, 40)
			if err := c.a.apply(rand.New(rand.NewPCG(seed, 1)), out, nil, x); err != nil {
				t.Fatal(err)
			}
			for i, v := range out {
				if v != 0 && (int(v)-1)%4 != i%4 {
					t.Fatalf("%v: at %d lies %v, of another column", c.shape, i, v)
				}
			}
			if out[0] != 1 {
				moved++
			}
		}
		if moved == 0 {
			t.Errorf("%v: nothing moved", c.shape)
		}
	}
}
