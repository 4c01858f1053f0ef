package optimize

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/page"
)

// scatter shows the points by latency and accuracy, with the bound.
func scatter(r *Report) page.Markup {
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
	d := page.NewDrawing(w, h, "accuracy against latency of every point")
	across, up := page.Ticks(loX, hiX, 6), page.Ticks(loY, hiY, 6)
	for _, v := range up {
		d.Line(left, y(v), w-right, y(v), "grid")
		d.Text(left-8, y(v)+4, "tick", "end", page.TickText(v, page.StepOf(up)))
	}
	for _, v := range across {
		d.Line(x(v), h-bottom, x(v), h-bottom+4, "axis")
		d.Text(x(v), h-bottom+18, "tick", "middle", page.TickText(v, page.StepOf(across)))
	}
	d.Line(left, h-bottom, w-right, h-bottom, "axis")
	d.Text((left+w-right)/2, h-8, "label", "middle", "latency p50, ms (less is better)")
	d.Add(`<text transform="translate(14 %d) rotate(-90)" class="label" text-anchor="middle">%s, %%</text>`, (top+h-bottom)/2, page.Escape(shortMetric(r.Goal.Metric)))
	var taken []page.Box // by marks and labels
	for _, p := range all {
		if p.P50 != nil && p.Accuracy != nil {
			cx, cy := x(*p.P50), y(100**p.Accuracy)
			taken = append(taken, page.Box{X0: cx - 8, Y0: cy - 8, X1: cx + 8, Y1: cy + 8})
		}
	}
	if bound > loY && bound < hiY {
		d.Line(left, y(bound), w-right, y(bound), "bound")
		label := "bound: " + pointsText(r.Goal.MaxDrop) + " below the original"
		b := page.BesideLine(taken, left, w-right, y(bound), 6.4*float64(len(label)))
		taken = append(taken, b)
		d.Text(b.X0, b.Y1-3, "boundtext", "start", label)
	}
	for _, i := range outermostFirst(all) {
		p := &all[i]
		cx, cy := x(*p.P50), y(100**p.Accuracy)
		b := page.Place(taken, page.Box{X0: left, Y0: top - 10, X1: w - right, Y1: h - bottom}, cx, cy, 7.2*float64(len(p.Name)))
		taken = append(taken, b)
		if len(p.Interval) == 2 {
			d.Line(cx, y(max(100*p.Interval[0], loY)), cx, y(min(100*p.Interval[1], hiY)), "whisker")
		}
		if b.Y1 < cy || b.Y0 > cy { // not beside the mark
			edge := b.Y1
			if b.Y0 > cy {
				edge = b.Y0
			}
			d.Line(cx, cy, min(max(cx, b.X0+4), b.X1-4), edge, "leader")
		}
		name := "name"
		if p.Name == r.Picked {
			name = "name pickedname"
		}
		d.Text(b.X0, b.Y1-3, name, "start", p.Name)
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
		d.Add(`<circle cx="%.1f" cy="%.1f" r="%d" class="%s"><title>%s</title></circle>`, x(*p.P50), y(100**p.Accuracy), 7, class,
			page.Escape(fmt.Sprintf("%s: %s, %s ms, %s, %s (%s, %s)", p.Name, percent(p.Accuracy), millis(p.P50), page.SizeText(p.Size), p.How, page.Counted(p.Samples, "sample"), p.Origin)))
	}
	return d.Markup()
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

// memorySteps draws the working memory over the steps of each program, on one scale.
func memorySteps(r *Report) page.Markup {
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
	d := page.NewDrawing(w, h, "working memory over the steps of an inference")
	y := func(n float64) float64 { return h - bottom - n/(1.08*float64(peak))*(h-top-bottom) }
	up := page.Ticks(0, float64(peak)/1024, 4)
	for _, v := range up {
		d.Line(left, y(v*1024), w-10, y(v*1024), "grid")
		d.Text(left-8, y(v*1024)+4, "tick", "end", page.TickText(v, page.StepOf(up))+" KiB")
	}
	var taken []page.Box // by labels
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
		d.Add(`<path d="%s" class="area %s"><title>%s</title></path>`, path.String(), class,
			page.Escape(fmt.Sprintf("%s: peak %s at %s", t.Point, page.SizeText(int64(most)), t.Steps[at].Name)))
		px := left + (float64(at)+0.5)*step
		anchor := "start"
		if px > w/2 {
			anchor = "end"
		}
		label := fmt.Sprintf("%s: %s at %s", t.Point, page.SizeText(int64(most)), fits(t.Steps[at].Name, 20))
		width := 6.6 * float64(len(label))
		b := page.Box{X0: px, Y0: y(float64(most)) - 15, X1: px + width, Y1: y(float64(most)) - 1}
		if anchor == "end" {
			b.X0, b.X1 = px-width, px
		}
		for slices.ContainsFunc(taken, b.Meets) {
			b.Y0, b.Y1 = b.Y0+15, b.Y1+15
		}
		taken = append(taken, b)
		d.Text(px, b.Y1-3, "tick", anchor, label)
	}
	d.Line(left, h-bottom, w-10, h-bottom, "axis")
	d.Text(left, h-10, "label", "start", "first step")
	d.Text(w-10, h-10, "label", "end", "last step")
	return d.Markup()
}
