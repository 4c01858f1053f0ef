package tflite

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// importer turns a model into a graph. Inference runs along, node by node, so that an
// operator sees the types of its inputs, and contents where they are known.
type importer struct {
	model   *model
	facts   *op.Facts
	refused map[string]*UnsupportedOp
	order   []string // keys of refused in order of appearance
	room    int64    // bytes that what is made here may still take
	moved   map[permutation]*graph.Value
	depth   int // of control flow
	body    int // operators imported into bodies

	// refusedValues stand for what refused inputs and operators give, so that the import
	// can go on and find everything else that is refused.
	refusedValues map[*graph.Value]bool
}

// What the import makes (nodes, weights in another order or type) may take unfoldFactor
// times the file: a small constant named by many operators must not fill the memory.
const (
	unfoldFactor = 8
	unfoldFloor  = 64 << 20
	nodeBytes    = 512 // what a node costs, roughly
)

// Bounds on control flow: how deep it nests, and how many operators its bodies have in all,
// counting a subgraph as often as it is used.
const (
	maxDepth = 4
	maxBody  = 1 << 18
)

func importModel(data []byte) (*graph.Graph, error) {
	if !Sniff(data) {
		return nil, errors.New("not a TensorFlow Lite model: the identifier TFL3 is missing")
	}
	m, err := readModel(data)
	if err != nil {
		return nil, err
	}
	im := &importer{model: m, facts: op.NewFacts(), refused: map[string]*UnsupportedOp{},
		room: unfoldFactor*int64(len(data)) + unfoldFloor, moved: map[permutation]*graph.Value{}, refusedValues: map[*graph.Value]bool{}}
	g := graph.New(m.subgraphs[0].name)
	if g.Name == "" {
		g.Name = "main"
	}
	s := im.scope(g, &m.subgraphs[0])
	err = s.run()
	if len(im.order) > 0 {
		u := &UnsupportedError{}
		for _, k := range im.order {
			u.Ops = append(u.Ops, *im.refused[k])
		}
		return nil, u
	}
	if err != nil {
		return nil, err
	}
	g.Prune() // dequantized weights that were needed in another order
	explicitPads(g)
	if err := g.Verify(); err != nil {
		return nil, err
	}
	readMetadata(g, m, data)
	return g, nil
}

// refuse notes that something has no form here. The import goes on with outputs of
// the types that the file states, to find everything else that is refused.
func (im *importer) refuse(name, reason, first string) {
	key := name + "\x00" + reason
	r := im.refused[key]
	if r == nil {
		r = &UnsupportedOp{Name: name, Reason: reason, First: first}
		im.refused[key] = r
		im.order = append(im.order, key)
	}
	r.Count++
}

// scope is the import of one subgraph into a graph or body.
type scope struct {
	*importer
	g      *graph.Graph
	sub    *subgraph
	stored []*graph.Value // by tensor: the value with the file's element type
	real   []*graph.Value // by tensor: the number it stands for; differs where quantized
	params []parameters   // by tensor: scale and zero point as constants
	made   []bool         // by tensor: an operator or input makes it
}

type parameters struct{ scale, zero *graph.Value }

func (im *importer) scope(g *graph.Graph, sub *subgraph) *scope {
	n := len(sub.tensors)
	s := &scope{importer: im, g: g, sub: sub, stored: make([]*graph.Value, n), real: make([]*graph.Value, n),
		params: make([]parameters, n), made: make([]bool, n)}
	for _, t := range sub.inputs {
		s.made[t] = true
	}
	for _, o := range sub.operators {
		for _, t := range o.outputs {
			s.made[t] = true
		}
	}
	return s
}

// failure ends the import of an operator from deep inside; it never leaves the package.
type failure struct {
	err         error
	unsupported bool
}

// run imports the first subgraph, whose inputs and outputs are the graph's.
func (s *scope) run() error {
	for _, t := range s.sub.inputs {
		if s.stored[t] != nil {
			return fmt.Errorf("tensor %d is an input twice", t)
		}
		x := &s.sub.tensors[t]
		typ, err := inputType(x)
		if err != nil {
			return fmt.Errorf("input %s: %w", x.name, err)
		}
		if x.dtype == tensor.Invalid || x.dtype == tensor.Int4 {
			s.refuse("input of type "+typeName(x), "", x.name)
		}
		s.stored[t] = s.g.Input(x.name, typ)
		s.refusedValues[s.stored[t]] = x.dtype == tensor.Invalid || x.dtype == tensor.Int4
	}
	if err := s.operators(); err != nil {
		return err
	}
	for _, t := range s.sub.outputs {
		v, err := s.output(int(t))
		if err != nil {
			return err
		}
		if name := s.sub.tensors[t].name; v.Name != name && !strings.HasPrefix(v.Name, name+"_") {
			v = s.identity(v, name) // the file's name must be found among the outputs
		}
		s.g.Output(v)
	}
	return nil
}

// output returns an output of the subgraph. One that is refused gets a placeholder.
func (s *scope) output(t int) (v *graph.Value, err error) {
	x := &s.sub.tensors[t]
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			if r.unsupported {
				s.refuse("output "+x.name, r.err.Error(), x.name)
				typ, _ := inputType(x)
				v = s.g.NewValue("", typ)
				return
			}
			err = fmt.Errorf("output %s: %w", x.name, r.err)
		default:
			panic(r)
		}
	}()
	return s.value(t), nil
}

func (s *scope) identity(v *graph.Value, name string) *graph.Value {
	n := s.g.NewNode("Identity", "", name, nil, []*graph.Value{v}, name)
	n.Outputs[0].Type = v.Type.Clone()
	s.g.Nodes = append(s.g.Nodes, n)
	return n.Outputs[0]
}

func (s *scope) operators() error {
	for i := range s.sub.operators {
		o := &operation{scope: s, operator: &s.sub.operators[i], code: s.model.codes[s.sub.operators[i].code]}
		o.name = o.code.name()
		if len(o.outputs) > 0 {
			o.base = s.sub.tensors[o.outputs[0]].name
		}
		if s.depth > 0 {
			if s.body++; s.body > maxBody {
				return errors.New("the bodies of control flow have too many operators")
			}
		}
		if err := o.run(); err != nil {
			return fmt.Errorf("operator %d (%s, makes %q): %w", i, o.name, o.base, err)
		}
	}
	return nil
}

func inputType(x *tensorInfo) (graph.Type, error) {
	shape := make(graph.Shape, len(x.shape))
	sizes := make([]int, len(x.shape))
	for i, d := range x.shape {
		if d < -1 {
			return graph.Type{}, fmt.Errorf("shape %v has a negative size", x.shape)
		}
		shape[i] = graph.Dim{Size: int(d)}
		sizes[i] = max(1, int(d))
	}
	if _, err := tensor.NumElements(sizes); err != nil {
		return graph.Type{}, err
	}
	return graph.Type{DType: x.dtype, Shape: shape}, nil
}

func typeName(x *tensorInfo) string {
	if x.dtype != tensor.Invalid {
		return x.dtype.String()
	}
	if s, ok := rawTypeNames[x.rawType]; ok {
		return s
	}
	return fmt.Sprint("number ", x.rawType)
}

func (s *scope) fail(format string, args ...any) {
	panic(failure{err: fmt.Errorf(format, args...)})
}

// unsupported ends the import of an operator whose form has no meaning here.
func (s *scope) unsupported(format string, args ...any) {
	panic(failure{err: fmt.Errorf(format, args...), unsupported: true})
}

// value returns the tensor as the file stores it, making a constant at first use.
func (s *scope) value(t int) *graph.Value {
	if v := s.stored[t]; v != nil {
		return v
	}
	x := &s.sub.tensors[t]
	if s.made[t] {
		s.fail("tensor %d (%s) is used before it is made", t, x.name)
	}
	if x.variable {
		s.unsupported("tensor %s is a variable: models with state are not read", x.name)
	}
	v := s.g.Constant(x.name, s.constant(x))
	s.stored[t] = v
	return v
}

// constant wraps a tensor's buffer. Int4 is widened to Int8, for which there are kernels.
func (s *scope) constant(x *tensorInfo) *tensor.Tensor {
	shape := make([]int, len(x.shape))
	for i, d := range x.shape {
		shape[i] = int(d)
	}
	n, err := tensor.NumElements(shape)
	if err != nil {
		s.fail("tensor %s: %w", x.name, err)
	}
	var data []byte
	if x.buffer < len(s.model.buffers) {
		data = s.model.buffers[x.buffer]
	}
	switch {
	case x.sparse:
		s.unsupported("tensor %s is stored sparsely", x.name)
	case x.dtype == tensor.Invalid:
		s.unsupported("tensor %s is of type %s", x.name, typeName(x))
	case n > 0 && len(data) == 0:
		s.fail("tensor %s has no contents and nothing makes it", x.name)
	}
	if size := x.dtype.Bits() / 8; size > 1 && !aligned(data, size) {
		s.take(len(data))
	}
	t, err := tensor.FromBytes(x.dtype, shape, data)
	if err != nil {
		s.fail("tensor %s: %w", x.name, err)
	}
	if x.dtype == tensor.Int4 {
		s.take(n)
		wide := tensor.New(tensor.Int8, shape...)
		for i := range n {
			wide.SetInt(i, t.Int(i))
		}
		return wide
	}
	if x.dtype == tensor.Bool {
		// Any byte but 0 is true; slices of bool must hold 0 and 1 only.
		for _, b := range data {
			if b > 1 {
				s.fail("tensor %s holds %d, which is no truth value", x.name, b)
			}
		}
	}
	return t
}

// take charges n bytes of memory.
func (im *importer) take(n int) {
	if im.room -= int64(n); im.room < 0 {
		panic(failure{err: errors.New("the file unfolds to far more than its size")})
	}
}

// quantized returns the parameters of a tensor of small integers that stand for real
// numbers, nil when its elements stand for themselves.
func (s *scope) quantized(t int) *quantization {
	x := &s.sub.tensors[t]
	if x.quant == nil {
		return nil
	}
	switch x.dtype {
	case tensor.Int4, tensor.Int8, tensor.Uint8, tensor.Int16:
	default:
		return nil
	}
	q := x.quant
	if q.kind != 0 {
		s.unsupported("tensor %s is quantized in a way of its own (details of kind %d)", x.name, q.kind)
	}
	if len(q.zero) > 1 && len(q.zero) != len(q.scale) {
		s.fail("tensor %s has %d scales and %d zero points", x.name, len(q.scale), len(q.zero))
	}
	for _, v := range q.scale {
		if !(v >= 0) || math.IsInf(float64(v), 0) {
			s.fail("tensor %s has scale %v", x.name, v)
		}
	}
	lo, hi := x.dtype.IntRange()
	for _, z := range q.zero {
		if z < lo || z > hi {
			s.fail("tensor %s has zero point %d, outside of %v", x.name, z, x.dtype)
		}
	}
	if len(q.scale) > 1 && (q.axis < 0 || q.axis >= len(x.shape) || int(x.shape[q.axis]) != len(q.scale)) {
		s.fail("tensor %s of shape %v has %d scales along axis %d", x.name, x.shape, len(q.scale), q.axis)
	}
	return q
}

// number returns the real numbers that a tensor stands for: dequantized where it is
// quantized, else the tensor itself.
func (s *scope) number(t int) *graph.Value {
	if v := s.real[t]; v != nil {
		return v
	}
	v := s.value(t)
	if q := s.quantized(t); q != nil {
		scale, zero := s.parameters(t, v.Type.DType, q)
		attrs := graph.Attrs{}
		if len(q.scale) > 1 {
			attrs["axis"] = int64(q.axis)
		}
		v = s.node("DequantizeLinear", s.sub.tensors[t].name+"/real", attrs, v, scale, zero)
	}
	s.real[t] = v
	return v
}

// parameters returns scale and zero point as constants, scalars when there is one.
func (s *scope) parameters(t int, d tensor.DType, q *quantization) (scale, zero *graph.Value) {
	if p := s.params[t]; p.zero != nil && p.zero.Type.DType == d {
		return p.scale, p.zero
	}
	var shape []int
	if len(q.scale) > 1 {
		shape = []int{len(q.scale)}
	}
	s.take(8 * len(q.scale))
	z := tensor.New(d, shape...)
	for i := range z.Len() {
		switch {
		case i < len(q.zero):
			z.SetInt(i, q.zero[i])
		case len(q.zero) == 1:
			z.SetInt(i, q.zero[0])
		}
	}
	name := s.sub.tensors[t].name
	s.params[t] = parameters{s.g.Constant(name+"/scale", tensor.Of(slices.Clone(q.scale), shape...)), s.g.Constant(name+"/zero", z)}
	return s.params[t].scale, s.params[t].zero
}

// node appends a node with one output and infers its type.
func (s *scope) node(name, output string, attrs graph.Attrs, in ...*graph.Value) *graph.Value {
	return s.nodes(name, output, 1, attrs, in...)[0]
}

func (s *scope) nodes(name, output string, outputs int, attrs graph.Attrs, in ...*graph.Value) []*graph.Value {
	if attrs == nil {
		attrs = graph.Attrs{}
	}
	names := slices.Repeat([]string{output}, outputs)
	n := s.g.NewNode(name, "", "", attrs, in, names...)
	if op.Of(n) == nil {
		s.unsupported("needs the operator %s, which is not known", name)
	}
	if err := op.Check(n); err != nil {
		s.fail("%w", err)
	}
	if err := s.facts.InferNode(n); err != nil {
		s.fail("%w", err)
	}
	// What the graph grows by is charged too, and what inference computed ahead.
	size := nodeBytes
	for _, v := range n.Outputs {
		if t := s.facts.Known(v); t != nil {
			size += t.SizeBytes()
		}
	}
	s.take(size)
	s.g.Nodes = append(s.g.Nodes, n)
	return n.Outputs
}
