package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// record is a row as last measured.
type record struct {
	Row      int        `json:"row"`
	Name     string     `json:"name"`
	Type     string     `json:"type"`
	Kind     string     `json:"kind,omitempty"`
	Bounds   []float64  `json:"bounds,omitempty"`
	Times    []measured `json:"times,omitempty"`
	Start    *started   `json:"start,omitempty"`
	Layers   []layer    `json:"layers,omitempty"`
	Problem  string     `json:"problem,omitempty"` // why there is no measurement
	Measured time.Time  `json:"measured"`
}

// layer is a pointwise layer with its share of the machine's peak.
type layer struct {
	Name      string  `json:"name"`
	MACs      float64 `json:"macs"`
	PeakShare float64 `json:"peak_share"`
}

// results is the file that rows are gathered in.
type results struct {
	Machine string                        `json:"machine"`
	Peaks   map[string]map[string]float64 `json:"peaks"` // of one core, by level
	Records []record                      `json:"records"`
}

func table(args []string) error {
	var t tools
	f := flag.NewFlagSet("speed table", flag.ExitOnError)
	t.flags(f)
	only := f.String("only", "", "rows to measure, as 1,5; all by default")
	name := f.String("name", "", "only networks with this in their names")
	check := f.Bool("check", false, "measure nothing, make the models and compare the outputs")
	f.BoolVar(&t.Prepared, "prepared", false, "measure what -check has made, comparing nothing again")
	show := f.Bool("show", false, "measure nothing, print what was measured last")
	f.Parse(args)
	if err := t.check(); err != nil {
		return err
	}
	path := filepath.Join(t.Dir, "results.json")
	var all results
	if b, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(b, &all); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all.Machine = machine()
	if !*show {
		if !*check {
			if err := t.peaks(&all); err != nil {
				return err
			}
		}
		for _, r := range rows {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), strconv.Itoa(r.Number)) || !strings.Contains(r.Name, *name) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%d %s %s %s\n", r.Number, r.Name, r.Type, r.Kind)
			if *check {
				if err := t.checkRow(r); err != nil {
					fmt.Fprintf(os.Stderr, "  %v\n", err)
				}
				continue
			}
			rec := t.row(r)
			if rec.Problem != "" {
				fmt.Fprintf(os.Stderr, "  %s\n", rec.Problem)
			}
			all.put(rec)
			b, err := json.MarshalIndent(all, "", "  ")
			if err != nil {
				return err
			}
			if err := os.WriteFile(path, b, 0o666); err != nil {
				return err
			}
		}
	}
	all.markdown(os.Stdout)
	return nil
}

func (all *results) put(r record) {
	at := slices.IndexFunc(all.Records, func(o record) bool {
		return o.Row == r.Row && o.Name == r.Name && o.Type == r.Type && o.Kind == r.Kind
	})
	if at < 0 {
		all.Records = append(all.Records, r)
		return
	}
	all.Records[at] = r
}

// row measures one row; a failure is part of the record, so that the others go on.
func (t *tools) row(r row) record {
	rec := record{Row: r.Number, Name: r.Name, Type: r.Type, Kind: r.Kind, Bounds: r.Bounds, Measured: time.Now().UTC()}
	if err := t.fill(r, &rec); err != nil {
		rec.Problem = err.Error()
	}
	return rec
}

// comparison names the files of a row.
func (t *tools) comparison(r row) (c comparison, err error) {
	c = comparison{Name: base(r.Ours[strings.LastIndex(r.Ours, ":")+1:]) + "-" + kind(r.Ours) + r.Type, Threads: []int{1, 2},
		Shapes: r.Shapes, Values: r.Values, Integer: r.Type != "f32" || strings.Contains(r.Name, "int8")}
	if c.Ours, err = t.file(r.Ours); err != nil {
		return c, err
	}
	for _, w := range []struct{ model, lib string }{{r.ORT, "ort"}, {r.TFLite, "tflite"}, {r.TFLite, "xnnpack"}} {
		if w.model == "" {
			continue
		}
		model, err := t.file(w.model)
		if err != nil {
			return c, err
		}
		c.Witnesses = append(c.Witnesses, opponent{w.lib, model})
	}
	return c, nil
}

// kind is the first word of a model's description.
func kind(spec string) string {
	word, _, _ := strings.Cut(spec, ":")
	return word + "-"
}

func (t *tools) checkRow(r row) error {
	c, err := t.comparison(r)
	if err != nil || r.Kind == "layers" {
		return err
	}
	j, err := t.prepare(c)
	if err != nil {
		return err
	}
	for _, w := range j.Comparison.Witnesses {
		fmt.Fprintf(os.Stderr, "  agrees with %s\n", witnessNames[w.Lib])
	}
	return nil
}

func (t *tools) fill(r row, rec *record) error {
	c, err := t.comparison(r)
	if err != nil {
		return err
	}
	if r.Kind == "layers" {
		rec.Layers, err = t.layers(c.Ours)
		return err
	}
	j, err := t.prepare(c)
	if err != nil {
		return err
	}
	switch r.Kind {
	case "start":
		return t.measure(j, "start", &rec.Start)
	case "memory":
		j.Comparison.Threads = []int{1}
	}
	return t.measure(j, "alternate", &rec.Times)
}

// layers returns the pointwise layers of at least layerMACs with the instructions of AVX2.
func (t *tools) layers(model string) ([]layer, error) {
	var r struct {
		Steps []struct {
			Name   string
			Kernel string
			MACs   float64
			Peak   float64 `json:"peak_share"`
		}
	}
	argv := append(slices.Clone(t.Under), t.Edgewise, "bench", model, "--ops", "--json", "-q", "--threads", "1", "--runs", "40")
	if err := result(&r, []string{"EDGEWISE_ISA=avx2"}, argv...); err != nil {
		return nil, err
	}
	var out []layer
	for _, s := range r.Steps {
		if strings.HasPrefix(s.Kernel, "conv1x1") && s.MACs >= layerMACs {
			out = append(out, layer{s.Name, s.MACs, s.Peak})
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no pointwise layers")
	}
	return out, nil
}

// peaks measures what a core reaches with the instructions of each level.
func (t *tools) peaks(all *results) error {
	all.Peaks = map[string]map[string]float64{}
	for _, level := range []string{"avx2", "avx512", "avx512vnni"} {
		var r struct {
			Tier string
			Peak map[string]float64
		}
		argv := append(slices.Clone(t.Under), t.Edgewise, "bench", "zoo:dscnn", "--json", "-q", "--threads", "1", "--runs", "20")
		if err := result(&r, []string{"EDGEWISE_ISA=" + level}, argv...); err != nil {
			return err
		}
		all.Peaks[r.Tier] = r.Peak
	}
	return nil
}

// machine names the processor.
func machine() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	name, cores := "unknown processor", 0
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			name = strings.TrimSpace(value)
		case "processor":
			cores++
		}
	}
	return fmt.Sprintf("%s, %d cores", name, cores)
}
