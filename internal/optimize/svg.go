package optimize

import (
	"fmt"
	"html/template"
	"math"
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

func (d *drawing) html() template.HTML {
	d.b.WriteString("</svg>")
	return template.HTML(d.b.String()) // built of numbers and escaped text only
}

func escape(s string) string { return template.HTMLEscapeString(s) }

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

func tickText(v, span float64) string {
	digits := max(0, int(math.Ceil(-math.Log10(span)))+1)
	s := fmt.Sprintf("%.*f", min(digits, 4), v)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	if s == "-0" || s == "" {
		s = "0"
	}
	return s
}

// scatter shows the points by latency and accuracy, with the bound.
func scatter(r *Report) template.HTML {
	const w, h, left, right, top, bottom = 640, 360, 62, 20, 18, 46
	all := append([]Point{r.Original}, r.Points...)
	loX, hiX, loY, hiY := 0.0, 0.0, math.Inf(1), math.Inf(-1)
	for _, p := range all {
		if p.P50 == nil || p.Accuracy == nil {
			continue
		}
		hiX = max(hiX, *p.P50)
		loY, hiY = min(loY, 100**p.Accuracy), max(hiY, 100**p.Accuracy)
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
	loY, hiY, hiX = loY-pad, hiY+pad, 1.12*hiX
	x := func(v float64) float64 { return left + (v-loX)/(hiX-loX)*(w-left-right) }
	y := func(v float64) float64 { return h - bottom - (v-loY)/(hiY-loY)*(h-top-bottom) }
	d := newDrawing(w, h, "accuracy against latency of every point")
	for _, v := range ticks(loY, hiY, 6) {
		d.line(left, y(v), w-right, y(v), "grid")
		d.text(left-8, y(v)+4, "tick", "end", tickText(v, hiY-loY))
	}
	for _, v := range ticks(loX, hiX, 6) {
		d.line(x(v), h-bottom, x(v), h-bottom+4, "axis")
		d.text(x(v), h-bottom+18, "tick", "middle", tickText(v, hiX-loX))
	}
	d.line(left, h-bottom, w-right, h-bottom, "axis")
	d.text((left+w-right)/2, h-8, "label", "middle", "latency p50, ms (less is better)")
	d.add(`<text transform="translate(14 %d) rotate(-90)" class="label" text-anchor="middle">%s, %%</text>`, (top+h-bottom)/2, escape(shortMetric(r.Goal.Metric)))
	if bound > loY && bound < hiY {
		d.line(left, y(bound), w-right, y(bound), "bound")
		d.text(w-right-4, y(bound)-6, "boundtext", "end", "bound: "+pointsText(r.Goal.MaxDrop)+" below the original")
	}
	var taken [][4]float64 // labels already placed
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
		cx, cy := x(*p.P50), y(100**p.Accuracy)
		if len(p.Interval) == 2 {
			lo, hi := max(100*p.Interval[0], loY), min(100*p.Interval[1], hiY)
			d.line(cx, y(lo), cx, y(hi), "whisker")
		}
		d.add(`<circle cx="%.1f" cy="%.1f" r="%d" class="%s"><title>%s</title></circle>`, cx, cy, 7, class,
			escape(fmt.Sprintf("%s: %s, %s ms, %s, %s (%d samples, %s)", p.Name, percent(p.Accuracy), millis(p.P50), sizeText(p.Size), p.How, p.Samples, p.Origin)))
		width := 7.2 * float64(len(p.Name))
		lx, ly := cx+11, cy+4.0
		if lx+width > w-right {
			lx = cx - 11 - width
		}
		for _, dy := range []float64{0, -16, 16, -32, 32, -48, 48} {
			box := [4]float64{lx, ly + dy - 11, lx + width, ly + dy + 3}
			free := box[1] > 4 && box[3] < h-bottom-2
			for _, t := range taken {
				free = free && (box[2] < t[0] || box[0] > t[2] || box[3] < t[1] || box[1] > t[3])
			}
			if free {
				ly += dy
				taken = append(taken, box)
				break
			}
		}
		name := "name"
		if p.Name == r.Picked {
			name = "name pickedname"
		}
		d.text(lx, ly, name, "start", p.Name)
	}
	return d.html()
}

// rowHeight and the like lay out the bars of layers.
const (
	barsWidth  = 720
	rowHeight  = 22
	nameColumn = 210
)

func fits(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return "…" + string(r[len(r)-n+1:]) // the end of a layer's name tells more
}

// timeBars compares the time of each layer in float and in 8 bits.
func timeBars(r *Report) template.HTML {
	var rows []LayerInfo
	most := 0.0
	for _, l := range r.Layers {
		if l.Float == nil {
			continue
		}
		rows = append(rows, l)
		most = max(most, *l.Float)
		if l.Int8 != nil {
			most = max(most, *l.Int8)
		}
	}
	if len(rows) == 0 || most == 0 {
		return ""
	}
	d := newDrawing(barsWidth, rowHeight*len(rows)+24, "time of each layer in float and in 8 bits")
	x := func(v float64) float64 { return v / most * (barsWidth - nameColumn - 110) }
	unit, write := "ms", millis
	if most < 0.5 {
		unit, write = "µs", func(v *float64) string {
			if v == nil {
				return "–"
			}
			us := 1000 * *v
			return millis(&us)
		}
	}
	for i, l := range rows {
		y := float64(i * rowHeight)
		d.add(`<g><title>%s</title>`, escape(fmt.Sprintf("%s (%s): float %s %s, 8 bits %s %s %s", l.Name, l.Op, write(l.Float), unit, write(l.Int8), unit, l.Reason)))
		d.text(nameColumn-8, y+15, "tick", "end", fits(l.Name, 27))
		d.add(`<rect x="%d" y="%.1f" width="%.1f" height="8" class="float"/>`, nameColumn, y+3, max(x(*l.Float), 0.5))
		end, label := x(*l.Float), write(l.Float)
		if l.Int8 != nil {
			class := "int8"
			if l.Bits > 8 {
				class = "int8 unused"
			}
			d.add(`<rect x="%d" y="%.1f" width="%.1f" height="8" class="%s"/>`, nameColumn, y+12, max(x(*l.Int8), 0.5), class)
			end = max(end, x(*l.Int8))
			label += " → " + write(l.Int8)
		}
		d.text(nameColumn+end+6, y+15, "tick", "start", label)
		d.add(`</g>`)
	}
	d.text(nameColumn, float64(rowHeight*len(rows))+16, "label", "start", unit+", least of several runs")
	return d.html()
}

// sqnrBars shows how far each layer's output is from the float one's.
func sqnrBars(r *Report) template.HTML {
	var rows []LayerInfo
	most := 0.0
	for _, l := range r.Layers {
		if l.SQNR != nil {
			rows = append(rows, l)
			most = max(most, *l.SQNR)
		}
	}
	if len(rows) == 0 || most <= 0 {
		return ""
	}
	d := newDrawing(barsWidth, rowHeight*len(rows)+24, "signal to quantization noise of each layer")
	x := func(v float64) float64 { return max(v, 0) / most * (barsWidth - nameColumn - 70) }
	for i, l := range rows {
		y := float64(i * rowHeight)
		class := "sqnr"
		if *l.SQNR < 15 {
			class = "sqnr low"
		}
		d.add(`<g><title>%s</title>`, escape(fmt.Sprintf("%s (%s): %.1f dB, range %s..%s", l.Name, l.Op, *l.SQNR, decibels(l.Lo), decibels(l.Hi))))
		d.text(nameColumn-8, y+15, "tick", "end", fits(l.Name, 27))
		d.add(`<rect x="%d" y="%.1f" width="%.1f" height="12" class="%s"/>`, nameColumn, y+5, max(x(*l.SQNR), 0.5), class)
		d.text(nameColumn+x(*l.SQNR)+6, y+15, "tick", "start", fmt.Sprintf("%.1f", *l.SQNR))
		d.add(`</g>`)
	}
	d.text(nameColumn, float64(rowHeight*len(rows))+16, "label", "start", "dB, more is better")
	return d.html()
}

// memorySteps draws the working memory over the steps of each program, on one scale.
func memorySteps(r *Report) template.HTML {
	const w, h, left, top, bottom = 720, 220, 74, 14, 34
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
	for _, v := range ticks(0, float64(peak)/1024, 4) {
		d.line(left, y(v*1024), w-10, y(v*1024), "grid")
		d.text(left-8, y(v*1024)+4, "tick", "end", fmt.Sprintf("%s KiB", tickText(v, float64(peak)/1024)))
	}
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
		d.text(px, y(float64(most))-4, "tick", anchor, fmt.Sprintf("%s: %s at %s", t.Point, sizeText(int64(most)), fits(t.Steps[at].Name, 30)))
	}
	d.line(left, h-bottom, w-10, h-bottom, "axis")
	d.text(left, h-10, "label", "start", "first step")
	d.text(w-10, h-10, "label", "end", "last step")
	return d.html()
}
