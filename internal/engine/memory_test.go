package engine

import (
	"bytes"
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// planned are networks whose plans use views, in-place steps and scratch.
func planned(t *testing.T) map[string]*graph.Graph {
	return map[string]*graph.Graph{"bottleneck": bottleneck(), "mobilenet": mobileNet(t, false), "mobilenet int8": mobileNet(t, true)}
}

func TestThePeakIsThePlan(t *testing.T) {
	for name, g := range planned(t) {
		for _, threads := range []int{1, 3} {
			s := compile(t, g, Options{Threads: threads})
			p := s.Plan()
			end, all := 0, p.Buffers()
			for i, a := range all {
				end = max(end, a.Offset+a.Size)
				if a.Offset < 0 || a.Offset%tensor.Alignment != 0 || a.First > a.Last || a.Last >= len(p.Steps()) {
					t.Errorf("%s: %+v", name, a)
				}
				for _, b := range all[:i] {
					if a.Within == "" && b.Within == "" && a.First <= b.Last && b.First <= a.Last && a.Offset < b.Offset+b.Size && b.Offset < a.Offset+a.Size {
						t.Errorf("%s: %+v and %+v overlap", name, a, b)
					}
				}
			}
			if want := end + threads*p.ScratchBytes(); p.ArenaBytes() != want || len(s.arena) != want {
				t.Errorf("%s, %d threads: an arena of %d bytes, %d planned, %d allocated", name, threads, p.ArenaBytes(), want, len(s.arena))
			}
			least := 0
			for _, st := range p.Steps() {
				least = max(least, st.Arena)
			}
			if least > end {
				t.Errorf("%s: %d bytes are alive at once, the plan has %d", name, least, end)
			}
		}
	}
}

// A step leaves alone what is alive and not its to write.
func TestRunsStayInTheirBuffers(t *testing.T) {
	for name, g := range planned(t) {
		s := compile(t, g, Options{})
		in, out := []*tensor.Tensor{random(1, s.plan.inputs[0].Shape...)}, []*tensor.Tensor{tensor.New(tensor.Float32, s.plan.outputs[0].Shape...)}
		all := s.plan.Buffers()
		for i, st := range s.plan.steps {
			run := st.run
			if run == nil {
				continue
			}
			written := map[int]bool{}
			for _, r := range st.writes {
				if r.buf.place == inArena {
					written[r.buf.root().offset] = true
				}
			}
			var idle []Buffer // alive, and not for this step to write
			for _, b := range all {
				if b.Within == "" && b.First <= i && i <= b.Last && !written[b.Offset] {
					idle = append(idle, b)
				}
			}
			st.run = func(s *Session, worker, lo, hi int) {
				before := bytes.Clone(s.arena)
				run(s, worker, lo, hi)
				for _, b := range idle {
					if !bytes.Equal(s.arena[b.Offset:b.Offset+b.Size], before[b.Offset:b.Offset+b.Size]) {
						t.Errorf("%s: step %s changed %s", name, st.name, b.Name)
					}
				}
			}
		}
		if err := s.RunInto(context.Background(), in, out); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWholeNetworksAllocateNothing(t *testing.T) {
	for name, g := range planned(t) {
		for _, threads := range []int{1, 2} {
			s := compile(t, g, Options{Threads: threads})
			in, out := []*tensor.Tensor{random(1, s.plan.inputs[0].Shape...)}, []*tensor.Tensor{tensor.New(tensor.Float32, s.plan.outputs[0].Shape...)}
			if n := testing.AllocsPerRun(5, func() {
				if err := s.RunInto(context.Background(), in, out); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s, %d threads: %v allocations in a run", name, threads, n)
			}
		}
	}
}

// maxStall bounds how long the collector waits for a run to reach a point where it can be
// stopped. Assembly has none, so kernels return from it often; one that does not stalls
// the whole program for as long as it runs.
const maxStall = 20 * time.Millisecond

func TestRunsDoNotStallTheCollector(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a second")
	}
	for name, g := range planned(t) {
		t.Run(name, func(t *testing.T) {
			s := compile(t, g, Options{Threads: 2})
			in, out := []*tensor.Tensor{random(1, s.plan.inputs[0].Shape...)}, []*tensor.Tensor{tensor.New(tensor.Float32, s.plan.outputs[0].Shape...)}
			var stop atomic.Bool
			done := make(chan error, 1)
			go func() {
				for !stop.Load() {
					if err := s.RunInto(context.Background(), in, out); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			// The machine may be busy with others for longer than any bound, so the least
			// of several stalls counts: a run that cannot be stopped makes all of them long.
			least := time.Duration(1 << 62)
			var before, after runtime.MemStats
			for range 20 {
				runtime.ReadMemStats(&before)
				runtime.GC()
				runtime.ReadMemStats(&after)
				pause := time.Duration(0)
				for n := before.NumGC; n < after.NumGC; n++ {
					pause = max(pause, time.Duration(after.PauseNs[n%uint32(len(after.PauseNs))]))
				}
				least = min(least, pause)
			}
			stop.Store(true)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if least > maxStall {
				t.Errorf("the program stood still for %v at least", least)
			}
		})
	}
}
