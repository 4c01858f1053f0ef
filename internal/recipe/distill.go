package recipe

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/internal/zoo"
)

// Distill says from which other network the trained one learns.
type Distill struct {
	Teacher string         `yaml:"teacher"` // any model that Edgewise reads, quantized ones too
	Losses  []train.Lesson `yaml:"losses"`  // against the teacher; kd where there is none, of outputs against targets scores
	Hard    *float64       `yaml:"hard"`    // weight of the loss against labels or targets

	// Preprocess is how the teacher takes samples, whatever data says of the student; nil for
	// what its file says or a trial finds.
	Preprocess *dataset.SpecPreprocess `yaml:"preprocess"`
}

// maxLessons bounds the losses against a teacher.
const maxLessons = 100

func (d *Distill) validate() error {
	if d == nil {
		return nil
	}
	switch {
	case d.Teacher == "":
		return errors.New("distill: no teacher is named")
	case len(d.Losses) > maxLessons:
		return fmt.Errorf("distill: more than %d losses", maxLessons)
	case d.Hard != nil && (!(*d.Hard >= 0) || math.IsInf(*d.Hard, 0)):
		return fmt.Errorf("distill: hard: %v is no weight", *d.Hard)
	}
	for _, l := range d.Losses {
		if _, err := l.Complete(); err != nil {
			return fmt.Errorf("distill: %w", err)
		}
	}
	if err := (&dataset.Spec{Preprocess: d.Preprocess}).Validate(); err != nil {
		return fmt.Errorf("distill: %w", err)
	}
	if name, ok := strings.CutPrefix(d.Teacher, edgewise.ZooPrefix); ok && !zoo.Trained(name) {
		return fmt.Errorf("distill: teacher: %s has random weights and teaches nothing; hint: name the model.onnx of a training", d.Teacher)
	}
	return nil
}

// lessons returns the losses against the teacher, and the weight of that against labels or
// targets: as written, or that with which the former were proposed; 0 for data that has
// neither.
func (d *Distill) lessons(learned *samples) ([]train.Lesson, float64, error) {
	list := d.Losses
	switch {
	case len(list) > 0:
	case learned.data.HasTargets():
		list = []train.Lesson{{Kind: train.Scores}}
	default:
		list = []train.Lesson{{Kind: train.KD}}
	}
	switch judged := learned.judged(); {
	case !judged && d.Hard != nil && *d.Hard > 0:
		return nil, 0, errors.New("distill: hard: the data has no labels, so that the teacher alone can teach")
	case !judged:
		return list, 0, nil
	case d.Hard != nil:
		return list, *d.Hard, nil
	}
	for _, l := range list {
		if l.Kind != train.KD && l.Kind != train.StandardizedKD {
			return list, 1, nil
		}
	}
	return list, 0.1, nil
}

// portable returns what d says wherever the teacher lies, for the digest.
func (d *Distill) portable() *Distill {
	if d == nil || strings.HasPrefix(d.Teacher, edgewise.ZooPrefix) {
		return d
	}
	c := *d
	c.Teacher = filepath.Base(d.Teacher)
	return &c
}

// openTeacher reads the teacher, if there is one.
func (r *Recipe) openTeacher() (*graph.Graph, error) {
	if r.Distill == nil {
		return nil, nil
	}
	name := r.Distill.Teacher
	if !strings.HasPrefix(name, edgewise.ZooPrefix) {
		name = r.at(name)
	}
	m, err := edgewise.Open(name)
	if err != nil {
		return nil, fmt.Errorf("teacher: %w", err)
	}
	g := m.Graph()
	if len(g.Inputs) != 1 || len(g.Outputs) == 0 {
		return nil, fmt.Errorf("teacher %s: it takes %d inputs and has %d outputs; want one input, and scores", r.Distill.Teacher, len(g.Inputs), len(g.Outputs))
	}
	return g, nil
}

// distillation writes the recipe's section as package train takes it: the teacher takes its
// input as it was trained to, and numbers its classes as it does.
func (j *job) distillation(ctx context.Context, teacher *graph.Graph) (*train.Distillation, error) {
	if teacher == nil {
		return nil, nil
	}
	d := j.r.Distill
	lessons, hard, err := d.lessons(j.learned)
	if err != nil {
		return nil, err
	}
	data := j.parts.whole
	if t := data.Calibration(); t != nil {
		data = t
	}
	j.note("teacher: %s", d.Teacher)
	way, err := optimize.Preprocess(ctx, teacher, data.PreparedBy(d.Preprocess), j.r.Seed, notes{j})
	if err != nil {
		return nil, fmt.Errorf("teacher %s: %w", d.Teacher, err)
	}
	out := &train.Distillation{Teacher: shaped(teacher, way.Shape), Lessons: lessons, Hard: hard, Seed: j.r.Seed}
	a := &train.Adaptation{Last: last(j.pre), TeacherLast: last(way)}
	a.Scale, a.Shift, a.Reverse = j.pre.Between(way)
	if way.DType != j.pre.DType {
		a.QScale, a.QZero = way.QScale, way.QZero
	}
	out.Input = a
	out.Classes, err = j.taught(way.LabelOffset - j.pre.LabelOffset)
	return out, err
}

func last(p dataset.Preprocess) bool { return p.Layout == "NHWC" || p.Layout == "NWC" }

// shaped returns a graph whose input has all sizes known.
func shaped(g *graph.Graph, shape []int) *graph.Graph {
	g = g.Clone()
	in := g.Inputs[0]
	in.Type = graph.TensorType(in.Type.DType, shape...)
	return g
}

// taught names the teacher's class for each of the student's, nil where they are the same.
func (j *job) taught(offset int) ([]int, error) {
	if chosen := j.r.Data.Classes; len(chosen) > 0 {
		labels, err := j.parts.whole.Labels(chosen)
		for i := range labels {
			labels[i] += offset
		}
		return labels, err
	}
	if offset == 0 {
		return nil, nil
	}
	scores := dataset.Scores(j.network.Outputs[0])
	if scores == 0 {
		return nil, fmt.Errorf("teacher: the student has no scores, so that the teacher's, which are numbered from %d, cannot be matched", offset)
	}
	var out []int
	for i := range scores {
		out = append(out, i+offset)
	}
	if slices.Min(out) < 0 {
		return nil, fmt.Errorf("teacher: it has no class for the student's first %d", -offset)
	}
	return out, nil
}
