package train

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The losses here compare scores [rows, classes] of student and teacher. The teacher's are
// constants to the backward pass.

func (p *pupil) scale(v *graph.Value, a float64) *graph.Value {
	return p.Op("Mul", nil, v, p.Number(a, v))
}

// overClasses applies an operator along the classes.
func (p *pupil) overClasses(name string, v *graph.Value) *graph.Value {
	return p.Op(name, graph.Attrs{"axis": int64(1)}, v)
}

// folded applies a Reduce operator along an axis, which stays with size 1.
func (p *pupil) folded(name string, v *graph.Value, axis int) *graph.Value {
	return p.Op(name, nil, v, p.Ints(axis))
}

// mean is that of all elements.
func (p *pupil) mean(v *graph.Value) *graph.Value {
	return p.Op("ReduceMean", graph.Attrs{"keepdims": int64(0)}, v)
}

// distance is the mean squared difference (Ba and Caruana, "Do Deep Nets Really Need to be
// Deep?", NeurIPS 2014, where scores are logits).
func (p *pupil) distance(s, t *graph.Value) *graph.Value {
	d := p.Op("Sub", nil, s, t)
	return p.mean(p.Op("Mul", nil, d, d))
}

// kd is T²·KL(softmax(t/T) ‖ softmax(s/T)) (Hinton, Vinyals and Dean, "Distilling the
// Knowledge in a Neural Network", 2015, section 2). The factor keeps the size of the
// gradients when T changes.
func (p *pupil) kd(s, t *graph.Value, temperature float64) *graph.Value {
	cool := 1 / temperature
	target := p.overClasses("Softmax", p.scale(t, cool))
	return p.scale(divergence(p.Builder, p.overClasses("LogSoftmax", p.scale(s, cool)), target), temperature*temperature)
}

// standardized brings the scores of each row to mean 0 and deviation 1, so that the student
// need not match the size of the teacher's (Sun et al., "Logit Standardization in Knowledge
// Distillation", CVPR 2024, section 4).
func (p *pupil) standardized(y *graph.Value) *graph.Value {
	d := p.Op("Sub", nil, y, p.folded("ReduceMean", y, 1))
	variance := p.folded("ReduceMean", p.Op("Mul", nil, d, d), 1)
	// Rows of equal scores have none; they stay zero, with a slope.
	const floor = 1e-14
	return p.Op("Div", nil, d, p.Op("Sqrt", nil, p.Op("Add", nil, variance, p.Number(floor, y))))
}

// dkd is T²·(alpha·TCKD + beta·NCKD) (Zhao et al., "Decoupled Knowledge Distillation", CVPR
// 2022, equation 7): the divergence of the target class against all others, and that among
// the others. Without targets the teacher's best class takes their place.
func (p *pupil) dkd(s, t *graph.Value, l Lesson) *graph.Value {
	mask := p.Op("Where", nil, p.isTarget(t), p.Number(1, s), p.Number(0, s))
	// A score so low takes no part in a softmax.
	const absent = -1000
	others := func(v *graph.Value) *graph.Value { return p.Op("Add", nil, v, p.scale(mask, absent)) }
	s, t = p.scale(s, 1/l.Temperature), p.scale(t, 1/l.Temperature)
	// The logarithms of the probabilities of the target and of all the others together.
	binary := func(v *graph.Value) *graph.Value {
		log := p.overClasses("LogSoftmax", v)
		target := p.folded("ReduceSum", p.Op("Mul", nil, log, mask), 1)
		return p.Op("Concat", graph.Attrs{"axis": int64(1)}, target, p.folded("ReduceLogSumExp", others(log), 1))
	}
	target := divergence(p.Builder, binary(s), p.Op("Exp", nil, binary(t)))
	rest := divergence(p.Builder, p.overClasses("LogSoftmax", others(s)), p.overClasses("Softmax", others(t)))
	both := p.Op("Add", nil, p.scale(target, l.Alpha), p.scale(rest, l.Beta))
	return p.scale(both, l.Temperature*l.Temperature)
}

// isTarget marks the target's class in each row: the label, or the likeliest one of a soft
// target or, without targets, of the teacher.
func (p *pupil) isTarget(t *graph.Value) *graph.Value {
	label := p.target
	switch {
	case label == nil:
		label = p.overClasses("ArgMax", t)
	case label.Type.DType == tensor.Int64:
		label = p.Op("Reshape", nil, label, p.Ints(-1, 1))
	default:
		label = p.overClasses("ArgMax", p.rows(label))
	}
	classes := make([]int, p.Shape(t)[1])
	for i := range classes {
		classes[i] = i
	}
	return p.Op("Equal", nil, label, p.Ints(classes...))
}

// dist is T²·(beta·(1 - mean ρ of rows) + gamma·(1 - mean ρ of columns)) over the softened
// probabilities, ρ being Pearson's correlation (Huang et al., "Knowledge Distillation from A
// Stronger Teacher", NeurIPS 2022, section 3).
func (p *pupil) dist(s, t *graph.Value, l Lesson) *graph.Value {
	soft := func(v *graph.Value) *graph.Value { return p.overClasses("Softmax", p.scale(v, 1/l.Temperature)) }
	s, t = soft(s), soft(t)
	part := func(axis int, weight float64) *graph.Value {
		miss := p.Op("Sub", nil, p.Number(1, s), p.mean(p.correlation(s, t, axis)))
		return p.scale(miss, weight*l.Temperature*l.Temperature)
	}
	return p.Op("Add", nil, part(1, l.Beta), part(0, l.Gamma))
}

// correlation is Pearson's along an axis; 0 where one side does not vary.
func (p *pupil) correlation(x, y *graph.Value, axis int) *graph.Value {
	centred := func(v *graph.Value) *graph.Value { return p.Op("Sub", nil, v, p.folded("ReduceMean", v, axis)) }
	dot := func(a, b *graph.Value) *graph.Value { return p.folded("ReduceSum", p.Op("Mul", nil, a, b), axis) }
	x, y = centred(x), centred(y)
	return p.Op("Div", nil, dot(x, y), p.Op("Mul", nil, p.root(dot(x, x)), p.root(dot(y, y))))
}

// root is √v for sums of squares, with a floor under it: the slope at zero is infinite.
func (p *pupil) root(v *graph.Value) *graph.Value {
	return p.Op("Sqrt", nil, p.Op("Max", nil, v, p.Number(1e-16, v)))
}

// rows brings scores [N, C, d...] to [N·d..., C]: every position classifies.
func (p *pupil) rows(v *graph.Value) *graph.Value {
	s := p.Shape(v)
	if len(s) < 2 {
		p.Fail("%v has no classes to be taught", v)
	}
	if len(s) == 2 {
		return v
	}
	perm, rest := []int64{0}, int64(1)
	for i, d := range s[2:] {
		perm, rest = append(perm, int64(i+2)), rest*int64(d)
	}
	if rest > 1 {
		v = p.Op("Transpose", graph.Attrs{"perm": append(perm, 1)}, v)
	}
	if rest > math.MaxInt32 {
		p.Fail("%v has too many positions", v)
	}
	return p.Op("Reshape", nil, v, p.Ints(s[0]*int(rest), s[1]))
}
