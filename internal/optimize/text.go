package optimize

import (
	"fmt"
	"math"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/page"
)

// Headline says in one line what was gained, and first what makes that worthless.
func (r *Report) Headline() string {
	p := r.Point(r.Picked)
	if p == nil {
		return r.Model.Name
	}
	name := nameOf(&r.Model)
	if r.Kept {
		already := ""
		if p.Name == pointSimplified {
			already = "already 8-bit, and "
		}
		name = fmt.Sprintf("%s: %sno candidate is better within the bound of %s: the model is kept as it is", name, already, pointsText(r.Goal.MaxDrop))
	} else {
		name = fmt.Sprintf("%s → %s: %s, %s, %s", name, p.Name, r.sizeChange(p), r.speedChange(p), r.memoryChange(p))
		name += ", " + r.lossText(p)
	}
	if !r.Met {
		name += fmt.Sprintf("; the bound of %s is not held", pointsText(r.Goal.MaxDrop))
	}
	if r.Goal.ChanceLevel {
		return "UNRELIABLE, the original is no better than chance: " + name
	}
	return name
}

// Failures tells why the points that were not picked were not, and why there is none in 8 bits.
func (r *Report) Failures() []Trial {
	var out []Trial
	for _, t := range r.Tried {
		if name, ok := strings.CutPrefix(t.Name, pointPrefix); (ok || t.Name == trialStatic) && !t.Accepted {
			t.Name = name
			out = append(out, t)
		}
	}
	return out
}

func (r *Report) sizeChange(p *Point) string {
	return ratio(float64(r.Original.Size), float64(p.Size), "smaller", "larger", "as large")
}

func (r *Report) speedChange(p *Point) string {
	if r.Original.P50 == nil || p.P50 == nil {
		return "latency " + Unmeasured
	}
	return ratio(*r.Original.P50, *p.P50, "faster", "slower", "as fast")
}

func (r *Report) memoryChange(p *Point) string {
	return ratio(float64(r.Original.Arena), float64(p.Arena), "less memory", "more memory", "as much memory")
}

// lossText says what was lost and how well that is known. A gain that may be noise is none.
func (r *Report) lossText(p *Point) string {
	if p.Drop == nil || p.Accuracy == nil {
		return "accuracy " + Unmeasured
	}
	if r.Goal.Metric == metricFidelity {
		return fmt.Sprintf("outputs agree to %s (with the original's; not accuracy: no labels were used)", percent(p.Accuracy))
	}
	d := *p.Drop
	half, known := p.uncertainty()
	width := fmt.Sprintf("±%s on %s", pointsDigits(half), page.Counted(p.Samples, "sample"))
	switch {
	case !known:
		width = "on " + page.Counted(p.Samples, "sample")
	case r.Goal.Metric == metricAgreement:
		width += "; not accuracy: the data has no labels"
	}
	what := "points"
	if r.Goal.Metric == metricAgreement {
		what = "points of agreement"
	}
	switch {
	case known && math.Abs(d) <= half && d <= 0:
		return fmt.Sprintf("no loss measured (%s)", strings.Replace(width, " on ", " points on ", 1))
	case known && math.Abs(d) <= half:
		return fmt.Sprintf("%.2f %s lost, within noise (%s)", d, what, width)
	case d > 0:
		return fmt.Sprintf("%.2f %s lost (%s)", d, what, width)
	case d < 0:
		return fmt.Sprintf("%.2f %s gained (%s)", -d, what, width)
	}
	return fmt.Sprintf("no loss measured (%s)", width)
}

// pointsDigits writes a half width: two digits where it is small, one where that is plenty.
func pointsDigits(v float64) string {
	if v < 0.995 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// uncertainty returns half the width of the interval of the drop, in points.
func (p *Point) uncertainty() (half float64, known bool) {
	if len(p.DropRange) != 2 {
		return 0, false
	}
	return (p.DropRange[1] - p.DropRange[0]) / 2, true
}

// RunsText says how often each of the points that a headline compares was timed.
func (r *Report) RunsText() string {
	n := r.Original.Runs
	if p := r.Point(r.Picked); p != nil {
		n = min(n, p.Runs)
	}
	return page.Thousands(int64(n)) + " runs or more each"
}

// KeptFloat returns the layers that compute in floating point.
func (r *Report) KeptFloat() []LayerInfo {
	var out []LayerInfo
	for _, l := range r.Layers {
		if l.Bits > 8 {
			out = append(out, l)
		}
	}
	return out
}

func nameOf(m *ModelInfo) string {
	s := m.Path[strings.LastIndexAny(m.Path, `/\`)+1:]
	if s == "" {
		return m.Name
	}
	return s
}

// ratio compares before and after, as in "3.9× smaller"; same is what it says where the
// ratio rounds to 1.
func ratio(before, after float64, less, more, same string) string {
	if before <= 0 || after <= 0 {
		return Unmeasured
	}
	word, v := less, round2(before/after)
	if after > before {
		word, v = more, round2(after/before)
	}
	if v == 1 {
		return same
	}
	return fmt.Sprintf("%g× %s", v, word)
}

// round2 keeps two digits, three from 10 on.
func round2(v float64) float64 {
	if v >= 10 {
		return math.Round(v)
	}
	return math.Round(v*10) / 10
}

// pointsText writes a number of points of accuracy.
func pointsText(v float64) string {
	if v == 1 {
		return "1 point"
	}
	return fmt.Sprintf("%g points", v)
}

func shortMetric(m string) string {
	switch m {
	case metricTop1:
		return "accuracy"
	case metricAgreement:
		return "agreement"
	}
	return "output agreement"
}

func percent(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f %%", 100**v)
}

// change writes a drop as a change, with half the width of its 95 % interval where known.
func (p *Point) change() string {
	s := points(p.Drop)
	if half, known := p.uncertainty(); known {
		s += fmt.Sprintf(" ±%.2f", half)
	}
	return s
}

// points writes a drop as a change, so that a loss is negative.
func points(v *float64) string {
	switch {
	case v == nil:
		return "–"
	case *v == 0:
		return "0.00"
	}
	return fmt.Sprintf("%+.2f", -*v)
}

// millis writes a time with three significant digits.
func millis(v *float64) string {
	switch {
	case v == nil:
		return "–"
	case *v >= 100:
		return fmt.Sprintf("%.0f", *v)
	case *v >= 10:
		return fmt.Sprintf("%.1f", *v)
	case *v >= 1:
		return fmt.Sprintf("%.2f", *v)
	}
	return fmt.Sprintf("%.3f", *v)
}

func machineText(m *Machine) string {
	cpu := m.CPU
	if cpu == "" {
		cpu = m.Arch
	}
	return fmt.Sprintf("%s (%s)", cpu, m.ISA)
}
