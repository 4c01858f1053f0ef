package optimize

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
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
	t.wrapped("", r.Headline(), bold)
	t.line("")
	rows := [][]string{{"", shortMetric(r.Goal.Metric), "drop", "p50 ms", "p95 ms", "memory", "file"}}
	marked := 0
	add := func(p *Point, mark string) {
		rows = append(rows, []string{mark + p.Name, percent(p.Accuracy), points(p.Drop), millis(p.P50), millis(p.P95), sizeText(int64(p.Arena)), sizeText(p.Size)})
	}
	add(&r.Original, "  ")
	for i := range r.Points {
		mark := "  "
		if r.Points[i].Name == r.Picked {
			mark, marked = "> ", len(rows)
		}
		add(&r.Points[i], mark)
	}
	t.columns(rows, marked)
	o := &r.Original
	t.wrapped("  ", fmt.Sprintf("%s: %d samples each, %s; latency: %s on %s, %d thread(s), %d runs in turns; memory: activations at their peak",
		r.Goal.Metric, o.Samples, o.Origin, o.Origin, machineText(&r.Machine), r.Machine.Threads, o.Runs), dim)
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
		t.line("")
		t.wrapped("warning: ", s, yellow)
	}
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
