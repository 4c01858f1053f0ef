package optimize

import (
	"fmt"
	"runtime"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/page"
	"github.com/edgewise-ml/edgewise/internal/quant"
)

// Names of points that reports treat specially, and what trials of points begin with.
const (
	pointFloat      = "float32"
	pointSimplified = "simplified" // of a model that came with 8-bit layers
	pointWeights    = "int8-weights"
	pointPrefix     = "point "
	trialStatic     = "static int8"
)

// measure times the original and all points, in turns.
func (j *job) measure() error {
	original := &candidate{name: "original", how: "as it was given", graph: j.src.graph, score: j.original, size: j.src.bytes}
	all := append([]*candidate{original}, j.points...)
	plans := make([]*engine.Plan, len(all))
	for i, c := range all {
		var err error
		if c.plan, err = j.compile(c.graph); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		plans[i] = c.plan
	}
	j.rep.begin("measure latency", rounds)
	lat, err := measureLatency(j.ctx, plans, j.input, j.cfg.turn, j.rep.done)
	if err != nil {
		return err
	}
	for i, c := range all {
		c.latency = lat[i]
	}
	j.report.Original = j.point(original, j.src.path)
	for _, c := range j.points {
		j.report.Points = append(j.report.Points, j.point(c, pointFile(c.name)))
	}
	// What else the machine does while it measures shows in the spread.
	for _, c := range all {
		if l := c.latency; l.P95 > 2*l.P50 {
			j.warn("latency of %s is spread out (p50 %.3f ms, p95 %.3f ms): the machine was likely busy with something else", c.name, l.P50, l.P95)
			break
		}
	}
	return nil
}

func (j *job) point(c *candidate, file string) Point {
	p := Point{Name: c.name, How: c.how, File: file, Accuracy: figure(c.score.accuracy), Samples: c.score.samples,
		Drop: figure(j.drop(c.score)), Agreement: figure(c.score.agreement),
		P50: figure(c.latency.P50), P95: figure(c.latency.P95), Min: figure(c.latency.Min), Mean: figure(c.latency.Mean), Runs: c.latency.Runs,
		Size: c.size, Arena: c.plan.ArenaBytes(), Weights: c.plan.WeightBytes(), Origin: Measured, Within: j.within(c.score)}
	if j.task.classes > 0 {
		lo, hi := wilson(c.score.accuracy, c.score.samples)
		p.Interval = []float64{lo, hi}
	}
	if c.score.correct != nil && c.score != j.original {
		lost, won := c.score.differs(j.original)
		half := 100 * pairedDrop(lost, won, c.score.samples)
		p.DropRange = []float64{j.drop(c.score) - half, j.drop(c.score) + half}
	}
	p.Integers, p.Floats = countLayers(c.quant)
	return p
}

// tie is the share of latency below which two points count as equally fast.
const tie = 0.05

// pick chooses the fastest point within the bound, the smallest of those that are as
// fast; if none holds the bound, the one nearest to it. Why the others were not picked is
// noted.
func (j *job) pick() *candidate {
	var best *candidate
	for _, c := range j.points {
		if j.within(c.score) && (best == nil || c.latency.P50 < best.latency.P50) {
			best = c
		}
	}
	r := j.report
	if r.Met = best != nil; r.Met {
		fastest := best.latency.P50
		for _, c := range j.points {
			if j.within(c.score) && c.latency.P50 <= (1+tie)*fastest && c.size < best.size {
				best = c
			}
		}
		r.Why = fmt.Sprintf("the fastest of the points that lose at most %s", pointsText(j.cfg.MaxDrop))
		if best.latency.P50 > fastest {
			r.Why = fmt.Sprintf("the smallest of the points that lose at most %s and are about as fast as the fastest (%.3f ms)", pointsText(j.cfg.MaxDrop), fastest)
		}
	} else {
		best = j.points[0]
		for _, c := range j.points[1:] {
			if c.score.accuracy > best.score.accuracy {
				best = c
			}
		}
		r.Why = fmt.Sprintf("no point loses at most %s; this one is nearest", pointsText(j.cfg.MaxDrop))
		j.warn("the bound of %s does not hold for any point; the nearest loses %.2f", pointsText(j.cfg.MaxDrop), j.drop(best.score))
	}
	r.Picked = best.name
	r.Kept = r.Met && best == j.points[0] && !r.better(r.Point(best.name))
	if r.Kept {
		r.Why = fmt.Sprintf("no point that loses at most %s is faster or smaller", pointsText(j.cfg.MaxDrop))
	}
	if w, ok := r.Point(best.name).uncertainty(); ok && !r.Kept && j.cfg.MaxDrop > 0 && w > j.cfg.MaxDrop {
		j.warn("%s cannot resolve a bound of %s: what %s loses is known to ±%.1f points (95 %%); evaluate more samples", page.Counted(best.score.samples, "sample"), pointsText(j.cfg.MaxDrop), best.name, w)
	}
	for _, c := range j.points {
		if c != best {
			j.tried(pointPrefix+c.name, c, false, "%s", j.whyNot(c, best))
		}
	}
	return best
}

// better reports whether p is faster, or takes less memory or room, than the original by
// more than counts as a tie.
func (r *Report) better(p *Point) bool {
	o := &r.Original
	return p.P50 != nil && o.P50 != nil && *o.P50 > (1+tie)**p.P50 || float64(o.Size) > (1+tie)*float64(p.Size) || float64(o.Arena) > (1+tie)*float64(p.Arena)
}

// whyNot tells why c was not picked.
func (j *job) whyNot(c, best *candidate) string {
	switch {
	case !j.within(c.score) && j.drop(c.score) <= 0:
		return fmt.Sprintf("gains %.2f points, less than asked for", -j.drop(c.score))
	case !j.within(c.score):
		return fmt.Sprintf("loses %.2f points, of which %g are allowed", j.drop(c.score), j.cfg.MaxDrop)
	case c.latency.P50 > (1+tie)*best.latency.P50 || c.latency.P50 > best.latency.P50 && c.size < best.size:
		return fmt.Sprintf("slower: %.3f ms against %.3f ms", c.latency.P50, best.latency.P50)
	}
	return fmt.Sprintf("about as fast, and larger: %s against %s", page.SizeText(c.size), page.SizeText(best.size))
}

// describe fills in what the report tells of the picked point and of the circumstances.
func (j *job) describe(picked *candidate) error {
	r := j.report
	r.Tool = Tool{toolName, j.cfg.Version, runtime.Version()}
	info := cpu.Detect()
	r.Machine = Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: info.Model, Cores: cpu.Cores(), Threads: j.cfg.Threads, ISA: picked.plan.Level().String()}
	g := j.src.graph
	r.Model = ModelInfo{Path: j.src.path, Name: g.Name, Judged: g.Outputs[j.task.output].Name, Nodes: len(g.Nodes)}
	for _, v := range g.Inputs {
		r.Model.Inputs = append(r.Model.Inputs, v.String())
	}
	for _, v := range g.Outputs {
		r.Model.Outputs = append(r.Model.Outputs, v.String())
	}
	for _, v := range g.Constants() {
		r.Model.Parameters += int64(v.Const.Len())
	}
	float := j.points[0]
	for _, s := range float.plan.Steps() {
		r.Model.MACs += s.MACs
	}
	r.Memory = append(r.Memory, timeline(float))
	if picked != float {
		r.Memory = append(r.Memory, timeline(picked))
	}
	if j.original.confusion != nil {
		r.Confusion = &Confusion{Classes: j.classNames(), Original: j.original.confusion, Picked: picked.score.confusion}
	}
	if picked.quant == nil {
		reason := "the float form was picked"
		if why := noted(r.Tried, pointPrefix+"int8"); why != "" {
			reason += "; " + why
		}
		for i := range r.Layers {
			r.Layers[i].Reason = reason
		}
		return nil
	}
	j.rep.begin("measure layers", 0)
	if j.pool.len() > j.calN {
		if err := quant.Measure(j.ctx, picked.float, picked.quant, j.proxy(), j.executor(), nil); err != nil {
			return err
		}
	}
	r.describeLayers(picked.quant.Layers)
	for i := range r.Layers {
		if l := &r.Layers[i]; l.Bits > 8 && l.Reason == "" {
			l.Reason = picked.name + " leaves it in float"
			if picked.name == pointWeights {
				l.Reason = picked.how
			}
		}
	}
	return nil
}

func timeline(c *candidate) Timeline {
	t := Timeline{Point: c.name, Peak: c.plan.ArenaBytes()}
	for _, s := range c.plan.Steps() {
		t.Steps = append(t.Steps, MemoryStep{s.Name, s.Arena})
	}
	return t
}

// describeLayers enters how the layers of the picked point are stored.
func (r *Report) describeLayers(layers []quant.Layer) {
	at := map[string]int{}
	for i, l := range r.Layers {
		at[l.Name] = i
	}
	for _, y := range layers {
		i, ok := at[y.Node]
		if !ok {
			i = len(r.Layers)
			r.Layers = append(r.Layers, LayerInfo{Name: y.Node, Op: y.Op})
		}
		l := &r.Layers[i]
		l.Bits, l.Reason = y.Bits, y.Reason
		if !y.Quantized {
			continue
		}
		l.SQNR, l.Lo, l.Hi = figure(y.SQNR), figure(y.Range.Lo), figure(y.Range.Hi)
		l.Scale, l.Zero = y.Params.Scale, y.Params.Zero
		if y.Weights != nil {
			l.WSQNR, l.Channels = figure(y.Weights.SQNR), y.Weights.PerChannel
		}
	}
}

// noted returns what was noted of the trial of that name.
func noted(tried []Trial, name string) string {
	for _, t := range tried {
		if t.Name == name {
			return name + ": " + t.Why
		}
	}
	return ""
}
