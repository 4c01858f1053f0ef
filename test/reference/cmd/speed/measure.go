package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// measured is what came out with one number of threads.
type measured struct {
	Threads  int                `json:"threads"`
	Ours     float64            `json:"edgewise_ms_min"`
	Theirs   map[string]float64 `json:"witness_ms_min"`
	Fastest  string             `json:"fastest_witness"`
	Ratio    float64            `json:"ratio_of_minima"` // to the fastest witness
	Median   float64            `json:"ratio_median_of_rounds"`
	Rounds   int                `json:"rounds"`
	Peak     float64            `json:"peak_share"`
	RSS      float64            `json:"edgewise_peak_rss_mb"`
	TheirRSS map[string]float64 `json:"witness_peak_rss_mb"` // less the witness program's own
}

// measure does the job in a process of its own, under the command that was asked for.
func (t *tools) measure(j *job, how string, v any) error {
	file := filepath.Join(t.Dir, "job.json")
	if err := j.write(file); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return result(v, nil, append(slices.Clone(t.Under), self, "measure", how, file)...)
}

// measureMain is the verb of that process.
func measureMain(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("measure serves the other verbs")
	}
	b, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	var j job
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	switch args[0] {
	case "alternate":
		return j.alternate()
	case "start":
		return j.start()
	}
	return fmt.Errorf("no measurement %q", args[0])
}

// Time for all rounds together and for the runs of one process.
const (
	budget     = 16 * time.Second
	perProcess = 500 * time.Millisecond
	mostRounds = 7
)

// figures are what both programs print of a benchmark.
type figures struct {
	Min  float64 `json:"latency_ms_min"`
	Peak float64 `json:"peak_share"`
	RSS  float64 `json:"peak_rss_kb"`
	Base float64 `json:"base_rss_kb"`
}

// runs is how many fit into the time of a process.
func (f figures) runs() int {
	return min(max(int(perProcess.Seconds()*1e3/max(f.Min, 1e-3)), 5), 5000)
}

func (j *job) ours(threads, runs int) (f figures, err error) {
	argv := []string{j.Edgewise, "bench", j.Comparison.Ours, "--json", "-q", "--threads", strconv.Itoa(threads), "--runs", strconv.Itoa(runs)}
	for _, in := range j.Inputs {
		argv = append(argv, "--input", in)
	}
	return f, result(&f, nil, argv...)
}

func (j *job) theirs(w opponent, threads, runs int) (f figures, err error) {
	return f, result(&f, nil, j.Witness, "bench", "--lib", w.Lib, "--model", w.Model, "--inputs", j.Archives[w.Lib],
		"--threads", strconv.Itoa(threads), "--runs", strconv.Itoa(runs))
}

func (j *job) alternate() error {
	var all []measured
	share := budget / time.Duration(len(j.Comparison.Threads))
	for _, threads := range j.Comparison.Threads {
		begin := time.Now()
		m := measured{Threads: threads, Theirs: map[string]float64{}, TheirRSS: map[string]float64{}}
		first, err := j.ours(threads, 3)
		if err != nil {
			return err
		}
		runs := map[string]int{"": first.runs()}
		for _, w := range j.Comparison.Witnesses {
			f, err := j.theirs(w, threads, 3)
			if err != nil {
				return err
			}
			runs[w.Lib] = f.runs()
		}
		var rounds []map[string]float64
		var longest time.Duration
		for len(rounds) < mostRounds && (len(rounds) < 2 || time.Since(begin)+longest < share) {
			start := time.Now()
			o, err := j.ours(threads, runs[""])
			if err != nil {
				return err
			}
			round := map[string]float64{}
			if m.Ours == 0 || o.Min < m.Ours {
				m.Ours, m.Peak = o.Min, o.Peak
			}
			m.RSS = o.RSS / 1024
			for _, w := range j.Comparison.Witnesses {
				f, err := j.theirs(w, threads, runs[w.Lib])
				if err != nil {
					return err
				}
				if m.Theirs[w.Lib] == 0 || f.Min < m.Theirs[w.Lib] {
					m.Theirs[w.Lib] = f.Min
				}
				m.TheirRSS[w.Lib] = (f.RSS - f.Base) / 1024
				round[w.Lib] = o.Min / f.Min
			}
			rounds = append(rounds, round)
			longest = max(longest, time.Since(start))
		}
		for lib, ms := range m.Theirs {
			if m.Fastest == "" || ms < m.Theirs[m.Fastest] {
				m.Fastest = lib
			}
		}
		m.Rounds, m.Ratio = len(rounds), m.Ours/m.Theirs[m.Fastest]
		var ratios []float64
		for _, r := range rounds {
			ratios = append(ratios, r[m.Fastest])
		}
		slices.Sort(ratios)
		m.Median = ratios[len(ratios)/2]
		all = append(all, m)
	}
	return print(all)
}

// started is the time in milliseconds from exec to exit of a process that makes one
// inference. That of a witness is less the start of the witness program itself.
type started struct {
	Ours   float64            `json:"edgewise_start_ms"`
	Theirs map[string]float64 `json:"witness_start_ms"`
}

func (j *job) start() error {
	s := started{Theirs: map[string]float64{}}
	least := func(at float64, ms float64) float64 {
		if at == 0 {
			return ms
		}
		return min(at, ms)
	}
	var bare float64
	argv := []string{j.Edgewise, "run", j.Comparison.Ours, "-q", "--threads", "1"}
	for _, in := range j.Inputs {
		argv = append(argv, "--input", in)
	}
	for begin := time.Now(); time.Since(begin) < budget/3; {
		ms, err := wall(false, argv...)
		if err != nil {
			return err
		}
		s.Ours = least(s.Ours, ms)
		if ms, err = wall(true, j.Witness); err != nil {
			return err
		}
		bare = least(bare, ms)
		for _, w := range j.Comparison.Witnesses {
			ms, err := wall(false, j.Witness, "bench", "--lib", w.Lib, "--model", w.Model, "--inputs", j.Archives[w.Lib], "--threads", "1", "--runs", "0")
			if err != nil {
				return err
			}
			s.Theirs[w.Lib] = least(s.Theirs[w.Lib], ms)
		}
	}
	for lib := range s.Theirs {
		s.Theirs[lib] -= bare
	}
	return print(s)
}
