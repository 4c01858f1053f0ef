// Package train adjusts the weights of a network. A training step (forward pass, loss,
// backward pass and the optimizer's update) is one graph, which the engine compiles into
// one program with one memory plan: what learns is what runs.
//
// program.go builds the step, loss.go and optimizer.go its ends, schedule.go the learning
// rate; distill.go and teacher.go join another network that teaches. Nothing here reads
// files of models or data.
package train

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/autodiff"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Spec says what one step does.
type Spec struct {
	Batch     int // samples of a step
	Loss      Loss
	Soft      bool // targets of a cross-entropy are probabilities, not labels
	Optimizer Optimizer
	Clip      float64 // bound of the norm of all gradients together; 0 for none
	Average   float64 // decay of an exponential moving average of the weights; 0 for none
	Distill   *Distillation
	Update    Update

	// Accumulate is how many batches' gradients are added up before an update; below 2, one.
	// Without normalizations by the batch, that is a batch so many times as large.
	Accumulate int

	// RAM bounds what a process that trains holds, in bytes as Trainer.Memory counts; 0 for no
	// bound. Values of the forward pass are computed again in the backward pass to meet it.
	RAM int

	// Frozen reports the weights that stay as they are, by name; nil freezes none.
	// FrozenStatistics keeps batch normalization as it is at inference.
	Frozen           func(name string) bool
	FrozenStatistics bool

	// FixedScales keeps the scales of FakeQuantize as they are; otherwise they are learned.
	FixedScales bool
}

// StateKind says what a piece of state is.
type StateKind uint8

// Kinds of state.
const (
	Parameter StateKind = iota
	Statistic           // running mean or variance of a batch normalization
	Moment              // of the optimizer
	Average             // of a parameter
	Adaptor             // a parameter that serves the training alone, see Distillation
	LowRank             // a factor of what is added to a weight, see Update
	Sum                 // of a parameter's gradients
)

// State is a tensor that a step reads and writes anew.
type State struct {
	Name string
	Kind StateKind
	Of   string // the parameter that a moment or an average belongs to
	Init *tensor.Tensor
	Unit *tensor.Tensor // what a parameter is multiplied by in the network; nil for 1
}

// Real returns the value that the network has where the state is v.
func (s *State) Real(v *tensor.Tensor) *tensor.Tensor {
	v = v.Clone()
	if s.Unit != nil {
		scaleBy(v, s.Unit, false)
	}
	return v
}

// Program is a training step as a graph.
//
// Inputs are the network's inputs with Batch samples, the target, the learning rate and
// the number of the step (one float32 each, the latter counted from 1), then the states.
// Outputs are the loss, the network's outputs, then the states again. A state's input and
// output may be one tensor: it is written last.
//
// Where gradients are added up over batches, the learning rate is instead what the sums
// are multiplied by before: 0 at the first batch, else 1. The graph takes the parameters and
// then the states that it writes, and Update does the rest: inputs are the learning rate, the
// number of the update, the sums and the states that it writes, outputs are those.
type Program struct {
	Graph   *graph.Graph
	Data    int // network inputs
	Outputs int // network outputs
	States  []State
	Update  *graph.Graph

	read    []int // states that Graph only reads
	written int   // states that Graph writes: the first ones; the others are Update's
	sums    []int // states that Update only reads
}

// NewProgram builds the step for a network, whose graph stays as it is. The loss is put on
// its first output; where a Softmax ends that and the loss takes logits, on what goes
// into it.
//
// A network from a file is best given as it was read: simplified graphs no longer tell
// which dimension of size one was that of the batch.
func NewProgram(network *graph.Graph, s Spec) (*Program, error) {
	if err := s.Optimizer.Validate(); err != nil {
		return nil, err
	}
	if s.Batch < 1 || !(s.Clip >= 0) || !finite(s.Clip) || !(s.Average >= 0 && s.Average < 1) {
		return nil, errors.New("batch must be at least 1, clip not negative and average within 0..1")
	}
	if s.Accumulate < 0 || s.Accumulate > 1<<16 {
		return nil, fmt.Errorf("accumulate: %d batches are not within 0..%d", s.Accumulate, 1<<16)
	}
	if err := s.Update.Validate(); err != nil {
		return nil, err
	}
	if s.Distill != nil {
		if err := s.Distill.validate(); err != nil {
			return nil, err
		}
	}
	g := network.Clone()
	if len(g.Outputs) == 0 {
		return nil, errors.New("the network has no output")
	}
	f, err := inUnits(g)
	if err != nil {
		return nil, err
	}
	b := &builder{spec: s, fakes: f, p: &Program{Graph: g, Data: len(g.Inputs), Outputs: len(g.Outputs)}}
	if err := autodiff.Check(g, g.Outputs[0], b.candidates()); err != nil {
		return nil, err
	}
	if err := rebatch(g, s.Batch); err != nil {
		return nil, err
	}
	if err := b.build(); err != nil {
		return nil, err
	}
	return b.p, g.Verify()
}

// builder makes a program.
type builder struct {
	spec  Spec
	p     *Program
	facts *op.Facts

	fakes *fakes

	rate, step *graph.Value
	adaptors   []*graph.Value
	news       []*graph.Value // of the states, in their order
	inputs     []*graph.Value
}

func (b *builder) build() error {
	g := b.p.Graph
	candidates := b.candidates()
	b.train()
	var err error
	if b.facts, err = op.InferTypes(g); err != nil {
		return err
	}
	scores := logits(g, b.spec.Loss)
	if d := scores.Type.DType; !d.IsFloat() {
		return fmt.Errorf("%w: output %v holds integers; hint: train the floating-point network it was quantized from, and quantize it after", autodiff.ErrUnsupported, scores)
	}
	target, err := b.spec.Loss.target(scores, b.spec.Soft)
	if err != nil {
		return err
	}
	want := g.Input("target", target)
	number := graph.TensorType(tensor.Float32)
	b.rate, b.step = g.Input("rate", number), g.Input("step", number)
	if err := b.drop(); err != nil {
		return err
	}
	var loss *graph.Value
	err = op.Build(g, b.facts, "loss", func(o *op.Builder) error {
		hard := func() *graph.Value { return b.spec.Loss.build(o, scores, want) }
		if b.spec.Distill == nil {
			loss = hard()
		} else {
			loss = b.distill(o, want, hard)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if b.spec.Update.Kind == UpdateLoRA {
		if candidates, err = b.lowRank(candidates); err != nil {
			return err
		}
	}
	candidates = append(candidates, b.adaptors...)
	grads, err := autodiff.Gradients(g, b.facts, loss, candidates)
	if err != nil {
		return err
	}
	if b.spec.Accumulate > 1 {
		err = b.accumulate(candidates, grads)
	} else {
		err = b.updates(candidates, grads)
		b.p.written = len(b.p.States)
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(b.p.States, func(s State) bool { return s.Kind == Parameter || s.Kind == LowRank }) {
		return errors.New("nothing is left to train: every weight is frozen or does not move the loss")
	}
	g.Inputs = append(g.Inputs, b.inputs...)
	g.Outputs = slices.Concat([]*graph.Value{loss}, g.Outputs, b.news)
	g.Prune()
	return nil
}

// updates makes parameters of constants that follow gradients, nil ones aside.
func (b *builder) updates(constants, grads []*graph.Value) error {
	return op.Build(b.p.Graph, b.facts, "update", func(o *op.Builder) error {
		if b.spec.Clip > 0 {
			grads = clip(o, grads, b.spec.Clip)
		}
		for i, v := range constants {
			if grads[i] != nil {
				if err := b.update(o, v, grads[i]); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (b *builder) isAdaptor(v *graph.Value) bool { return slices.Contains(b.adaptors, v) }

// candidates lists the constants that training may change, in order of use: floating-point
// ones of more than one element that are not frozen. Numbers such as the bounds of a Clip
// are part of the architecture, scales of FakeQuantize are not.
func (b *builder) candidates() []*graph.Value {
	var out []*graph.Value
	fixed := strings.Fields(b.p.Graph.Meta[graph.MetaFixed])
	for _, v := range b.p.Graph.Constants() {
		if slices.ContainsFunc(fixed, func(pattern string) bool { ok, _ := path.Match(pattern, v.Name); return ok }) {
			continue
		}
		may := v.Const.Len() > 1 && !b.fakes.fixed[v]
		if b.fakes.scales[v] {
			may = !b.spec.FixedScales
		}
		if v.Type.DType == tensor.Float32 && may && (b.spec.Frozen == nil || !b.spec.Frozen(v.Name)) {
			out = append(out, v)
		}
	}
	return b.spec.Update.chosen(b.p.Graph, out)
}

// train turns what behaves otherwise at inference: batch normalizations take the batch's
// statistics and move the running ones, which become state.
func (b *builder) train() {
	if b.spec.FrozenStatistics {
		return
	}
	g := b.p.Graph
	for _, n := range g.Nodes {
		if !n.Is("BatchNormalization") || n.In(3).Const == nil || n.In(4).Const == nil {
			continue
		}
		n.Attrs = n.Attrs.Clone()
		if n.Attrs == nil {
			n.Attrs = graph.Attrs{}
		}
		n.Attrs["training_mode"] = int64(1)
		n.Outputs = n.Outputs[:1]
		for i := 3; i <= 4; i++ {
			was := n.Inputs[i]
			n.Inputs[i] = b.state(State{Name: was.Name, Kind: Statistic, Init: was.Const})
			v := g.NewValue(was.Name+"/new", graph.Type{})
			v.Def = n
			n.Outputs = append(n.Outputs, v)
			b.news = append(b.news, v)
		}
	}
}

// state adds a piece of state and returns its input.
func (b *builder) state(s State) *graph.Value {
	b.p.States = append(b.p.States, s)
	v := b.p.Graph.NewValue(s.Name+"/state", graph.TypeOf(s.Init))
	b.inputs = append(b.inputs, v)
	return v
}

// update makes constant v a parameter that follows gradient g. Vectors are biases and
// normalizations: weights decay, those do not.
func (b *builder) update(o *op.Builder, v, g *graph.Value) error {
	u, err := b.spec.Optimizer.update(v.Type.Shape.Ranked() && len(v.Type.Shape) > 1)
	if err != nil {
		return err
	}
	init, kind := v.Const, Parameter
	switch {
	case b.isAdaptor(v):
		kind = Adaptor
	case b.spec.Update.Kind == UpdateLoRA && isLowRank(v):
		kind = LowRank
	}
	b.p.States = append(b.p.States, State{Name: v.Name, Kind: kind, Init: init, Unit: b.fakes.units[v]})
	v.Const = nil // from here on the value is an input
	b.inputs = append(b.inputs, v)
	rate := b.rate
	if b.fakes.scales[v] {
		rate = b.scaleRate(o, init)
	}
	in := []*graph.Value{v, g, rate}
	if u.timed {
		in = append(in, b.step)
	}
	at := len(b.news)
	b.news = append(b.news, nil)
	for k := range u.states {
		zero, err := tensor.Make(v.Type.DType, o.Shape(v))
		if err != nil {
			return err
		}
		in = append(in, b.state(State{Name: fmt.Sprintf("%s/moment%d", v.Name, k), Kind: Moment, Of: v.Name, Init: zero}))
		b.news = append(b.news, nil)
	}
	out := slices.Clone(o.Node(graph.DomainEdgewise, u.name, u.attrs, 1+u.states, in...))
	if b.fakes.scales[v] {
		if out[0], err = bounded(o, out[0], init); err != nil {
			return err
		}
	}
	copy(b.news[at:], out)
	if d := b.spec.Average; d > 0 && kind == Parameter {
		old := b.state(State{Name: v.Name + "/average", Kind: Average, Of: v.Name, Init: init, Unit: b.fakes.units[v]})
		kept := o.Op("Mul", nil, old, o.Number(d, old))
		b.news = append(b.news, o.Op("Add", nil, kept, o.Op("Mul", nil, out[0], o.Number(1-d, old))))
	}
	return nil
}

// drop makes every Dropout drop, other elements at every step.
func (b *builder) drop() error {
	g := b.p.Graph
	old := g.Nodes
	g.Nodes = nil
	for _, n := range old {
		ratio := 0.5
		if v := n.In(1); v != nil && v.Const != nil {
			ratio = v.Const.Float(0)
		}
		if !n.Is("Dropout") || n.Out(1) != nil || !(ratio > 0 && ratio < 1) {
			g.Nodes = append(g.Nodes, n)
			continue
		}
		err := op.Build(g, b.facts, n.Label(), func(o *op.Builder) error {
			x := n.Inputs[0]
			shape := make([]int64, 0, 4)
			for _, d := range o.Shape(x) {
				shape = append(shape, int64(d))
			}
			a := graph.Attrs{"seed": int64(len(g.Nodes)), "ratio": float32(ratio), "shape": shape}
			keep := o.Node(graph.DomainEdgewise, "RandomKeep", a, 1, b.step)[0]
			y := o.Op("Where", nil, keep, o.Op("Mul", nil, x, o.Number(1/(1-ratio), x)), o.Number(0, x))
			made := y.Def
			// The value keeps its identity: the loss may already hold it.
			made.Outputs[0], n.Outputs[0].Def = n.Outputs[0], made
			return b.facts.InferNode(made)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// logits returns what the loss is put on: the first output, or what goes into the Softmax
// or Sigmoid that makes it where the loss brings its own.
func logits(g *graph.Graph, l Loss) *graph.Value {
	y := g.Outputs[0]
	skip := map[string]string{CrossEntropy: "Softmax", KL: "Softmax", BCE: "Sigmoid"}[l.Kind]
	if y.Def != nil && skip != "" && y.Def.Is(skip) {
		return y.Def.Inputs[0]
	}
	return y
}

// ofLogits reports whether the loss makes probabilities of scores itself.
func (l Loss) ofLogits() bool { return l.Kind == CrossEntropy || l.Kind == KL || l.Kind == BCE }
