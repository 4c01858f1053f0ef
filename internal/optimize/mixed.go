package optimize

import (
	"fmt"
	"maps"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/quant"
)

// profileRuns is how often steps are timed; the least time counts.
const profileRuns = 15

// layerTime is what a layer costs, together with the layers that are fused into it.
type layerTime struct {
	ms    float64
	macs  int64
	owner int // layer whose step computes this one; its own index where it has a step
}

// timeLayers attributes the steps of a plan to layers. A step is named after the node that
// it ends with, or after the head of an island; layers without a step of their own are
// fused into the next one that has one. Steps that convert between forms belong to none.
func timeLayers(layers []quant.Layer, g *graph.Graph, steps []engine.StepInfo, ms []float64) []layerTime {
	index := map[string]int{}
	ends := map[string]string{} // value → node that makes it
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v != nil {
				ends[v.Name] = n.Name
			}
		}
	}
	for i, y := range layers {
		index[y.Node] = i
		index[ends[y.Output]] = i
	}
	out := make([]layerTime, len(layers))
	for i := range out {
		out[i].owner = -1
	}
	for k, s := range steps {
		if i, ok := index[s.Name]; ok {
			out[i].ms += ms[k]
			out[i].macs += s.MACs
			out[i].owner = i
		}
	}
	next := -1
	for i := len(out) - 1; i >= 0; i-- {
		if out[i].owner == i {
			next = i
		} else {
			out[i].owner = next
		}
	}
	return out
}

// profile returns the times of the layers in float and in 8 bits.
func (j *job) profile(c *candidate) (float, ints []layerTime, err error) {
	a, err := j.compile(j.prep)
	if err != nil {
		return nil, nil, err
	}
	b, err := j.compile(c.graph)
	if err != nil {
		return nil, nil, err
	}
	ms, err := stepTimes(j.ctx, []*engine.Plan{a, b}, j.input, profileRuns)
	if err != nil {
		return nil, nil, err
	}
	return timeLayers(c.quant.Layers, j.prep, a.Steps(), ms[0]), timeLayers(c.quant.Layers, j.prep, b.Steps(), ms[1]), nil
}

func (j *job) compile(g *graph.Graph) (*engine.Plan, error) {
	return compile(g, j.task.input.Name, j.eval.pre.Shape, j.cfg.Threads)
}

// Measured times of a layer count as different from so much on.
const (
	slowerShare = 1.05
	slowerMs    = 0.002
	fasterShare = 0.99 // of the whole model, for a trade to be kept
)

// slower returns the layers that are measured slower in 8 bits than in float, with the
// reason for the report. Layers that one step computes go together.
func slower(layers []quant.Layer, float, ints []layerTime) map[string]string {
	keep := map[string]string{}
	for i, y := range layers {
		o := float[i].owner
		if !y.Quantized || o < 0 || ints[i].owner != o {
			continue
		}
		if f, q := float[o].ms, ints[o].ms; q > f*slowerShare && q > f+slowerMs {
			keep[y.Node] = fmt.Sprintf("measured slower in 8 bits: %.3f ms against %.3f ms", q, f)
		}
	}
	return keep
}

// mixed returns further points made from best: layers that 8 bits make slower back in
// float, and layers that cost accuracy, until the bound holds.
func (j *job) mixed(best *candidate) ([]*candidate, error) {
	j.rep.begin("time layers", 0)
	float, ints, err := j.profile(best)
	if err != nil {
		return nil, err
	}
	j.report.times(best.quant.Layers, float, ints)
	keep := slower(best.quant.Layers, float, ints)
	if len(keep) == 0 {
		j.tried("layers that are slower in 8 bits back to float", nil, false, "no layer is measured slower in 8 bits")
		return nil, nil
	}
	c, err := j.keeping(best, "int8-fast", keep)
	if err != nil || c == nil {
		return nil, err
	}
	a, err := j.compile(best.graph)
	if err != nil {
		return nil, err
	}
	b, err := j.compile(c.graph)
	if err != nil {
		return nil, err
	}
	lat, err := measureLatency(j.ctx, []*engine.Plan{a, b}, j.input, nil)
	if err != nil {
		return nil, err
	}
	c.latency = lat[1]
	name := fmt.Sprintf("%d layers that are slower in 8 bits back to float", len(keep))
	if lat[1].P50 >= fasterShare*lat[0].P50 {
		j.tried(name, c, false, "converting at their borders costs more: %.3f ms against %.3f ms for the whole model", lat[1].P50, lat[0].P50)
		return nil, nil
	}
	if err := j.judge(c); err != nil {
		return nil, err
	}
	j.tried(name, c, true, "%.3f ms against %.3f ms for the whole model", lat[1].P50, lat[0].P50)
	return []*candidate{c}, nil
}

// keeping makes best again with further layers in float.
func (j *job) keeping(best *candidate, name string, keep map[string]string) (*candidate, error) {
	cfg := best.cfg
	cfg.Keep = maps.Clone(best.cfg.Keep)
	if cfg.Keep == nil {
		cfg.Keep = map[string]string{}
	}
	maps.Copy(cfg.Keep, keep)
	c, err := j.quantized(best.float, best.cal, cfg, name, fmt.Sprintf("%s, %d layers kept in float", best.how, len(cfg.Keep)))
	if err != nil {
		return nil, err
	}
	if integers, _ := countLayers(c.quant); integers == 0 {
		return nil, nil
	}
	if best.bias != biasPlain {
		c.bias = best.bias
		if err := j.correctBias(c); err != nil {
			return nil, err
		}
		if err := j.proxySQNR(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// withoutRanges adds the modes that need no calibration.
func (j *job) withoutRanges() error { return nil }
