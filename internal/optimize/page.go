package optimize

import (
	"bytes"
	_ "embed"
	"fmt"
	"strings"
)

// The page is written by functions and not by html/template, whose use of reflection would
// keep every exported method of the program: see docs/rationale.md.

//go:embed report.css
var pageStyle string

//go:embed report.js
var pageScript string

// markup stands in a page as it is; every other text is escaped.
type markup string

// page is the report while it is written.
type page struct {
	*Report
	best *Point
	b    bytes.Buffer
}

// put writes a format of markup whose arguments are escaped, numbers and markup apart.
func (p *page) put(format string, args ...any) {
	for i, a := range args {
		switch a.(type) {
		case markup, int, int64, uint64, float64:
		default:
			args[i] = escape(fmt.Sprint(a))
		}
	}
	fmt.Fprintf(&p.b, format, args...)
}

// table writes rows under a head, of which names that begin with "#" are numbers.
func (p *page) table(class string, head []string, rows func()) {
	p.put("<table%s><thead><tr>", attribute("class", class))
	for _, h := range head {
		if name, number := strings.CutPrefix(h, "#"); number {
			p.put(`<th class="n">%s</th>`, name)
		} else {
			p.put("<th>%s</th>", h)
		}
	}
	p.put("</tr></thead><tbody>\n")
	rows()
	p.put("</tbody></table>\n")
}

// attribute is an attribute of an element, nothing where it is empty.
func attribute(name, value string) markup {
	if value == "" {
		return ""
	}
	return markup(fmt.Sprintf(` %s="%s"`, name, escape(value)))
}

// numbers writes cells of figures.
func (p *page) numbers(cells ...string) {
	for _, c := range cells {
		p.put(`<td class="n">%s</td>`, c)
	}
}

func (p *page) write(data markup) {
	alarm, cautions := p.warnings()
	p.put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s: edgewise optimize</title>
<style>
%s</style>
</head>
<body>
<main>
`, p.Model.Name, markup(pageStyle))
	p.headline(alarm, cautions)
	p.points()
	p.pictures()
	p.float()
	p.tried()
	p.layers()
	p.decisions()
	p.how()
	p.put(`<p><button id="copy" hidden>copy the data of this page as JSON</button></p>
</main>
<script type="application/json" id="data">%s</script>
<script>
%s</script>
</body>
</html>
`, data, markup(pageScript))
}

// warnings returns what overrules all figures, and the other warnings.
func (p *page) warnings() (alarm string, cautions []string) {
	for _, w := range p.Warnings {
		if p.Goal.ChanceLevel && strings.HasPrefix(w, chanceWarning) {
			alarm = w
		} else {
			cautions = append(cautions, w)
		}
	}
	return alarm, cautions
}

func (p *page) headline(alarm string, cautions []string) {
	class := ""
	if alarm != "" {
		p.put("<p class=\"alarm\" role=\"alert\">%s</p>\n", alarm)
		class = "bad"
	}
	p.put("<h1%s>%s</h1>\n<p class=\"soft\">Picked <b>%s</b>: %s.", attribute("class", class), p.Headline(), p.Picked, p.Why)
	if !p.Met {
		p.put(` <span class="bad">The bound does not hold.</span>`)
	}
	p.put("</p>\n")
	if p.Kept {
		p.put("<ul>")
		for _, f := range p.Failures() {
			p.put("<li><b>%s</b>: %s</li>", f.Name, f.Why)
		}
		p.put("</ul>\n")
	}
	for _, w := range cautions {
		p.put("<p class=\"warning\">%s</p>\n", w)
	}
	p.put("<div class=\"cards\">\n")
	for _, c := range p.cards(p.best) {
		p.put(`<div class="card">
  <h3>%s</h3>
  <div class="change %s">%s</div>
  <div class="move">%s → <b>%s</b></div>
  <div class="note">%s</div>
</div>`, c.Title, c.Class, c.Change, c.Before, c.After, c.Note)
	}
	p.put("\n</div>\n")
}

// point writes the row of a point.
func (p *page) point(x *Point, class string) {
	p.put(`<tr%s><td class="name">%s</td>`, attribute("class", class), x.Name)
	p.numbers(percent(x.Accuracy), x.change(), percent(x.Agreement), millis(x.P50), millis(x.P95), millis(x.Min), sizeText(int64(x.Arena)), sizeText(x.Size))
	p.put("<td>%s</td></tr>\n", x.Origin)
}

func (p *page) points() {
	p.put("<h2>Points</h2>\n<div class=\"scroll\">")
	head := []string{"point", "#" + shortMetric(p.Goal.Metric), "#change, points ±95 %", "#agrees with original", "#p50 ms", "#p95 ms", "#least ms", "#memory", "#file", "origin"}
	p.table("wide", head, func() {
		p.point(&p.Original, "")
		for i := range p.Points {
			class := ""
			if p.Points[i].Name == p.Picked {
				class = "picked"
			}
			p.point(&p.Points[i], class)
		}
	})
	p.put("</div>\n<p class=\"note\">%s over %s each; %s", p.Goal.Metric, counted(p.Original.Samples, "sample"), p.ChangeNote())
	if p.Original.Interval != nil {
		p.put("the whiskers in the picture are the 95 %% intervals of each accuracy by itself (Wilson), wider than those of the changes.")
	}
	p.put(" Latency: %s, %s, the points taking turns, %s. Memory: activations of one inference at their peak. File: as written.</p>\n",
		machineText(&p.Machine), counted(p.Machine.Threads, "thread"), p.RunsText())
}

func (p *page) pictures() {
	if s := scatter(p.Report); s != "" {
		p.put(`<figure class="plot">%s
<figcaption>Filled blue: picked. Grey: the original. Hollow: outside the bound. All %s.</figcaption></figure>
`, s, p.Original.Origin)
	}
	if b := timeBars(p.Report); b != nil {
		p.put("<h2>Time of the layers</h2>\n<figure>")
		p.bars(b)
		p.put(`
<figcaption><span class="key f"></span>float <span class="key i"></span>8 bits (pale: kept in float after all), %s, the least of several runs. A layer fused into the next one is counted there. Measured.</figcaption></figure>
`, b.Unit)
	}
	if b := sqnrBars(p.Report); b != nil {
		p.put("<h2>Signal to noise of the layers</h2>\n<figure>")
		p.bars(b)
		p.put(`
<figcaption>In dB, more is better: signal to quantization noise of each layer's output, everything before it quantized too, on %s. Measured.</figcaption></figure>
`, counted(p.Data.Proxy, "held-out sample"))
	}
	if m := memorySteps(p.Report); m != "" {
		var arenas []string
		for _, a := range p.Memory {
			arenas = append(arenas, a.Point+" "+sizeText(int64(a.Peak)))
		}
		p.put(`<h2>Working memory</h2>
<figure class="plot">%s
<figcaption>Bytes of tensors in use during each step; each program takes the whole width. The arena that holds them, with gaps and the scratch memory of the kernels: %s. Measured.</figcaption></figure>
`, m, strings.Join(arenas, ", "))
	}
}

func (p *page) bars(b *bars) {
	p.put(`<div class="bars">`)
	for _, r := range b.Rows {
		p.put(`<div class="bar" title="%s"><span class="layer">%s</span><span class="track">`, r.Title, r.Name)
		for _, m := range r.Marks {
			p.put(`<i class="%s" style="width:%s%%"></i>`, m.Class, m.Width)
		}
		p.put(`</span><span class="value">%s</span></div>`, r.Value)
	}
	p.put("</div>")
}

func (p *page) float() {
	p.put("<h2>What stayed in float, and why</h2>\n")
	kept := p.KeptFloat()
	if len(kept) == 0 {
		p.put("<p>Nothing: every layer that computes does so in 8 bits.</p>\n")
		return
	}
	p.table("", []string{"layer", "operator", "reason"}, func() {
		for _, l := range kept {
			p.put("<tr><td class=\"name\">%s</td><td>%s</td><td class=\"why\">%s</td></tr>\n", l.Name, l.Op, l.Reason)
		}
	})
}

func (p *page) tried() {
	p.put("<h2>Tried</h2>\n<div class=\"scroll\">")
	p.table("", []string{"what", "", "why", "#SQNR dB", "#" + shortMetric(p.Goal.Metric), "#p50 ms"}, func() {
		for _, t := range p.Tried {
			class, verdict := "soft", "rejected"
			if t.Accepted {
				class, verdict = "", "taken"
			}
			p.put(`<tr><td class="name">%s</td><td%s>%s</td><td class="why">%s</td><td class="n">%s</td><td class="n">%s`,
				t.Name, attribute("class", class), verdict, t.Why, decibels(t.SQNR), percent(t.Accuracy))
			if t.Samples > 0 {
				p.put(` <span class="origin">of %d</span>`, t.Samples)
			}
			p.put("</td><td class=\"n\">%s</td></tr>\n", millis(t.P50))
		}
	})
	p.put(`</div>
<p class="note">Range methods were first compared by SQNR of the outputs on %s, then by %s on the %d evaluation samples: choices between candidates were made on the data that the figures above come from, which favours the picked point slightly.</p>
`, counted(p.Data.Proxy, "held-out sample"), p.Goal.Metric, p.Data.Evaluation)
}

func (p *page) layers() {
	if len(p.Layers) == 0 {
		return
	}
	p.put("<h2>Layers</h2>\n<details><summary>%s with ranges, scales and times</summary>\n<div class=\"scroll\">", counted(len(p.Layers), "layer"))
	head := []string{"layer", "operator", "#bits", "#SQNR dB", "#weights SQNR dB", "#range", "#scale", "#zero", "#float ms", "#8 bits ms"}
	p.table("", head, func() {
		for i := range p.Layers {
			l := &p.Layers[i]
			p.put(`<tr><td class="name">%s`, l.Name)
			if l.Fused != "" {
				p.put(` <span class="origin">in %s</span>`, l.Fused)
			}
			bounds, scale, zero := "", "", ""
			if l.Lo != nil {
				bounds = fmt.Sprintf("%.3g..%.3g", *l.Lo, *l.Hi)
			}
			if l.Scale != 0 {
				scale, zero = fmt.Sprintf("%.4g", l.Scale), fmt.Sprint(l.Zero)
			}
			p.put("</td><td>%s</td>", l.Op)
			p.numbers(fmt.Sprint(l.Bits), decibels(l.SQNR), decibels(l.WSQNR), bounds, scale, zero, millis(l.Float), millis(l.Int8))
			p.put("</tr>\n")
		}
	})
	p.put("</div></details>\n")
}

// decisions shows the confusion tables of the original and the picked point.
func (p *page) decisions() {
	c := p.Confusion
	if c == nil || c.Picked == nil {
		return
	}
	p.put("<h2>Decisions by class</h2>\n<div class=\"matrices\">")
	for _, m := range []matrix{shade("original", c.Classes, c.Original), shade(p.Picked, c.Classes, c.Picked)} {
		p.put(`<figure><figcaption>%s: rows are the true class</figcaption><div class="scroll"><table class="matrix">
<tr><th></th>`, m.Title)
		for _, class := range append(m.Classes[:len(m.Classes):len(m.Classes)], "right") {
			p.put("<th><span>%s</span></th>", class)
		}
		p.put("</tr>\n")
		for _, r := range m.Rows {
			p.put(`<tr><th scope="row">%s</th>`, r.Class)
			for _, x := range r.Cells {
				class := "cell"
				if x.Diagonal {
					class = "cell d"
				}
				p.put(`<td class="%s"><i style="opacity:%s"></i><b>%d</b></td>`, class, x.Opacity, x.N)
			}
			p.put("<td>%s</td></tr>\n", r.Right)
		}
		p.put("</table></div></figure>")
	}
	p.put("</div>\n")
}

// how lists what the figures depend on.
func (p *page) how() {
	p.put("<h2>How</h2>\n<dl>\n")
	entry := func(name, format string, args ...any) {
		p.put("<dt>%s</dt><dd>", name)
		p.put(format+"</dd>\n", args...)
	}
	entry("model", "%s (%s): %s parameters, %s multiply-accumulates, %d nodes; judged by output %s", p.Model.Path, p.Model.Name,
		thousands(p.Model.Parameters), thousands(p.Model.MACs), p.Model.Nodes, p.Model.Judged)
	entry("data", "%s", p.Data.Description)
	entry("samples", "%d evaluated; %s", p.Data.Evaluation, p.Data.Note)
	p.put("<dt>preprocessing</dt><dd>%s", p.Preprocess.Text)
	for _, w := range p.Preprocess.Why {
		p.put(`<br><span class="soft">%s</span>`, w)
	}
	p.put("\n<details><summary>as dataset.yaml</summary><pre>%s</pre></details></dd>\n", p.Preprocess.YAML)
	if p.Goal.Chance != 0 {
		note := markup("")
		if p.Goal.ChanceLevel {
			note = ` <b class="bad">the original is no better</b>`
		}
		entry("chance", "%.1f %% (always naming the most frequent class)%s", 100*p.Goal.Chance, note)
	}
	entry("bound", "at most %s of %s lost", pointsText(p.Goal.MaxDrop), p.Goal.Metric)
	entry("picked", "%s", p.best.How)
	entry("machine", "%s, %s/%s, %d cores", machineText(&p.Machine), p.Machine.OS, p.Machine.Arch, p.Machine.Cores)
	entry("made by", "%s %s (%s), %s, in %v s, seed %v", p.Tool.Name, p.Tool.Version, p.Tool.Go, p.Created.Format("2006-01-02 15:04 MST"), p.Seconds, p.Seed)
	p.put("</dl>\n")
	if len(p.Preprocess.Tried) > 0 {
		p.table("", []string{"preprocessing tried on the original", "#" + shortMetric(p.Goal.Metric), "#samples"}, func() {
			for _, t := range p.Preprocess.Tried {
				p.put("<tr><td>%s</td>", t.Text)
				p.numbers(fmt.Sprintf("%.1f %%", 100*t.Accuracy), fmt.Sprint(t.Samples))
				p.put("</tr>\n")
			}
		})
	}
	if len(p.Command) > 0 {
		p.put("<pre>%s</pre>\n", shellQuoted(p.Command))
	}
}
