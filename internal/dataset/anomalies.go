package dataset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// stretch is a time from..to, both included, as the file of anomalies states it.
type stretch struct {
	from, to        float64
	fromAt, untilAt string
}

// Episode is a stretch of a time series that is labelled as no normal one.
type Episode struct {
	Series, From, To string
	Samples          []int // that end in it, ascending
}

// Episodes returns the labelled stretches in which samples end. Known reports whether there
// are labels at all.
func (d *Dataset) Episodes() (list []Episode, known bool) {
	if d.series == nil || d.spec == nil || d.spec.Anomalies == "" {
		return nil, false
	}
	for k, g := range d.series.groups {
		for _, o := range g.odd {
			e := Episode{Series: g.name, From: o.fromAt, To: o.untilAt}
			for i, w := range d.windows {
				if at, err := moment(g.stamps[w.end]); int(w.group) == k && err == nil && at >= o.from && at <= o.to {
					e.Samples = append(e.Samples, i)
				}
			}
			if e.Samples != nil {
				list = append(list, e)
			}
		}
	}
	return list, true
}

// Normal returns the samples of d with no row in a labelled stretch, and how many others there
// are; d itself where that is none. It keeps neither the part for training nor what
// is to be closed.
func (d *Dataset) Normal() (normal *Dataset, left int) {
	if _, known := d.Episodes(); !known {
		return d, 0
	}
	bad := make([][]bool, len(d.series.groups)) // rows
	for k, g := range d.series.groups {
		bad[k] = make([]bool, g.len())
		for r, stamp := range g.stamps {
			at, err := moment(stamp)
			bad[k][r] = err == nil && slices.ContainsFunc(g.odd, func(o stretch) bool { return at >= o.from && at <= o.to })
		}
	}
	var keep []int
	for i, w := range d.windows {
		if !slices.Contains(bad[w.group][int(w.end)+1-d.series.window:w.end+1], true) {
			keep = append(keep, i)
		}
	}
	if len(keep) == d.n {
		return d, 0
	}
	return d.Subset(keep), d.n - len(keep)
}

// attachSeries gives the series of d what stands in files beside them.
func (s *Spec) attachSeries(d *Dataset, o beside) error {
	if d.series == nil {
		if s.Window > 0 || s.Group != "" || s.Columns != nil || s.Anomalies != "" || s.Remaining != "" {
			return errors.New("window, group, columns, anomalies and remaining are for tables, and the samples are none")
		}
		return nil
	}
	if s.Remaining != "" {
		if err := s.readRemaining(d.series, o); err != nil {
			return fmt.Errorf("remaining: %s: %w", s.Remaining, err)
		}
	}
	if s.Anomalies != "" {
		if err := s.readAnomalies(d, o); err != nil {
			return fmt.Errorf("anomalies: %s: %w", s.Anomalies, err)
		}
	}
	return nil
}

// readRemaining reads a number for each series, in the order in which they begin.
func (s *Spec) readRemaining(z *series, o beside) error {
	b, err := o.read(s.Remaining)
	if err != nil {
		return err
	}
	t, err := readTable(bytes.NewReader(b), s.Remaining)
	if err != nil {
		return err
	}
	if len(t.rows) != len(z.groups) {
		return fmt.Errorf("has %d rows for %d series", len(t.rows), len(z.groups))
	}
	for i, row := range t.rows {
		v, err := strconv.ParseFloat(strings.TrimSpace(row[len(row)-1]), 32)
		if err != nil || !finite(float32(v)) || v < 0 {
			return fmt.Errorf("row %d: %q is not a number from 0 on", t.row(i), row[len(row)-1])
		}
		z.groups[i].rest = float32(v)
	}
	return nil
}

// readAnomalies reads the stretches: JSON as the Numenta Anomaly Benchmark has it, of each
// file a list of [from, to]; or a table with columns start and end and, of several series,
// file, series or group.
func (s *Spec) readAnomalies(d *Dataset, o beside) error {
	b, err := o.read(s.Anomalies)
	if err != nil {
		return err
	}
	of := map[string][][2]string{}
	if strings.HasSuffix(strings.ToLower(s.Anomalies), ".json") {
		var text map[string][][]string
		if err := json.Unmarshal(b, &text); err != nil {
			return fmt.Errorf("is not of the form {\"file\": [[\"from\", \"to\"], …]}: %w", err)
		}
		for name, list := range text {
			for _, e := range list {
				if len(e) != 2 {
					return fmt.Errorf("%s: %q is not [from, to]", name, e)
				}
				of[path.Base(name)] = append(of[path.Base(name)], [2]string{e[0], e[1]})
			}
		}
	} else {
		t, err := readTable(bytes.NewReader(b), s.Anomalies)
		if err != nil {
			return err
		}
		from, to, file := t.column("start", "from", "begin"), t.column("end", "to"), t.column("file", "series", "group", s.Group)
		if from < 0 || to < 0 {
			return fmt.Errorf("has no columns start and end (columns: %s)", t.columns())
		}
		for _, row := range t.rows {
			name := ""
			if file >= 0 {
				name = path.Base(strings.TrimSpace(row[file]))
			}
			of[name] = append(of[name], [2]string{row[from], row[to]})
		}
	}
	found := 0
	for _, g := range d.series.groups {
		for i, stamp := range g.stamps {
			if _, err := moment(stamp); err != nil {
				return fmt.Errorf("%s: the time of row %d of the series: %w", g.name, i+1, err)
			}
		}
		list := of[path.Base(g.name)]
		if len(d.series.groups) == 1 {
			list = slices.Concat(list, of[""])
		}
		for _, e := range list {
			from, err := moment(e[0])
			to, err2 := moment(e[1])
			if err := errors.Join(err, err2); err != nil {
				return fmt.Errorf("%s: %w", g.name, err)
			}
			if from > to {
				return fmt.Errorf("%s: %s is after %s", g.name, e[0], e[1])
			}
			g.odd = append(g.odd, stretch{from, to, e[0], e[1]})
			found++
		}
	}
	if found == 0 && len(of) > 0 {
		names := slices.Sorted(maps.Keys(of))
		d.notes = append(d.notes, fmt.Sprintf("%s names no stretch of the %d series; it names %s", s.Anomalies, len(d.series.groups), strings.Join(names[:min(3, len(names))], ", ")))
	}
	return nil
}

// moment reads a point in time as seconds: a number, or a date with or without the time of
// day.
func moment(s string) (float64, error) {
	s = strings.TrimSpace(s)
	if v, err := strconv.ParseFloat(s, 64); err == nil && v-v == 0 {
		return v, nil
	}
	for _, layout := range []string{time.DateTime, time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return float64(t.UnixMicro()) / 1e6, nil
		}
	}
	return 0, fmt.Errorf("%q is neither a number nor a time as 2006-01-02 15:04:05", s)
}
