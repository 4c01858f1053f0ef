package rewrite

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// simplifyPasses keep to operators that any runtime has: their result can be written to
// a file. Their order is checked by a test against simplifyOrder.
var simplifyPasses = []Pass{
	{"fold-constants", "what does not depend on the input is computed once", foldConstants},
	{"drop-no-ops", "operators that change nothing on these shapes", dropNoOps},
	{"explicit-pads", "auto_pad becomes numbers where the input size is known", explicitPads},
	{"sink-transposes", "transposes move down past elementwise work until they meet their inverse", sinkTransposes},
	{"matmul-to-gemm", "a matrix product with constant weights and bias is one Gemm", matMulToGemm},
	{"fold-batchnorm", "inference-time normalization is a scale and shift of the weights before it", foldBatchNorm},
	{"fold-scale", "a constant per-channel factor or offset moves into the weights before it, and a normalization after it", foldScales},
	{"fold-pad", "zero padding before a convolution becomes its pads attribute", foldPad},
	{"drop-no-ops-again", "what the passes above left behind", dropNoOps},
	{"merge-duplicates", "equal nodes on equal inputs are computed once", mergeDuplicates},
}

// simplifyOrder states which pass must come before which, and why.
var simplifyOrder = []struct{ before, after, why string }{
	{"fold-constants", "drop-no-ops", "shape operands must be constants to be compared"},
	{"fold-constants", "fold-batchnorm", "batch-norm operands may be computed"},
	{"explicit-pads", "fold-pad", "explicit pads can be added up"},
	{"sink-transposes", "fold-scale", "a transpose between a convolution and its scale hides it"},
	{"fold-batchnorm", "merge-duplicates", "folding makes weights of its own"},
}

// Simplify rewrites g in place into a smaller graph with the same meaning.
func Simplify(g *graph.Graph, o Options) (Stats, error) {
	p := &pipeline{passes: simplifyPasses, opts: o}
	err := p.run(g)
	return p.stats, err
}

// foldLimitBytes bounds a constant that folding may create beyond the size of what it is
// made of.
const foldLimitBytes = 16 << 20

func foldConstants(c *Context, n *graph.Node) (*Patch, error) {
	d := op.Of(n)
	if d == nil || d.Impure || d.Eval == nil || len(n.Bodies()) > 0 {
		return nil, nil
	}
	if n.Is("DequantizeLinear") && n.Inputs[0].Const != nil {
		return nil, nil // stored weights stay small; the quantization is information
	}
	p := &Patch{}
	all := true
	for _, o := range n.Outputs {
		if o != nil && c.outs[o] > 0 {
			return nil, nil // an output keeps its node and so its name
		}
		if o != nil && c.Known(o) == nil {
			all = false
		}
	}
	results := make([]op.Value, len(n.Outputs))
	if all {
		for i, o := range n.Outputs {
			if o != nil {
				results[i] = c.Known(o)
			}
		}
	} else {
		in := make([]op.Value, len(n.Inputs))
		have := 0
		for i, v := range n.Inputs {
			if v == nil {
				continue
			}
			t := c.Known(v)
			if t == nil {
				return nil, nil
			}
			in[i] = t
			have += t.SizeBytes()
		}
		if !c.budget.Spend(n, foldLimitBytes+4*have) {
			return nil, nil
		}
		e := &op.Eval{Node: n, In: in, Out: results, Ctx: context.Background()}
		if op.Evaluate(e) != nil {
			return nil, nil // fails the same way, with its message, when the model runs
		}
	}
	for i, o := range n.Outputs {
		if o == nil {
			continue
		}
		t, ok := results[i].(*tensor.Tensor)
		if !ok {
			return nil, nil
		}
		p.Replace = append(p.Replace, Subst{o, c.Graph.Constant(o.Name, t)})
	}
	return p, nil
}

// identityInput returns the input that n passes on unchanged, or nil.
func identityInput(c *Context, n *graph.Node) *graph.Value {
	if n.Domain != "" || len(n.Outputs) == 0 || n.Outputs[0] == nil {
		return nil
	}
	x, y := n.In(0), n.Outputs[0]
	for _, o := range n.Outputs[1:] {
		if o != nil && (len(c.users[o]) > 0 || c.outs[o] > 0) {
			return nil
		}
	}
	sameShape := func() bool {
		a, ok1 := x.Type.Static()
		b, ok2 := y.Type.Static()
		return ok1 && ok2 && x.Type.DType == y.Type.DType && slices.Equal(a, b)
	}
	allKnown := func(v *graph.Value, want float64) bool {
		t := c.Known(v)
		if t == nil || t.DType() == tensor.String || t.DType().IsComplex() || t.Len() == 0 {
			return false
		}
		for i := range t.Len() {
			if t.Float(i) != want {
				return false
			}
		}
		return true
	}
	switch n.Op {
	case "Identity":
		return x
	case "Dropout":
		if t := n.In(2); t == nil || allKnown(t, 0) {
			return x
		}
	case "Cast":
		if x.Type.DType != tensor.Invalid && int64(x.Type.DType) == n.Attrs.Int("to", 0) {
			return x
		}
	case "Reshape", "Expand", "Tile", "Flatten", "Squeeze", "Unsqueeze":
		if sameShape() {
			return x
		}
	case "Transpose":
		if perm := n.Attrs.Ints("perm"); perm != nil && isIdentity(perm) {
			return x
		}
	case "Concat", "Sum", "Max", "Min", "Mean":
		if len(n.Inputs) == 1 {
			return x
		}
		least := n.Op == "Max" && len(n.Inputs) == 2 && allKnown(n.Inputs[1], math.Inf(-1))
		most := n.Op == "Min" && len(n.Inputs) == 2 && allKnown(n.Inputs[1], math.Inf(1))
		if (least || most) && sameShape() {
			return x
		}
	case "Pad":
		if n.In(1) != nil && allKnown(n.In(1), 0) {
			return x
		}
	case "Slice":
		if sameShape() {
			if n.In(4) == nil || allKnown(n.In(4), 1) {
				return x
			}
		}
	case "Mul", "Div":
		if allKnown(n.In(1), 1) && sameShape() {
			return x
		}
	case "Add", "Sub":
		if allKnown(n.In(1), 0) && sameShape() {
			return x
		}
	}
	return nil
}

func isIdentity(perm []int64) bool {
	for i, p := range perm {
		if int(p) != i {
			return false
		}
	}
	return true
}

func dropNoOps(c *Context, n *graph.Node) (*Patch, error) {
	x := identityInput(c, n)
	if x == nil || !c.replaceable(n.Outputs[0], x) {
		return nil, nil
	}
	return &Patch{Replace: []Subst{{n.Outputs[0], x}}}, nil
}

// mergeDuplicates finds the first equal node through a key made of operator, attributes
// and inputs.
func mergeDuplicates(c *Context, n *graph.Node) (*Patch, error) {
	d := op.Of(n)
	if d == nil || d.Impure || len(n.Bodies()) > 0 || len(n.Inputs) == 0 || n.Inputs[0] == nil || n.Inputs[0].Const != nil {
		return nil, nil
	}
	key, ok := computed(n)
	if !ok {
		return nil, nil
	}
	m := c.seen[key]
	if m == nil || c.dead(m) {
		c.seen[key] = n
		return nil, nil
	}
	p := &Patch{}
	for i, o := range n.Outputs {
		if o == nil {
			continue
		}
		if m.Outputs[i] == nil || !c.replaceable(o, m.Outputs[i]) || c.outs[o] > 0 {
			return nil, nil
		}
		p.Replace = append(p.Replace, Subst{o, m.Outputs[i]})
	}
	return p, nil
}

// computed says what n computes: equal texts mean equal results. ok is false where an
// attribute is a tensor or type, which are taken as different.
func computed(n *graph.Node) (key string, ok bool) {
	b := fmt.Appendf(nil, "%q %q %d", n.Domain, n.Op, len(n.Outputs))
	for _, v := range n.Inputs {
		if v == nil {
			b = append(b, " _"...)
			continue
		}
		b = strconv.AppendInt(append(b, ' '), int64(v.ID), 10)
	}
	for _, name := range n.Attrs.Names() {
		b = strconv.AppendQuote(append(b, ' '), name)
		switch a := n.Attrs[name].(type) {
		case int64, float32, []int64, []float32:
			b = fmt.Appendf(b, "=%T%v", a, a)
		case string, []string:
			b = fmt.Appendf(b, "=%T%q", a, a)
		default:
			return "", false
		}
	}
	return string(b), true
}

// explicitPads turns auto_pad of convolutions and pools into pads.
func explicitPads(c *Context, n *graph.Node) (*Patch, error) {
	mode := n.Attrs.String("auto_pad", "NOTSET")
	if mode == "NOTSET" || n.Domain != "" {
		return nil, nil
	}
	switch n.Op {
	case "Conv", "MaxPool", "AveragePool", "LpPool", "ConvInteger":
	default:
		return nil, nil
	}
	x, ok := n.Inputs[0].Type.Shape.Static()
	if !ok || len(x) < 3 {
		return nil, nil
	}
	kernel := n.Attrs.Ints("kernel_shape")
	if kernel == nil && (n.Op == "Conv" || n.Op == "ConvInteger") {
		w, ok := n.Inputs[1].Type.Shape.Static()
		if !ok || len(w) != len(x) {
			return nil, nil
		}
		for _, k := range w[2:] {
			kernel = append(kernel, int64(k))
		}
	}
	rank := len(x) - 2
	if len(kernel) != rank {
		return nil, nil
	}
	at := func(name string, i int) int {
		if v := n.Attrs.Ints(name); i < len(v) {
			return int(v[i])
		}
		return 1
	}
	pads := make([]int64, 2*rank)
	if mode != "VALID" {
		for i := range rank {
			s, k := at("strides", i), at("dilations", i)*(int(kernel[i])-1)+1
			if s < 1 {
				return nil, nil
			}
			total := max(0, ((x[2+i]+s-1)/s-1)*s+k-x[2+i])
			small := int64(total / 2)
			pads[i], pads[rank+i] = small, int64(total)-small
			if mode == "SAME_LOWER" {
				pads[i], pads[rank+i] = pads[rank+i], pads[i]
			}
		}
	}
	return c.swapNode(n, func(m *graph.Node) {
		delete(m.Attrs, "auto_pad")
		m.Attrs["pads"] = pads
	}), nil
}

// swapNode returns a patch that puts an edited copy in the place of n. The copy has
// fresh outputs for those of n.
func (c *Context) swapNode(n *graph.Node, edit func(*graph.Node)) *Patch {
	m := &graph.Node{Name: n.Name, Op: n.Op, Domain: n.Domain, Doc: n.Doc, Inputs: slices.Clone(n.Inputs), Attrs: n.Attrs.Clone()}
	if m.Attrs == nil {
		m.Attrs = graph.Attrs{}
	}
	p := &Patch{Nodes: []*graph.Node{m}}
	for _, o := range n.Outputs {
		if o == nil {
			m.Outputs = append(m.Outputs, nil)
			continue
		}
		v := c.Graph.NewValue(o.Name, o.Type.Clone())
		v.Def = m
		m.Outputs = append(m.Outputs, v)
		p.Replace = append(p.Replace, Subst{o, v})
	}
	edit(m)
	return p
}
