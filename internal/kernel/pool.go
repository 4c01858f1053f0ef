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
// follow closely start within a microsecond, and then sleep. A worker that
// wakes too late for a run is not waited for. Run allocates nothing. One
// goroutine at a time may call Run or Close.
type Pool struct {
	threads int
	done    sync.WaitGroup
	wake    []chan struct{} // one per worker, capacity 1
	asleep  []atomic.Bool
	closed  atomic.Bool

	// The run that is open. Written only while none is open and nobody joined.
	job   Runner
	units int
	grain int
	_     [64]byte
	// state is the number of the last run in the upper half, then runOpen while
	// workers may join it, then how many are inside.
	state atomic.Uint64
	_     [64]byte
	next  atomic.Int64
	_     [64]byte
}

const runOpen = 1 << 31

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
	if p.threads == 1 || units <= grain || p.closed.Load() {
		r.RunUnits(0, 0, units)
		return
	}
	p.job, p.units, p.grain = r, units, grain
	p.next.Store(0)
	p.open()
	p.take(0)
	// Everything is taken: keep late workers out and wait for those inside.
	for spin, s := 0, p.state.And(^uint64(runOpen)); s&(runOpen-1) != 0; s = p.state.Load() {
		if pause(); spin > 64 {
			runtime.Gosched()
		}
		spin++
	}
	p.job = nil
}

// open publishes a run and wakes the workers that sleep.
func (p *Pool) open() {
	run := p.state.Load()>>32 + 1
	p.state.Store(run<<32 | runOpen)
	for w := 1; w < p.threads; w++ {
		if p.asleep[w].Load() {
			select {
			case p.wake[w] <- struct{}{}:
			default:
			}
		}
	}
}

// Close ends the workers and waits for them. Runs after it are serial.
func (p *Pool) Close() {
	if p.closed.Swap(true) {
		return
	}
	p.open()
	p.done.Wait()
}

// take runs chunks until none are left. A chunk is half of an equal share of what is left:
// large at first, small towards the end, so that a worker that is held up by another
// process leaves its share to the rest and nobody waits long for the last.
func (p *Pool) take(worker int) {
	for {
		lo := int(p.next.Load())
		if lo >= p.units {
			return
		}
		hi := min(lo+max(p.grain, (p.units-lo)/(2*p.threads)), p.units)
		if p.next.CompareAndSwap(int64(lo), int64(hi)) {
			p.job.RunUnits(worker, lo, hi)
		}
	}
}

func (p *Pool) work(w int) {
	defer p.done.Done()
	for seen := uint64(0); ; {
		s := p.await(w, seen)
		seen = s >> 32
		if p.closed.Load() {
			return
		}
		for s&runOpen != 0 && s>>32 == seen {
			if p.state.CompareAndSwap(s, s+1) {
				p.take(w)
				p.state.Add(^uint64(0))
				break
			}
			s = p.state.Load()
		}
	}
}

// await returns the state when a run after the one seen has been opened.
func (p *Pool) await(w int, seen uint64) uint64 {
	start := time.Now()
	for spin := 1; ; spin++ {
		if s := p.state.Load(); s>>32 != seen {
			return s
		}
		if pause(); spin%16 == 0 {
			if time.Since(start) > spinTime {
				break
			}
			runtime.Gosched()
		}
	}
	// The flag goes up before the last look at the state, and a run looks at the
	// flag after it has changed the state: one of the two sees the other.
	p.asleep[w].Store(true)
	defer p.asleep[w].Store(false)
	for {
		if s := p.state.Load(); s>>32 != seen {
			return s
		}
		<-p.wake[w]
	}
}
