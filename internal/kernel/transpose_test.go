package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestTranspose(t *testing.T) {
	r := rand.New(rand.NewPCG(81, 82))
	for range 400 {
		n := r.IntN(6)
		dims, total := make([]int, n), 1
		for i := range dims {
			dims[i] = 1 + r.IntN(7)
			if r.IntN(6) == 0 {
				dims[i] = 20 + r.IntN(20)
			}
			if total*dims[i] > 1<<18 {
				dims[i] = 1
			}
			total *= dims[i]
		}
		perm := r.Perm(n)
		for _, size := range []int{1, 2, 4, 8} {
			op, err := NewTranspose(dims, perm, size)
			if err != nil {
				t.Fatal(err)
			}
			src, dst := make([]byte, total*size), make([]byte, total*size)
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			for _, u := range r.Perm(op.Units()) {
				op.Run(dst, src, u, u+1)
			}
			index := make([]int, n) // of the input
			for i := range total {
				for d, rest := n-1, i; d >= 0; d-- {
					index[d], rest = rest%dims[d], rest/dims[d]
				}
				o := 0
				for _, p := range perm {
					o = o*dims[p] + index[p]
				}
				if string(src[i*size:(i+1)*size]) != string(dst[o*size:(o+1)*size]) {
					t.Fatalf("%v by %v of %d bytes: element %d is not at %d", dims, perm, size, i, o)
				}
			}
		}
	}
}

func TestTransposeEdges(t *testing.T) {
	op, err := NewTranspose([]int{3, 0, 2}, []int{2, 1, 0}, 4)
	if err != nil || op.Units() != 0 {
		t.Errorf("empty tensor: %d units, %v", op.Units(), err)
	}
	for _, c := range []struct {
		dims, perm []int
		size       int
	}{
		{[]int{2, 3}, []int{0, 0}, 4}, {[]int{2, 3}, []int{0}, 4}, {[]int{2, 3}, []int{0, 2}, 4}, {[]int{2, 3}, []int{1, 0}, 3},
		{[]int{2, -3}, []int{1, 0}, 4}, {[]int{1 << 30, 1 << 30}, []int{1, 0}, 4},
	} {
		if _, err := NewTranspose(c.dims, c.perm, c.size); err == nil {
			t.Errorf("%v by %v of %d bytes is accepted", c.dims, c.perm, c.size)
		}
	}
}
