package train

import (
	"errors"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Adaptation makes the teacher's input of the student's where the two are prepared
// otherwise: x·Scale + Shift over the student's channels, then the order of channels, the
// layout, the size of the image and, for an integer input, its grid.
type Adaptation struct {
	Scale, Shift []float32 // one for all or one per channel; nil for none
	Reverse      bool      // the channels stand the other way round, as RGB and BGR

	// Last and TeacherLast say that channels are the last dimension of each input.
	Last, TeacherLast bool

	// QScale and QZero are the grid of an integer input; 0 where the teacher's graph tells.
	QScale float32
	QZero  int
}

func (a *Adaptation) validate() error {
	if a != nil && slices.Contains(a.Scale, 0) {
		return errors.New("a scale of the teacher's input is 0")
	}
	return nil
}

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
		if err := p.Facts.InferNode(n); err != nil {
			p.Fail("teacher: %w", err)
		}
	}
}

// adapt returns what the teacher's input takes, made of the student's.
func (p *pupil) adapt(x, want *graph.Value, teacher *graph.Graph) *graph.Value {
	from, to := p.Shape(x), p.Shape(want)
	a := p.Input
	if a == nil {
		a = guessed(from, to)
	}
	if len(from) != len(to) {
		if slices.Equal(trimmed(from), trimmed(to)) {
			x = p.Op("Reshape", nil, x, p.Ints(to...))
			from = to
		} else {
			p.Fail("the teacher's input %v cannot be made of the student's %v", want, x)
		}
	}
	channel := 1
	if a.Last {
		channel = len(from) - 1
	}
	if a.Scale != nil {
		x = p.Op("Mul", nil, x, p.perChannel(a.Scale, x, channel))
	}
	if a.Shift != nil {
		x = p.Op("Add", nil, x, p.perChannel(a.Shift, x, channel))
	}
	if a.Reverse {
		order := make([]int, from[channel])
		for i := range order {
			order[i] = len(order) - 1 - i
		}
		x = p.Op("Gather", graph.Attrs{"axis": int64(channel)}, x, p.Ints(order...))
	}
	if a.Last != a.TeacherLast {
		perm := make([]int64, len(from))
		for i := range perm {
			switch {
			case i == 0:
			case a.Last && i == 1:
				perm[i] = int64(len(from) - 1)
			case a.Last:
				perm[i] = int64(i - 1)
			default:
				perm[i] = int64(i%(len(from)-1) + 1)
			}
		}
		x = p.Op("Transpose", graph.Attrs{"perm": perm}, x)
	}
	if x = p.resized(x, to, a.TeacherLast); !slices.Equal(p.Shape(x), to) {
		p.Fail("the teacher's input %v cannot be made of the student's %v", want, x)
	}
	return p.stored(x, want, teacher, a)
}

// trimmed leaves out the dimensions of size 1.
func trimmed(shape []int) []int {
	return slices.DeleteFunc(slices.Clone(shape), func(d int) bool { return d == 1 })
}

// guessed tells the layouts of two image inputs by where their few channels stand.
func guessed(from, to []int) *Adaptation {
	last := func(s []int) bool { return len(s) == 4 && s[3] <= 4 && s[1] > s[3] }
	return &Adaptation{Last: last(from), TeacherLast: last(to)}
}

// perChannel returns a constant that broadcasts along the channels of x.
func (p *pupil) perChannel(v []float32, x *graph.Value, channel int) *graph.Value {
	if len(v) == 1 {
		return p.Number(float64(v[0]), x)
	}
	s := p.Shape(x)
	if len(v) != s[channel] {
		p.Fail("%d scales or shifts are given for the %d channels of %v", len(v), s[channel], x)
	}
	shape := slices.Repeat([]int{1}, len(s))
	shape[channel] = len(v)
	t, err := tensor.Make(x.Type.DType, shape)
	if err != nil {
		p.Fail("%w", err)
	}
	for i, f := range v {
		t.SetFloat(i, float64(f))
	}
	return p.Graph.Constant("adaptation", t)
}

// resized brings an image to the size of another shape.
func (p *pupil) resized(x *graph.Value, to []int, last bool) *graph.Value {
	from := p.Shape(x)
	channel := 1
	if last {
		channel = len(to) - 1
	}
	if slices.Equal(from, to) || len(to) != 4 || from[channel] != to[channel] {
		return x
	}
	a := graph.Attrs{"mode": "linear", "coordinate_transformation_mode": "half_pixel", "antialias": int64(1)}
	return p.Op("Resize", a, x, nil, nil, p.Ints(to...))
}

// stored brings numbers onto the grid of an integer input.
func (p *pupil) stored(x, want *graph.Value, teacher *graph.Graph, a *Adaptation) *graph.Value {
	d := want.Type.DType
	switch {
	case d == x.Type.DType:
		return x
	case d.IsFloat():
		return p.Op("Cast", graph.Attrs{"to": int64(d)}, x)
	}
	scale, zero := p.grid(want, teacher, a)
	if scale == nil {
		p.Fail("the teacher's input %v is an integer one whose scale is not known", want)
	}
	return p.Op("QuantizeLinear", nil, x, scale, zero)
}

// grid returns scale and zero point of an integer input: as given, or as the DequantizeLinear
// says that reads it.
func (p *pupil) grid(want *graph.Value, teacher *graph.Graph, a *Adaptation) (scale, zero *graph.Value) {
	if a.QScale != 0 {
		z, err := tensor.Make(want.Type.DType, []int{})
		if err != nil {
			p.Fail("%w", err)
		}
		z.SetInt(0, int64(a.QZero))
		return p.Graph.Constant("scale", tensor.Of([]float32{a.QScale}, []int{}...)), p.Graph.Constant("zero", z)
	}
	for _, n := range teacher.Nodes {
		if n.Is("DequantizeLinear") && n.Inputs[0] == want && n.Inputs[1].Const != nil {
			scale = p.Graph.Constant("scale", n.Inputs[1].Const)
			if z := n.In(2); z != nil && z.Const != nil {
				zero = p.Graph.Constant("zero", z.Const)
			}
			return scale, zero
		}
	}
	return nil, nil
}

// taught returns the teacher's scores in the shape of the student's: what goes into the
// Softmax that ends it, if one does.
func (p *pupil) taught(scores *graph.Value) *graph.Value {
	t := p.real(softmaxed(p.teacher.Outputs[0]))
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

// softmaxed looks through what a softmax at the end of a network is followed by: its own
// quantization, and changes of the shape.
func softmaxed(y *graph.Value) *graph.Value {
	for v := y; v.Def != nil; v = v.Def.Inputs[0] {
		n := v.Def
		switch {
		case n.Is("Softmax"), n.Domain == graph.DomainMicrosoft && n.Op == "QLinearSoftmax":
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
