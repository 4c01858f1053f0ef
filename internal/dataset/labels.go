package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// classNumber reads a class number; spreadsheets and data frames may write 3 as 3.0.
func classNumber(s string) (int, bool) {
	v, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return int(v), err == nil && v == float64(int(v)) && v >= 0 && v < 1<<20
}

// numbered gives names numbers in sorted order, which byName tells; plain numbers keep
// their value.
func numbered(names []string) (classes []string, labels []int, byName bool) {
	labels = make([]int, len(names))
	top := 0
	for i, n := range names {
		v, ok := classNumber(n)
		byName = byName || !ok
		labels[i], top = v, max(top, v)
	}
	if !byName {
		classes = make([]string, top+1)
		for i := range classes {
			classes[i] = strconv.Itoa(i)
		}
		return classes, labels, false
	}
	classes = slices.Clone(names)
	slices.Sort(classes)
	classes = slices.Compact(classes)
	for i, n := range names {
		labels[i], _ = slices.BinarySearch(classes, n)
	}
	return classes, labels, true
}

// misfit is a table that gives no labels, and why.
type misfit struct {
	table string
	err   error
}

func (m *misfit) Error() string { return m.table + " " + m.err.Error() }
func (m *misfit) Unwrap() error { return m.err }

// labelFromTables looks for a csv that names the files and sets samples and labels by it.
// A table that the specification names must do; of others that do not, one is returned.
// f is the whole tree, inside that of the samples.
func (d *Dataset) labelFromTables(f, inside files, list []string, s *Spec) (*misfit, error) {
	if s.Labels != "" {
		name := path.Clean(s.Labels)
		if !slices.Contains(f.names(), name) {
			return nil, fmt.Errorf("labels: there is no file %s among the %d of the data", name, len(f.names()))
		}
		if err := d.labelFromTable(f, inside, name, list, s); err != nil {
			return nil, fmt.Errorf("labels: %s %w", name, err)
		}
		return nil, nil
	}
	var bad *misfit
	places := []files{inside}
	if inside != f {
		places = append(places, f)
	}
	for _, place := range places {
		var tables []string
		for _, n := range place.names() {
			if !strings.Contains(n, "/") && hasSuffix(strings.ToLower(n), ".csv", ".tsv") {
				tables = append(tables, n)
			}
		}
		slices.SortStableFunc(tables, func(a, b string) int { // labels.csv before others
			return strings.Count(strings.ToLower(b), "label") - strings.Count(strings.ToLower(a), "label")
		})
		for _, name := range tables {
			err := d.labelFromTable(place, inside, name, list, s)
			if err == nil {
				return nil, nil
			}
			if !errors.Is(err, errNotATable) {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if bad == nil {
				bad = &misfit{name, err}
			}
		}
	}
	return bad, nil
}

func (d *Dataset) labelFromTable(f, inside files, name string, list []string, s *Spec) error {
	b, err := f.read(name)
	if err != nil {
		return err
	}
	t, err := readTable(bytes.NewReader(b), name)
	if err != nil {
		return err
	}
	return d.useTable(inside, t, list, *s)
}

var errNotATable = errors.New("names none of the files")

// fileNames finds the file that a cell means: by its path, its name, or its name without
// folder or ending where that is of one file only.
type fileNames map[string]string

func namesOf(list []string) fileNames {
	known := fileNames{}
	for _, short := range []func(string) string{
		func(n string) string { return strings.TrimSuffix(path.Base(n), path.Ext(n)) },
		func(n string) string { return strings.TrimSuffix(n, path.Ext(n)) },
		path.Base,
		path.Clean,
	} {
		taken := map[string]bool{}
		for _, n := range list {
			k := short(n)
			if known[k] = n; taken[k] {
				known[k] = ""
			}
			taken[k] = true
		}
	}
	return known
}

func (k fileNames) find(cell string) (string, bool) {
	cell = path.Clean(strings.ReplaceAll(strings.TrimSpace(cell), "\\", "/"))
	if n := k[cell]; n != "" {
		return n, true
	}
	n := k[path.Base(cell)]
	return n, n != "" && strings.Contains(cell, "/")
}

// useTable takes samples and labels from the rows of t that name files.
func (d *Dataset) useTable(f files, t *table, list []string, spec Spec) error {
	known := namesOf(list)
	fileCol, err := t.fileColumn(known, len(list), spec.FileColumn)
	if err != nil {
		return err
	}
	labelCol, err := t.labelColumn(fileCol, spec.LabelColumn)
	if err != nil {
		return err
	}
	if labelCol == fileCol {
		return fmt.Errorf("column %s cannot be both the files' and the labels'", t.title(fileCol))
	}
	if labelCol >= 0 {
		if err := t.checkLabels(labelCol); err != nil {
			return err
		}
	}
	var used, class []string
	seen := map[string]bool{}
	for _, row := range t.rows {
		if n, ok := known.find(row[fileCol]); ok {
			seen[n] = true
			used = append(used, n)
			if labelCol >= 0 {
				class = append(class, strings.TrimSpace(row[labelCol]))
			}
		}
	}
	if len(used) == 0 {
		return t.notATable(len(list))
	}
	kind := d.kind
	d.n, d.names = len(used), used
	d.load = func(i int) (*sample, error) { return loadFile(f, kind, used[i]) }
	if labelCol < 0 {
		d.notes = append(d.notes, t.name+" has no column of labels (label_column of a dataset.yaml can name it)")
	} else {
		d.classes, d.labels, d.byName = numbered(class)
		note := fmt.Sprintf("labels from column %s of %s", t.title(labelCol), t.name)
		if d.byName {
			note += fmt.Sprintf(", words in sorted order (0 = %s)", d.classes[0])
		} else {
			t.nameClasses(d.classes, labelCol)
		}
		d.notes = append(d.notes, note)
	}
	if len(seen) < len(list) {
		d.notes = append(d.notes, fmt.Sprintf("%s names %d of the %d files, the others are left out", t.name, len(seen), len(list)))
	}
	if n := len(t.rows) - len(used); n > 0 {
		d.notes = append(d.notes, fmt.Sprintf("%d of the %d rows of %s name no file", n, len(t.rows), t.name))
	}
	return nil
}

// nameClasses sets the names that t gives to the classes of its label column.
func (t *table) nameClasses(classes []string, label int) {
	names := t.column("name", "class_name", "label_name")
	if names < 0 || names == label {
		return
	}
	for _, row := range t.rows {
		if l, ok := classNumber(row[label]); ok && l < len(classes) {
			classes[l] = strings.TrimSpace(row[names])
		}
	}
}

// checkLabels refuses a column of numbers in which some are none: taking all for words
// would number the classes anew.
func (t *table) checkLabels(col int) error {
	numbers, odd := 0, -1
	for i, row := range t.rows {
		if _, ok := classNumber(row[col]); ok {
			numbers++
		} else if odd < 0 {
			odd = i
		}
	}
	if odd < 0 || 2*numbers < len(t.rows) {
		return nil
	}
	return fmt.Errorf("row %d: label %q is not a class number, as the labels of %d other rows are", t.row(odd), strings.TrimSpace(t.rows[odd][col]), numbers)
}

// ReadClassNames reads the names of classes, by their number: a table with a name column
// and a label column, such as gives the labels of a data set, or a text of one name a line.
func ReadClassNames(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, plainError(err))
	}
	defer f.Close()
	if !hasSuffix(strings.ToLower(name), ".csv", ".tsv") {
		b, err := readBounded(f, name)
		if err != nil {
			return nil, err
		}
		text := strings.ReplaceAll(strings.TrimPrefix(string(b), bom), "\r\n", "\n")
		return strings.Split(strings.TrimRight(text, "\n"), "\n"), nil
	}
	t, err := readTable(io.LimitReader(f, maxFileBytes), name)
	if err != nil {
		return nil, err
	}
	names := t.column("name", "class_name", "label_name")
	if len(t.rows[0]) == 1 {
		rows := t.rows
		if t.header != nil && names < 0 && t.column("label", "class") < 0 {
			rows = slices.Insert(slices.Clone(rows), 0, t.header) // words are no sign of a title here
		}
		var out []string
		for _, row := range rows {
			out = append(out, row[0])
		}
		return out, nil
	}
	label, err := t.labelColumn(names, "")
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", t.name, err)
	case names < 0:
		return nil, fmt.Errorf("%s: has no column \"name\" (columns: %s)", t.name, t.columns())
	case label < 0:
		return nil, fmt.Errorf("%s: has no column of class numbers, as \"label\" or \"index\" (columns: %s)", t.name, t.columns())
	}
	if err := t.checkLabels(label); err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	most := 0
	for _, row := range t.rows {
		if l, ok := classNumber(row[label]); ok {
			most = max(most, l+1)
		}
	}
	out := make([]string, most)
	t.nameClasses(out, label)
	return out, nil
}
