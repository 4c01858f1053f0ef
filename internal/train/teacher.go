package train

import (
	"cmp"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
)

// teacherPrefix begins the names of all that belongs to the teacher.
const teacherPrefix = "teacher/"

// join makes the teacher part of the step's graph.
func (p *pupil) join(batch int) {
	t := p.Teacher.Clone()
	if err := rebatch(t, batch); err != nil {
		p.Fail("teacher: %w", err)
	}
	if len(t.Inputs) != len(p.student.Inputs) {
		p.Fail("the teacher takes %d inputs, the student %d", len(t.Inputs), len(p.student.Inputs))
	}
	inputs := make([]*graph.Value, len(t.Inputs))
	for i, v := range t.Inputs {
		inputs[i] = p.adapt(p.student.Inputs[i], v, t)
	}
	p.teacher = &graph.Graph{Nodes: t.Nodes, Outputs: t.Outputs}
	p.Graph.Absorb(t, teacherPrefix, inputs)
	for _, n := range p.teacher.Nodes {
		if err := cmp.Or(op.Check(n), p.Facts.InferNode(n)); err != nil {
			p.Fail("teacher: %w", err)
		}
	}
}

// scores returns what a lesson compares of student and teacher, the latter in the shape of
// the former. Where it puts a softmax on them, or the loss does that against labels, it is on
// both sides what goes into the Softmax or Sigmoid that ends a network, if one does; else both
// are outputs as they are.
func (p *pupil) scores(l Lesson) (s, t *graph.Value) {
	s, t = p.student.Outputs[0], p.teacher.Outputs[0]
	if l.Kind != Scores || p.ofLogits {
		s, t = activated(s), activated(t)
	}
	return p.rows(s), p.rows(p.taught(s, p.real(t)))
}

// taught returns the teacher's scores t in the shape of the student's.
func (p *pupil) taught(scores, t *graph.Value) *graph.Value {
	if p.Classes != nil {
		t = p.Op("Gather", graph.Attrs{"axis": int64(1)}, t, p.Ints(p.Classes...))
	}
	want, have := p.Shape(scores), p.Shape(t)
	if slices.Equal(want, have) {
		return t
	}
	if slices.Equal(trimmed(want), trimmed(have)) {
		return p.Op("Reshape", nil, t, p.Ints(want...))
	}
	p.Fail("the teacher's scores %v do not compare with the student's %v", t, scores)
	return nil
}

// activated returns what goes into the Softmax or Sigmoid at the end of a network, y where
// none is. It looks through what follows that: its own quantization, and changes of the
// shape.
func activated(y *graph.Value) *graph.Value {
	for v := y; v.Def != nil; v = v.Def.Inputs[0] {
		n := v.Def
		switch {
		case n.Is("Softmax"), n.Is("Sigmoid"), n.Domain == graph.DomainMicrosoft && (n.Op == "QLinearSoftmax" || n.Op == "QLinearSigmoid"):
			return n.Inputs[0]
		case n.Is("QuantizeLinear"), n.Is("DequantizeLinear"), n.Is("Identity"), n.Is("Reshape"), n.Is("Flatten"), n.Is("Squeeze"):
		default:
			return y
		}
	}
	return y
}

// real returns the numbers that an integer tensor of the teacher stands for.
func (p *pupil) real(v *graph.Value) *graph.Value {
	if v.Type.DType.IsFloat() {
		return v
	}
	if n := v.Def; n != nil && n.Is("QuantizeLinear") {
		return p.Op("DequantizeLinear", graph.Attrs{"axis": n.Attrs.Int("axis", 1)}, v, n.In(1), n.In(2))
	}
	// Operators on integers name the grid of what they make and of what they read.
	at := func(n *graph.Node, name string) *graph.Value {
		for i := range n.Inputs {
			if d := op.Of(n); strings.EqualFold(d.InputName(i), name+"_scale") && i+1 < len(n.Inputs) {
				return p.Op("DequantizeLinear", nil, v, n.Inputs[i], n.Inputs[i+1])
			}
		}
		return nil
	}
	if v.Def != nil {
		if r := at(v.Def, op.Of(v.Def).OutputName(slices.Index(v.Def.Outputs, v))); r != nil {
			return r
		}
	}
	for _, n := range p.teacher.Nodes {
		i := slices.Index(n.Inputs, v)
		switch {
		case i < 0:
			continue
		case i == 0 && n.Is("DequantizeLinear"):
			return n.Outputs[0]
		}
		if r := at(n, op.Of(n).InputName(i)); r != nil {
			return r
		}
	}
	p.Fail("the scale of the teacher's integer tensor %v is not known; name one beside it", v)
	return nil
}
