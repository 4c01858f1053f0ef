package optimize

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/edgewise-ml/edgewise/internal/page"
)

// Table writes the result for a terminal of the given width in characters (0: 80):
// the points with sample count and origin, what stayed float and why, what was tried.
func (r *Result) Table(w io.Writer, width int, color bool) error {
	if width <= 0 {
		width = 80
	}
	t := &tableWriter{w: w, width: width, color: color}
	t.report(r.Report)
	if r.Out != "" {
		t.line("")
		t.line("written to " + r.Out)
		t.line("  model.onnx  report.html  report.json  points/")
	}
	return t.err
}

type tableWriter struct {
	w     io.Writer
	width int
	color bool
	err   error
}

// ANSI styles.
const (
	bold   = "1"
	dim    = "2"
	yellow = "33"
	green  = "32"
	red    = "1;31"
)

func (t *tableWriter) style(s, code string) string {
	if !t.color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *tableWriter) line(s string) {
	if t.err == nil {
		_, t.err = fmt.Fprintln(t.w, s)
	}
}

// wrapped writes text in lines that fit, the first one behind a lead.
func (t *tableWriter) wrapped(lead, text, code string) {
	indent := strings.Repeat(" ", utf8.RuneCountInString(lead))
	room := max(t.width-len(indent), 20)
	row, used := lead, 0
	for _, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		if used > 0 && used+1+n > room {
			t.line(t.style(row, code))
			row, used = indent, 0
		}
		if used > 0 {
			row += " "
			used++
		}
		row += word
		used += n
	}
	t.line(t.style(row, code))
}

// columns writes rows with the first column to the left and the others to the right.
func (t *tableWriter) columns(rows [][]string, marked int) {
	width := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for k, r := range rows {
		var b strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if i == 0 {
				b.WriteString(c + pad)
			} else {
				b.WriteString("  " + pad + c)
			}
		}
		switch s := strings.TrimRight(b.String(), " "); {
		case k == 0:
			t.line(t.style(s, dim))
		case k == marked:
			t.line(t.style(s, green))
		default:
			t.line(s)
		}
	}
}

func (t *tableWriter) report(r *Report) {
	style := bold
	if r.Goal.ChanceLevel {
		style = red
		for _, w := range r.Warnings {
			if strings.HasPrefix(w, chanceWarning) {
				t.wrapped("warning: ", w, red)
				t.line("")
			}
		}
	}
	t.wrapped("", r.Headline(), style)
	if r.Kept {
		for _, f := range r.Failures() {
			t.wrapped("  - ", f.Name+": "+f.Why, "")
		}
	}
	t.line("")
	t.points(r)
	o := &r.Original
	t.wrapped("  ", fmt.Sprintf("%s: %s each, %s; %slatency: %s on %s, %s, in turns, %s; memory: activations at their peak",
		r.Goal.Metric, page.Counted(o.Samples, "sample"), o.Origin, r.ChangeNote(), o.Origin, machineText(&r.Machine), page.Counted(r.Machine.Threads, "thread"), r.RunsText()), dim)
	t.line("")
	t.wrapped("preprocessing  ", r.Preprocess.Text, "")
	t.wrapped("data           ", r.Data.Note, "")
	if kept := byReason(r.KeptFloat()); len(kept) > 0 {
		t.line("")
		t.line(t.style("stayed float", bold))
		t.some(len(kept), func(i int) { t.wrapped("  ", kept[i], "") })
	}
	t.line("")
	t.line(t.style("tried", bold))
	for _, x := range r.Tried {
		mark := "  - "
		if x.Accepted {
			mark = "  + "
		}
		t.wrapped(mark, x.Name+": "+x.Why, "")
	}
	for _, s := range r.Warnings {
		if r.Goal.ChanceLevel && strings.HasPrefix(s, chanceWarning) {
			continue // it stands first
		}
		t.line("")
		t.wrapped("warning: ", s, yellow)
	}
}

// narrow is the width below which columns that others imply are left out.
const narrow = 96

// points writes the figures of all points.
func (t *tableWriter) points(r *Report) {
	agrees := r.Goal.Metric == metricTop1
	tails := t.width >= narrow || !agrees
	row := func(name, accuracy, change, same, p50, p95, memory, file string) []string {
		out := []string{name, accuracy, change}
		if agrees {
			out = append(out, same)
		}
		out = append(out, p50)
		if tails {
			out = append(out, p95)
		}
		return append(out, memory, file)
	}
	rows := [][]string{row("", shortMetric(r.Goal.Metric), "change", "agrees", "p50 ms", "p95 ms", "memory", "file")}
	marked := 0
	add := func(p *Point, mark string) {
		rows = append(rows, row(mark+p.Name, percent(p.Accuracy), p.change(), percent(p.Agreement), millis(p.P50), millis(p.P95), page.SizeText(int64(p.Arena)), page.SizeText(p.Size)))
	}
	add(&r.Original, "  ")
	for i := range r.Points {
		mark := "  "
		if r.Points[i].Name == r.Picked {
			mark, marked = "> ", len(rows)
		}
		add(&r.Points[i], mark)
	}
	if r.Kept || r.Goal.ChanceLevel {
		marked = -1 // nothing to be glad of
	}
	t.columns(rows, marked)
}

// ChangeNote explains the column of changes and, where there are classes, of agreement.
func (r *Report) ChangeNote() string {
	switch r.Goal.Metric {
	case metricTop1:
		return "change: points of accuracy, ± its 95 % interval on the same samples; agrees: share of the original's decisions; "
	case metricAgreement:
		return "change: points, ± its 95 % interval; this is not accuracy, since the data has no labels; "
	}
	return "this is not accuracy, since no labels were used; "
}

// some writes up to six of n entries and tells how many are left.
func (t *tableWriter) some(n int, write func(int)) {
	const most = 6
	for i := range min(n, most) {
		write(i)
	}
	if n > most {
		t.line(fmt.Sprintf("  and %d more, see the report", n-most))
	}
}

// byReason writes layers with the same reason as one entry.
func byReason(kept []LayerInfo) []string {
	var reasons []string
	layers := map[string][]string{}
	for _, l := range kept {
		if layers[l.Reason] == nil {
			reasons = append(reasons, l.Reason)
		}
		layers[l.Reason] = append(layers[l.Reason], l.Name)
	}
	for i, r := range reasons {
		reasons[i] = list(layers[r]) + ": " + r
	}
	return reasons
}
