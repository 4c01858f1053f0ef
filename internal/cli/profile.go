package cli

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// stepReport is the time of one step of the program, over several profiled runs.
type stepReport struct {
	Name   string  `json:"name"`
	Op     string  `json:"op"`
	Kernel string  `json:"kernel"`
	Why    string  `json:"why,omitempty"` // it was taken; absent where reason tells
	Mean   float64 `json:"latency_ms_mean"`
	Min    float64 `json:"latency_ms_min"`
	Share  float64 `json:"share"` // of the time of all steps, 0..1
	MACs   int64   `json:"macs"`
	GMACs  float64 `json:"gmacs_per_s"` // at the mean time
	// PeakShare is the share of the least time that the MACs take at the machine's peak.
	PeakShare float64 `json:"peak_share"`
	Bytes     int64   `json:"bytes"` // read and written
	Arena     int     `json:"arena_bytes"`
	Fallback  bool    `json:"fallback"`
	Reason    string  `json:"reason,omitempty"`
}

// profiledRuns bounds the runs that are timed step by step.
const profiledRuns = 50

// profile times the steps and writes the files that were asked for.
func (a *app) profile(ctx context.Context, s *engine.Session, inputs []op.Value, runs int, f benchFlags) ([]stepReport, error) {
	var last []engine.StepTime
	var total []time.Duration
	var least []time.Duration
	runs = max(min(runs, profiledRuns), 1)
	for range runs {
		steps, err := s.Profile(ctx, inputs)
		if err != nil {
			return nil, err
		}
		if len(steps) == 0 {
			return nil, errNoTime
		}
		if last == nil {
			total, least = make([]time.Duration, len(steps)), make([]time.Duration, len(steps))
		}
		for i, st := range steps {
			total[i] += st.Duration
			if last == nil || st.Duration < least[i] {
				least[i] = st.Duration
			}
		}
		last = steps
	}
	var all time.Duration
	for _, d := range total {
		all += d
	}
	out := make([]stepReport, len(last))
	for i, st := range last {
		out[i] = stepReport{Name: st.Name, Op: st.Op, Kernel: st.Kernel, Why: st.Why, Mean: milliseconds(total[i]) / float64(runs), Min: milliseconds(least[i]),
			Share: float64(total[i]) / float64(max(all, 1)), MACs: st.MACs, Bytes: st.Bytes, Arena: st.Arena, Fallback: st.Fallback, Reason: st.Reason}
		if total[i] > 0 {
			out[i].GMACs = float64(st.MACs) * float64(runs) / float64(total[i].Nanoseconds())
		}
	}
	if f.csv != "" {
		if err := writeFile(f.csv, func(w io.Writer) error { return writeStepsCSV(w, out) }); err != nil {
			return nil, err
		}
	}
	if f.trace != "" {
		if err := writeFile(f.trace, func(w io.Writer) error { return writeTrace(w, last) }); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nameWidth bounds the names of steps in the table, whose ends tell them apart.
const nameWidth = 48

func shortName(s string) string {
	if r := []rune(s); len(r) > nameWidth {
		return "…" + string(r[len(r)-nameWidth+1:])
	}
	return s
}

// memoryBound reports whether a step is far from the peak of arithmetic, but near the rate
// at which memory is copied.
func (s *stepReport) memoryBound(p peakReport) bool {
	return p.Copy > 0 && s.Min > 0 && s.PeakShare < 0.5 && float64(s.Bytes)/(s.Min*1e6) >= 0.7*p.Copy
}

func printSteps(w io.Writer, steps []stepReport, peak peakReport) {
	fmt.Fprintln(w, "ms are means, % of peak is by the least time; m: memory sets the limit, not arithmetic")
	t := &table{head: []string{"ms", "%", "GMAC/s", "% of peak", "MACs", "operators", "kernel", "why", "name"}}
	for _, s := range steps {
		kernel := s.Kernel
		if s.Fallback {
			kernel += " (reference: " + s.Reason + ")"
		}
		share := dash(s.PeakShare > 0, fmt.Sprintf("%.0f", 100*s.PeakShare))
		if s.memoryBound(peak) {
			share += " m"
		}
		t.add(fmt.Sprintf("%.4f", s.Mean), fmt.Sprintf("%.1f", 100*s.Share), dash(s.GMACs > 0, fmt.Sprintf("%.1f", s.GMACs)),
			share, dash(s.MACs > 0, countText(s.MACs)), s.Op, kernel, dash(s.Why != "", s.Why), shortName(s.Name))
	}
	t.write(w)
	fmt.Fprintln(w)
	printKinds(w, steps)
}

// dash returns the text, or a dash where there is nothing to show.
func dash(there bool, text string) string {
	if there {
		return text
	}
	return "–"
}

// printKinds sums the steps by what they compute, the slowest kind first.
func printKinds(w io.Writer, steps []stepReport) {
	type kind struct {
		op    string
		n     int
		mean  float64
		share float64
	}
	by := map[string]*kind{}
	var list []*kind
	for _, s := range steps {
		k := by[s.Op]
		if k == nil {
			k = &kind{op: s.Op}
			by[s.Op] = k
			list = append(list, k)
		}
		k.n++
		k.mean += s.Mean
		k.share += s.Share
	}
	slices.SortStableFunc(list, func(a, b *kind) int {
		switch {
		case a.mean > b.mean:
			return -1
		case a.mean < b.mean:
			return 1
		}
		return 0
	})
	t := &table{head: []string{"operators", "steps", "ms", "%"}}
	for _, k := range list {
		t.add(k.op, k.n, fmt.Sprintf("%.4f", k.mean), fmt.Sprintf("%.1f", 100*k.share))
	}
	t.write(w)
}

func writeStepsCSV(w io.Writer, steps []stepReport) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"step", "name", "op", "kernel", "latency_ms_mean", "latency_ms_min", "share", "cumulative_share", "macs", "bytes", "arena_bytes", "fallback", "reason"})
	sum := 0.0
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', 8, 64) }
	for i, s := range steps {
		sum += s.Share
		_ = c.Write([]string{strconv.Itoa(i), s.Name, s.Op, s.Kernel, number(s.Mean), number(s.Min), number(s.Share), number(sum),
			strconv.FormatInt(s.MACs, 10), strconv.FormatInt(s.Bytes, 10), strconv.Itoa(s.Arena), strconv.FormatBool(s.Fallback), s.Reason})
	}
	c.Flush()
	return c.Error()
}

// traceEvent is a complete event of the Trace Event Format; times in microseconds.
type traceEvent struct {
	Name  string         `json:"name"`
	Cat   string         `json:"cat"`
	Phase string         `json:"ph"`
	Time  float64        `json:"ts"`
	Dur   float64        `json:"dur"`
	PID   int            `json:"pid"`
	TID   int            `json:"tid"`
	Args  map[string]any `json:"args,omitempty"`
}

// writeTrace writes one run, its steps one after the other, with the live memory as a
// counter above them.
func writeTrace(w io.Writer, steps []engine.StepTime) error {
	var events []traceEvent
	at := 0.0
	for _, s := range steps {
		d := float64(s.Duration.Nanoseconds()) / 1e3
		events = append(events,
			traceEvent{Name: s.Name, Cat: s.Op, Phase: "X", Time: at, Dur: d, PID: 1, TID: 1,
				Args: map[string]any{"op": s.Op, "kernel": s.Kernel, "macs": s.MACs, "bytes": s.Bytes, "fallback": s.Fallback}},
			traceEvent{Name: "arena", Phase: "C", Time: at, PID: 1, TID: 1, Args: map[string]any{"bytes": s.Arena}})
		at += d
	}
	return json.NewEncoder(w).Encode(map[string]any{"displayTimeUnit": "ms", "traceEvents": events})
}
