package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// metaWidth bounds how much of a metadata value is shown.
const metaWidth = 100

func (a *app) printInspect(r *inspectReport, steps bool) {
	w := a.out
	fmt.Fprint(w, r.Model)
	if r.Name != "" {
		fmt.Fprintf(w, " (%s)", r.Name)
	}
	if r.SizeBytes > 0 {
		fmt.Fprintf(w, ", %s", bytesText(r.SizeBytes))
	}
	fmt.Fprintln(w)
	if doc := strings.TrimSpace(r.Doc); doc != "" {
		fmt.Fprintln(w, cut(doc))
	}
	fmt.Fprintln(w)
	t := &table{head: []string{"", "name", "type"}}
	for _, p := range r.Inputs {
		t.add("input", p.Name, p.Type)
	}
	for _, p := range r.Outputs {
		t.add("output", p.Name, p.Type)
	}
	t.write(w)
	fmt.Fprintf(w, "\n%s, %s parameters (%s)\n", counted(r.Nodes, "node"), countText(r.Parameters), bytesText(r.ParameterBytes))
	if p := r.Plan; p != nil {
		fmt.Fprintf(w, "%s MACs; plan for %s, %s: %s, weights %s, peak working memory %s\n", countText(p.MACs), p.Tier, counted(p.Threads, "thread"),
			counted(len(p.Steps), "step"), bytesText(int64(p.WeightBytes)), bytesText(int64(p.ArenaBytes)))
	}
	fmt.Fprintln(w)
	t = &table{head: []string{"operator", "count", "parameters"}}
	for _, o := range r.Operators {
		name := o.Op
		if !o.Known {
			name += " (not known)"
		}
		t.add(name, o.Count, countText(o.Parameters))
	}
	t.write(w)
	for _, k := range slices.Sorted(maps.Keys(r.Metadata)) {
		fmt.Fprintf(w, "\n%s: %s", k, cut(r.Metadata[k]))
	}
	if len(r.Metadata) > 0 {
		fmt.Fprintln(w)
	}
	if len(r.Passes) > 0 {
		fmt.Fprintln(w)
		t = &table{head: []string{"pipeline", "pass", "changes"}}
		for _, p := range r.Passes {
			t.add(p.Pipeline, p.Pass, p.Changes)
		}
		t.write(w)
	}
	if r.Plan != nil {
		fmt.Fprintln(w)
		printPlan(a, r.Plan, steps)
	}
}

// cut shortens a text to one line.
func cut(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > metaWidth {
		return string(r[:metaWidth]) + "…"
	}
	return s
}

// barWidth is the length of the bar of the step with the most memory.
const barWidth = 30

func printPlan(a *app, p *planReport, all bool) {
	show := slices.Clone(p.Steps)
	if !all {
		slices.SortStableFunc(show, func(x, y planStep) int { return y.Live - x.Live })
		show = show[:min(len(show), 5)]
		fmt.Fprintln(a.out, "steps with the most memory alive (--steps shows all):")
	}
	t := &table{head: []string{"live", "", "operators", "kernel", "why", "name"}}
	for _, s := range show {
		bar := strings.Repeat("█", (s.Live*barWidth+p.ArenaBytes/2)/max(p.ArenaBytes, 1))
		t.add(bytesText(int64(s.Live)), bar, s.Op, s.Kernel, dash(s.Why != "", s.Why), s.Name)
	}
	t.write(a.out)
	if all {
		printBuffers(a, p)
	}
	var slow []string
	for _, s := range p.Steps {
		if s.Fallback {
			slow = append(slow, fmt.Sprintf("%s (%s): %s", s.Name, s.Op, s.Reason))
		}
	}
	if len(slow) > 0 {
		fmt.Fprintf(a.out, "\n%d steps run by the reference evaluation, without a fast kernel:\n", len(slow))
		for i, s := range slow {
			if i == 10 && !all {
				fmt.Fprintf(a.out, "  … and %d more (--steps)\n", len(slow)-i)
				break
			}
			fmt.Fprintf(a.out, "  %s\n", s)
		}
	}
	if len(p.Float) > 0 {
		fmt.Fprintf(a.out, "\n%d parts of the quantized model stay in floating point:\n", len(p.Float))
		for _, f := range p.Float {
			fmt.Fprintf(a.out, "  %s (%s): %s\n", f.Node, f.Op, f.Reason)
		}
	}
}

// printBuffers shows the arena by offset.
func printBuffers(a *app, p *planReport) {
	fmt.Fprintf(a.out, "\narena of %s, %s of it for each thread:\n", bytesText(int64(p.ArenaBytes)), bytesText(int64(p.Scratch)))
	t := &table{head: []string{"offset", "bytes", "from step", "to step", "buffer"}}
	for _, b := range p.Buffers {
		name := b.Name
		if b.Within != "" {
			name += ", in place of " + b.Within
		}
		t.add(b.Offset, b.Size, b.First, b.Last, name)
	}
	t.write(a.out)
}
