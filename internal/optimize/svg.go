package optimize

import (
	"cmp"
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// Pictures are SVG with classes that the page's style colours, so that they follow light
// and dark. Every mark has a title for pointers.
type drawing struct{ b strings.Builder }

func newDrawing(width, height int, label string) *drawing {
	d := &drawing{}
	fmt.Fprintf(&d.b, `<svg viewBox="0 0 %d %d" role="img" aria-label="%s">`, width, height, escape(label))
	return d
}

func (d *drawing) add(format string, args ...any) { fmt.Fprintf(&d.b, format, args...) }

func (d *drawing) text(x, y float64, class, anchor, s string) {
	d.add(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, escape(s))
}

func (d *drawing) line(x1, y1, x2, y2 float64, class string) {
	d.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`, x1, y1, x2, y2, class)
}

func (d *drawing) markup() markup {
	d.b.WriteString("</svg>")
	return markup(d.b.String()) // built of numbers and escaped text only
}

func escape(s string) string { return html.EscapeString(s) }

// ticks returns round values that divide lo..hi into about n parts.
func ticks(lo, hi float64, n int) []float64 {
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

// tickText writes a tick with the digits that a step between two of them needs.
func tickText(v, step float64) string {
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

// stepOf returns the distance of ticks; that of a single one is the one to zero, which
// takes as many digits as the tick itself.
func stepOf(ticks []float64) float64 {
	switch len(ticks) {
	case 0:
		return 0
	case 1:
		return math.Abs(ticks[0])
	}
	return ticks[1] - ticks[0]
}

// scatter shows the points by latency and accuracy, with the bound.
func scatter(r *Report) markup {
	const w, h, left, right, top, bottom = 500, 330, 58, 14, 18, 46
	all := append([]Point{r.Original}, r.Points...)
	loX, hiX, loY, hiY := 0.0, 0.0, math.Inf(1), math.Inf(-1)
	for _, p := range all {
		if p.P50 == nil || p.Accuracy == nil {
			continue
		}
		hiX = max(hiX, *p.P50)
		loY, hiY = min(loY, 100**p.Accuracy), max(hiY, 100**p.Accuracy)
	}
	// The whiskers that are compared are whole; those of other points may be cut.
	for i, p := range all {
		if (i == 0 || p.Name == r.Picked) && len(p.Interval) == 2 {
			loY, hiY = min(loY, 100*p.Interval[0]), max(hiY, 100*p.Interval[1])
		}
	}
	if hiX == 0 || r.Original.Accuracy == nil {
		return ""
	}
	bound := 100**r.Original.Accuracy - r.Goal.MaxDrop
	// The bound is in the picture unless it is so far off that the points would run
	// together.
	if span := hiY - loY; bound > loY-max(3*span, 4) && bound < hiY+max(3*span, 4) {
		loY, hiY = min(loY, bound), max(hiY, bound)
	}
	pad := max(0.12*(hiY-loY), 0.15)
	loY, hiY, hiX = max(loY-pad, min(loY, 0)), hiY+pad, 1.32*hiX
	if hiY > 100 {
		hiY = 100 + 0.04*(100-loY) // room for a mark that lies on the edge
	}
	x := func(v float64) float64 { return left + (v-loX)/(hiX-loX)*(w-left-right) }
	y := func(v float64) float64 { return h - bottom - (v-loY)/(hiY-loY)*(h-top-bottom) }
	d := newDrawing(w, h, "accuracy against latency of every point")
	across, up := ticks(loX, hiX, 6), ticks(loY, hiY, 6)
	for _, v := range up {
		d.line(left, y(v), w-right, y(v), "grid")
		d.text(left-8, y(v)+4, "tick", "end", tickText(v, stepOf(up)))
	}
	for _, v := range across {
		d.line(x(v), h-bottom, x(v), h-bottom+4, "axis")
		d.text(x(v), h-bottom+18, "tick", "middle", tickText(v, stepOf(across)))
	}
	d.line(left, h-bottom, w-right, h-bottom, "axis")
	d.text((left+w-right)/2, h-8, "label", "middle", "latency p50, ms (less is better)")
	d.add(`<text transform="translate(14 %d) rotate(-90)" class="label" text-anchor="middle">%s, %%</text>`, (top+h-bottom)/2, escape(shortMetric(r.Goal.Metric)))
	var taken []box // by marks and labels
	for _, p := range all {
		if p.P50 != nil && p.Accuracy != nil {
			cx, cy := x(*p.P50), y(100**p.Accuracy)
			taken = append(taken, box{cx - 8, cy - 8, cx + 8, cy + 8})
		}
	}
	if bound > loY && bound < hiY {
		d.line(left, y(bound), w-right, y(bound), "bound")
		label := "bound: " + pointsText(r.Goal.MaxDrop) + " below the original"
		b := besideLine(taken, left, w-right, y(bound), 6.4*float64(len(label)))
		taken = append(taken, b)
		d.text(b.x0, b.y1-3, "boundtext", "start", label)
	}
	for _, i := range outermostFirst(all) {
		p := &all[i]
		cx, cy := x(*p.P50), y(100**p.Accuracy)
		b := place(taken, box{left, top - 10, w - right, h - bottom}, cx, cy, 7.2*float64(len(p.Name)))
		taken = append(taken, b)
		if len(p.Interval) == 2 {
			d.line(cx, y(max(100*p.Interval[0], loY)), cx, y(min(100*p.Interval[1], hiY)), "whisker")
		}
		if b.y1 < cy || b.y0 > cy { // not beside the mark
			edge := b.y1
			if b.y0 > cy {
				edge = b.y0
			}
			d.line(cx, cy, min(max(cx, b.x0+4), b.x1-4), edge, "leader")
		}
		name := "name"
		if p.Name == r.Picked {
			name = "name pickedname"
		}
		d.text(b.x0, b.y1-3, name, "start", p.Name)
	}
	for i, p := range all {
		if p.P50 == nil || p.Accuracy == nil {
			continue
		}
		class := "point"
		switch {
		case i == 0:
			class = "point original"
		case p.Name == r.Picked:
			class = "point picked"
		case !p.Within:
			class = "point outside"
		}
		d.add(`<circle cx="%.1f" cy="%.1f" r="%d" class="%s"><title>%s</title></circle>`, x(*p.P50), y(100**p.Accuracy), 7, class,
			escape(fmt.Sprintf("%s: %s, %s ms, %s, %s (%s, %s)", p.Name, percent(p.Accuracy), millis(p.P50), sizeText(p.Size), p.How, counted(p.Samples, "sample"), p.Origin)))
	}
	return d.markup()
}

// outermostFirst orders the measured points so that those at the right and left ends of
// a crowd, which have room beside them, get their labels before those in between.
func outermostFirst(all []Point) []int {
	var order []int
	for i, p := range all {
		if p.P50 != nil && p.Accuracy != nil {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(*all[b].P50, *all[a].P50) })
	if n := len(order); n > 2 {
		order = slices.Insert(order[:n-1], 1, order[n-1])
	}
	return order
}

// box is a rectangle of a drawing.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) within(o box) bool { return b.x0 >= o.x0 && b.x1 <= o.x1 && b.y0 >= o.y0 && b.y1 <= o.y1 }

func (b box) meets(o box) bool { return b.x0 < o.x1 && o.x0 < b.x1 && b.y0 < o.y1 && o.y0 < b.y1 }

// besideLine finds room for a label at either end of a line across the drawing.
func besideLine(taken []box, x0, x1, y, width float64) box {
	above, below := box{x1 - width, y - 17, x1, y - 3}, box{x1 - width, y + 3, x1, y + 17}
	shift := x0 - above.x0
	for _, b := range []box{above, below, {x0, above.y0, above.x1 + shift, above.y1}, {x0, below.y0, below.x1 + shift, below.y1}} {
		if !slices.ContainsFunc(taken, b.meets) {
			return b
		}
	}
	return above
}

// place finds room within a frame for a label of the given width that belongs to (cx, cy):
// beside it, else above or below as near as it goes.
func place(taken []box, frame box, cx, cy, width float64) box {
	const height, beside, row = 14, 11, 15
	at := func(x0, middle float64) box {
		return box{x0, middle - height/2, x0 + width, middle + height/2}
	}
	tries := []box{at(cx+beside, cy), at(cx-beside-width, cy)}
	for k := range 8 {
		dy := 18 + float64(k)*row
		for _, x0 := range []float64{cx - width/2, cx - 6, cx - width + 6} {
			tries = append(tries, at(x0, cy-dy), at(x0, cy+dy))
		}
	}
	first := tries[0]
	for i := len(tries) - 1; i >= 0; i-- { // should nothing be free
		if tries[i].within(frame) {
			first = tries[i]
		}
	}
	for _, b := range tries {
		if b.within(frame) && !slices.ContainsFunc(taken, b.meets) {
			return b
		}
	}
	return first
}

// memorySteps draws the working memory over the steps of each program, on one scale.
func memorySteps(r *Report) markup {
	const w, h, left, top, bottom = 560, 230, 66, 24, 34
	peak, longest := 0, 0
	for _, t := range r.Memory {
		for _, s := range t.Steps {
			peak = max(peak, s.Bytes)
		}
		longest = max(longest, len(t.Steps))
	}
	if peak == 0 {
		return ""
	}
	d := newDrawing(w, h, "working memory over the steps of an inference")
	y := func(n float64) float64 { return h - bottom - n/(1.08*float64(peak))*(h-top-bottom) }
	up := ticks(0, float64(peak)/1024, 4)
	for _, v := range up {
		d.line(left, y(v*1024), w-10, y(v*1024), "grid")
		d.text(left-8, y(v*1024)+4, "tick", "end", tickText(v, stepOf(up))+" KiB")
	}
	var taken []box // by labels
	for i, t := range r.Memory {
		class := "int8"
		if i == 0 {
			class = "float"
		}
		// Each program takes the whole width: its steps are its own.
		step := float64(w-10-left) / float64(len(t.Steps))
		var path strings.Builder
		fmt.Fprintf(&path, "M%.1f %.1f", float64(left), y(0))
		at, most := 0, 0
		for k, s := range t.Steps {
			fmt.Fprintf(&path, "L%.1f %.1fL%.1f %.1f", left+float64(k)*step, y(float64(s.Bytes)), left+float64(k+1)*step, y(float64(s.Bytes)))
			if s.Bytes > most {
				at, most = k, s.Bytes
			}
		}
		fmt.Fprintf(&path, "L%.1f %.1fZ", float64(w-10), y(0))
		d.add(`<path d="%s" class="area %s"><title>%s</title></path>`, path.String(), class,
			escape(fmt.Sprintf("%s: peak %s at %s", t.Point, sizeText(int64(most)), t.Steps[at].Name)))
		px := left + (float64(at)+0.5)*step
		anchor := "start"
		if px > w/2 {
			anchor = "end"
		}
		label := fmt.Sprintf("%s: %s at %s", t.Point, sizeText(int64(most)), fits(t.Steps[at].Name, 20))
		width := 6.6 * float64(len(label))
		b := box{px, y(float64(most)) - 15, px + width, y(float64(most)) - 1}
		if anchor == "end" {
			b.x0, b.x1 = px-width, px
		}
		for slices.ContainsFunc(taken, b.meets) {
			b.y0, b.y1 = b.y0+15, b.y1+15
		}
		taken = append(taken, b)
		d.text(px, b.y1-3, "tick", anchor, label)
	}
	d.line(left, h-bottom, w-10, h-bottom, "axis")
	d.text(left, h-10, "label", "start", "first step")
	d.text(w-10, h-10, "label", "end", "last step")
	return d.markup()
}
