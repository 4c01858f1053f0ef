package dataset

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/edgewise-ml/edgewise/tensor"
)

// table is a csv file with or without a header.
type table struct {
	name   string
	header []string // nil when the first row is data
	rows   [][]string
}

const maxRows = 10_000_000

// bom is the mark with which some programs begin a text in UTF-8.
const bom = "\ufeff"

// separator returns what divides the columns in the first line: a comma, or a semicolon or
// tab where there are more of those.
func separator(head []byte) rune {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	best := ','
	for _, c := range ";\t" {
		if bytes.Count(line, []byte(string(c))) > bytes.Count(line, []byte(string(best))) {
			best = c
		}
	}
	return best
}

// rowsIn returns what reads the next row: fields divided by the separator of the first line,
// or in a text file without one by blanks. Lists of titles of such files are known to go on
// beyond the columns.
func rowsIn(b *bufio.Reader, name string) (next func() ([]string, error), blanks bool) {
	head, _ := b.Peek(64 << 10) // what there is of it
	comma := separator(head)
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if hasSuffix(strings.ToLower(name), ".txt", ".dat") && !bytes.ContainsRune(line, comma) {
		lines := bufio.NewScanner(b)
		lines.Buffer(nil, 1<<20)
		return func() ([]string, error) {
			for lines.Scan() {
				if row := strings.Fields(lines.Text()); len(row) > 0 {
					return row, nil
				}
			}
			return nil, cmp.Or(lines.Err(), io.EOF)
		}, true
	}
	c := csv.NewReader(b)
	c.FieldsPerRecord = -1
	c.LazyQuotes = true
	c.TrimLeadingSpace = true
	c.Comma = comma
	return c.Read, false
}

func readTable(r io.Reader, name string) (*table, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	if mark, err := b.Peek(len(bom)); err == nil && string(mark) == bom {
		_, _ = b.Discard(len(bom))
	}
	t := &table{name: filepath.Base(name)}
	next, blanks := rowsIn(b, name)
	width := 0
	for {
		row, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		if len(t.rows) == 0 && t.header == nil && width == 0 {
			width = len(row)
			if isHeader(row) {
				t.header = row
				continue
			}
		}
		if len(t.rows) == 0 && len(row) < len(t.header) && blanks {
			width, t.header = len(row), t.header[:len(row)]
		}
		if len(row) != width {
			return nil, fmt.Errorf("%s: row %d has %d fields, the first has %d", t.name, t.row(len(t.rows)), len(row), width)
		}
		if len(t.rows) == maxRows {
			return nil, fmt.Errorf("%s: more than %d rows", t.name, maxRows)
		}
		t.rows = append(t.rows, row)
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%s: has no rows", t.name)
	}
	return t, nil
}

// isHeader takes a row for a header when no field is a number or a file name.
func isHeader(row []string) bool {
	for _, f := range row {
		f = strings.TrimSpace(f)
		if _, err := strconv.ParseFloat(f, 64); err == nil {
			return false
		}
		ext := strings.ToLower(filepath.Ext(f))
		if slices.Contains(imageExt, ext) || slices.Contains(audioExt, ext) || slices.Contains(rawExt, ext) {
			return false
		}
	}
	return true
}

// row returns the number of rows[i] in the file, as a spreadsheet counts.
func (t *table) row(i int) int {
	if t.header != nil {
		i++
	}
	return i + 1
}

// columns lists the titles of the columns, or says how many there are.
func (t *table) columns() string {
	if t.header == nil {
		return fmt.Sprintf("1 to %d, without titles", len(t.rows[0]))
	}
	return strings.Join(t.header, ", ")
}

// notATable says that no cell is the name of a file.
func (t *table) notATable(files int) error {
	first := t.rows[0]
	if t.header != nil {
		first = t.header
	}
	s := strings.Join(first, ", ")
	if len(s) > 80 {
		s = s[:80] + "…"
	}
	return fmt.Errorf("%w: none of its %d rows names one of the %d files (first row: %q)", errNotATable, len(t.rows), files, s)
}

func (t *table) title(col int) string {
	if t.header != nil {
		return strconv.Quote(t.header[col])
	}
	return strconv.Itoa(col + 1)
}

// column returns the first column with one of the names, -1 when there is none.
func (t *table) column(names ...string) int {
	for _, n := range names {
		for i, h := range t.header {
			if strings.EqualFold(strings.TrimSpace(h), n) {
				return i
			}
		}
	}
	return -1
}

// byName resolves a column given by its title or 1-based number.
func (t *table) byName(name string) (int, error) {
	if i := t.column(name); i >= 0 {
		return i, nil
	}
	if k, err := strconv.Atoi(name); err == nil && k >= 1 && k <= len(t.rows[0]) {
		return k - 1, nil
	}
	return 0, fmt.Errorf("there is no column %q (columns: %s)", name, t.columns())
}

func (t *table) fileColumn(known fileNames, files int, want string) (int, error) {
	if want != "" {
		return t.byName(want)
	}
	best, hits := -1, 0
	for c := range t.rows[0] {
		n := 0
		for _, row := range t.rows {
			if _, ok := known.find(row[c]); ok {
				n++
			}
		}
		if n > hits {
			best, hits = c, n
		}
	}
	if best < 0 {
		return 0, t.notATable(files)
	}
	return best, nil
}

// labelColumn picks the column of class labels: by its title, else the last column of
// whole numbers with more than one value, else the last column of few distinct words.
func (t *table) labelColumn(fileCol int, want string) (int, error) {
	if want != "" {
		return t.byName(want)
	}
	numeric := func(c int) bool {
		for _, row := range t.rows {
			if _, ok := classNumber(row[c]); !ok {
				return false
			}
		}
		return true
	}
	distinct := func(c int) int {
		seen := map[string]bool{}
		for _, row := range t.rows {
			seen[row[c]] = true
		}
		return len(seen)
	}
	for _, name := range []string{"label", "class_index", "class_id", "index", "target", "y", "class", "category", "digit"} {
		if c := t.column(name); c >= 0 && c != fileCol {
			return c, nil
		}
	}
	for c, h := range t.header {
		h = strings.ToLower(h)
		if c != fileCol && numeric(c) && (strings.Contains(h, "index") || strings.Contains(h, "label") || strings.Contains(h, "class")) {
			return c, nil
		}
	}
	best := -1
	for c := range t.rows[0] {
		if c != fileCol && numeric(c) && (distinct(c) > 1 || best < 0) {
			best = c
		}
	}
	if best >= 0 {
		return best, nil
	}
	for c := range t.rows[0] {
		if k := distinct(c); c != fileCol && k > 1 && 2*k <= len(t.rows) {
			best = c
		}
	}
	return best, nil
}

// openTable reads a file as a table: one sample a row, features in the numeric columns, the
// class in the label column when there is one; or what s says of series.
func openTable(name string, s *Spec) (*Dataset, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := readTable(io.LimitReader(f, maxArchiveBytes), name)
	if err != nil {
		return nil, err
	}
	switch {
	case s.tabular():
		return fromTables([]*table{t}, s)
	case s != nil:
		return t.features(s.LabelColumn)
	}
	return t.features("")
}

func (t *table) features(labelName string) (*Dataset, error) {
	label := -1
	if labelName != "" {
		c, err := t.byName(labelName)
		if err != nil {
			return nil, err
		}
		label = c
	} else if t.header != nil {
		label = t.column("label", "class", "target", "y", "class_index", "class_id", "category")
	}
	if label >= 0 {
		if err := t.checkLabels(label); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	d := &Dataset{kind: Tensors, n: len(t.rows)}
	width := len(t.rows[0])
	if label >= 0 {
		class := make([]string, len(t.rows))
		for i, row := range t.rows {
			class[i] = strings.TrimSpace(row[label])
		}
		d.classes, d.labels, d.byName = numbered(class)
		d.notes = append(d.notes, "labels from column "+t.title(label))
		width--
	} else {
		d.notes = append(d.notes, "no label column found (a header with \"label\" or a dataset.yaml names it)")
	}
	if width == 0 {
		return nil, fmt.Errorf("%s: has no feature columns", t.name)
	}
	all := tensor.New(tensor.Float32, len(t.rows), width)
	for i, row := range t.rows {
		k := 0
		for c, f := range row {
			if c == label {
				continue
			}
			v, err := strconv.ParseFloat(strings.TrimSpace(f), 32)
			if err != nil {
				return nil, fmt.Errorf("%s: row %d, column %s: %q is not a number", t.name, t.row(i), t.title(c), f)
			}
			all.F32()[i*width+k] = float32(v)
			k++
		}
	}
	d.load = rowsOf(all)
	return d, nil
}

// rowsOf serves the slices of t along its first axis.
func rowsOf(t *tensor.Tensor) func(i int) (*sample, error) {
	shape := t.Shape()[1:]
	size := t.SizeBytes() / max(1, t.Dim(0))
	return func(i int) (*sample, error) {
		row, err := tensor.FromBytes(t.DType(), shape, t.Bytes()[i*size:(i+1)*size])
		if err != nil {
			return nil, err
		}
		return &sample{t: row}, nil
	}
}
