package quant

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
)

// LayerSensitivity tells what quantizing one layer alone does to the outputs.
type LayerSensitivity struct {
	Node  string
	Op    string
	SQNR  float64 // of the graph's outputs, in dB; high is harmless
	Noise float64 // the error's power over the signal's, which adds up over layers
}

// Sensitivity quantizes each layer with weights alone, everything else in floating
// point, and compares the outputs with those of the float graph g. The result is sorted,
// the most harmful first. It takes as many passes over the samples as there are layers,
// so a few samples (8 to 32) are the right number.
func Sensitivity(ctx context.Context, g *graph.Graph, cal *Calibration, cfg Config, samples Samples, exec Executor, progress Progress) ([]LayerSensitivity, error) {
	all, err := Quantize(g, cal, cfg)
	if err != nil {
		return nil, err
	}
	var layers []Layer
	for _, y := range all.Layers {
		if y.Quantized && y.Weights != nil {
			layers = append(layers, y)
		}
	}
	var out []LayerSensitivity
	for i, y := range layers {
		c := cfg
		c.Only = map[string]bool{y.Node: true}
		r, err := Quantize(g, cal, c)
		if err != nil {
			return nil, fmt.Errorf("sensitivity of %s: %w", y.Node, err)
		}
		db, err := SQNR(ctx, g, r.Graph, samples, exec)
		if err != nil {
			return nil, fmt.Errorf("sensitivity of %s: %w", y.Node, err)
		}
		out = append(out, LayerSensitivity{Node: y.Node, Op: y.Op, SQNR: db, Noise: math.Pow(10, -db/10)})
		progress.report("sensitivity", i+1, len(layers))
	}
	slices.SortStableFunc(out, func(a, b LayerSensitivity) int { return cmp.Compare(a.SQNR, b.SQNR) })
	return out, nil
}
