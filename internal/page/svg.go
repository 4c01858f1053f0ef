package page

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Drawing is a picture: SVG with classes that the page's style colours, so that it follows light and
// dark. Every mark has a title for pointers.
type Drawing struct{ b strings.Builder }

// NewDrawing begins a picture of so many units; label says what it shows to those who do not
// see it.
func NewDrawing(width, height int, label string) *Drawing {
	d := &Drawing{}
	fmt.Fprintf(&d.b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, height, Escape(label))
	return d
}

// Add writes a format of markup; texts among the arguments must have been escaped.
func (d *Drawing) Add(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

// Text writes s at a place, from which it goes on by anchor: start, middle or end.
func (d *Drawing) Text(x, y float64, class, anchor, s string) {
	d.Add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, Escape(s))
}

// Line draws a line.
func (d *Drawing) Line(x1, y1, x2, y2 float64, class string) {
	d.Add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

// Markup ends the picture and returns it.
func (d *Drawing) Markup() Markup {
	d.b.WriteString("</svg>")
	return Markup(d.b.String()) // built of numbers and escaped text only
}

// Escape returns s as text of a page.
func Escape(s string) string { return html.EscapeString(s) }

// Ticks returns round values that divide lo..hi into about n parts.
func Ticks(lo, hi float64, n int) []float64 {
	if !(hi > lo) {
		return []float64{lo}
	}
	raw := (hi - lo) / float64(n)
	step := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, f := range []float64{1, 2, 2.5, 5, 10} {
		if step*f >= 0.85*raw {
			step *= f
			break
		}
	}
	var out []float64
	for k := math.Ceil(lo/step - 1e-9); k*step <= hi+1e-9*step; k++ {
		out = append(out, k*step)
	}
	return out
}

// TickText writes a tick with the digits that a step between two of them needs.
func TickText(v, step float64) string {
	digits := 0
	for step > 0 && digits < 6 {
		scaled := step * math.Pow(10, float64(digits))
		if math.Abs(scaled-math.Round(scaled)) < 1e-6*scaled {
			break
		}
		digits++
	}
	if math.Abs(v) < 1e-9 {
		v = 0 // without a sign
	}
	return fmt.Sprintf("%.*f", digits, v)
}

// StepOf returns the distance of ticks; that of a single one is the one to zero, which
// takes as many digits as the tick itself.
func StepOf(ticks []float64) float64 {
	switch len(ticks) {
	case 0:
		return 0
	case 1:
		return math.Abs(ticks[0])
	}
	return ticks[1] - ticks[0]
}

// Box is a rectangle of a drawing.
type Box struct{ X0, Y0, X1, Y1 float64 }

// Within reports whether b lies inside o.
func (b Box) Within(o Box) bool { return b.X0 >= o.X0 && b.X1 <= o.X1 && b.Y0 >= o.Y0 && b.Y1 <= o.Y1 }

// Meets reports whether b and o have a part in common.
func (b Box) Meets(o Box) bool { return b.X0 < o.X1 && o.X0 < b.X1 && b.Y0 < o.Y1 && o.Y0 < b.Y1 }

// BesideLine finds room for a label at either end of a line across the drawing.
func BesideLine(taken []Box, x0, x1, y, width float64) Box {
	above, below := Box{x1 - width, y - 17, x1, y - 3}, Box{x1 - width, y + 3, x1, y + 17}
	shift := x0 - above.X0
	for _, b := range []Box{above, below, {x0, above.Y0, above.X1 + shift, above.Y1}, {x0, below.Y0, below.X1 + shift, below.Y1}} {
		if !slices.ContainsFunc(taken, b.Meets) {
			return b
		}
	}
	return above
}

// Place finds room within a frame for a label of the given width that belongs to (cx, cy):
// beside it, else above or below as near as it goes.
func Place(taken []Box, frame Box, cx, cy, width float64) Box {
	const height, beside, row = 14, 11, 15
	at := func(x0, middle float64) Box {
		return Box{x0, middle - height/2, x0 + width, middle + height/2}
	}
	tries := []Box{at(cx+beside, cy), at(cx-beside-width, cy)}
	for k := range 8 {
		dy := 18 + float64(k)*row
		for _, x0 := range []float64{cx - width/2, cx - 6, cx - width + 6} {
			tries = append(tries, at(x0, cy-dy), at(x0, cy+dy))
		}
	}
	first := tries[0]
	for i := len(tries) - 1; i >= 0; i-- { // should nothing be free
		if tries[i].Within(frame) {
			first = tries[i]
		}
	}
	for _, b := range tries {
		if b.Within(frame) && !slices.ContainsFunc(taken, b.Meets) {
			return b
		}
	}
	return first
}
