package train

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// Distillation says what a network, the student, learns from another one, the teacher. The
// teacher becomes part of the step's graph: its forward pass runs once per step in the form
// in which it is deployed, on integer kernels where it is quantized, over what the student
// sees. Its weights stay constants.
type Distillation struct {
	Teacher *graph.Graph
	Input   *Adaptation // nil: both take the same, but for the layout and the size of images

	// Classes names the teacher's class for each of the student's; nil where they are the
	// same.
	Classes []int

	Lessons []Lesson
	Hard    float64 // weight of the loss against targets; at 0 they are not looked at
	Seed    uint64  // of the adaptors' first weights
}

// Lesson is one loss against the teacher. Zero fields take the defaults of the kind.
type Lesson struct {
	// Kind is one of KD, StandardizedKD, DKD, DIST, Scores, Hint, Attention.
	Kind   string  `yaml:"kind"`
	Weight float64 `yaml:"weight"`

	Temperature float64 `yaml:"temperature"` // KD, StandardizedKD, DKD, DIST
	Alpha       float64 `yaml:"alpha"`       // DKD: weight of the target class
	Beta        float64 `yaml:"beta"`        // DKD: weight of the other classes; DIST: of relations within a sample
	Gamma       float64 `yaml:"gamma"`       // DIST: weight of relations within a class
	Warmup      int     `yaml:"warmup"`      // steps over which the weight rises from zero

	// Hint, Attention: tensors by name, [N, C, d...].
	Teacher string `yaml:"teacher"`
	Student string `yaml:"student"`
}

// Kinds of lessons; distill_losses.go and hint.go state the formulas and their sources.
const (
	KD             = "kd"
	StandardizedKD = "kd-standardized"
	DKD            = "dkd"
	DIST           = "dist"
	Scores         = "scores"
	Hint           = "hint"
	Attention      = "attention"
)

// Lessons lists the kinds.
func Lessons() []string { return []string{KD, StandardizedKD, DKD, DIST, Scores, Hint, Attention} }

// lessons holds the defaults of each kind: those of the papers' experiments on CIFAR.
var lessons = map[string]Lesson{
	KD:             {Weight: 0.9, Temperature: 4},
	StandardizedKD: {Weight: 9, Temperature: 2},
	DKD:            {Weight: 1, Temperature: 4, Alpha: 1, Beta: 2},
	DIST:           {Weight: 1, Temperature: 4, Beta: 2, Gamma: 2},
	Scores:         {Weight: 1},
	Hint:           {Weight: 1},
	Attention:      {Weight: 1000},
}

// SetText takes the short form of a lesson, its kind.
func (l *Lesson) SetText(kind string) error {
	*l = Lesson{Kind: kind}
	return nil
}

// Complete returns the lesson with the defaults in place of zeros, or what is wrong with it.
func (l Lesson) Complete() (Lesson, error) {
	d, ok := lessons[l.Kind]
	if !ok {
		return l, fmt.Errorf("distillation loss %q is not one of %s", l.Kind, strings.Join(Lessons(), ", "))
	}
	for _, f := range []struct {
		name     string
		v        *float64
		standard float64
	}{
		{"weight", &l.Weight, d.Weight}, {"temperature", &l.Temperature, d.Temperature},
		{"alpha", &l.Alpha, d.Alpha}, {"beta", &l.Beta, d.Beta}, {"gamma", &l.Gamma, d.Gamma},
	} {
		switch {
		case !(*f.v >= 0) || math.IsInf(*f.v, 0):
			return l, fmt.Errorf("distillation loss %s: %s %v is not a number above 0", l.Kind, f.name, *f.v)
		case *f.v == 0:
			*f.v = f.standard
		case f.standard == 0:
			return l, fmt.Errorf("distillation loss %s has no %s", l.Kind, f.name)
		}
	}
	features := l.Kind == Hint || l.Kind == Attention
	switch {
	case l.Warmup < 0:
		return l, fmt.Errorf("distillation loss %s: warmup must not be negative", l.Kind)
	case features && (l.Teacher == "" || l.Student == ""):
		return l, fmt.Errorf("distillation loss %s compares two tensors: name one of the teacher and one of the student", l.Kind)
	case !features && (l.Teacher != "" || l.Student != ""):
		return l, fmt.Errorf("distillation loss %s compares outputs: it takes no tensor names", l.Kind)
	}
	return l, nil
}

func (d *Distillation) validate() error {
	if !(d.Hard >= 0) || math.IsInf(d.Hard, 0) {
		return fmt.Errorf("the weight %v of the loss against targets is not a number from 0", d.Hard)
	}
	if d.Teacher == nil || len(d.Teacher.Outputs) == 0 {
		return errors.New("the distillation has no teacher with an output")
	}
	if len(d.Lessons) == 0 {
		return errors.New("the distillation has no loss against the teacher")
	}
	for _, l := range d.Lessons {
		if _, err := l.Complete(); err != nil {
			return err
		}
	}
	return d.Input.validate()
}

// pupil builds the losses of a distillation.
type pupil struct {
	*op.Builder
	*Distillation
	student *graph.Graph // inputs, nodes and outputs of the student alone
	teacher *graph.Graph // outputs and nodes of the teacher, which are part of the step's graph
	step    *graph.Value
	target  *graph.Value // nil where the student sees none

	ofLogits bool           // the loss against targets makes probabilities of scores itself
	adaptors []*graph.Value // weights that serve the training alone
}

// distill returns the loss of the step: that against targets, hard, which it makes only
// when it counts, and those against the teacher, each with its weight.
func (b *builder) distill(o *op.Builder, target *graph.Value, hard func() *graph.Value) *graph.Value {
	p := &pupil{Builder: o, Distillation: b.spec.Distill, step: b.step, ofLogits: b.spec.Loss.ofLogits()}
	p.student = &graph.Graph{Nodes: o.Graph.Nodes, Inputs: o.Graph.Inputs[:b.p.Data], Outputs: o.Graph.Outputs}
	p.join(b.spec.Batch)
	var loss *graph.Value
	add := func(v *graph.Value, weight float64) {
		if weight != 1 {
			v = p.scale(v, weight)
		}
		if loss == nil {
			loss = v
		} else {
			loss = o.Op("Add", nil, loss, v)
		}
	}
	if p.Hard > 0 {
		p.target = target
		add(hard(), p.Hard)
	}
	for _, l := range p.Lessons {
		l, err := l.Complete()
		if err != nil {
			o.Fail("%w", err)
		}
		v := p.lesson(l)
		if l.Warmup > 0 {
			v = o.Op("Mul", nil, v, o.Op("Min", nil, p.scale(b.step, 1/float64(l.Warmup)), o.Number(1, b.step)))
		}
		add(v, l.Weight)
	}
	b.adaptors = p.adaptors
	return loss
}

func (p *pupil) lesson(l Lesson) *graph.Value {
	switch l.Kind {
	case Hint:
		return p.hint(p.features(l))
	case Attention:
		return p.attention(p.features(l))
	}
	s, t := p.scores(l)
	switch l.Kind {
	case KD:
		return p.kd(s, t, l.Temperature)
	case StandardizedKD:
		return p.kd(p.standardized(s), p.standardized(t), l.Temperature)
	case DKD:
		return p.dkd(s, t, l)
	case DIST:
		return p.dist(s, t, l)
	}
	return p.distance(s, t)
}
