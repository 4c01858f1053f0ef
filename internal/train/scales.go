package train

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Training what is going to be quantized. Weights that go through FakeQuantize are trained
// in units of their channel's range, and scales in those of the range that they span. A
// network with its normalizations folded in has channels, layers and inputs of every size,
// and one learning rate serves all of them only in such units. A unit is a power of two, so
// that nothing is rounded.
//
// Scales are parameters too (Esser et al., "Learned Step Size Quantization", ICLR 2020).
// Their gradient is weighted so that they move as fast as weights do under gradient
// descent; optimizers that divide by the gradient's size would undo that, and get a rate in
// proportion to the scale instead.

// fakes is what FakeQuantize makes of a network's constants.
type fakes struct {
	scales map[*graph.Value]bool           // constants that are scales
	units  map[*graph.Value]*tensor.Tensor // of weights and scales, by the constant trained
	fixed  map[*graph.Value]bool           // the units themselves, as constants
}

// adaptive are the optimizers whose steps do not grow with the gradient nor the parameter.
var adaptive = map[string]bool{"adam": true, "adamw": true, "rmsprop": true}

// least is the part of its first value that a scale keeps: none may reach 0.
const least = 1.0 / 64

// biasReach is the unit of a bias in those of its integers: about what the largest weight
// and the largest input make.
const biasReach = 1 << 15

// inUnits rewrites what FakeQuantize nodes of g take that is constant as the product of a
// constant to be trained and a unit.
func inUnits(g *graph.Graph) (*fakes, error) {
	f := &fakes{map[*graph.Value]bool{}, map[*graph.Value]*tensor.Tensor{}, map[*graph.Value]bool{}}
	var order []*graph.Value
	add := func(v *graph.Value, unit *tensor.Tensor) {
		if f.units[v] == nil {
			f.units[v], order = unit, append(order, v)
		}
	}
	for _, n := range g.Nodes {
		if n.Domain != graph.DomainEdgewise || n.Op != "FakeQuantize" {
			continue
		}
		grid, err := op.FakeGrid(n.Attrs)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
		x, s := n.In(0), n.In(1)
		step := scaleOf(s)
		if step == nil {
			return nil, fmt.Errorf("%v: its scale is neither constant nor a product of constants", n)
		}
		reach := float64(grid.Hi-grid.Lo) / 2
		if grid.DType == tensor.Int32 {
			reach = biasReach
		}
		if x.Const != nil && x.Const.DType() == tensor.Float32 {
			shape := slices.Clone(x.Const.Shape())
			axis, err := op.ResolveAxis(n.Attrs.Int("axis", 1), max(len(shape), 1))
			if step.Len() > 1 && (err != nil || shape[axis] != step.Len()) {
				return nil, fmt.Errorf("%v: its scale does not fit", n)
			}
			for i := range shape {
				if step.Len() == 1 || i != axis {
					shape[i] = 1
				}
			}
			add(x, powers(step, reach, shape))
		}
		if s.Const != nil {
			f.scales[s] = true
			add(s, powers(step, reach, s.Const.Shape()))
		}
	}
	products := make([]*graph.Node, len(order))
	for i, v := range order {
		u := g.Constant(v.Name+"/unit", f.units[v])
		f.fixed[u] = true
		products[i] = g.NewNode("Mul", "", v.Name+"/real", nil, []*graph.Value{nil, u}, v.Name+"/real")
		g.ReplaceUses(v, products[i].Outputs[0])
		products[i].Inputs[0] = v
		v.Const = v.Const.Clone()
		scaleBy(v.Const, f.units[v], true)
	}
	g.Nodes = append(products, g.Nodes...)
	return f, nil
}

// scaleOf returns the value of a scale: constant, or the product of two.
func scaleOf(v *graph.Value) *tensor.Tensor {
	if v.Const != nil {
		return v.Const
	}
	if v.Def == nil || !v.Def.Is("Mul") {
		return nil
	}
	a, b := scaleOf(v.Def.In(0)), scaleOf(v.Def.In(1))
	if a == nil || b == nil {
		return nil
	}
	if b.Len() == 1 {
		a, b = b, a
	}
	if a.Len() != 1 && a.Len() != b.Len() {
		return nil
	}
	out := b.Clone()
	for i := range out.Len() {
		out.SetFloat(i, out.Float(i)*a.Float(min(i, a.Len()-1)))
	}
	return out
}

// powers returns the power of two next to reach times each step.
func powers(step *tensor.Tensor, reach float64, shape []int) *tensor.Tensor {
	out := tensor.New(tensor.Float32, shape...)
	for i := range out.Len() {
		p := math.Round(math.Log2(step.Float(min(i, step.Len()-1)) * reach))
		out.SetFloat(i, math.Exp2(min(max(p, -100), 100)))
	}
	return out
}

// scaleBy multiplies t by a unit that broadcasts to it, or divides.
func scaleBy(t, unit *tensor.Tensor, divide bool) {
	axis, inner := 0, 1
	for i, d := range unit.Shape() {
		if d != 1 {
			axis = i
		}
	}
	if t.Rank() > 0 {
		for _, d := range t.Shape()[axis+1:] {
			inner *= d
		}
	}
	v := t.F32()
	for i := range v {
		u := unit.F32()[i/inner%unit.Len()]
		if divide {
			u = 1 / u
		}
		v[i] *= u
	}
}

// scaleRate returns the learning rate of a scale that begins as init.
func (b *builder) scaleRate(o *op.Builder, init *tensor.Tensor) *graph.Value {
	if !adaptive[b.spec.Optimizer.Kind] {
		return b.rate
	}
	mean := 0.0
	for _, v := range init.Floats() {
		mean += v / float64(init.Len())
	}
	return o.Op("Mul", nil, b.rate, o.Number(mean, b.rate))
}

// bounded keeps the new value v of a scale away from 0.
func bounded(o *op.Builder, v *graph.Value, init *tensor.Tensor) (*graph.Value, error) {
	low := init.Clone()
	for i := range low.Len() {
		if !(low.Float(i) > 0) {
			return nil, fmt.Errorf("scale %s is %v, want more than 0", v.Name, low.Float(i))
		}
		low.SetFloat(i, low.Float(i)*least)
	}
	return o.Op("Max", nil, v, o.Graph.Constant("least", low)), nil
}
