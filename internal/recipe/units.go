package recipe

import (
	"errors"
	"math"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// inUnits ends g, which gives numbers of size 1 as random weights make them, by the scale of
// the targets of d: what it gives is then in their unit from the first step on. Scale and
// mean stay as they are in training and join the layer before them when that is over.
func inUnits(g *graph.Graph, d *dataset.Dataset) error {
	n := d.TargetSize()
	if shape, ok := g.Outputs[0].Type.Static(); !ok || len(shape) != 2 || shape[1] != n {
		return errors.New("the network gives " + g.Outputs[0].String() + ", the samples have another number of target values")
	}
	mean, deviation := tensor.New(tensor.Float32, n), tensor.New(tensor.Float32, n)
	for k := range n {
		var m, squares float64 // Welford 1962
		for i := range d.Len() {
			x := float64(d.Target(i)[k])
			off := x - m
			m += off / float64(i+1)
			squares += float64(off * (x - m))
		}
		mean.F32()[k], deviation.F32()[k] = float32(m), float32(math.Sqrt(squares/float64(d.Len())))
		if deviation.F32()[k] == 0 {
			deviation.F32()[k] = 1
		}
	}
	y := g.Outputs[0]
	for _, step := range []struct {
		op, name string
		by       *tensor.Tensor
	}{{"Mul", "target_deviation", deviation}, {"Add", "target_mean", mean}} {
		t := y.Type
		y = g.Add(step.op, step.name, nil, y, g.Constant(step.name+".value", step.by))
		y.Type = t
	}
	g.Outputs[0] = y
	g.Meta[graph.MetaFixed] += " target_deviation.value target_mean.value"
	return nil
}
