package quant

import (
	"context"
	"fmt"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// CalibrationConfig says how to calibrate. The zero value is good.
type CalibrationConfig struct {
	Momentum float64  // weight of each new sample in the moving average; 0 means 0.05
	Executor Executor // nil means the engine on one thread
}

// Calibration holds the statistics of a graph's values, by value name.
type Calibration struct {
	Values  map[string]*Stats
	Samples int
}

// Calibrate runs the samples through the float graph g, once each, and keeps statistics
// of every value that Quantize may want to store in 8 bits. Memory does not depend on
// the number of samples, and the statistics of MinMax, Percentile, Entropy and MSE not
// on their order. g should come from Prepare, and Quantize must be given the same g.
func Calibrate(ctx context.Context, g *graph.Graph, samples Samples, cfg CalibrationConfig, progress Progress) (*Calibration, error) {
	cal, names := observed(g)
	probe, err := withOutputs(g, names)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	inputs := make(map[string]bool, len(g.Inputs))
	for _, v := range g.Inputs {
		inputs[v.Name] = true
	}
	if cfg.Momentum == 0 {
		cfg.Momentum = defaultMomentum
	}
	run, err := executorOr(cfg.Executor).Open(probe)
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	defer run.Close()
	cal.Samples, err = eachSample(ctx, run, samples, func(i int, s sample, out outputs) error {
		for j, name := range names {
			if err := cal.Values[name].observe(out[j], cfg.Momentum); err != nil {
				return fmt.Errorf("value %s: %w", name, err)
			}
		}
		for name, t := range s {
			if st := cal.Values[name]; st != nil && inputs[name] {
				if err := st.observe(t, cfg.Momentum); err != nil {
					return fmt.Errorf("input %s: %w", name, err)
				}
			}
		}
		progress.report("calibrate", i+1, -1)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("calibrate: %w", err)
	}
	return cal, nil
}

// observed returns empty statistics for every value that may be quantized, and the
// names of those that nodes make. Values inside of islands never are, and what only
// moves data shares the range of what it moves.
func observed(g *graph.Graph) (*Calibration, []string) {
	l := newLayout(g)
	cal := &Calibration{Values: map[string]*Stats{}}
	var names []string
	for _, v := range g.Inputs {
		if isFloat(v) {
			cal.Values[v.Name] = &Stats{}
		}
	}
	for _, n := range g.Nodes {
		if l.moves(n) {
			continue
		}
		for _, v := range n.Outputs {
			if isFloat(v) && !l.inner[v] {
				cal.Values[v.Name] = &Stats{}
				names = append(names, v.Name)
			}
		}
	}
	return cal, names
}
