package optimize

import "fmt"

// bars are rows of the page that compare a figure between layers. They are laid out by
// the page's style, so that names and values stay readable on narrow screens.
type bars struct {
	Unit string
	Rows []bar
}

type bar struct {
	Name, Title, Value string
	Marks              []mark
}

type mark struct {
	Class string
	Width string // percent of the longest
}

func fits(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:]) // the end of a layer's name tells more
}

// markOf returns a mark of a value, of which most is the largest.
func markOf(class string, v, most float64) mark {
	return mark{class, fmt.Sprintf("%.1f", 100*max(v, 0)/most)}
}

// timeBars compares the time of each layer in float and in 8 bits; nil where none was timed.
func timeBars(r *Report) *bars {
	most := 0.0
	for _, l := range r.Layers {
		if l.Float != nil {
			most = max(most, *l.Float)
		}
		if l.Int8 != nil {
			most = max(most, *l.Int8)
		}
	}
	if most == 0 {
		return nil
	}
	out := &bars{Unit: "ms"}
	write := millis
	if most < 0.5 {
		out.Unit, write = "µs", func(v *float64) string {
			if v == nil {
				return "–"
			}
			us := 1000 * *v
			return millis(&us)
		}
	}
	for _, l := range r.Layers {
		if l.Float == nil {
			continue
		}
		b := bar{Name: fits(l.Name, 27), Value: write(l.Float), Marks: []mark{markOf("float", *l.Float, most)},
			Title: fmt.Sprintf("%s (%s): float %s %s, 8 bits %s %s %s", l.Name, l.Op, write(l.Float), out.Unit, write(l.Int8), out.Unit, l.Reason)}
		if l.Int8 != nil {
			class := "int8"
			if l.Bits > 8 {
				class = "int8 unused"
			}
			b.Marks = append(b.Marks, markOf(class, *l.Int8, most))
			b.Value += " → " + write(l.Int8)
		}
		out.Rows = append(out.Rows, b)
	}
	return out
}

// lowSQNR is where the noise of a layer's output deserves attention, in dB.
const lowSQNR = 15

// sqnrBars shows how far each layer's output is from the float one's; nil where that is
// not known.
func sqnrBars(r *Report) *bars {
	most := 0.0
	for _, l := range r.Layers {
		if l.SQNR != nil {
			most = max(most, *l.SQNR)
		}
	}
	if most <= 0 {
		return nil
	}
	out := &bars{Unit: "dB"}
	for _, l := range r.Layers {
		if l.SQNR == nil {
			continue
		}
		class := "int8"
		if *l.SQNR < lowSQNR {
			class = "low"
		}
		out.Rows = append(out.Rows, bar{Name: fits(l.Name, 27), Value: fmt.Sprintf("%.1f", *l.SQNR), Marks: []mark{markOf(class, *l.SQNR, most)},
			Title: fmt.Sprintf("%s (%s): %.1f dB, range %s..%s", l.Name, l.Op, *l.SQNR, decibels(l.Lo), decibels(l.Hi))})
	}
	return out
}
