package engine

import (
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/tensor"
	"pgregory.net/rapid"
)

// at returns the index of an element in the slice that starts at the first one.
func (r *ref) at(idx []int) int {
	n := 0
	for i, k := range idx {
		n += k * r.strides[i]
	}
	return n
}

// TestMoveAgainstIndices copies between random memory orders and looks at every element.
func TestMoveAgainstIndices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.IntRange(0, 5).Draw(t, "rank")
		shape := make([]int, rank)
		for i := range shape {
			shape[i] = rapid.SampledFrom([]int{1, 2, 3, 4, 5, 17, 33}).Draw(t, "size")
		}
		draw := func(name string) *ref {
			perm := rapid.Permutation([]int{0, 1, 2, 3, 4}[:rank]).Draw(t, name)
			strides := make([]int, rank)
			n := 1
			for _, i := range perm {
				strides[i] = n
				n *= shape[i] + rapid.IntRange(0, 1).Draw(t, "gap")
			}
			return &ref{dtype: tensor.Uint16, shape: shape, strides: strides, buf: &buffer{}}
		}
		src, dst := draw("src"), draw("dst")
		if rapid.Bool().Draw(t, "broadcast") && rank > 0 {
			src.strides[rapid.IntRange(0, rank-1).Draw(t, "dim")] = 0
		}
		flip := rapid.Bool().Draw(t, "bytes")
		if flip {
			src.dtype, dst.dtype, dst.biased = tensor.Int8, tensor.Int8, true
		}
		from, to := make([]byte, src.span()), make([]byte, dst.span())
		for i := range from {
			from[i] = byte(i * 7)
		}
		m := newMove(dst, src)
		cut := rapid.IntRange(0, m.units).Draw(t, "cut")
		m.run(to, from, cut, m.units)
		m.run(to, from, 0, cut)
		idx := make([]int, rank)
		for range src.len() {
			a, b := src.at(idx), dst.at(idx)
			e := src.elem()
			want := slices.Clone(from[a*e : a*e+e])
			if flip {
				want[0] ^= 0x80
			}
			if !slices.Equal(want, to[b*e:b*e+e]) {
				t.Fatalf("element %v of %v: %v, want %v (move %+v)", idx, shape, to[b*e:b*e+e], want, m)
			}
			for k := rank - 1; k >= 0; k-- {
				if idx[k]++; idx[k] < shape[k] {
					break
				}
				idx[k] = 0
			}
		}
	})
}
