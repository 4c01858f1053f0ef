package optimize

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/page"
	"github.com/edgewise-ml/edgewise/internal/quant"
)

// candidate is one form of the model on its way to a point.
type candidate struct {
	name, how string
	graph     *graph.Graph
	float     *graph.Graph  // what it was quantized from; the original, or its equalized form
	quant     *quant.Result // nil where no layer computes in 8 bits
	score     *score
	db        float64 // SQNR of the outputs on the proxy samples

	// How quant came about, so that it can be made again with layers kept in float.
	cfg  quant.Config
	cal  *quant.Calibration
	bias biasMode

	plan    *engine.Plan
	latency Latency
	size    int64
}

// isQuantized reports whether g computes in integers somewhere.
func isQuantized(g *graph.Graph) bool {
	return slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool {
		return n.Op == "QuantizeLinear" || n.Op == "DequantizeLinear" || strings.HasPrefix(n.Op, "QLinear") || n.Op == "DynamicQuantizeLinear"
	})
}

type biasMode uint8

const (
	biasPlain     biasMode = iota
	biasFast               // corrected in one pass
	biasLayerwise          // corrected layer by layer
)

// makeCandidates fills points: the simplified float model, static int8 in its best form,
// what mixed precision and measured times make of that, and the modes without ranges.
func (j *job) makeCandidates() error {
	var err error
	if j.prep, err = quant.Prepare(j.src.graph); err != nil {
		return err
	}
	float := &candidate{name: pointFloat, how: "the original, simplified: constants folded, normalizations folded into convolutions", graph: j.prep, db: math.Inf(1)}
	if j.quantized = isQuantized(j.prep); j.quantized {
		float.name, float.how = pointSimplified, "the original, simplified; it was quantized already"
		j.warn("the model is quantized already: what is left in float can be quantized, but the accuracy that was lost before cannot be won back; better start from the float model")
	}
	if err := j.judge(float); err != nil {
		return err
	}
	j.points = append(j.points, float)
	if best, err := j.static(); err != nil {
		return err
	} else if best != nil {
		j.points = append(j.points, best)
		more, err := j.mixed(best)
		if err != nil {
			return err
		}
		j.points = append(j.points, more...)
	}
	return j.withoutRanges()
}

// judge evaluates c on the evaluation samples.
func (j *job) judge(c *candidate) error {
	j.rep.begin("evaluate "+c.name, j.eval.len())
	var err error
	if c.score, err = evaluate(j.ctx, j.task, c.graph, j.src.graph, j.eval, j.original, j.rep.done); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// tried records what became of a candidate.
func (j *job) tried(name string, c *candidate, accepted bool, format string, args ...any) {
	t := Trial{Name: name, Accepted: accepted, Why: fmt.Sprintf(format, args...)}
	if c != nil {
		t.SQNR = figure(c.db)
		if c.score != nil {
			t.Accuracy, t.Samples = figure(c.score.accuracy), c.score.samples
		}
		if c.latency.Runs > 0 {
			t.P50 = figure(c.latency.P50)
		}
	}
	j.report.Tried = append(j.report.Tried, t)
}

// executor runs the float and integer graphs of package quant.
func (j *job) executor() quant.Executor { return quant.Engine(j.cfg.Threads) }

// calibration and proxy are the two parts of the pool.
func (j *job) calibration() quant.Samples { return j.pool.samples(0, j.calN) }
func (j *job) proxy() quant.Samples       { return j.pool.samples(j.calN, j.pool.len()) }

// calibrate gathers ranges of g.
func (j *job) calibrate(g *graph.Graph, what string) (*quant.Calibration, error) {
	j.rep.begin(what, j.calN)
	return quant.Calibrate(j.ctx, g, j.calibration(), quant.CalibrationConfig{Executor: j.executor()},
		j.progress())
}

// progress passes on what package quant reports of a stage that has begun.
func (j *job) progress() quant.Progress {
	return func(_ string, done, total int) {
		if total > 0 {
			j.rep.total = total
		}
		j.rep.done(done)
	}
}

// quantize makes a static candidate and its SQNR on the proxy samples.
func (j *job) quantize(g *graph.Graph, cal *quant.Calibration, cfg quant.Config, name, how string) (*candidate, error) {
	r, err := quant.Quantize(g, cal, cfg)
	if err != nil {
		return nil, err
	}
	c := &candidate{name: name, how: how, float: g, graph: r.Graph, quant: r, cfg: cfg, cal: cal}
	return c, j.proxySQNR(c)
}

func (j *job) proxySQNR(c *candidate) (err error) {
	if j.pool.len() == j.calN {
		c.db = math.NaN()
		return nil
	}
	if c.db, err = quant.SQNR(j.ctx, j.src.graph, c.graph, j.proxy(), j.executor()); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// Adoption of a variant.
const (
	gainDB    = 0.2 // a variant must be better by so much on the proxy samples to be evaluated
	finalists = 2   // range methods that are evaluated
)

// static returns the best static int8 form: ranges by each method, the best by the cheap
// proxy evaluated; then weight ranges, equalization and bias correction, each kept only
// where it helps. It returns nil where nothing can be quantized.
func (j *job) static() (*candidate, error) {
	var err error
	if j.cal, err = j.calibrate(j.prep, "calibrate"); err != nil {
		return nil, err
	}
	var byMethod []*candidate
	methods := quant.Methods()
	j.rep.begin("compare range methods", len(methods))
	for i, m := range methods {
		c, err := j.quantize(j.prep, j.cal, quant.Config{Method: m}, "int8", fmt.Sprintf("static int8, weights per channel, activation ranges by %v", m))
		if err != nil {
			return nil, err
		}
		if integers, _ := countLayers(c.quant); integers == 0 {
			if j.quantized {
				j.tried(trialStatic, nil, false, "no further layer has an 8-bit form%s", firstReason(c.quant))
			} else {
				j.tried(trialStatic, nil, false, "no layer has an 8-bit form%s", firstReason(c.quant))
			}
			return nil, nil
		}
		byMethod = append(byMethod, c)
		j.rep.done(i + 1)
	}
	order := make([]int, len(methods))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareDB(byMethod[b].db, byMethod[a].db) })
	var best *candidate
	for rank, i := range order {
		c := byMethod[i]
		if rank >= finalists {
			continue
		}
		if err := j.judge(c); err != nil {
			return nil, err
		}
		if best == nil || j.better(c, best) {
			best = c
		}
	}
	winner := slices.Index(byMethod, best)
	j.tried(fmt.Sprintf("ranges by %v", methods[winner]), best, true, "best of %d methods", len(methods))
	for rank, i := range order {
		c := byMethod[i]
		name := fmt.Sprintf("ranges by %v", methods[i])
		switch {
		case c == best:
		case rank < finalists:
			j.tried(name, c, false, "evaluated, and not better")
		default:
			j.tried(name, c, false, "rank %d by SQNR of the outputs on %s", rank+1, page.Counted(j.report.Data.Proxy, "held-out sample"))
		}
	}
	for _, try := range []func(*candidate) (*candidate, error){j.tryWeightMSE, j.tryEqualize, j.tryBias} {
		if best, err = try(best); err != nil {
			return nil, err
		}
	}
	return best, nil
}

func compareDB(a, b float64) int {
	switch {
	case a == b || math.IsNaN(a) && math.IsNaN(b):
		return 0
	case a > b || math.IsNaN(b):
		return 1
	}
	return -1
}

// better reports whether a is to be preferred over b: by accuracy, then by SQNR.
func (j *job) better(a, b *candidate) bool {
	if a.score.accuracy != b.score.accuracy {
		return a.score.accuracy > b.score.accuracy
	}
	return compareDB(a.db, b.db) > 0
}

// adopt evaluates variant c when the proxy favours it over best, and returns the better.
func (j *job) adopt(name string, c, best *candidate) (*candidate, error) {
	gain := c.db - best.db
	if gain < gainDB {
		j.tried(name, c, false, "SQNR of the outputs changes by %+.1f dB", gain)
		return best, nil
	}
	if err := j.judge(c); err != nil {
		return nil, err
	}
	points := 100 * (c.score.accuracy - best.score.accuracy)
	if !j.better(c, best) {
		j.tried(name, c, false, "accuracy changes by %+.2f points", points)
		return best, nil
	}
	j.tried(name, c, true, "SQNR of the outputs changes by %+.1f dB, accuracy by %+.2f points", gain, points)
	return c, nil
}

func (j *job) tryWeightMSE(best *candidate) (*candidate, error) {
	cfg := best.cfg
	cfg.WeightMSE = true
	c, err := j.quantize(best.float, best.cal, cfg, best.name, best.how+", weight ranges by least squared error")
	if err != nil {
		return nil, err
	}
	return j.adopt("weight ranges by least squared error", c, best)
}

func (j *job) tryEqualize(best *candidate) (*candidate, error) {
	const name = "cross-layer equalization"
	g, e, err := quant.Equalize(j.prep)
	if err != nil {
		return nil, err
	}
	if len(e.Pairs) == 0 {
		j.tried(name, nil, false, "no two layers can be balanced")
		return best, nil
	}
	cal, err := j.calibrate(g, "calibrate equalized")
	if err != nil {
		return nil, err
	}
	c, err := j.quantize(g, cal, best.cfg, best.name, fmt.Sprintf("%s, %d pairs of layers equalized", best.how, len(e.Pairs)))
	if err != nil {
		return nil, err
	}
	return j.adopt(name, c, best)
}

func (j *job) tryBias(best *candidate) (*candidate, error) {
	for _, mode := range []biasMode{biasFast, biasLayerwise} {
		name, how := "bias correction, one pass", "biases corrected in one pass"
		if mode == biasLayerwise {
			name, how = "bias correction, layer by layer", "biases corrected layer by layer on the integer kernels"
		}
		if mode == biasLayerwise {
			integers, _ := countLayers(best.quant)
			if took := time.Duration(integers*j.calN) * j.inference; integers*j.calN > layerwiseLimit || took > layerwiseTime {
				j.tried(name, nil, false, "left out: %s times %s would take about %.0f s", page.Counted(integers, "layer"), page.Counted(j.calN, "sample"), took.Seconds())
				continue
			}
		}
		c := *best
		c.how, c.bias = best.how+", "+how, mode
		if err := j.correctBias(&c); err != nil {
			return nil, err
		}
		if err := j.proxySQNR(&c); err != nil {
			return nil, err
		}
		got, err := j.adopt(name, &c, best)
		if err != nil || got != best {
			return got, err
		}
	}
	return best, nil
}

// correctBias applies the candidate's bias mode to what quantization gave.
func (j *job) correctBias(c *candidate) error {
	if c.bias == biasPlain {
		return nil
	}
	j.rep.begin("correct biases", 0)
	r, _, err := quant.CorrectBias(j.ctx, c.float, c.quant, j.calibration(), quant.BiasConfig{Sequential: c.bias == biasLayerwise, Executor: j.executor()},
		j.progress())
	if err != nil {
		return err
	}
	c.graph, c.quant = r.Graph, r
	return nil
}

// Bounds of the slow form of bias correction: layers times samples, and the time that they
// take.
const (
	layerwiseLimit = 40_000
	layerwiseTime  = 60 * time.Second
)

// countLayers returns how many of the layers compute in 8 bits, and how many that could
// by their kind do not.
func countLayers(r *quant.Result) (integers, floats int) {
	if r == nil {
		return 0, 0
	}
	for _, y := range r.Layers {
		if y.Quantized && y.Bits <= 8 {
			integers++
		} else {
			floats++
		}
	}
	return integers, floats
}

// firstReason quotes why a layer stayed float.
func firstReason(r *quant.Result) string {
	for _, y := range r.Layers {
		if !y.Quantized && y.Reason != "" {
			return fmt.Sprintf(" (%s: %s)", fits(y.Node, 32), y.Reason)
		}
	}
	return ""
}
