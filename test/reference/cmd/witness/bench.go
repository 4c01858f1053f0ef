package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/edgewise-ml/edgewise/test/reference/session"
)

// benchResult uses the key names of Edgewise's own bench.
type benchResult struct {
	Model   string  `json:"model"`
	Lib     string  `json:"lib"`
	Threads int     `json:"threads"`
	Runs    int     `json:"runs"`
	Min     float64 `json:"latency_ms_min"`
	P50     float64 `json:"latency_ms_p50"`
	First   float64 `json:"first_result_ms"`
	// PeakRSS covers the whole process; BaseRSS is its share from before the
	// runtime was loaded, which belongs to this program.
	PeakRSS int64 `json:"peak_rss_kb"`
	BaseRSS int64 `json:"base_rss_kb"`
}

// bench opens the model in a session of its own and times it. First covers all
// from creating the runtime's environment to the first output, without loading
// the shared library. Without runs it is all that is measured.
func (s *server) bench(q request) (any, error) {
	wrap := func(err error) error { return fmt.Errorf("%s: %s: %w", q.Lib, q.Model, err) }
	base := peakRSS()
	lib, err := s.library(q.Lib)
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))

	start := time.Now()
	ses, err := lib.Open(q.Model, session.Options{Threads: q.Threads, Optimize: q.Optimize})
	if err != nil {
		return nil, wrap(err)
	}
	defer ses.Close()
	inputs, err := arrays(ses, q)
	if err != nil {
		return nil, wrap(err)
	}
	if err := ses.Bind(inputs); err != nil {
		return nil, wrap(err)
	}
	if err := ses.Invoke(); err != nil {
		return nil, wrap(err)
	}
	r := benchResult{Model: q.Model, Lib: q.Lib, Threads: q.Threads, Runs: max(q.Runs, 0), BaseRSS: base}
	r.First = milliseconds(time.Since(start))

	times := make([]time.Duration, r.Runs)
	for i := range times {
		ses.Discard()
		t := time.Now()
		if err := ses.Invoke(); err != nil {
			return nil, wrap(err)
		}
		times[i] = time.Since(t)
	}
	ses.Discard()
	slices.Sort(times)
	if len(times) > 0 {
		r.Min, r.P50 = milliseconds(times[0]), milliseconds(times[len(times)/2])
	}
	r.PeakRSS = peakRSS()
	return r, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
