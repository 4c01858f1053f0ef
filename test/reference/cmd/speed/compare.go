package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgewise-ml/edgewise/test/reference/npz"
	"github.com/edgewise-ml/edgewise/test/reference/session"
)

// opponent is another runtime with the file that it reads.
type opponent struct{ Lib, Model string }

// comparison is one network to time.
type comparison struct {
	Name      string
	Ours      string // model for Edgewise
	Witnesses []opponent
	Threads   []int
	Shapes    string           // x=1x3x320x320;y=1
	Values    map[string]int64 // of integer inputs that must not be 0
	Integer   bool             // outputs agree within quantization steps only
}

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

// job is what the measuring process is told.
type job struct {
	Edgewise, Witness string
	Comparison        comparison
	Inputs            []string          // for edgewise, name=file
	Archives          map[string]string // by lib
}

// compare checks that the outputs agree and measures.
func (t *tools) compare(c comparison) ([]measured, error) {
	j, err := t.prepare(c)
	if err != nil {
		return nil, err
	}
	var m []measured
	return m, t.measure(j, "alternate", &m)
}

// prepare makes the inputs and drops witnesses that do not take the model. It fails where
// one takes it and gives other outputs.
func (t *tools) prepare(c comparison) (*job, error) {
	j := &job{Edgewise: t.Edgewise, Witness: t.Witness, Archives: map[string]string{}}
	file := filepath.Join(t.Dir, "job-"+c.Name+".json")
	if t.Prepared {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		return j, json.Unmarshal(b, j)
	}
	var refused []string
	for _, w := range c.Witnesses {
		archive, inputs, err := t.inputs(c, w)
		if err == nil {
			err = t.agree(c, w, archive)
		}
		if refusal, ok := err.(refusal); ok {
			refused = append(refused, string(refusal))
			continue
		}
		if err != nil {
			return nil, err
		}
		j.Comparison.Witnesses = append(j.Comparison.Witnesses, w)
		j.Archives[w.Lib] = archive
		if w.Model == c.Ours || j.Inputs == nil {
			j.Inputs = inputs
		}
	}
	if len(j.Archives) == 0 {
		return nil, fmt.Errorf("%s: no witness takes the model: %s", c.Name, strings.Join(refused, "; "))
	}
	kept := j.Comparison.Witnesses
	j.Comparison = c
	j.Comparison.Witnesses = kept
	return j, j.write(file)
}

func (j *job) write(file string) error {
	b, err := json.Marshal(j)
	if err != nil {
		return err
	}
	return os.WriteFile(file, b, 0o666)
}

// refusal says that a witness does not take a model.
type refusal string

func (r refusal) Error() string { return string(r) }

// inputs writes the made-up inputs as one archive and as a file for each, name=file.
func (t *tools) inputs(c comparison, w opponent) (archive string, files []string, err error) {
	var info struct{ Inputs []session.Port }
	if err := result(&info, nil, t.Witness, "info", "--lib", w.Lib, "--model", w.Model); err != nil {
		return "", nil, refusal(err.Error())
	}
	shapes, err := parseShapes(c.Shapes)
	if err != nil {
		return "", nil, err
	}
	arrays, err := session.Fill(info.Inputs, shapes)
	if err != nil {
		return "", nil, err
	}
	h := fnv.New32a()
	fmt.Fprint(h, w.Model, c.Shapes)
	base := filepath.Join(t.Dir, fmt.Sprintf("in-%s-%08x", c.Name, h.Sum32()))
	for i, key := range session.Keys(info.Inputs) {
		a := arrays[key]
		if v, ok := c.Values[key]; ok && a.ItemSize() == 8 {
			for at := 0; at < len(a.Data); at += 8 {
				binary.LittleEndian.PutUint64(a.Data[at:], uint64(v))
			}
		}
		file := fmt.Sprintf("%s-%d.npy", base, i)
		if err := npz.WriteArray(file, a); err != nil {
			return "", nil, err
		}
		files = append(files, key+"="+file)
	}
	return base + ".npz", files, npz.WriteFile(base+".npz", arrays)
}

func parseShapes(s string) (map[string][]int64, error) {
	out := map[string][]int64{}
	for part := range strings.SplitSeq(s, ";") {
		name, sizes, ok := strings.Cut(part, "=")
		if !ok {
			continue
		}
		for d := range strings.SplitSeq(sizes, "x") {
			n, err := strconv.ParseInt(d, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("shape %q: %w", part, err)
			}
			out[name] = append(out[name], n)
		}
	}
	return out, nil
}

// agree runs the witness and Edgewise once on the witness's file.
func (t *tools) agree(c comparison, w opponent, archive string) error {
	out := strings.TrimSuffix(archive, ".npz") + "-" + w.Lib + "-out.npz"
	if _, err := output(nil, t.Witness, "run", "--lib", w.Lib, "--model", w.Model, "--inputs", archive, "--outputs", out); err != nil {
		return refusal(err.Error())
	}
	both, err := npz.ReadFile(archive)
	if err != nil {
		return err
	}
	outputs, err := npz.ReadFile(out)
	if err != nil {
		return err
	}
	for name, a := range outputs {
		both[name] = a
	}
	if err := npz.WriteFile(out, both); err != nil {
		return err
	}
	var r struct {
		Outputs []struct {
			Name   string
			Scaled float64 `json:"max_scaled"`
			SQNR   float64 `json:"sqnr_db"`
		}
	}
	if err := result(&r, nil, t.Edgewise, "compare", w.Model, out, "--json"); err != nil {
		return err
	}
	for _, o := range r.Outputs {
		if c.Integer && o.SQNR < 15 || !c.Integer && o.Scaled > 1e-3 {
			return fmt.Errorf("%s: output %s differs from that of %s: %.2g of the largest, %.0f dB", c.Name, o.Name, w.Lib, o.Scaled, o.SQNR)
		}
	}
	return nil
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
		runs := min(max(int(perProcess.Seconds()*1e3/max(first.Min, 1e-3)), 5), 5000)
		var rounds []map[string]float64
		var longest time.Duration
		for len(rounds) < mostRounds && (len(rounds) < 2 || time.Since(begin)+longest < share) {
			start := time.Now()
			o, err := j.ours(threads, runs)
			if err != nil {
				return err
			}
			round := map[string]float64{}
			if m.Ours == 0 || o.Min < m.Ours {
				m.Ours, m.Peak = o.Min, o.Peak
			}
			m.RSS = o.RSS / 1024
			for _, w := range j.Comparison.Witnesses {
				f, err := j.theirs(w, threads, runs)
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
