package optimize

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/page"
)

// HTML returns report.html: one page that needs nothing else.
func (r *Report) HTML() ([]byte, error) {
	best := r.Point(r.Picked)
	if best == nil {
		return nil, fmt.Errorf("report: there is no point %q", r.Picked)
	}
	raw, err := json.Marshal(r) // escapes <, > and &, so it can stand in a script element
	if err != nil {
		return nil, err
	}
	p := &sheet{Report: r, best: best}
	p.write(page.Markup(raw))
	return p.Bytes(), nil
}

// card is one before-and-after figure.
type card struct {
	Title, Before, After, Change, Note string
	Class                              string // good, bad or, where nothing is proved, empty
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
		{"activation memory", page.SizeText(int64(o.Arena)), page.SizeText(int64(p.Arena)), r.memoryChange(p), "peak of one inference, " + p.Origin, gain(float64(o.Arena), float64(p.Arena))},
		{"file", page.SizeText(o.Size), page.SizeText(p.Size), r.sizeChange(p), p.Origin, gain(float64(o.Size), float64(p.Size))},
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

func decibels(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.1f", *v)
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
