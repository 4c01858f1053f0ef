package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/kernel"
	"github.com/edgewise-ml/edgewise/internal/mapfile"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// lowerer turns a graph into steps. It walks the nodes in order and keeps, for every
// value made so far, the forms in which it lies in memory.
type lowerer struct {
	plan  *Plan
	g     *graph.Graph
	level cpu.Level
	uses  []int
	users [][]*graph.Node

	forms  map[*graph.Value][]*ref // first the one it was made in
	target map[*graph.Value]*ref   // where a concatenation wants a value to be made
	output map[*graph.Value]int    // graph outputs, first occurrence

	groups   map[*graph.Node]*group
	stats    map[*graph.Value]*statistics // of batch normalizations in training
	norms    map[*graph.Node]*normalization
	summed   map[*graph.Node]*ref // sums of gradients of normalizations that came with these
	disabled map[string]bool
	rules    []string // applied to the step being made
	changes  []change // of forms, by the lowering that is being tried
	taken    []*graph.Value
	signed   []int8 // memory of signedWeights
	turned   []int8

	choices map[string]string // kernels by the names of steps
	chosen  map[string]bool   // steps that took theirs
	refused error             // the first choice that could not be had
}

func newLowerer(p *Plan, g *graph.Graph, disable []string) *lowerer {
	l := &lowerer{plan: p, g: g, level: p.level, uses: g.Uses(), users: g.Users(),
		forms: map[*graph.Value][]*ref{}, target: map[*graph.Value]*ref{}, output: map[*graph.Value]int{},
		groups: map[*graph.Node]*group{}, stats: map[*graph.Value]*statistics{}, norms: map[*graph.Node]*normalization{}, summed: map[*graph.Node]*ref{}, disabled: map[string]bool{}}
	for _, name := range disable {
		l.disabled[name] = true
	}
	return l
}

// A lowering makes the steps of one node. It returns why it cannot, in which case what
// it did is taken back and the node becomes a reference step.
type lowering func(l *lowerer, n *graph.Node) (reason string)

// lowerings holds the operators that have fast steps. Each family adds its own.
var lowerings = map[op.Key]lowering{}

func lowers(f lowering, domain string, names ...string) {
	for _, name := range names {
		lowerings[op.Key{Domain: domain, Name: name}] = f
	}
}

// Names of the lowering rules beyond one node, one step. Any of them can be switched
// off by Options.Disable.
const (
	ruleBias      = "fuse-bias"       // conv, matmul + constant per channel
	ruleResidual  = "fuse-residual"   // conv + tensor of the same shape
	ruleAct       = "fuse-activation" // conv, matmul + activation
	ruleScale     = "fuse-scale"      // product of computed operands, times a constant
	ruleQuantAdd  = "fuse-quant-add"  // quantized conv + quantized add
	ruleQuantClip = "fuse-quant-clip" // quantized conv or add + clip
	ruleTable     = "byte-table"      // dequantize, function, quantize → 256 entries
	ruleView      = "view"            // reshape, transpose, slice, split without a step
	ruleConcat    = "concat-in-place" // parts written where the whole lies
	ruleDynamic   = "dynamic-int8"    // dynamic quantize, integer product, scale
	ruleInPlace   = "in-place"        // elementwise over a dying input
	ruleWinograd  = "winograd"        // 3×3 conv by fewer products, rounded otherwise
)

// Rules returns the names of the lowering rules.
func Rules() []string {
	return []string{ruleBias, ruleResidual, ruleAct, ruleScale, ruleQuantAdd, ruleQuantClip, ruleTable, ruleView, ruleConcat, ruleDynamic, ruleInPlace, ruleWinograd}
}

// on reports whether a rule may be used.
func (l *lowerer) on(rule string) bool { return !l.disabled[rule] }

// applied counts a rule and notes it on the next step.
func (l *lowerer) applied(rule string) {
	l.plan.fused[rule]++
	l.rules = append(l.rules, rule)
}

func (l *lowerer) lower() error {
	for i, v := range l.g.Inputs {
		l.input(i, v)
	}
	for i, v := range l.g.Outputs {
		if _, ok := l.output[v]; !ok {
			l.output[v] = i
		}
	}
	l.findGroups()
	l.placeConcats()
	for _, n := range l.g.Nodes {
		gr := l.groups[n]
		if gr == nil {
			l.node(n)
			continue
		}
		if n != gr.last() {
			continue
		}
		if reason := l.try(func() string { return gr.lower(l, gr) }); reason != "" {
			for _, m := range gr.nodes {
				l.node(m)
			}
		}
	}
	for i, v := range l.g.Outputs {
		l.deliver(i, v)
	}
	return l.unchosen()
}

// node lowers one node by its own rule or as a reference step.
func (l *lowerer) node(n *graph.Node) {
	reason := "no fast step for this operator"
	if f := lowerings[op.Key{Domain: n.Domain, Name: n.Op}]; f != nil {
		if reason = l.unfit(n); reason == "" {
			reason = l.try(func() string { return f(l, n) })
		}
		if reason == "" {
			return
		}
	}
	l.reference(n, reason)
}

// change is what forms said of a value before a lowering said something else.
type change struct {
	value *graph.Value
	forms []*ref
}

// setForms says how v lies from now on. Lowerings change forms by nothing else.
func (l *lowerer) setForms(v *graph.Value, forms ...*ref) {
	l.changes = append(l.changes, change{v, l.forms[v]})
	l.forms[v] = forms
}

// try runs a lowering. Where it gives up, the plan and the forms are what they were
// before: a lowering may ask for its operands in some layout, and so add steps, before
// it knows whether a kernel takes them.
func (l *lowerer) try(lower func() (reason string)) (reason string) {
	p := l.plan
	steps, weights, slots, fused := len(p.steps), p.weights, p.heapSlots, maps.Clone(p.fused)
	packed, taken := p.packing.Mark(), len(l.taken)
	l.changes = l.changes[:0]
	reason = lower()
	l.rules = nil
	if reason == "" {
		return ""
	}
	clear(p.steps[steps:])
	p.steps, p.weights, p.heapSlots, p.fused = p.steps[:steps], weights, slots, fused
	p.packing.Reset(packed)
	l.taken = l.taken[:taken]
	for _, c := range slices.Backward(l.changes) {
		if c.forms == nil {
			delete(l.forms, c.value)
			continue
		}
		l.forms[c.value] = c.forms
	}
	return reason
}

// packing is the option by which an operator packs its weights together with the others
// of the plan.
func (l *lowerer) packing() kernel.Option { return kernel.PackInto(l.plan.packing, nil) }

// packed is packing for an operator that needs nothing of the constant v besides its
// type and shape once its weights are packed.
func (l *lowerer) packed(v *graph.Value) kernel.Option {
	l.taken = append(l.taken, v)
	return kernel.PackInto(l.plan.packing, func() { mapfile.Drop(v.Const.Bytes()) })
}

// unfit reports what keeps a node from any fast step: sizes that are not known, empty
// tensors, types without strides.
func (l *lowerer) unfit(n *graph.Node) string {
	check := func(v *graph.Value, what string) string {
		s, ok := v.Type.Static()
		switch {
		case !ok:
			return fmt.Sprintf("the size of %s %s depends on data", what, v.Name)
		case v.Type.DType.Bits() < 8:
			return fmt.Sprintf("%s %s holds %v", what, v.Name, v.Type.DType)
		case slices.Contains(s, 0):
			return fmt.Sprintf("%s %s is empty", what, v.Name)
		}
		return ""
	}
	for i, v := range n.Inputs {
		if v == nil || v.Const != nil && v.Const.Len() == 0 && i > 0 {
			continue // such as the empty roi of Resize
		}
		if f := l.forms[v]; len(f) > 0 && f[0].buf.place == inHeap {
			return fmt.Sprintf("the size of input %s depends on data", v.Name)
		}
		if r := check(v, "input"); r != "" {
			return r
		}
	}
	for _, v := range n.Outputs {
		if v != nil {
			if r := check(v, "output"); r != "" {
				return r
			}
		}
	}
	return ""
}

// input declares how a graph input lies: as the caller's tensor.
func (l *lowerer) input(i int, v *graph.Value) {
	p := l.plan
	if !p.inputs[i].static() {
		p.inHeap = append(p.inHeap, p.heapSlots)
		l.setForms(v, l.heapRef(v))
		return
	}
	p.inHeap = append(p.inHeap, -1)
	s := p.inputs[i].Shape
	r := &ref{dtype: v.Type.DType, shape: s, strides: tensor.Strides(s), buf: &buffer{place: inInput, index: i, name: v.Name}}
	r.buf.size = r.span()
	l.setForms(v, r)
}

func (l *lowerer) heapRef(v *graph.Value) *ref {
	r := &ref{dtype: v.Type.DType, buf: &buffer{place: inHeap, index: l.plan.heapSlots, name: v.Name}}
	l.plan.heapSlots++
	return r
}

// constRef wraps a constant tensor.
func constRef(name string, t *tensor.Tensor) *ref {
	if t.Hollow() {
		panic("engine: constant " + name + " has no contents")
	}
	return &ref{dtype: t.DType(), shape: t.Shape(), strides: tensor.Strides(t.Shape()),
		buf: &buffer{place: inConst, size: len(t.Bytes()), data: t.Bytes(), name: name}}
}

// first returns the form in which v was made.
func (l *lowerer) first(v *graph.Value) *ref {
	f := l.forms[v]
	if len(f) == 0 {
		if v.Const == nil {
			panic(fmt.Sprintf("engine: value %s has not been lowered", v.Name))
		}
		if v.Const.DType() == tensor.String {
			panic("engine: string constant " + v.Name + " has no storage")
		}
		f = []*ref{constRef(v.Name, v.Const)}
		l.setForms(v, f...)
	}
	return f[0]
}

// find returns a form of v that satisfies ok.
func (l *lowerer) find(v *graph.Value, ok func(*ref) bool) *ref {
	l.first(v)
	for _, r := range l.forms[v] {
		if ok(r) {
			return r
		}
	}
	return nil
}

// raw reports whether the elements are stored as their type says.
func raw(r *ref) bool { return !r.biased }

// plain returns v densely in row-major order, as its type says.
func (l *lowerer) plain(v *graph.Value) *ref {
	if r := l.find(v, func(r *ref) bool { return raw(r) && r.plain() }); r != nil {
		return r
	}
	s := l.first(v).shape
	return l.convert(v, s, tensor.Strides(s), false)
}

// plainBytes is plain, with int8 stored as biased uint8.
func (l *lowerer) plainBytes(v *graph.Value) *ref {
	biased := v.Type.DType == tensor.Int8
	if r := l.find(v, func(r *ref) bool { return r.biased == biased && r.plain() }); r != nil {
		return r
	}
	s := l.first(v).shape
	return l.convert(v, s, tensor.Strides(s), biased)
}

// channelsLast returns v with its channels side by side and the elements from one
// position to the next. int8 is biased.
func (l *lowerer) channelsLast(v *graph.Value) (*ref, int) {
	biased := v.Type.DType == tensor.Int8
	if r := l.find(v, func(r *ref) bool { _, ok := r.channelsLast(); return ok && r.biased == biased }); r != nil {
		p, _ := r.channelsLast()
		return r, p
	}
	s := l.first(v).shape
	return l.convert(v, s, channelsLastStrides(s, s[1]), biased), s[1]
}

// like returns v with the strides of r, which has the same shape.
func (l *lowerer) like(v *graph.Value, r *ref) *ref {
	biased := v.Type.DType == tensor.Int8
	if f := l.find(v, func(f *ref) bool { return f.biased == biased && sameStrides(f, r) }); f != nil {
		return f
	}
	return l.convert(v, r.shape, r.strides, biased)
}

func sameStrides(a, b *ref) bool {
	for i, d := range a.shape {
		if d != 1 && a.strides[i] != b.strides[i] {
			return false
		}
	}
	return len(a.shape) == len(b.shape)
}

// convert adds a step that copies v into a form with the given dense strides. A
// constant is copied at once.
func (l *lowerer) convert(v *graph.Value, shape, strides []int, biased bool) *ref {
	src := l.find(v, func(r *ref) bool { return r.biased == biased })
	if src == nil {
		src = l.first(v)
	}
	dst := &ref{dtype: src.dtype, biased: biased, shape: shape, strides: strides, buf: &buffer{name: v.Name}}
	dst.buf.size = dst.span()
	if v.Const != nil {
		dst.buf.place, dst.buf.data = inConst, tensor.AlignedBytes(dst.span())
		m := newMove(l.level, dst, src)
		m.Run(dst.buf.data, src.buf.data[src.off:], 0, m.Units())
	} else {
		l.move(v.Name, dst, src)
	}
	l.setForms(v, append(slices.Clip(l.forms[v]), dst)...)
	return dst
}

// move adds a step that copies src to dst.
func (l *lowerer) move(name string, dst, src *ref) {
	m := newMove(l.level, dst, src)
	l.add(&step{name: name, op: "layout", kernel: m.Name(), reads: []*ref{src}, writes: []*ref{dst}, units: m.Units(),
		run: func(s *Session, _, lo, hi int) { m.Run(s.bytes(dst), s.bytes(src), lo, hi) }})
}

// newMove prepares a copy of src to dst; int8 elements change between biased and plain on
// the way.
func newMove(level cpu.Level, dst, src *ref) *kernel.Move {
	return kernel.NewMove(level, dst.elem(), dst.biased != src.biased, dst.shape, dst.strides, src.strides)
}

// make returns a place for output v with the given dense strides: where a
// concatenation wants it, the caller's output tensor, or a new buffer.
// accept says which strides other than these the step can write.
func (l *lowerer) make(v *graph.Value, strides []int, accept func(*ref) bool) *ref {
	s, _ := v.Type.Static()
	r := &ref{dtype: v.Type.DType, shape: s, strides: strides, biased: v.Type.DType == tensor.Int8}
	if t := l.target[v]; t != nil && (sameStrides(t, r) || accept != nil && accept(t)) && t.biased == r.biased {
		l.setForms(v, t)
		return t
	}
	r.buf = &buffer{name: v.Name}
	if i, ok := l.output[v]; ok && r.plain() && !r.biased {
		r.buf.place, r.buf.index = inOutput, i
	}
	r.buf.size = r.span()
	l.setForms(v, r)
	return r
}

// makeRaw is make for a row-major result whose int8 elements are not biased.
func (l *lowerer) makeRaw(v *graph.Value) *ref {
	s, _ := v.Type.Static()
	r := &ref{dtype: v.Type.DType, shape: s, strides: tensor.Strides(s), buf: &buffer{name: v.Name}}
	if i, ok := l.output[v]; ok {
		r.buf.place, r.buf.index = inOutput, i
	}
	r.buf.size = r.span()
	l.setForms(v, r)
	return r
}

// makeChannelsLast is make for a result with its channels side by side; pixel is the
// elements from one position to the next.
func (l *lowerer) makeChannelsLast(v *graph.Value) (r *ref, pixel int) {
	s, _ := v.Type.Static()
	r = l.make(v, channelsLastStrides(s, s[1]), func(t *ref) bool { _, ok := t.channelsLast(); return ok })
	pixel, _ = r.channelsLast()
	return r, pixel
}

// alias makes r the form of v without a step.
func (l *lowerer) alias(v *graph.Value, r *ref) { l.setForms(v, r) }

// add appends a step.
func (l *lowerer) add(st *step) {
	st.rules = append(st.rules, l.rules...)
	l.rules = nil
	if !l.on(ruleInPlace) {
		st.inPlace = false
	}
	l.plan.steps = append(l.plan.steps, st)
}

// deliver makes sure that output i ends in the caller's tensor, or in a heap slot.
func (l *lowerer) deliver(i int, v *graph.Value) {
	p := l.plan
	if !p.outputs[i].static() {
		if v.Const != nil {
			r := l.heapRef(v)
			t := v.Const
			l.add(&step{name: v.Name, op: "constant", kernel: "constant", writes: []*ref{r},
				exec: func(s *Session) error { s.heap[r.buf.index] = t; return nil }})
			p.outRefs = append(p.outRefs, r)
			return
		}
		p.outRefs = append(p.outRefs, l.first(v))
		return
	}
	r := l.find(v, func(r *ref) bool {
		return r.buf.place == inOutput && r.buf.index == i && raw(r) && r.plain() && r.off == 0
	})
	if r == nil {
		src := l.find(v, raw)
		if src == nil {
			src = l.first(v)
		}
		s := p.outputs[i].Shape
		r = &ref{dtype: v.Type.DType, shape: s, strides: tensor.Strides(s), buf: &buffer{place: inOutput, index: i, name: v.Name}}
		r.buf.size = r.span()
		if src.buf.place == inHeap || r.elem() == 0 {
			l.copyWhole(v.Name, r, src)
		} else {
			l.move(v.Name, r, src)
		}
	}
	p.outRefs = append(p.outRefs, r)
}

// copyWhole adds a step that copies storage of equal size.
func (l *lowerer) copyWhole(name string, dst, src *ref) {
	l.add(&step{name: name, op: "layout", kernel: "copy", reads: []*ref{src}, writes: []*ref{dst},
		exec: func(s *Session) error {
			from, to := s.bytes(src), s.bytes(dst)
			if len(from) != len(to) {
				return fmt.Errorf("%s has %d bytes, want %d", name, len(from), len(to))
			}
			copy(to, from)
			return nil
		}})
}

func opNames(nodes ...*graph.Node) string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Op
	}
	return strings.Join(names, "+")
}
