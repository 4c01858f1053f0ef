package train

import (
	"errors"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/graph"
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
