package kernel

import (
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"pgregory.net/rapid"
)

// TestMoveAgainstIndices copies between random memory orders and looks at every element,
// and at what lies between them.
func TestMoveAgainstIndices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rank := rapid.IntRange(0, 5).Draw(t, "rank")
		shape, total := make([]int, rank), 1
		for i := range shape {
			shape[i] = rapid.SampledFrom([]int{1, 2, 3, 4, 5, 17, 33, 70, 600}).Draw(t, "size")
			if total*shape[i] > 50_000 {
				shape[i] = 2
			}
			total *= shape[i]
		}
		draw := func(name string) []int {
			steps, n := make([]int, rank), 1
			for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4}[:rank]).Draw(t, name) {
				steps[i] = n
				n *= shape[i]
				n += rapid.IntRange(0, 1).Draw(t, "gap")
			}
			return steps
		}
		src, dst := draw("src"), draw("dst")
		if rank > 0 && rapid.Bool().Draw(t, "broadcast") {
			src[rapid.IntRange(0, rank-1).Draw(t, "dim")] = 0
		}
		elem := rapid.SampledFrom([]int{1, 2, 4, 8, 16}).Draw(t, "elem")
		flip := elem == 1 && rapid.Bool().Draw(t, "flip")
		span := func(steps []int) int {
			n := 1
			for i, d := range shape {
				n += (d - 1) * steps[i]
			}
			return n * elem
		}
		from, to := make([]byte, span(src)), make([]byte, span(dst))
		for i := range from {
			from[i] = byte(i*7 + i>>8)
		}
		for i := range to {
			to[i] = 0xa5
		}
		want := slices.Clone(to)
		idx := make([]int, rank)
		for range total {
			a, b := 0, 0
			for i, k := range idx {
				a, b = a+k*src[i], b+k*dst[i]
			}
			copy(want[b*elem:(b+1)*elem], from[a*elem:])
			if flip {
				want[b] ^= 0x80
			}
			for k := rank - 1; k >= 0; k-- {
				if idx[k]++; idx[k] < shape[k] {
					break
				}
				idx[k] = 0
			}
		}
		level := rapid.SampledFrom(cpu.Levels()).Draw(t, "level")
		m := NewMove(level, elem, flip, shape, dst, src)
		cut := rapid.IntRange(0, m.Units()).Draw(t, "cut")
		m.Run(to, from, cut, m.Units())
		m.Run(to, from, 0, cut)
		for i := range to {
			if to[i] != want[i] {
				t.Fatalf("%v from steps %v to %v: byte %d is %#x, want %#x (%+v)", shape, src, dst, i, to[i], want[i], m)
			}
		}
	})
}

func TestMoveEdges(t *testing.T) {
	m := NewMove(cpu.Generic, 4, false, []int{3, 0, 2}, []int{2, 2, 1}, []int{1, 3, 3})
	m.Run(nil, nil, 0, m.Units())
	if m.Units() != 0 {
		t.Errorf("an empty tensor makes %d units", m.Units())
	}
	for _, f := range []func(){
		func() { NewMove(cpu.Generic, 3, false, []int{2}, []int{1}, []int{1}) },
		func() { NewMove(cpu.Generic, 4, true, []int{2}, []int{1}, []int{1}) },
		func() { NewMove(cpu.Generic, 4, false, []int{2}, []int{1, 1}, []int{1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a move that makes no sense is accepted")
				}
			}()
			f()
		}()
	}
}

func TestTransposeMatrix(t *testing.T) {
	for rows := range 12 {
		for _, cols := range []int{0, 1, 2, 3, 4, 5, 6, 7, 130} {
			src, dst := make([]int32, rows*cols), make([]int32, rows*cols)
			for i := range src {
				src[i] = int32(i)
			}
			Transpose(dst, src, rows, cols)
			for i := range dst {
				if want := src[i%max(rows, 1)*cols+i/max(rows, 1)]; dst[i] != want {
					t.Fatalf("%d×%d: element %d is %d, want %d", rows, cols, i, dst[i], want)
				}
			}
		}
	}
}
