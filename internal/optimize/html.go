package optimize

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"reflect"
	"strings"
	"sync"
)

//go:embed report.html.tmpl
var pageSource string

// page is parsed by the first who writes a report: other verbs need not wait for it.
var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("report").Funcs(pageFuncs).Parse(pageSource))
})

var pageFuncs = template.FuncMap{
	"percent": percent,
	"change":  func(p Point) string { return p.change() },
	"millis":  millis,
	"bytes":   func(n int64) string { return sizeText(n) },
	"arena":   func(n int) string { return sizeText(int64(n)) },
	"short":   shortMetric,
	"command": shellQuoted,
	"db":      decibels,
	"count":   func(n any) string { return thousands(reflect.ValueOf(n).Int()) },
	"range3":  func(v *float64) string { return fmt.Sprintf("%.3g", *v) },
	"machine": func(m Machine) string { return machineText(&m) },
	"many":    pointsText,
	"counted": counted,
	"pct1":    func(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) },
}

// view is what the page shows: the report with pictures.
type view struct {
	*Report
	Best      *Point
	Cards     []card
	Scatter   template.HTML
	Bars      *bars
	SQNR      *bars
	Timelines template.HTML
	Matrices  []matrix
	Floats    []LayerInfo // that stayed in float
	Alarm     string      // what overrules all figures
	Cautions  []string    // the other warnings
	Raw       template.JS
}

// card is one before-and-after figure.
type card struct {
	Title, Before, After, Change, Note string
	Class                              string // good, bad or, where nothing is proved, empty
}

// matrix is a confusion table with shades.
type matrix struct {
	Title   string
	Classes []string
	Rows    []matrixRow
}

type matrixRow struct {
	Class string
	Cells []matrixCell
	Right string // share of the row that is right
}

type matrixCell struct {
	N        int
	Opacity  string
	Diagonal bool
}

// HTML returns report.html: one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	v := view{Report: r, Best: r.Point(r.Picked), Floats: r.KeptFloat()}
	if v.Best == nil {
		return nil, fmt.Errorf("report: there is no point %q", r.Picked)
	}
	v.Cards = r.cards(v.Best)
	for _, w := range r.Warnings {
		if r.Goal.ChanceLevel && strings.HasPrefix(w, chanceWarning) {
			v.Alarm = w
		} else {
			v.Cautions = append(v.Cautions, w)
		}
	}
	v.Scatter = scatter(r)
	v.Bars = timeBars(r)
	v.SQNR = sqnrBars(r)
	v.Timelines = memorySteps(r)
	if c := r.Confusion; c != nil && c.Picked != nil {
		v.Matrices = []matrix{shade("original", c.Classes, c.Original), shade(r.Picked, c.Classes, c.Picked)}
	}
	raw, err := json.Marshal(r) // escapes <, > and &, so it can stand in a script element
	if err != nil {
		return nil, err
	}
	v.Raw = template.JS(raw)
	var b bytes.Buffer
	if err := page().Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// cards compares the picked point with the original. Only what is better by more than its
// noise is shown as good, and nothing is where accuracy means nothing.
func (r *Report) cards(p *Point) []card {
	o := &r.Original
	loss, note, _ := strings.Cut(r.lossText(p), " (")
	note = strings.TrimSuffix(note, ")") + ", " + p.Origin
	runs := fmt.Sprintf("p50 of %s, %s", r.RunsText(), p.Origin)
	out := []card{
		{shortMetric(r.Goal.Metric), percent(o.Accuracy), percent(p.Accuracy), loss, note, r.lossClass(p)},
		{"latency", millis(o.P50) + " ms", millis(p.P50) + " ms", r.speedChange(p), runs, ""},
		{"activation memory", sizeText(int64(o.Arena)), sizeText(int64(p.Arena)), r.memoryChange(p), "peak of one inference, " + p.Origin, gain(float64(o.Arena), float64(p.Arena))},
		{"file", sizeText(o.Size), sizeText(p.Size), r.sizeChange(p), p.Origin, gain(float64(o.Size), float64(p.Size))},
	}
	if o.P50 != nil && p.P50 != nil {
		out[1].Class = gain(*o.P50, *p.P50)
	}
	if r.Goal.ChanceLevel {
		for i := range out {
			if out[i].Class == "good" {
				out[i].Class = ""
			}
		}
	}
	return out
}

// gain returns the class of a change of something of which less is better.
func gain(before, after float64) string {
	switch {
	case before <= 0 || after <= 0:
		return ""
	case round2(before/after) > 1:
		return "good"
	case round2(after/before) > 1:
		return "bad"
	}
	return ""
}

// lossClass is that of the change of accuracy.
func (r *Report) lossClass(p *Point) string {
	half, known := p.uncertainty()
	switch {
	case !p.Within || r.Goal.ChanceLevel:
		return "bad"
	case known && p.Drop != nil && *p.Drop < -half:
		return "good"
	}
	return ""
}

// shade colours each cell by its share of the row.
func shade(title string, names []string, counts [][]int) matrix {
	m := matrix{Title: title, Classes: names}
	if len(names) != len(counts) {
		m.Classes = make([]string, len(counts))
		for i := range m.Classes {
			m.Classes[i] = fmt.Sprint(i)
		}
	}
	for i, row := range counts {
		total := 0
		for _, n := range row {
			total += n
		}
		x := matrixRow{Class: m.Classes[i], Right: "–"}
		if total > 0 {
			x.Right = fmt.Sprintf("%.1f %%", 100*float64(row[i])/float64(total))
		}
		for k, n := range row {
			o := 0.0
			if total > 0 {
				o = float64(n) / float64(total)
			}
			if n > 0 && k != i {
				o = min(1, 0.12+2*o) // errors are rare; let them be seen
			}
			x.Cells = append(x.Cells, matrixCell{n, fmt.Sprintf("%.2f", 0.55*o), k == i})
		}
		m.Rows = append(m.Rows, x)
	}
	return m
}

func decibels(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f", *v)
}

// thousands groups digits by thin spaces.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// shellQuoted writes a command as one would type it.
func shellQuoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"\\$`|&;<>()*?[]#~!{}") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out[i] = a
	}
	return strings.Join(out, " ")
}
