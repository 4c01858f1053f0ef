package train

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/autodiff"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The functions here compute the losses anew, row by row, from the papers' formulas.

func softmax(y []float64, temperature float64) []float64 {
	p, sum := make([]float64, len(y)), 0.0
	for i, v := range y {
		p[i] = math.Exp(v / temperature)
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

func kl(p, q []float64) float64 {
	d := 0.0
	for i := range p {
		d += p[i] * math.Log(p[i]/q[i])
	}
	return d
}

func plainKD(s, t []float64, temperature float64) float64 {
	return temperature * temperature * kl(softmax(t, temperature), softmax(s, temperature))
}

func standard(y []float64) []float64 {
	mean, square := 0.0, 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	for _, v := range y {
		square += (v - mean) * (v - mean) / float64(len(y))
	}
	out := make([]float64, len(y))
	for i, v := range y {
		out[i] = (v - mean) / math.Sqrt(square)
	}
	return out
}

func plainDKD(s, t []float64, label int, l Lesson) float64 {
	p, q := softmax(t, l.Temperature), softmax(s, l.Temperature)
	target := kl([]float64{p[label], 1 - p[label]}, []float64{q[label], 1 - q[label]})
	rest := kl(softmax(slices.Delete(slices.Clone(t), label, label+1), l.Temperature), softmax(slices.Delete(slices.Clone(s), label, label+1), l.Temperature))
	return l.Temperature * l.Temperature * (l.Alpha*target + l.Beta*rest)
}

func pearson(x, y []float64) float64 {
	x, y = standard(x), standard(y)
	r := 0.0
	for i := range x {
		r += x[i] * y[i] / float64(len(x))
	}
	return r
}

func plainDIST(s, t [][]float64, l Lesson) float64 {
	p, q := make([][]float64, len(s)), make([][]float64, len(s))
	rows := 0.0
	for i := range s {
		p[i], q[i] = softmax(t[i], l.Temperature), softmax(s[i], l.Temperature)
		rows += pearson(p[i], q[i]) / float64(len(s))
	}
	columns := 0.0
	for k := range p[0] {
		a, b := make([]float64, len(p)), make([]float64, len(p))
		for i := range p {
			a[i], b[i] = p[i][k], q[i][k]
		}
		columns += pearson(a, b) / float64(len(p[0]))
	}
	return l.Temperature * l.Temperature * (l.Beta*(1-rows) + l.Gamma*(1-columns))
}

// plain computes a lesson over scores [rows][classes].
func plain(l Lesson, s, t [][]float64, labels []int) float64 {
	if l.Kind == DIST {
		return plainDIST(s, t, l)
	}
	sum := 0.0
	for i := range s {
		switch l.Kind {
		case KD:
			sum += plainKD(s[i], t[i], l.Temperature)
		case StandardizedKD:
			sum += plainKD(standard(s[i]), standard(t[i]), l.Temperature)
		case DKD:
			sum += plainDKD(s[i], t[i], labels[i], l)
		case Scores:
			for k := range s[i] {
				sum += (s[i][k] - t[i][k]) * (s[i][k] - t[i][k]) / float64(len(s[i]))
			}
		}
	}
	return sum / float64(len(s))
}

func scores64(r *rand.Rand, rows, classes int) (*tensor.Tensor, [][]float64) {
	x, list := tensor.New(tensor.Float64, rows, classes), make([][]float64, rows)
	for i := range list {
		list[i] = make([]float64, classes)
		for k := range list[i] {
			list[i][k] = 3 * r.NormFloat64()
			x.SetFloat(i*classes+k, list[i][k])
		}
	}
	return x, list
}

// written compiles a loss over graph inputs and its gradient by the first of them, and
// returns what the reference executor makes of them.
func written(t *testing.T, in []*tensor.Tensor, write func(p *pupil, v []*graph.Value) *graph.Value) (loss float64, slope *tensor.Tensor) {
	t.Helper()
	g := graph.New("lesson")
	var v []*graph.Value
	var values []op.Value
	for _, x := range in {
		v = append(v, g.Input("x", graph.TypeOf(x)))
		values = append(values, x)
	}
	facts := op.NewFacts()
	var y *graph.Value
	err := op.Build(g, facts, "lesson", func(o *op.Builder) error {
		y = write(&pupil{Builder: o, Distillation: &Distillation{}}, v)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := autodiff.Gradients(g, facts, y, v[:1])
	if err != nil {
		t.Fatal(err)
	}
	g.Output(y, d[0])
	out, err := interp.Run(context.Background(), g, values)
	if err != nil {
		t.Fatal(err)
	}
	return out[0].(*tensor.Tensor).Float(0), out[1].(*tensor.Tensor)
}

func TestLossesAgainstScores(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	const rows, classes = 5, 6
	sx, s := scores64(r, rows, classes)
	tx, teacher := scores64(r, rows, classes)
	labels, ints, soft := make([]int, rows), tensor.New(tensor.Int64, rows), tensor.New(tensor.Float64, rows, classes)
	best := make([]int, rows)
	for i := range labels {
		labels[i] = r.IntN(classes)
		ints.SetInt(i, int64(labels[i]))
		soft.SetFloat(i*classes+labels[i], 0.6)
		soft.SetFloat(i*classes+(labels[i]+1)%classes, 0.4)
		for k, v := range teacher[i] {
			if v > teacher[i][best[i]] {
				best[i] = k
			}
		}
	}
	for _, c := range []struct {
		lesson Lesson
		target *tensor.Tensor
		labels []int
	}{
		{Lesson{Kind: KD}, ints, labels}, {Lesson{Kind: KD, Temperature: 1}, ints, labels},
		{Lesson{Kind: StandardizedKD}, ints, labels}, {Lesson{Kind: DKD}, ints, labels}, {Lesson{Kind: DKD, Alpha: 2, Beta: 0.5}, soft, labels},
		{Lesson{Kind: DKD, Temperature: 2}, nil, best}, {Lesson{Kind: DIST}, ints, labels}, {Lesson{Kind: DIST, Temperature: 1}, ints, labels},
		{Lesson{Kind: Scores}, ints, labels},
	} {
		l, err := c.lesson.Complete()
		if err != nil {
			t.Fatal(err)
		}
		in := []*tensor.Tensor{sx, tx}
		if c.target != nil {
			in = append(in, c.target)
		}
		got, slope := written(t, in, func(p *pupil, v []*graph.Value) *graph.Value {
			p.student, p.teacher = &graph.Graph{Outputs: v[:1]}, &graph.Graph{Outputs: v[1:2]}
			if c.target != nil {
				p.target = v[2]
			}
			return p.lesson(l)
		})
		if want := plain(l, s, teacher, c.labels); math.Abs(got-want) > 1e-9*(1+math.Abs(want)) {
			t.Errorf("%+v: graph %.12g, formula %.12g", l, got, want)
		}
		const h = 1e-5
		for i := range s {
			for k := range s[i] {
				was := s[i][k]
				s[i][k] = was + h
				up := plain(l, s, teacher, c.labels)
				s[i][k] = was - h
				down := plain(l, s, teacher, c.labels)
				s[i][k] = was
				want := (up - down) / (2 * h)
				if got := slope.Float(i*classes + k); math.Abs(got-want) > 1e-6*(1+math.Abs(want)) {
					t.Fatalf("%+v: slope by score %d of row %d: graph %.9g, differences %.9g", l, k, i, got, want)
				}
			}
		}
	}
}

// TestLossesOfPositions compares scores [N, C, H, W] with the same as rows.
func TestLossesOfPositions(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	s, u := tensor.New(tensor.Float64, 2, 4, 2, 3), tensor.New(tensor.Float64, 2, 4, 2, 3)
	a, b := make([][]float64, 12), make([][]float64, 12)
	for n := range 2 {
		for c := range 4 {
			for k := range 6 {
				x, y := r.NormFloat64(), r.NormFloat64()
				s.SetFloat((n*4+c)*6+k, x)
				u.SetFloat((n*4+c)*6+k, y)
				a[n*6+k], b[n*6+k] = append(a[n*6+k], x), append(b[n*6+k], y)
			}
		}
	}
	l, _ := Lesson{Kind: DIST}.Complete()
	got, _ := written(t, []*tensor.Tensor{s, u}, func(p *pupil, v []*graph.Value) *graph.Value {
		p.student, p.teacher = &graph.Graph{Outputs: v[:1]}, &graph.Graph{Outputs: v[1:2]}
		return p.lesson(l)
	})
	if want := plain(l, a, b, nil); math.Abs(got-want) > 1e-9 {
		t.Errorf("graph %.12g, formula %.12g", got, want)
	}
}

func features64(r *rand.Rand, shape ...int) *tensor.Tensor {
	x := tensor.New(tensor.Float64, shape...)
	for i := range x.Len() {
		x.SetFloat(i, r.NormFloat64())
	}
	return x
}

func TestLossesAgainstFeatures(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 17))
	const n, cs, ct, size = 2, 3, 5, 4
	s, u := features64(r, n, cs, 2, 2), features64(r, n, ct, 2, 2)
	attention := func() float64 {
		look := func(x *tensor.Tensor, i, c int) []float64 {
			m, length := make([]float64, size), 0.0
			for k := range size {
				for j := range c {
					m[k] += math.Pow(x.Float((i*c+j)*size+k), 2) / float64(c)
				}
				length += m[k] * m[k]
			}
			for k := range m {
				m[k] /= math.Sqrt(length)
			}
			return m
		}
		sum := 0.0
		for i := range n {
			a, b := look(s, i, cs), look(u, i, ct)
			for k := range a {
				sum += (a[k] - b[k]) * (a[k] - b[k]) / (n * size)
			}
		}
		return sum
	}
	var w *tensor.Tensor
	hint := func() float64 {
		sum := 0.0
		for i := range n {
			for o := range ct {
				for k := range size {
					y := 0.0
					for j := range cs {
						y += w.Float(o*cs+j) * s.Float((i*cs+j)*size+k)
					}
					d := y - u.Float((i*ct+o)*size+k)
					sum += d * d / (n * ct * size)
				}
			}
		}
		return sum
	}
	for name, c := range map[string]struct {
		write func(p *pupil, v []*graph.Value) *graph.Value
		plain func() float64
	}{
		"attention": {func(p *pupil, v []*graph.Value) *graph.Value { return p.attention(v[0], v[1]) }, attention},
		"hint": {func(p *pupil, v []*graph.Value) *graph.Value {
			y := p.hint(v[0], v[1])
			w = p.adaptors[0].Const
			return y
		}, hint},
	} {
		got, slope := written(t, []*tensor.Tensor{s, u}, c.write)
		if want := c.plain(); math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: graph %.12g, formula %.12g", name, got, want)
		}
		const h = 1e-5
		for i := range s.Len() {
			was := s.Float(i)
			s.SetFloat(i, was+h)
			up := c.plain()
			s.SetFloat(i, was-h)
			down := c.plain()
			s.SetFloat(i, was)
			if want := (up - down) / (2 * h); math.Abs(slope.Float(i)-want) > 1e-6 {
				t.Fatalf("%s: slope by element %d: graph %.9g, differences %.9g", name, i, slope.Float(i), want)
			}
		}
	}
}

// large is a teacher for what small learns: wider, with another layout of its input, and a
// normalization that has seen data.
func large(r *rand.Rand) *graph.Graph {
	g := graph.New("large")
	x := g.Input("image", graph.TensorType(tensor.Float32, 1, 8, 8, 1))
	weight := func(name string, scale float64, shape ...int) *graph.Value {
		return g.Constant(name, random(r, scale, shape...))
	}
	abs := func(name string, n int) *graph.Value {
		v := random(r, 1, n)
		for i, f := range v.F32() {
			v.F32()[i] = 0.5 + float32(math.Abs(float64(f)))
		}
		return g.Constant(name, v)
	}
	c := g.Add("Transpose", "first", graph.Attrs{"perm": []int64{0, 3, 1, 2}}, x)
	c = g.Add("Conv", "conv1", graph.Attrs{"pads": []int64{1, 1, 1, 1}, "strides": []int64{2, 2}}, c, weight("conv1.weight", 0.4, 12, 1, 3, 3))
	c = g.Add("BatchNormalization", "bn1", nil, c, abs("bn1.scale", 12), weight("bn1.shift", 1, 12), weight("bn1.mean", 1, 12), abs("bn1.var", 12))
	c = g.Add("Transpose", "last", graph.Attrs{"perm": []int64{0, 2, 3, 1}}, c)
	c = g.Add("Relu", "features", nil, c)
	c = g.Add("Dropout", "drop", nil, c)
	c = g.Add("Reshape", "flat", nil, c, g.Ints("shape", 1, -1))
	c = g.Add("Gemm", "head", nil, c, weight("head.weight", 0.2, 192, 3), weight("head.bias", 0.2, 3))
	g.Output(g.Add("Softmax", "probabilities", nil, c))
	return g
}

func everyLesson() []Lesson {
	return []Lesson{{Kind: KD}, {Kind: StandardizedKD, Weight: 0.3}, {Kind: DKD, Warmup: 4}, {Kind: DIST, Weight: 0.2}, {Kind: Scores, Weight: 0.1},
		{Kind: Hint, Teacher: "features", Student: "relu1"}, {Kind: Attention, Teacher: "features", Student: "residual", Weight: 10}}
}

// TestADistillingStepFollowsTheSlope compares how a step moves weights with differences of
// the loss that it states.
func TestADistillingStepFollowsTheSlope(t *testing.T) {
	r := rand.New(rand.NewPCG(19, 23))
	const rate = 1.0 / 1024
	d := &Distillation{Teacher: large(r), Lessons: everyLesson(), Hard: 0.5, Seed: 2}
	p, err := NewProgram(smooth(small(r)), Spec{Batch: 4, Loss: Loss{Kind: CrossEntropy}, Optimizer: Optimizer{Kind: "sgd", Rate: rate}, Average: 0.9, Distill: d})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range p.Graph.Constants() {
		if strings.HasPrefix(v.Name, "conv1") {
			t.Errorf("the student's %s is no state", v.Name)
		}
	}
	plan, err := engine.Compile(p.Graph, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range plan.Graph().Nodes {
		if strings.HasPrefix(n.Label(), teacherPrefix) && (n.Is("BatchNormalization") || n.Is("Dropout")) {
			t.Errorf("%v of the teacher is computed", n)
		}
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	s := newStep(t, p, rate)
	s.in[0], s.in[p.Data] = bright(r, 4)
	s.in[p.Data+2].SetFloat(0, 1)
	for i := range s.out[1+p.Outputs:] {
		s.out[1+p.Outputs+i] = s.in[p.Data+3+i].Clone()
	}
	loss := func() float64 {
		if err := session.RunInto(context.Background(), s.in, s.out); err != nil {
			t.Fatal(err)
		}
		return s.out[0].Float(0)
	}
	kinds := map[StateKind]int{}
	for i, st := range p.States {
		kinds[st.Kind]++
		if st.Kind != Parameter && st.Kind != Adaptor {
			continue
		}
		x, moved := s.in[p.Data+3+i], s.out[1+p.Outputs+i]
		loss()
		// The steepest of the weights: the others drown in single precision.
		k, slope := 0, 0.0
		for j := range x.Len() {
			if g := (x.Float(j) - moved.Float(j)) / rate; math.Abs(g) > math.Abs(slope) {
				k, slope = j, g
			}
		}
		const h = 1.0 / 256
		was := x.Float(k)
		x.SetFloat(k, was+h)
		up := loss()
		x.SetFloat(k, was-h)
		down := loss()
		x.SetFloat(k, was)
		if want := (up - down) / (2 * h); math.Abs(slope-want) > 0.02*(0.1+math.Abs(want)) {
			t.Errorf("%s[%d] moves along %.5g, differences give %.5g", st.Name, k, slope, want)
		}
	}
	if kinds[Adaptor] != 2 || kinds[Parameter] != kinds[Average] {
		t.Errorf("states %v: want two of an adaptor and an average of each parameter", kinds)
	}
}

// smooth puts functions without corners in the place of those that have some.
func smooth(g *graph.Graph) *graph.Graph {
	for _, n := range g.Nodes {
		switch n.Op {
		case "Relu":
			n.Op = "Softplus"
		case "MaxPool":
			n.Op = "AveragePool"
		case "Dropout":
			n.Inputs = n.Inputs[:1]
			n.Op = "Identity"
		}
	}
	return g
}
