package optimize

import (
	"fmt"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/page"
)

// sheet is the report while it is written.
type sheet struct {
	page.Page
	*Report
	best *Point
}

func (p *sheet) write(data page.Markup) {
	alarm, cautions := p.warnings()
	p.Begin(p.Model.Name + ": edgewise optimize")
	p.headline(alarm, cautions)
	p.points()
	p.pictures()
	p.float()
	p.tried()
	p.layers()
	p.decisions()
	p.how()
	p.End(data)
}

// warnings returns what overrules all figures, and the other warnings.
func (p *sheet) warnings() (alarm string, cautions []string) {
	for _, w := range p.Warnings {
		if p.Goal.ChanceLevel && strings.HasPrefix(w, chanceWarning) {
			alarm = w
		} else {
			cautions = append(cautions, w)
		}
	}
	return alarm, cautions
}

func (p *sheet) headline(alarm string, cautions []string) {
	class := ""
	if alarm != "" {
		p.Put("<p class=\"alarm\" role=\"alert\">%s</p>\n", alarm)
		class = "bad"
	}
	p.Put("<h1%s>%s</h1>\n<p class=\"soft\">Picked <b>%s</b>: %s.", page.Attribute("class", class), p.Headline(), p.Picked, p.Why)
	if !p.Met {
		p.Put(` <span class="bad">The bound does not hold.</span>`)
	}
	p.Put("</p>\n")
	if p.Kept {
		p.Put("<ul>")
		for _, f := range p.Failures() {
			p.Put("<li><b>%s</b>: %s</li>", f.Name, f.Why)
		}
		p.Put("</ul>\n")
	}
	for _, w := range cautions {
		p.Put("<p class=\"warning\">%s</p>\n", w)
	}
	p.Put("<div class=\"cards\">\n")
	for _, c := range p.cards(p.best) {
		p.Put(`<div class="card">
  <h3>%s</h3>
  <div class="change %s">%s</div>
  <div class="move">%s → <b>%s</b></div>
  <div class="note">%s</div>
</div>`, c.Title, c.Class, c.Change, c.Before, c.After, c.Note)
	}
	p.Put("\n</div>\n")
}

// point writes the row of a point.
func (p *sheet) point(x *Point, class string) {
	p.Put(`<tr%s><td class="name">%s</td>`, page.Attribute("class", class), x.Name)
	p.Numbers(percent(x.Accuracy), x.change(), percent(x.Agreement), millis(x.P50), millis(x.P95), millis(x.Min), page.SizeText(int64(x.Arena)), page.SizeText(x.Size))
	p.Put("<td>%s</td></tr>\n", x.Origin)
}

func (p *sheet) points() {
	p.Put("<h2>Points</h2>\n<div class=\"scroll\">")
	head := []string{"point", "#" + shortMetric(p.Goal.Metric), "#change, points ±95 %", "#agrees with original", "#p50 ms", "#p95 ms", "#least ms", "#memory", "#file", "origin"}
	p.Table("wide", head, func() {
		p.point(&p.Original, "")
		for i := range p.Points {
			class := ""
			if p.Points[i].Name == p.Picked {
				class = "picked"
			}
			p.point(&p.Points[i], class)
		}
	})
	p.Put("</div>\n<p class=\"note\">%s over %s each; %s", p.Goal.Metric, page.Counted(p.Original.Samples, "sample"), p.ChangeNote())
	if p.Original.Interval != nil {
		p.Put("the whiskers in the picture are the 95 %% intervals of each accuracy by itself (Wilson), wider than those of the changes.")
	}
	p.Put(" Latency: %s, %s, the points taking turns, %s. Memory: activations of one inference at their peak. File: as written.</p>\n",
		machineText(&p.Machine), page.Counted(p.Machine.Threads, "thread"), p.RunsText())
}

func (p *sheet) pictures() {
	if s := scatter(p.Report); s != "" {
		p.Put(`<figure class="plot">%s
<figcaption>Filled blue: picked. Grey: the original. Hollow: outside the bound. All %s.</figcaption></figure>
`, s, p.Original.Origin)
	}
	if b := timeBars(p.Report); b != nil {
		p.Put("<h2>Time of the layers</h2>\n<figure>")
		p.bars(b)
		p.Put(`
<figcaption><span class="key f"></span>float <span class="key i"></span>8 bits (pale: kept in float after all), %s, the least of several runs. A layer fused into the next one is counted there. Measured.</figcaption></figure>
`, b.Unit)
	}
	if b := sqnrBars(p.Report); b != nil {
		p.Put("<h2>Signal to noise of the layers</h2>\n<figure>")
		p.bars(b)
		p.Put(`
<figcaption>In dB, more is better: signal to quantization noise of each layer's output, everything before it quantized too, on %s. Measured.</figcaption></figure>
`, page.Counted(p.Data.Proxy, "held-out sample"))
	}
	if m := memorySteps(p.Report); m != "" {
		var arenas []string
		for _, a := range p.Memory {
			arenas = append(arenas, a.Point+" "+page.SizeText(int64(a.Peak)))
		}
		p.Put(`<h2>Working memory</h2>
<figure class="plot">%s
<figcaption>Bytes of tensors in use during each step; each program takes the whole width. The arena that holds them, with gaps and the scratch memory of the kernels: %s. Measured.</figcaption></figure>
`, m, strings.Join(arenas, ", "))
	}
}

func (p *sheet) bars(b *bars) {
	p.Put(`<div class="bars">`)
	for _, r := range b.Rows {
		p.Put(`<div class="bar" title="%s"><span class="layer">%s</span><span class="track">`, r.Title, r.Name)
		for _, m := range r.Marks {
			p.Put(`<i class="%s" style="width:%s%%"></i>`, m.Class, m.Width)
		}
		p.Put(`</span><span class="value">%s</span></div>`, r.Value)
	}
	p.Put("</div>")
}

func (p *sheet) float() {
	p.Put("<h2>What stayed in float, and why</h2>\n")
	kept := p.KeptFloat()
	if len(kept) == 0 {
		p.Put("<p>Nothing: every layer that computes does so in 8 bits.</p>\n")
		return
	}
	p.Table("", []string{"layer", "operator", "reason"}, func() {
		for _, l := range kept {
			p.Put("<tr><td class=\"name\">%s</td><td>%s</td><td class=\"why\">%s</td></tr>\n", l.Name, l.Op, l.Reason)
		}
	})
}

func (p *sheet) tried() {
	p.Put("<h2>Tried</h2>\n<div class=\"scroll\">")
	p.Table("", []string{"what", "", "why", "#SQNR dB", "#" + shortMetric(p.Goal.Metric), "#p50 ms"}, func() {
		for _, t := range p.Tried {
			class, verdict := "soft", "rejected"
			if t.Accepted {
				class, verdict = "", "taken"
			}
			p.Put(`<tr><td class="name">%s</td><td%s>%s</td><td class="why">%s</td><td class="n">%s</td><td class="n">%s`,
				t.Name, page.Attribute("class", class), verdict, t.Why, decibels(t.SQNR), percent(t.Accuracy))
			if t.Samples > 0 {
				p.Put(` <span class="origin">of %d</span>`, t.Samples)
			}
			p.Put("</td><td class=\"n\">%s</td></tr>\n", millis(t.P50))
		}
	})
	p.Put(`</div>
<p class="note">Range methods were first compared by SQNR of the outputs on %s, then by %s on the %d evaluation samples: choices between candidates were made on the data that the figures above come from, which favours the picked point slightly.</p>
`, page.Counted(p.Data.Proxy, "held-out sample"), p.Goal.Metric, p.Data.Evaluation)
}

func (p *sheet) layers() {
	if len(p.Layers) == 0 {
		return
	}
	p.Put("<h2>Layers</h2>\n<details><summary>%s with ranges, scales and times</summary>\n<div class=\"scroll\">", page.Counted(len(p.Layers), "layer"))
	head := []string{"layer", "operator", "#bits", "#SQNR dB", "#weights SQNR dB", "#range", "#scale", "#zero", "#float ms", "#8 bits ms"}
	p.Table("", head, func() {
		for i := range p.Layers {
			l := &p.Layers[i]
			p.Put(`<tr><td class="name">%s`, l.Name)
			if l.Fused != "" {
				p.Put(` <span class="origin">in %s</span>`, l.Fused)
			}
			bounds, scale, zero := "", "", ""
			if l.Lo != nil {
				bounds = fmt.Sprintf("%.3g..%.3g", *l.Lo, *l.Hi)
			}
			if l.Scale != 0 {
				scale, zero = fmt.Sprintf("%.4g", l.Scale), fmt.Sprint(l.Zero)
			}
			p.Put("</td><td>%s</td>", l.Op)
			p.Numbers(fmt.Sprint(l.Bits), decibels(l.SQNR), decibels(l.WSQNR), bounds, scale, zero, millis(l.Float), millis(l.Int8))
			p.Put("</tr>\n")
		}
	})
	p.Put("</div></details>\n")
}

// decisions shows the confusion tables of the original and the picked point.
func (p *sheet) decisions() {
	c := p.Confusion
	if c == nil || c.Picked == nil {
		return
	}
	p.Put("<h2>Decisions by class</h2>\n")
	p.Matrices(page.Shade("original", c.Classes, c.Original), page.Shade(p.Picked, c.Classes, c.Picked))
}

// how lists what the figures depend on.
func (p *sheet) how() {
	p.Put("<h2>How</h2>\n<dl>\n")
	entry := func(name, format string, args ...any) {
		p.Put("<dt>%s</dt><dd>", name)
		p.Put(format+"</dd>\n", args...)
	}
	entry("model", "%s (%s): %s parameters, %s multiply-accumulates, %d nodes; judged by output %s", p.Model.Path, p.Model.Name,
		page.Thousands(p.Model.Parameters), page.Thousands(p.Model.MACs), p.Model.Nodes, p.Model.Judged)
	entry("data", "%s", p.Data.Description)
	entry("samples", "%d evaluated; %s", p.Data.Evaluation, p.Data.Note)
	p.Put("<dt>preprocessing</dt><dd>%s", p.Preprocess.Text)
	for _, w := range p.Preprocess.Why {
		p.Put(`<br><span class="soft">%s</span>`, w)
	}
	p.Put("\n<details><summary>as dataset.yaml</summary><pre>%s</pre></details></dd>\n", p.Preprocess.YAML)
	if p.Goal.Chance != 0 {
		note := page.Markup("")
		if p.Goal.ChanceLevel {
			note = ` <b class="bad">the original is no better</b>`
		}
		entry("chance", "%.1f %% (always naming the most frequent class)%s", 100*p.Goal.Chance, note)
	}
	entry("bound", "at most %s of %s lost", pointsText(p.Goal.MaxDrop), p.Goal.Metric)
	entry("picked", "%s", p.best.How)
	entry("machine", "%s, %s/%s, %d cores", machineText(&p.Machine), p.Machine.OS, p.Machine.Arch, p.Machine.Cores)
	entry("made by", "%s %s (%s), %s, in %v s, seed %v", p.Tool.Name, p.Tool.Version, p.Tool.Go, p.Created.Format("2006-01-02 15:04 MST"), p.Seconds, p.Seed)
	p.Put("</dl>\n")
	if len(p.Preprocess.Tried) > 0 {
		p.Table("", []string{"preprocessing tried on the original", "#" + shortMetric(p.Goal.Metric), "#samples"}, func() {
			for _, t := range p.Preprocess.Tried {
				p.Put("<tr><td>%s</td>", t.Text)
				p.Numbers(fmt.Sprintf("%.1f %%", 100*t.Accuracy), fmt.Sprint(t.Samples))
				p.Put("</tr>\n")
			}
		})
	}
	if len(p.Command) > 0 {
		p.Put("<pre>%s</pre>\n", shellQuoted(p.Command))
	}
}
