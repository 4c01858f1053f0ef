package kernel

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Runner does a range of units of work, lo ≤ unit < hi, as the given worker.
// Ranges of one run are disjoint and may be run concurrently by workers
// 0 … Threads()-1; a worker runs one range at a time.
type Runner interface {
	RunUnits(worker, lo, hi int)
}

// A Pool shares units of work between the goroutine that calls Run and
// threads-1 workers. Workers spin for a moment after a run, so that runs that
// follow closely start within a microsecond, and then sleep. Run allocates
// nothing. One goroutine at a time may call Run or Close.
type Pool struct {
	threads int
	done    sync.WaitGroup
	wake    []chan struct{} // one per worker, capacity 1
	asleep  []atomic.Bool

	// A run is published by advancing seq. The fields above it are written only
	// while no worker is inside a run (active is 0).
	job    Runner
	units  int
	chunk  int
	closed bool
	_      [64]byte
	seq    atomic.Uint32
	_      [64]byte
	next   atomic.Int64
	_      [64]byte
	active atomic.Int32
}

// spinTime bounds how long an idle worker keeps its core; waking a sleeping
// goroutine costs about as much.
const spinTime = 40 * time.Microsecond

// NewPool starts a pool of the given number of threads, the caller included;
// below 1 counts as 1. Close ends its goroutines.
func NewPool(threads int) *Pool {
	threads = max(threads, 1)
	p := &Pool{threads: threads, wake: make([]chan struct{}, threads), asleep: make([]atomic.Bool, threads)}
	for w := 1; w < threads; w++ {
		p.wake[w] = make(chan struct{}, 1)
		p.done.Add(1)
		go p.work(w)
	}
	return p
}

// Threads returns the number of workers, the caller included.
func (p *Pool) Threads() int { return p.threads }

// Run calls r.RunUnits until units 0 … units-1 are done, in chunks of at least
// grain units, and returns when all have returned. Too few units to share, and
// a pool of one thread, run in one call on the caller.
func (p *Pool) Run(units, grain int, r Runner) {
	grain = max(grain, 1)
	if units <= 0 {
		return
	}
	if p.threads == 1 || units <= grain || p.closed {
		r.RunUnits(0, 0, units)
		return
	}
	p.job, p.units = r, units
	// Several chunks per worker, so that one that is held up by another process
	// leaves its share to the rest.
	p.chunk = max(grain, units/(p.threads*4))
	p.next.Store(0)
	p.active.Store(int32(p.threads - 1))
	p.seq.Add(1)
	p.rouse()
	p.take(0)
	for spin := 0; p.active.Load() != 0; spin++ {
		if spin > 256 {
			runtime.Gosched()
		}
	}
	p.job = nil
}

// Close ends the workers and waits for them. Runs after it are serial.
func (p *Pool) Close() {
	if p.closed {
		return
	}
	p.closed = true
	if p.threads > 1 {
		p.active.Store(int32(p.threads - 1))
		p.seq.Add(1)
		p.rouse()
		p.done.Wait()
	}
}

func (p *Pool) rouse() {
	for w := 1; w < p.threads; w++ {
		if p.asleep[w].Load() {
			select {
			case p.wake[w] <- struct{}{}:
			default:
			}
		}
	}
}

// take runs chunks until none are left.
func (p *Pool) take(worker int) {
	for {
		hi := int(p.next.Add(int64(p.chunk)))
		lo := hi - p.chunk
		if lo >= p.units {
			return
		}
		p.job.RunUnits(worker, lo, min(hi, p.units))
	}
}

func (p *Pool) work(w int) {
	defer p.done.Done()
	seen := uint32(0)
	for {
		p.await(w, seen)
		seen++
		if p.closed {
			return
		}
		p.take(w)
		p.active.Add(-1)
	}
}

// await returns when seq has moved past seen. Every run waits for every worker,
// so seq is never more than one ahead.
func (p *Pool) await(w int, seen uint32) {
	start := time.Now()
	for spin := 1; ; spin++ {
		if p.seq.Load() != seen {
			return
		}
		if spin%64 == 0 {
			if time.Since(start) > spinTime {
				break
			}
			runtime.Gosched()
		}
	}
	// The flag goes up before the last look at seq, and a run looks at the flag
	// after it has moved seq: one of the two sees the other.
	p.asleep[w].Store(true)
	for p.seq.Load() == seen {
		<-p.wake[w]
	}
	p.asleep[w].Store(false)
}
