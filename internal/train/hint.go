package train

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/spelling"
	"github.com/edgewise-ml/edgewise/tensor"
)

// features returns the tensors that a lesson names, of student and teacher, as floating-point
// [N, C, d...] of one size d: the larger one is averaged down.
func (p *pupil) features(l Lesson) (s, t *graph.Value) {
	s = p.channelsFirst(p.named(p.student, l.Student, "student"))
	t = p.channelsFirst(p.real(p.named(p.teacher, l.Teacher, "teacher")))
	a, b := p.Shape(s), p.Shape(t)
	if len(a) != len(b) || len(a) < 2 || a[0] != b[0] {
		p.Fail("distillation loss %s: the student's %v and the teacher's %v are no tensors [batch, channels, ...] of the same rank", l.Kind, s, t)
	}
	if len(a) > 2 {
		size := make([]int, len(a)-2)
		for i := range size {
			size[i] = min(a[i+2], b[i+2])
		}
		s, t = p.pooled(s, size), p.pooled(t, size)
	}
	return s, t
}

// named finds a tensor by its name or by that of the node that makes it.
func (p *pupil) named(g *graph.Graph, name, whose string) *graph.Value {
	var all []string
	var node *graph.Value
	prefix := ""
	if g == p.teacher {
		prefix = teacherPrefix
	}
	for _, n := range g.Nodes {
		for _, v := range n.Outputs {
			if v == nil {
				continue
			}
			if v.Name == prefix+name {
				return v
			}
			if node == nil && n.Name == prefix+name {
				node = v
			}
			all = append(all, strings.TrimPrefix(v.Name, prefix))
		}
	}
	if node == nil {
		hint := ""
		if near := spelling.Near(name, all, 5); near != nil {
			hint = "; near names: " + strings.Join(near, ", ")
		}
		p.Fail("the %s has no tensor named %q%s", whose, name, hint)
	}
	return node
}

// channelsFirst undoes a channels-last order where the graph shows it: readers of formats
// with that order bring it in as a Transpose, and what follows keeps it up to the next one.
func (p *pupil) channelsFirst(v *graph.Value) *graph.Value {
	rank := len(p.Shape(v))
	if rank < 3 {
		return v
	}
	last, first := []int64{0}, []int64{0, int64(rank - 1)}
	for i := 1; i < rank-1; i++ {
		last, first = append(last, int64(i+1)), append(first, int64(i))
	}
	last = append(last, 1)
	for u := v; u != nil && u.Def != nil; {
		n := u.Def
		if n.Is("Transpose") {
			if slices.Equal(n.Attrs.Ints("perm"), last) {
				return p.Op("Transpose", graph.Attrs{"perm": first}, v)
			}
			break
		}
		if n.Is("Reshape") {
			break
		}
		i := slices.IndexFunc(n.Inputs, func(x *graph.Value) bool { return x != nil && x.Const == nil && len(x.Type.Shape) == rank })
		if i < 0 {
			break
		}
		u = n.Inputs[i]
	}
	return v
}

// pooled averages v [N, C, d...] down to a size.
func (p *pupil) pooled(v *graph.Value, size []int) *graph.Value {
	have := p.Shape(v)[2:]
	if slices.Equal(have, size) {
		return v
	}
	var kernel, stride []int64
	for i, d := range size {
		step := have[i] / d
		stride = append(stride, int64(step))
		kernel = append(kernel, int64(have[i]-(d-1)*step)) // the windows reach to the end
	}
	return p.Op("AveragePool", graph.Attrs{"kernel_shape": kernel, "strides": stride}, v)
}

// hint is the mean squared difference of the teacher's tensor and an adaptor's output over
// the student's: a 1×1 convolution that learns along and is dropped afterwards (Romero et
// al., "FitNets: Hints for Thin Deep Nets", ICLR 2015, equation 3).
func (p *pupil) hint(s, t *graph.Value) *graph.Value {
	a, b := p.Shape(s), p.Shape(t)
	bias, err := tensor.Make(s.Type.DType, []int{b[1]})
	if err != nil {
		p.Fail("%w", err)
	}
	shape := []int{b[1], a[1]}
	if len(a) > 2 {
		shape = append(shape, make([]int, len(a)-2)...)
		for i := range a[2:] {
			shape[i+2] = 1
		}
	}
	name := fmt.Sprintf("adaptor%d", len(p.adaptors)/2)
	w, c := p.Graph.Constant(name+".weight", p.adaptor(name, s.Type.DType, shape)), p.Graph.Constant(name+".bias", bias)
	p.adaptors = append(p.adaptors, w, c)
	if len(a) == 2 {
		return p.distance(p.Op("Gemm", graph.Attrs{"transB": int64(1)}, s, w, c), t)
	}
	return p.distance(p.Op("Conv", nil, s, w, c), t)
}

// adaptor draws first weights [out, in, 1...] (He et al. 2015, without the gain of a ReLU).
func (p *pupil) adaptor(name string, d tensor.DType, shape []int) *tensor.Tensor {
	w, err := tensor.Make(d, shape)
	if err != nil {
		p.Fail("%w", err)
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	r := rand.New(rand.NewPCG(p.Seed, h.Sum64()))
	for i := range w.Len() {
		w.SetFloat(i, r.NormFloat64()/math.Sqrt(float64(shape[1])))
	}
	return w
}

// attention is the mean squared difference of the maps of attention, the means of squares
// over channels brought to length 1 (Zagoruyko and Komodakis, "Paying More Attention to
// Attention", ICLR 2017, section 3.1, with the mean in place of the norm, as in the
// experiments there).
func (p *pupil) attention(s, t *graph.Value) *graph.Value {
	if len(p.Shape(s)) < 3 {
		p.Fail("%v has no positions that attention could be paid to", s)
	}
	look := func(v *graph.Value) *graph.Value {
		m := p.folded("ReduceMean", p.Op("Mul", nil, v, v), 1)
		m = p.Op("Reshape", nil, m, p.Ints(p.Shape(v)[0], -1))
		return p.Op("Div", nil, m, p.root(p.folded("ReduceSum", p.Op("Mul", nil, m, m), 1)))
	}
	return p.distance(look(s), look(t))
}
