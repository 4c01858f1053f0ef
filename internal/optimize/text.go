package optimize

import (
	"fmt"
	"math"
	"strings"
)

// Headline says in one line what was gained.
func (r *Report) Headline() string {
	p := r.Point(r.Picked)
	if p == nil {
		return r.Model.Name
	}
	o := &r.Original
	return fmt.Sprintf("%s → %s: %s, %s, %s memory, %s", nameOf(&r.Model), p.Name,
		ratio(float64(o.Size), float64(p.Size), "smaller", "larger"), ratioOf(o.P50, p.P50, "faster", "slower"),
		ratio(float64(o.Arena), float64(p.Arena), "less", "more"), dropText(p.Drop))
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

func ratioOf(a, b *float64, less, more string) string {
	if a == nil || b == nil {
		return Unmeasured
	}
	return ratio(*a, *b, less, more)
}

// ratio compares before and after, as in "3.9× smaller".
func ratio(before, after float64, less, more string) string {
	switch {
	case before <= 0 || after <= 0:
		return Unmeasured
	case before >= after*1.005:
		return fmt.Sprintf("%.2g× %s", round2(before/after), less)
	case after >= before*1.005:
		return fmt.Sprintf("%.2g× %s", round2(after/before), more)
	}
	return "not " + less
}

// round2 keeps two digits, three from 10 on.
func round2(v float64) float64 {
	if v >= 10 {
		return math.Round(v)
	}
	return math.Round(v*10) / 10
}

func dropText(d *float64) string {
	switch {
	case d == nil:
		return "drop " + Unmeasured
	case *d > 0:
		return fmt.Sprintf("%.2f points lost", *d)
	case *d < 0:
		return fmt.Sprintf("%.2f points gained", -*d)
	}
	return "nothing lost"
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
	return "1 - rel. error"
}

func percent(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f %%", 100**v)
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

// sizeText writes bytes in binary units.
func sizeText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 100<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	case n < 1<<20:
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
}

func machineText(m *Machine) string {
	cpu := m.CPU
	if cpu == "" {
		cpu = m.Arch
	}
	return fmt.Sprintf("%s (%s)", cpu, m.ISA)
}
