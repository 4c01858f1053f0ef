package kernel

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

type counter struct {
	seen    []atomic.Int32
	workers []atomic.Int32 // ranges that a worker is inside of
	t       *testing.T
	work    time.Duration
}

func (c *counter) RunUnits(worker, lo, hi int) {
	if c.workers[worker].Add(1) != 1 {
		c.t.Errorf("worker %d runs two ranges at once", worker)
	}
	for i := lo; i < hi; i++ {
		c.seen[i].Add(1)
		for start := time.Now(); time.Since(start) < c.work; {
		}
	}
	c.workers[worker].Add(-1)
}

func TestPoolRunsEveryUnitOnce(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 3, 5} {
		p := NewPool(threads)
		for run := range 400 {
			c := &counter{seen: make([]atomic.Int32, run%67), workers: make([]atomic.Int32, p.Threads()), t: t}
			if run%50 == 0 {
				time.Sleep(time.Millisecond) // let workers fall asleep
				c.work = 5 * time.Microsecond
			}
			p.Run(len(c.seen), run%4, c)
			for i := range c.seen {
				if n := c.seen[i].Load(); n != 1 {
					t.Fatalf("%d threads, run %d: unit %d ran %d times", threads, run, i, n)
				}
			}
		}
		p.Close()
		p.Close()
		c := &counter{seen: make([]atomic.Int32, 9), workers: make([]atomic.Int32, p.Threads()), t: t}
		p.Run(9, 1, c)
		if c.seen[8].Load() != 1 {
			t.Error("a closed pool does not run")
		}
	}
}

func TestPoolLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		p := NewPool(4)
		p.Run(100, 1, &counter{seen: make([]atomic.Int32, 100), workers: make([]atomic.Int32, 4), t: t})
		p.Close()
	}
	for start := time.Now(); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestPoolRunDoesNotAllocate(t *testing.T) {
	p := NewPool(3)
	defer p.Close()
	c := &counter{seen: make([]atomic.Int32, 100), workers: make([]atomic.Int32, 3), t: t}
	if n := testing.AllocsPerRun(100, func() { p.Run(100, 1, c) }); n != 0 {
		t.Errorf("%v allocations in a run", n)
	}
}

func BenchmarkPool(b *testing.B) {
	p := NewPool(2)
	defer p.Close()
	c := &counter{seen: make([]atomic.Int32, 8), workers: make([]atomic.Int32, 2)}
	for b.Loop() {
		p.Run(8, 1, c)
	}
}

// convRun is a convolution as the engine runs it: a scratch per worker.
type convRun struct {
	conv     *ConvF32
	dst, src []float32
	scratch  [][]byte
}

func (c *convRun) RunUnits(worker, lo, hi int) {
	c.conv.Run(c.dst, c.src, nil, c.scratch[worker], lo, hi)
}

func TestConvF32ThroughPool(t *testing.T) {
	r := rand.New(rand.NewPCG(101, 102))
	p := NewPool(3)
	defer p.Close()
	for range 60 {
		s := randomShape(r)
		conv, err := NewConvF32(cpu.Best(), s, normals(r, s.weightLen()), nil, Act{Kind: ActSiLU}, false)
		if err != nil {
			t.Fatal(err)
		}
		c := &convRun{conv: conv, dst: make([]float32, s.outLen()), src: normals(r, s.inLen())}
		for range p.Threads() {
			c.scratch = append(c.scratch, make([]byte, conv.ScratchBytes()))
		}
		want := make([]float32, s.outLen())
		conv.Run(want, c.src, nil, c.scratch[0], 0, conv.Units())
		p.Run(conv.Units(), 1, c)
		if !slices.Equal(c.dst, want) {
			t.Fatalf("%s %+v: differs on three threads", conv.Name(), s)
		}
	}
}
