package train

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Update says which numbers of a network move. What does not move needs no gradient and no
// moments, and what only its gradient needed of the forward pass is not kept.
type Update struct {
	// Kind is one of UpdateAll, UpdateBias, UpdateLoRA; UpdateAll if empty.
	Kind string `yaml:"kind"`

	Rank   int      `yaml:"rank"`   // of UpdateLoRA, 4 if 0
	Alpha  float64  `yaml:"alpha"`  // scale of what is added, times the rank; the rank if 0
	Layers []string `yaml:"layers"` // patterns of the names of weights that UpdateLoRA adapts; all if empty
}

// Kinds of updates. Biases are what is added to channels, those of normalizations too (Cai
// et al. 2020). LoRA adds to every weight the product of two matrices of low rank, which
// alone are trained (Hu et al. 2022); they are part of the weights when training ends.
const (
	UpdateAll  = "all"
	UpdateBias = "bias"
	UpdateLoRA = "lora"
)

// SetText takes the short form, the kind alone.
func (u *Update) SetText(text string) error {
	u.Kind = text
	return nil
}

// Validate checks what can be checked without the network.
func (u Update) Validate() error {
	switch u.Kind {
	case "", UpdateAll, UpdateBias, UpdateLoRA:
	default:
		return fmt.Errorf("update %q is not one of %s, %s, %s", u.Kind, UpdateAll, UpdateBias, UpdateLoRA)
	}
	if u.Rank < 0 || u.Rank > 1<<16 || !(u.Alpha >= 0) || math.IsInf(u.Alpha, 0) {
		return errors.New("update: rank and alpha must not be negative")
	}
	if u.Kind != UpdateLoRA && (u.Rank != 0 || u.Alpha != 0 || u.Layers != nil) {
		return errors.New("update: rank, alpha and layers belong to kind lora")
	}
	for _, p := range u.Layers {
		if _, err := path.Match(p, ""); err != nil {
			return fmt.Errorf("update: %q is no pattern: %w", p, err)
		}
	}
	return nil
}

// rank and scale are those of the added product.
func (u Update) rank() int {
	if u.Rank == 0 {
		return 4
	}
	return u.Rank
}

func (u Update) scale() float64 {
	if u.Alpha == 0 {
		return 1
	}
	return u.Alpha / float64(u.rank())
}

// chosen keeps of the constants that training may change those that the update is about.
func (u Update) chosen(g *graph.Graph, constants []*graph.Value) []*graph.Value {
	if u.Kind == "" || u.Kind == UpdateAll {
		return constants
	}
	users := g.Users()
	return slices.DeleteFunc(constants, func(v *graph.Value) bool {
		return !slices.ContainsFunc(users[v.ID], func(n *graph.Node) bool {
			for i, x := range n.Inputs {
				if x == v && u.about(n, i) {
					return true
				}
			}
			return false
		})
	})
}

// about reports whether the update is about input i of n.
func (u Update) about(n *graph.Node, i int) bool {
	if u.Kind == UpdateBias {
		return op.IsBias(n, i)
	}
	v := n.In(i)
	if i != 1 || op.Of(n) == nil || op.Of(n).Quant.Kind != op.QuantWeighted || v.Const.Rank() < 2 {
		return false
	}
	rows, cols := matrix(v.Const)
	return min(rows, cols) > u.rank() && (u.Layers == nil || slices.ContainsFunc(u.Layers, func(p string) bool { return Fits(p, v.Name) }))
}

// Fits matches a name by a pattern, in which * stands for anything: names of layers are no
// paths, whatever slashes there are in them.
func Fits(pattern, name string) bool {
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	ok, _ := path.Match(flat(pattern), flat(name))
	return ok || pattern == name
}

// matrix is how a weight is seen as one: its first dimension by all others.
func matrix(w *tensor.Tensor) (rows, cols int) { return w.Dim(0), w.Len() / max(w.Dim(0), 1) }

// Names of the two matrices begin with that of the weight.
const (
	loraDown = "/lora_a" // [rank, cols], random
	loraUp   = "/lora_b" // [rows, rank], zero at first
)

// lowRank puts weight + scale·up·down in the place of each weight and returns the matrices.
// It stands before everything else in the graph.
func (b *builder) lowRank(weights []*graph.Value) ([]*graph.Value, error) {
	if len(weights) == 0 {
		return nil, fmt.Errorf("update: no weight is left for matrices of rank %d: layers names none, or all are smaller", b.spec.Update.rank())
	}
	if b.spec.Average > 0 {
		return nil, errors.New("a moving average does not go with update: lora")
	}
	g, u := b.p.Graph, b.spec.Update
	var made []*graph.Value
	nodes := g.Nodes
	g.Nodes = nil
	err := op.Build(g, b.facts, "lora", func(o *op.Builder) error {
		for k, w := range weights {
			rows, cols := matrix(w.Const)
			a, up := tensor.New(tensor.Float32, u.rank(), cols), tensor.New(tensor.Float32, rows, u.rank())
			r := rand.New(rand.NewPCG(uint64(k), 0x10a))
			for i := range a.F32() {
				a.F32()[i] = float32(r.NormFloat64() / math.Sqrt(float64(cols)))
			}
			down, upper := g.Constant(w.Name+loraDown, a), g.Constant(w.Name+loraUp, up)
			made = append(made, down, upper)
			product := o.Op("MatMul", nil, upper, down)
			if s := u.scale(); s != 1 {
				product = o.Op("Mul", nil, product, o.Number(s, product))
			}
			sum := o.Op("Add", nil, w, o.Op("Reshape", nil, product, o.Ints(w.Const.Shape()...)))
			rename(nodes, w, sum)
		}
		return nil
	})
	g.Nodes = append(g.Nodes, nodes...)
	return made, err
}

// rename makes nodes use v in place of old.
func rename(nodes []*graph.Node, old, v *graph.Value) {
	for _, n := range nodes {
		for i := range n.Inputs {
			if n.Inputs[i] == old {
				n.Inputs[i] = v
			}
		}
	}
}

// merged returns the weights that low-rank matrices have been added to, by name.
func (p *Program) merged(u Update, network *graph.Graph, states []*tensor.Tensor) map[string]*tensor.Tensor {
	values := map[string]*tensor.Tensor{}
	for i, s := range p.States {
		if s.Kind == LowRank {
			values[s.Name] = states[i]
		}
	}
	out := map[string]*tensor.Tensor{}
	for _, w := range network.Constants() {
		down, up := values[w.Name+loraDown], values[w.Name+loraUp]
		if down == nil || up == nil {
			continue
		}
		rows, cols := matrix(w.Const)
		t := w.Const.Clone()
		for i := range rows {
			for k := range cols {
				sum := 0.0
				for r := range u.rank() {
					sum += float64(up.F32()[i*u.rank()+r]) * float64(down.F32()[r*cols+k])
				}
				t.F32()[i*cols+k] += float32(sum * u.scale())
			}
		}
		out[w.Name] = t
	}
	return out
}

// isLowRank reports whether a value is one of the matrices.
func isLowRank(v *graph.Value) bool {
	return strings.HasSuffix(v.Name, loraDown) || strings.HasSuffix(v.Name, loraUp)
}
