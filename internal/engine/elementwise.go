package engine

import (
	"fmt"
	"math"
	"slices"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func init() {
	lowers(lowerActivation, "", "Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish", "Swish", "Gelu", "Elu",
		"Softplus", "Mish")
	for name := range plainActs {
		lowers(lowerActivation, "", name)
	}
	lowers(lowerActivation, graph.DomainMicrosoft, "Gelu", "FastGelu")
	for name := range functions {
		lowers(lowerFunction, "", name)
	}
	for name := range binaries {
		lowers(lowerBinary, "", name)
	}
	lowers(lowerSelu, "", "Selu")
	lowers(lowerPRelu, "", "PRelu")
	lowers(lowerPow, "", "Pow")
}

// unitElements is how many elements an elementwise step computes as one unit.
const unitElements = 4096

// elementwise describes a step over one dense input that keeps its memory order: made
// where f computes dst from src, both of n elements.
func (l *lowerer) elementwise(n *graph.Node, kernelName string, f func(dst, src []float32)) string {
	in := l.dense(n.In(0))
	out := l.make(n.Outputs[0], in.strides, nil)
	total := in.len()
	l.add(&step{name: n.Label(), op: n.Op, kernel: kernelName, reads: []*ref{in}, writes: []*ref{out}, inPlace: true,
		units: (total + unitElements - 1) / unitElements,
		run: func(s *Session, _, lo, hi int) {
			a, b := lo*unitElements, min(hi*unitElements, total)
			f(s.f32(out)[a:b], s.f32(in)[a:b])
		}})
	return ""
}

// dense returns a form of v without gaps, in any order.
func (l *lowerer) dense(v *graph.Value) *ref {
	biased := v.Type.DType == tensor.Int8
	if r := l.find(v, func(r *ref) bool { return r.dense() && r.biased == biased }); r != nil {
		return r
	}
	r := l.first(v)
	if _, ok := r.channelsLast(); ok && len(r.shape) > 2 {
		return l.convert(v, r.shape, channelsLastStrides(r.shape, r.shape[1]), biased)
	}
	return l.plainBytes(v)
}

func isF32(vs ...*graph.Value) bool {
	for _, v := range vs {
		if v != nil && v.Type.DType != tensor.Float32 {
			return false
		}
	}
	return true
}

func lowerActivation(l *lowerer, n *graph.Node) string {
	if d := n.In(0).Type.DType; n.Op == "Clip" && (d == tensor.Uint8 || d == tensor.Int8) {
		return lowerByteClip(l, n)
	}
	a, ok := activation(n)
	if !ok {
		return fmt.Sprintf("%v with these operands has no kernel", n.In(0).Type.DType)
	}
	level := l.level
	return l.elementwise(n, "act "+a.Kind.String(), func(dst, src []float32) { a.Apply(level, dst, src) })
}

// functions are float32 functions of one value that are not worth a kernel of their own.
var functions = map[string]func(float32) float32{
	"Neg":        func(x float32) float32 { return -x },
	"Reciprocal": func(x float32) float32 { return 1 / x },
	"Sin":        func(x float32) float32 { return float32(math.Sin(float64(x))) },
	"Cos":        func(x float32) float32 { return float32(math.Cos(float64(x))) },
}

func lowerSelu(l *lowerer, n *graph.Node) string {
	if !isF32(n.In(0)) {
		return fmt.Sprintf("%v has no kernel", n.In(0).Type.DType)
	}
	level := l.level
	elu := kernel.Act{Kind: kernel.ActElu, Alpha: n.Attrs.Float("alpha", 1.67326319217681884765625)}
	gamma := []float32{n.Attrs.Float("gamma", 1.05070102214813232421875)}
	return l.elementwise(n, "act elu", func(dst, src []float32) {
		elu.Apply(level, dst, src)
		kernel.Mul.Apply(level, dst, dst, gamma)
	})
}

var minusOne, one = []float32{-1}, []float32{1}

func lowerFunction(l *lowerer, n *graph.Node) string {
	if !isF32(n.In(0)) {
		return fmt.Sprintf("%v has no kernel", n.In(0).Type.DType)
	}
	level := l.level
	switch n.Op {
	case "Neg":
		return l.elementwise(n, "binary mul", func(dst, src []float32) { kernel.Mul.Apply(level, dst, src, minusOne) })
	case "Reciprocal":
		return l.elementwise(n, "binary rdiv", func(dst, src []float32) { kernel.RDiv.Apply(level, dst, src, one) })
	}
	f := functions[n.Op]
	return l.elementwise(n, "map", func(dst, src []float32) {
		for i, x := range src {
			dst[i] = f(x)
		}
	})
}

var binaries = map[string]kernel.BinaryKind{"Add": kernel.Add, "Sub": kernel.Sub, "Mul": kernel.Mul, "Div": kernel.Div,
	"Min": kernel.Min, "Max": kernel.Max, "Sum": kernel.Add}

var swapped = map[kernel.BinaryKind]kernel.BinaryKind{kernel.Add: kernel.Add, kernel.Mul: kernel.Mul, kernel.Min: kernel.Min,
	kernel.Max: kernel.Max, kernel.Sub: kernel.RSub, kernel.Div: kernel.RDiv}

func lowerBinary(l *lowerer, n *graph.Node) string {
	if len(n.Inputs) != 2 || !isF32(n.Inputs...) {
		return fmt.Sprintf("%d operands of %v have no kernel", len(n.Inputs), n.In(0).Type.DType)
	}
	l.binary(n, binaries[n.Op], n.Inputs[0], n.Inputs[1])
	return ""
}

func lowerPRelu(l *lowerer, n *graph.Node) string {
	x, slope := n.In(0), n.In(1)
	if !isF32(n.Inputs...) || slope.Const == nil {
		return "a computed slope has no kernel"
	}
	xs, _ := x.Type.Static()
	if s, err := op.BroadcastShape(slope.Const.Shape(), xs); err != nil || !slices.Equal(s, xs) {
		return "the slope does not broadcast to the input"
	}
	in := l.dense(x)
	out := l.make(n.Outputs[0], in.strides, nil)
	rs := l.first(slope)
	p := newPair(in, rs, out)
	k := prelu{l.level}
	l.add(&step{name: n.Label(), op: n.Op, kernel: "prelu f32", reads: []*ref{in, rs}, writes: []*ref{out}, units: p.units,
		run: func(s *Session, _, lo, hi int) { runPair(p, k, s.f32(out), s.f32(in), s.f32(rs), lo, hi) }})
	return ""
}

type prelu struct{ level cpu.Level }

func (k prelu) apply(y, x, slope []float32) { kernel.PRelu.Apply(k.level, y, x, slope) }

// reverse is for one value of x and many slopes.
func (k prelu) reverse(y, slope, x []float32) {
	for i := range y {
		kernel.PRelu.Apply(k.level, y[i:i+1], x[:1], slope[i:i+1])
	}
}

// lowerPow covers constant exponents.
func lowerPow(l *lowerer, n *graph.Node) string {
	x, e := n.In(0), n.In(1)
	if !isF32(x) || e.Const == nil || e.Const.Len() != 1 || e.Const.Rank() > len(x.Type.Shape) || !e.Const.DType().IsFloat() {
		return "only a constant exponent has a kernel"
	}
	level := l.level
	switch y := e.Const.Float(0); y {
	case 2:
		return l.elementwise(n, "binary mul", func(dst, src []float32) { kernel.Mul.Apply(level, dst, src, src) })
	case 0.5:
		root := kernel.Act{Kind: kernel.ActSqrt}
		return l.elementwise(n, "act sqrt", func(dst, src []float32) { root.Apply(level, dst, src) })
	default:
		return l.elementwise(n, "map", func(dst, src []float32) {
			for i, v := range src {
				dst[i] = float32(math.Pow(float64(v), y))
			}
		})
	}
}

// pair is how two operands meet under broadcasting: nested loops over the result in its
// memory order, the innermost of which is a kernel call.
type pair struct {
	dims    []int // outermost first; the last is the run of one call
	a, b    []int // strides in elements; of the last: 0 or 1, or anything where general
	y       []int
	repeat  int // > 0: b's run repeats this many times within a's
	general bool
	units   int
}

// newPair lines up the operands with the result.
func newPair(a, b, y *ref) *pair {
	p := &pair{}
	order := y.order()
	stride := func(r *ref, dim int) int {
		i := dim - (len(y.shape) - len(r.shape))
		if i < 0 || r.shape[i] == 1 {
			return 0
		}
		return r.strides[i]
	}
	for k := len(order) - 1; k >= 0; k-- {
		i := order[k]
		n := y.shape[i]
		sa, sb, sy := stride(a, i), stride(b, i), y.strides[i]
		if last := len(p.dims) - 1; last >= 0 && p.a[last] == sa*n && p.b[last] == sb*n && p.y[last] == sy*n {
			p.dims[last] *= n
			p.a[last], p.b[last], p.y[last] = sa, sb, sy
			continue
		}
		p.dims, p.a, p.b, p.y = append(p.dims, n), append(p.a, sa), append(p.b, sb), append(p.y, sy)
	}
	if len(p.dims) == 0 {
		p.dims, p.a, p.b, p.y = []int{1}, []int{1}, []int{1}, []int{1}
	}
	last := len(p.dims) - 1
	p.general = p.a[last] > 1 || p.b[last] > 1 || p.y[last] != 1 || p.a[last]+p.b[last] == 0 || p.a[last] < 0 || p.b[last] < 0
	if n := p.dims[last]; !p.general && last >= 1 && p.a[last] == 1 && p.b[last] == 1 && p.a[last-1] == n && p.y[last-1] == n && p.b[last-1] == 0 {
		// A vector along the last dimension: one call repeats it.
		p.repeat = p.dims[last-1]
		p.dims[last-1] = n * p.repeat
		p.a[last-1], p.b[last-1], p.y[last-1] = 1, 1, 1
		p.cut(n)
	}
	if len(p.dims) == 1 {
		p.dims, p.a, p.b, p.y = append([]int{1}, p.dims...), append([]int{0}, p.a...), append([]int{0}, p.b...), append([]int{0}, p.y...)
		if !p.general && p.repeat == 0 {
			p.split(unitElements)
		}
	}
	p.units = p.dims[0]
	return p
}

// cut drops the last dimension after it was joined to the one before; vector is the
// length of b's run. Large runs are divided among units.
func (p *pair) cut(vector int) {
	last := len(p.dims) - 1
	p.dims, p.a, p.b, p.y = p.dims[:last], p.a[:last], p.b[:last], p.y[:last]
	if last != 1 || p.dims[0] <= unitElements {
		return
	}
	rows := max(1, unitElements/vector)
	for p.repeat%rows != 0 {
		rows--
	}
	n := rows * vector
	p.dims = []int{p.dims[0] / n, n}
	p.a, p.b, p.y = []int{n, 1}, []int{0, 1}, []int{n, 1}
	p.repeat = rows
}

// split divides a single run into units of about the given size.
func (p *pair) split(size int) {
	n := p.dims[1]
	if n <= size {
		return
	}
	for n%size != 0 {
		size--
	}
	p.dims = []int{n / size, size}
	p.a[0], p.b[0], p.y[0] = p.a[1]*size, p.b[1]*size, p.y[1]*size
}

// binaryOn computes y from a and b, of which b may be shorter and repeat; reverse is
// for a repeated left operand.
type binaryOn[T tensor.Element] interface {
	apply(y, a, b []T)
	reverse(y, b, a []T)
}

// runPair computes units lo ≤ u < hi.
func runPair[T tensor.Element, K binaryOn[T]](p *pair, k K, y, a, b []T, lo, hi int) {
	for u := lo; u < hi; u++ {
		nestPair(p, k, y, a, b, 1, u*p.y[0], u*p.a[0], u*p.b[0])
	}
}

func nestPair[T tensor.Element, K binaryOn[T]](p *pair, k K, y, a, b []T, dim, iy, ia, ib int) {
	n := p.dims[dim]
	if dim < len(p.dims)-1 {
		for range n {
			nestPair(p, k, y, a, b, dim+1, iy, ia, ib)
			iy += p.y[dim]
			ia += p.a[dim]
			ib += p.b[dim]
		}
		return
	}
	switch {
	case p.general:
		sa, sb, sy := p.a[dim], p.b[dim], p.y[dim]
		for i := range n {
			k.apply(y[iy+i*sy:][:1], a[ia+i*sa:][:1], b[ib+i*sb:][:1])
		}
	case p.repeat > 0:
		k.apply(y[iy:iy+n], a[ia:ia+n], b[ib:ib+n/p.repeat])
	case p.b[dim] == 0:
		k.apply(y[iy:iy+n], a[ia:ia+n], b[ib:ib+1])
	case p.a[dim] == 0:
		k.reverse(y[iy:iy+n], b[ib:ib+n], a[ia:ia+1])
	default:
		k.apply(y[iy:iy+n], a[ia:ia+n], b[ib:ib+n])
	}
}

// kernelBinary is a kernel with its level.
type kernelBinary struct {
	kind, swapped kernel.BinaryKind
	level         cpu.Level
}

func (k kernelBinary) apply(y, a, b []float32)   { k.kind.Apply(k.level, y, a, b) }
func (k kernelBinary) reverse(y, b, a []float32) { k.swapped.Apply(k.level, y, b, a) }

// operands chooses forms for two operands of a broadcasting operator and makes the
// result. Operands of the result's shape share one memory order, that of the first
// which is computed and dense, channels-last winning over plain.
func (l *lowerer) operands(a, b, y *graph.Value) (ra, rb, out *ref) {
	ys, _ := y.Type.Static()
	full := func(v *graph.Value) bool {
		s, _ := v.Type.Static()
		return slices.Equal(s, ys)
	}
	var lead *ref
	for _, v := range []*graph.Value{a, b} {
		if !full(v) || v.Const != nil {
			continue
		}
		r := l.dense(v)
		_, last := r.channelsLast()
		if lead == nil || lead.plain() && last && !r.plain() {
			lead = r
		}
	}
	strides := tensor.Strides(ys)
	if lead != nil {
		strides = lead.strides
	}
	out = l.make(y, strides, nil)
	form := func(v *graph.Value) *ref {
		if full(v) {
			return l.like(v, out)
		}
		r := l.first(v)
		if r.biased != (v.Type.DType == tensor.Int8) {
			return l.plainBytes(v)
		}
		return r
	}
	return form(a), form(b), out
}

func (l *lowerer) binary(n *graph.Node, kind kernel.BinaryKind, a, b *graph.Value) {
	ra, rb, out := l.operands(a, b, n.Outputs[0])
	if len(ra.shape) < len(out.shape) || ra.len() < out.len() {
		// The kernels repeat their second operand, and a result may take the place of
		// the first.
		ra, rb, kind = rb, ra, swapped[kind]
	}
	k := kernelBinary{kind, swapped[kind], l.level}
	p := newPair(ra, rb, out)
	l.add(&step{name: n.Label(), op: n.Op, kernel: "binary " + kind.String(), reads: []*ref{ra, rb}, writes: []*ref{out},
		inPlace: sameStrides(ra, out) && ra.len() == out.len() && (ra.buf != rb.buf || ra.same(rb)), units: p.units,
		run: func(s *Session, _, lo, hi int) { runPair(p, k, s.f32(out), s.f32(ra), s.f32(rb), lo, hi) }})
}
