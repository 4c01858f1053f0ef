package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// Words that `target` takes beside titles of columns.
const (
	targetInput     = "input"     // the sample itself, as an autoencoder restores it
	targetRemaining = "remaining" // rows that follow in the series, as in a run to failure
)

// series are rows of numbers in the order of time, in groups: one a machine, person or file.
type series struct {
	window, columns int
	titles          []string
	groups          []*group
	remaining       bool
	limit           float32
	width           int // of a target that stands in columns
}

// group is one series. Slices have an element a row; nil where there is no such column.
type group struct {
	name    string
	rows    *tensor.Tensor // float32 [rows, columns]
	classes []string
	targets []float32 // width values a row
	stamps  []string  // time as it stands there
	rest    float32   // what remains after the last row
	odd     []stretch // of the anomalies
}

func (g *group) len() int { return g.rows.Dim(0) }

// window is a sample: the rows of a group up to end, which is the last of them.
type window struct{ group, end int32 }

func (s *Spec) checkSeries() error {
	switch {
	case s.Window < 0 || s.Stride < 0:
		return errors.New("window and stride must not be negative")
	case s.Window == 0 && (s.Stride > 0 || s.Windows != "" || s.Anomalies != ""):
		return errors.New("stride, windows and anomalies are of series: `window: 32` gives the rows of a sample")
	case s.Windows != "" && s.Windows != "all" && s.Windows != "last":
		return fmt.Errorf("windows %q is not all or last", s.Windows)
	case s.Normalize != "" && s.Normalize != "min-max" && s.Normalize != "standard":
		return fmt.Errorf("normalize %q is not min-max or standard", s.Normalize)
	case s.Normalize != "" && s.Preprocess.scales():
		return errors.New("normalize and divide, mean and std of preprocess say the same; keep one")
	case !finite(s.TargetLimit) || s.TargetLimit < 0:
		return fmt.Errorf("target_limit %v is not positive", s.TargetLimit)
	case s.Target == nil && s.TargetLimit != 0 || !s.targets(targetRemaining) && s.Remaining != "":
		return errors.New("target_limit and remaining belong to a target: `target: remaining`")
	case s.Anomalies != "" && s.Time == "":
		return errors.New("anomalies are stretches of time; `time` names its column")
	case slices.Contains(s.Target, "") || slices.Contains(s.Columns, "") || slices.Contains(s.HoldOut, ""):
		return errors.New("target, columns and hold_out take no empty names")
	}
	return nil
}

// targets reports whether the target is one of the words above.
func (s *Spec) targets(word string) bool { return len(s.Target) == 1 && s.Target[0] == word }

func (s *Spec) limited(v float32) float32 {
	if s.TargetLimit > 0 {
		return min(v, s.TargetLimit)
	}
	return v
}

// roles says which column of a table is what; -1 for none.
type roles struct {
	features, targets  []int
	group, time, label int
}

func (s *Spec) roles(t *table) (roles, error) {
	r := roles{group: -1, time: -1, label: -1}
	for _, c := range []struct {
		key, name string
		at        *int
	}{{"group", s.Group, &r.group}, {"time", s.Time, &r.time}, {"label_column", s.LabelColumn, &r.label}} {
		if c.name != "" {
			var err error
			if *c.at, err = t.byName(c.name); err != nil {
				return r, fmt.Errorf("%s: %w", c.key, err)
			}
		}
	}
	pick := func(key string, names []string) (out []int, err error) {
		for _, n := range names {
			c, err := t.byName(n)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			if slices.Contains(out, c) {
				return nil, fmt.Errorf("%s: column %s stands there twice", key, t.title(c))
			}
			out = append(out, c)
		}
		return out, nil
	}
	var err error
	if !s.targets(targetInput) && !s.targets(targetRemaining) {
		if r.targets, err = pick("target", s.Target); err != nil {
			return r, err
		}
	}
	if r.features, err = pick("columns", s.Columns); err != nil {
		return r, err
	}
	if r.features == nil {
		for c := range t.rows[0] {
			if c != r.group && c != r.time && c != r.label && !slices.Contains(r.targets, c) {
				r.features = append(r.features, c)
			}
		}
	}
	if len(r.features) == 0 {
		return r, errors.New("has no feature columns")
	}
	return r, nil
}

// fromTables makes windows over the rows of tables. Where there are several, each is a
// series by itself or, with a column of groups, as many as that tells apart.
func fromTables(tables []*table, s *Spec) (*Dataset, error) {
	z := &series{window: max(s.Window, 1), limit: s.TargetLimit, remaining: s.targets(targetRemaining), width: len(s.Target)}
	for _, t := range tables {
		if err := z.add(t, s, len(tables) > 1); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	var windows []window
	var classes []string
	short := 0
	for k, g := range z.groups {
		if g.len() < z.window {
			short++
		}
		for end := z.window - 1; end < g.len(); end += max(s.Stride, 1) {
			windows = append(windows, window{int32(k), int32(end)})
			if g.classes != nil {
				classes = append(classes, g.classes[end])
			}
		}
	}
	d := &Dataset{kind: Tensors, n: len(windows), series: z, windows: windows,
		load: func(i int) (*sample, error) { return z.sample(windows[i]) }}
	if d.n == 0 {
		return nil, fmt.Errorf("no series is as long as a window of %d rows (series: %d)", z.window, len(z.groups))
	}
	if short > 0 {
		d.notes = append(d.notes, fmt.Sprintf("%d of %d series are shorter than a window and left out", short, len(z.groups)))
	}
	if classes != nil {
		d.classes, d.labels, d.byName = numbered(classes)
	}
	if s.Target != nil {
		d.targets = z.targets(windows, s)
	}
	d.notes = append(d.notes, z.describe())
	return d, nil
}

func (z *series) describe() string {
	return fmt.Sprintf("windows of %d rows of %d columns in %d series", z.window, z.columns, len(z.groups))
}

// add takes the rows of a table.
func (z *series) add(t *table, s *Spec, named bool) error {
	r, err := s.roles(t)
	if err != nil {
		return err
	}
	titles := make([]string, len(r.features))
	for i, c := range r.features {
		titles[i] = t.title(c)
	}
	if z.groups == nil {
		z.columns, z.titles = len(titles), titles
	} else if len(titles) != z.columns {
		return fmt.Errorf("has %d columns of features, the first table has %d", len(titles), z.columns)
	}
	if r.label >= 0 {
		if err := t.checkLabels(r.label); err != nil {
			return err
		}
	}
	// Rows of a group need not lie together.
	var order []string
	rows := map[string][]int{}
	for i, row := range t.rows {
		name := ""
		if named {
			name = t.name
		}
		if r.group >= 0 {
			name = strings.Trim(name+"/"+strings.TrimSpace(row[r.group]), "/")
		}
		if rows[name] == nil {
			order = append(order, name)
		}
		rows[name] = append(rows[name], i)
	}
	for _, name := range order {
		g, err := z.group(t, r, rows[name])
		if err != nil {
			return err
		}
		if g.name = name; name == "" {
			g.name = t.name
		}
		z.groups = append(z.groups, g)
	}
	return nil
}

func (z *series) group(t *table, r roles, rows []int) (*group, error) {
	g := &group{rows: tensor.New(tensor.Float32, len(rows), z.columns)}
	number := func(i, c int) (float32, error) {
		v, err := strconv.ParseFloat(strings.TrimSpace(t.rows[i][c]), 32)
		if err != nil || !finite(float32(v)) {
			return 0, fmt.Errorf("row %d, column %s: %q is not a number; hint: `columns` names those that count", t.row(i), t.title(c), t.rows[i][c])
		}
		return float32(v), nil
	}
	var err error
	for k, i := range rows {
		for n, c := range r.features {
			if g.rows.F32()[k*z.columns+n], err = number(i, c); err != nil {
				return nil, err
			}
		}
		for _, c := range r.targets {
			v, err := number(i, c)
			if err != nil {
				return nil, err
			}
			g.targets = append(g.targets, v)
		}
		if r.label >= 0 {
			g.classes = append(g.classes, strings.TrimSpace(t.rows[i][r.label]))
		}
		if r.time >= 0 {
			g.stamps = append(g.stamps, strings.TrimSpace(t.rows[i][r.time]))
		}
	}
	return g, nil
}

// sample returns the rows of a window, [window, columns].
func (z *series) sample(w window) (*sample, error) {
	g := z.groups[w.group]
	row := 4 * z.columns
	t, err := tensor.FromBytes(tensor.Float32, []int{z.window, z.columns}, g.rows.Bytes()[(int(w.end)+1-z.window)*row:(int(w.end)+1)*row])
	return &sample{t: t, rows: true}, err
}

// targets gives the target at the end of each window.
func (z *series) targets(windows []window, s *Spec) *targets {
	switch {
	case s.targets(targetInput):
		return &targets{input: true, of: func(int) []float32 { return nil }}
	case z.remaining:
		return &targets{size: 1, of: func(i int) []float32 {
			g := z.groups[windows[i].group]
			return []float32{s.limited(float32(g.len()-1-int(windows[i].end)) + g.rest)}
		}}
	}
	return &targets{size: z.width, of: func(i int) []float32 {
		out := make([]float32, z.width)
		for k := range out {
			out[k] = s.limited(z.groups[windows[i].group].targets[int(windows[i].end)*z.width+k])
		}
		return out
	}}
}

// Window returns how many rows of how many columns a sample is, zeros where samples are no
// rows of a table.
func (d *Dataset) Window() (rows, columns int) {
	if d.series == nil {
		return 0, 0
	}
	return d.series.window, d.series.columns
}

// Follows reports whether sample i lies in the series of sample k and its rows overlap those
// of k, or follow at once.
func (d *Dataset) Follows(i, k int) bool {
	if d.series == nil {
		return false
	}
	a, b := d.windows[k], d.windows[i]
	return a.group == b.group && int(b.end-a.end) <= d.series.window
}

// Series returns the name of the time series that sample i is from, and its last row's time
// where there is a column of it. Both are empty for samples of other kinds.
func (d *Dataset) Series(i int) (name, time string) {
	if d.series == nil {
		return "", ""
	}
	g := d.series.groups[d.windows[i].group]
	if g.stamps != nil {
		time = g.stamps[d.windows[i].end]
	}
	return g.name, time
}
