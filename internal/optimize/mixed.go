package optimize

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/page"
	"github.com/edgewise-ml/edgewise/internal/quant"
)

const (
	profileRuns  = 15 // steps are timed so often; the least time counts
	sensitive    = 16 // samples for the sensitivity of layers
	searchTrials = 24 // evaluations that mixed precision may take
	searchLeast  = 20 // evaluation samples below which gains are noise, and no search is worth its time

	// Time for the sensitivity of layers, and for the search and each evaluation sample in it.
	sensitivityTime = 30 * time.Second
	searchTime      = 60 * time.Second
	searchPerSample = 200 * time.Millisecond
	slowerShare     = 0.05 // by which a layer must be slower in 8 bits to count as such
	fasterShare     = 0.99 // of the whole model's time, for a trade to be kept
)

func (j *job) compile(g *graph.Graph) (*engine.Plan, error) {
	return compile(g, j.task.input.Name, j.eval.pre.Shape, j.cfg.Threads)
}

// profile times the layers of c in 8 bits against those of the float model. convert is
// the time of one conversion between the two.
func (j *job) profile(c *candidate) (times []quant.NodeTime, convert time.Duration, err error) {
	j.rep.begin("time layers", 0)
	var plans []*engine.Plan
	for _, g := range []*graph.Graph{j.prep, c.graph} {
		p, err := j.compile(g)
		if err != nil {
			return nil, 0, err
		}
		plans = append(plans, p)
	}
	steps, err := stepTimes(j.ctx, plans, j.input, profileRuns)
	if err != nil {
		return nil, 0, err
	}
	times, border := quant.CompareTimes(j.prep, plans[0], plans[1], steps[0], steps[1])
	conversions := 0
	for _, s := range steps[1] {
		if strings.Contains(s.Op, "QuantizeLinear") || strings.Contains(s.Op, "DequantizeLinear") {
			conversions++
		}
	}
	return times, border / time.Duration(max(conversions, 1)), nil
}

// mixed returns further points made from best, the int8 form of the whole model: layers
// that cost accuracy back in float until the bound holds, and layers that 8 bits make
// slower back in float.
func (j *job) mixed(best *candidate) ([]*candidate, error) {
	times, convert, err := j.profile(best)
	if err != nil {
		return nil, err
	}
	j.report.times(best.quant.Layers, times)
	var out []*candidate
	base := best
	switch {
	case j.within(best.score):
	case j.eval.len() < searchLeast:
		j.tried("mixed precision", nil, false, "left out: %s cannot tell which layers to keep in float, %d or more could", page.Counted(j.eval.len(), "sample"), searchLeast)
	default:
		c, err := j.search(best, times)
		if err != nil {
			return nil, err
		}
		if c != nil {
			out, base = append(out, c), c
		}
	}
	c, err := j.unslow(base, quant.Slower(base.quant, times, slowerShare, convert))
	if c != nil {
		out = append(out, c)
	}
	return out, err
}

// search gives layers back to float by accuracy gained against time lost, until the bound
// holds. It returns nil where that leads nowhere.
func (j *job) search(best *candidate, times []quant.NodeTime) (*candidate, error) {
	lost := map[string]time.Duration{}
	for _, t := range times {
		for _, name := range t.Nodes {
			lost[name] = t.Lost()
		}
	}
	// Each layer takes two inferences per sample.
	n := min(j.pool.len(), sensitive)
	if pass := 2 * j.inference * time.Duration(len(best.quant.Layers)); pass > 0 {
		n = min(n, max(int(sensitivityTime/pass), 1))
	}
	j.rep.begin("sensitivity of layers", 0)
	sens, err := quant.Sensitivity(j.ctx, best.float, best.cal, best.cfg, j.pool.samples(j.pool.len()-n, j.pool.len()), j.executor(), j.progress())
	if err != nil {
		return nil, err
	}
	made := map[*quant.Result]*candidate{}
	start := time.Now()
	limit := searchTime + searchPerSample*time.Duration(j.eval.len())
	res, err := quant.Search(j.ctx, quant.SearchConfig{
		Build: func(_ context.Context, keep map[string]string) (*quant.Result, error) {
			c, err := j.keeping(best, "int8-mixed", keep)
			if err != nil {
				return nil, err
			}
			made[c.quant] = c
			return c.quant, nil
		},
		Evaluate: func(_ context.Context, r *quant.Result) (float64, error) {
			c := made[r]
			if len(c.cfg.Keep) == len(best.cfg.Keep) {
				c.score = best.score
			} else if err := j.judge(c); err != nil {
				return 0, err
			}
			return 100 * c.score.accuracy, nil
		},
		Float: 100 * j.original.accuracy, MaxDrop: j.cfg.MaxDrop + 1e-9,
		Sensitivity: sens, TimeLost: lost, MaxTrials: searchTrials, Until: start.Add(limit),
	}, nil)
	if err != nil {
		return nil, err
	}
	for _, t := range res.Trials[1:] {
		what := fmt.Sprintf("mixed precision: %s back to %s", list(t.Changed), map[bool]string{true: "float", false: "8 bits"}[t.ToFloat])
		j.report.Tried = append(j.report.Tried, Trial{Name: what, Accepted: t.Accepted, Why: t.Reason,
			Accuracy: figure(t.Accuracy / 100), Samples: j.original.samples})
	}
	if res.Stopped {
		j.tried("mixed precision", nil, res.Met, "stopped after %s and %.0f s: at most %d trials and %.0f s are spent", page.Counted(len(res.Trials)-1, "trial"), time.Since(start).Seconds(), searchTrials, limit.Seconds())
	}
	c := made[res.Best]
	if integers, _ := countLayers(c.quant); integers == 0 || !j.better(c, best) {
		j.tried("mixed precision", nil, false, "no mixture is better than 8 bits throughout and keeps any layer in 8 bits")
		return nil, nil
	}
	return c, nil
}

// unslow puts layers that are slower in 8 bits back to float, and keeps that where the
// whole model is then measured faster.
func (j *job) unslow(base *candidate, keep map[string]string) (*candidate, error) {
	if len(keep) == 0 {
		j.tried("layers that are slower in 8 bits back to float", nil, false, "no layer is measured slower by enough to pay for the conversions")
		return nil, nil
	}
	c, err := j.keeping(base, "int8-fast", keep)
	if err != nil {
		return nil, err
	}
	what := page.Plural(len(keep), "layer that is slower in 8 bits back to float", "layers that are slower in 8 bits back to float")
	if integers, _ := countLayers(c.quant); integers == 0 {
		j.tried(what, nil, false, "no layer in 8 bits would be left")
		return nil, nil
	}
	var plans []*engine.Plan
	for _, g := range []*graph.Graph{base.graph, c.graph} {
		p, err := j.compile(g)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	lat, err := measureLatency(j.ctx, plans, j.input, j.cfg.turn, nil)
	if err != nil {
		return nil, err
	}
	if c.latency = lat[1]; lat[1].P50 >= fasterShare*lat[0].P50 {
		j.tried(what, c, false, "the whole model takes %.3f ms, against %.3f ms", lat[1].P50, lat[0].P50)
		return nil, nil
	}
	if err := j.judge(c); err != nil {
		return nil, err
	}
	j.tried(what, c, true, "the whole model takes %.3f ms, against %.3f ms", lat[1].P50, lat[0].P50)
	return c, nil
}

// keeping makes best again with further layers in float.
func (j *job) keeping(best *candidate, name string, keep map[string]string) (*candidate, error) {
	cfg := best.cfg
	cfg.Keep = maps.Clone(best.cfg.Keep)
	if cfg.Keep == nil {
		cfg.Keep = map[string]string{}
	}
	maps.Copy(cfg.Keep, keep)
	r, err := quant.Quantize(best.float, best.cal, cfg)
	if err != nil {
		return nil, err
	}
	c := &candidate{name: name, how: fmt.Sprintf("%s, %s kept in float", best.how, page.Counted(len(cfg.Keep), "layer")),
		float: best.float, graph: r.Graph, quant: r, cfg: cfg, cal: best.cal, bias: best.bias}
	if err := j.correctBias(c); err != nil {
		return nil, err
	}
	return c, j.proxySQNR(c)
}

// withoutRanges adds the modes that need no calibration: dynamic ranges, and weights
// alone.
func (j *job) withoutRanges() error {
	var convs, products int64 // weights
	for _, n := range j.prep.Nodes {
		if w := n.In(1); w != nil && w.Const != nil {
			switch n.Op {
			case "Conv":
				convs += int64(w.Const.Len())
			case "Gemm", "MatMul":
				products += int64(w.Const.Len())
			}
		}
	}
	if convs+products == 0 {
		return nil
	}
	all := convs > products
	how := "8-bit products with ranges found while running, weights per channel"
	if all {
		how += ", convolutions too"
	}
	dynamic, err := quant.Dynamic(j.prep, quant.DynamicConfig{Convolutions: all})
	if err != nil {
		return err
	}
	weights, err := quant.WeightOnly(j.prep, quant.WeightOnlyConfig{})
	if err != nil {
		return err
	}
	for _, c := range []*candidate{
		{name: "int8-dynamic", how: how, float: j.prep, graph: dynamic.Graph, quant: dynamic},
		{name: pointWeights, how: "weights stored in 8 bits per channel, arithmetic in float", float: j.prep, graph: weights.Graph, quant: weights},
	} {
		if err := j.proxySQNR(c); err != nil {
			return err
		}
		if err := j.judge(c); err != nil {
			return err
		}
		j.points = append(j.points, c)
	}
	return nil
}

// times enters what the layers cost in float and in 8 bits. Where one step computes
// several layers, the last one has the time of all.
func (r *Report) times(layers []quant.Layer, times []quant.NodeTime) {
	group := map[string]int{}
	for i, t := range times {
		for _, n := range t.Nodes {
			group[n] = i
		}
	}
	last := map[int]int{}
	for i, y := range layers {
		if g, ok := group[y.Node]; ok {
			last[g] = i
		}
	}
	r.Layers = r.Layers[:0]
	for i, y := range layers {
		l := LayerInfo{Name: y.Node, Op: y.Op, Bits: 32}
		if g, ok := group[y.Node]; ok && last[g] == i {
			l.Float = figure(ms(times[g].Float))
			if y.Quantized {
				l.Int8 = figure(ms(times[g].Integer))
			}
		} else if ok {
			l.Fused = layers[last[g]].Node
		}
		r.Layers = append(r.Layers, l)
	}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// list names a few of many.
func list(names []string) string {
	names = slices.SortedFunc(slices.Values(names), cmp.Compare[string])
	more := ""
	if len(names) > 3 {
		more = " and " + page.Counted(len(names)-3, "more layer")
		names = names[:3]
	}
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = fits(n, 32)
	}
	return strings.Join(short, ", ") + more
}
