package page

import (
	"fmt"
	"math"
	"strings"
)

// Series is a curve of a chart: points from left to right, in the colours that the style has
// for the class: a, b or c. What is no number is left out.
type Series struct {
	Name, Class string
	X, Y        []float64
}

// Chart draws curves over one axis. Every point has a title for pointers, of what is called
// across and up there.
func Chart(label, across, up string, all []Series) Markup {
	const w, h, left, right, top, bottom = 560, 250, 62, 14, 14, 44
	loX, hiX, loY, hiY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range all {
		for i, v := range s.Y {
			if finite(v) && finite(s.X[i]) {
				loX, hiX, loY, hiY = min(loX, s.X[i]), max(hiX, s.X[i]), min(loY, v), max(hiY, v)
			}
		}
	}
	if !(hiX >= loX) {
		return ""
	}
	if hiX == loX {
		loX, hiX = loX-1, hiX+1
	}
	pad := 0.06 * (hiY - loY)
	if pad == 0 {
		pad = max(0.06*math.Abs(hiY), 1e-6)
	}
	if loY >= 0 {
		loY = max(loY-pad, 0)
	} else {
		loY -= pad
	}
	hiY += pad
	x := func(v float64) float64 { return left + (v-loX)/(hiX-loX)*(w-left-right) }
	y := func(v float64) float64 { return h - bottom - (v-loY)/(hiY-loY)*(h-top-bottom) }
	d := NewDrawing(w, h, label)
	rows, columns := Ticks(loY, hiY, 5), Ticks(loX, hiX, min(7, max(int(hiX-loX), 1))) // of whole numbers
	for _, v := range rows {
		d.Line(left, y(v), w-right, y(v), "grid")
		d.Text(left-8, y(v)+4, "tick", "end", TickText(v, StepOf(rows)))
	}
	for _, v := range columns {
		d.Line(x(v), h-bottom, x(v), h-bottom+4, "axis")
		d.Text(x(v), h-bottom+18, "tick", "middle", TickText(v, StepOf(columns)))
	}
	d.Line(left, h-bottom, w-right, h-bottom, "axis")
	d.Text((left+w-right)/2, h-8, "label", "middle", across)
	for _, s := range all {
		var path, marks strings.Builder
		move := "M"
		for i, v := range s.Y {
			if !finite(v) || !finite(s.X[i]) {
				move = "M"
				continue
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", move, x(s.X[i]), y(v))
			move = "L"
			if len(s.Y) <= 120 {
				fmt.Fprintf(&marks, `<circle cx="%.1f" cy="%.1f" r="2.5" class="dot %s"><title>%s</title></circle>`, x(s.X[i]), y(v), Escape(s.Class),
					Escape(fmt.Sprintf("%s %.4g: %s %.5g %s", across, s.X[i], s.Name, v, up)))
			}
		}
		d.Add(`<path d="%s" class="curve %s"><title>%s</title></path>%s`, path.String(), Escape(s.Class), Escape(s.Name), marks.String())
	}
	return d.Markup()
}

// Key writes the colour of a curve and what it shows.
func Key(s Series, note string) Markup {
	return Markup(fmt.Sprintf(`<span class="key %s"></span>%s: %s`, Escape(s.Class), Escape(s.Name), Escape(note)))
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
