// Package op is the one home of everything that is true of an operator as such: its
// signature, shape inference, plain reference evaluation, cost, and how it behaves when
// quantized. A fast implementation is not here: it is the engine's business and must
// agree with the evaluation given here.
//
// There is one file per family. Each contributes a list of Defs to the table in
// table.go; nothing else in the program switches over operator names for these facts.
//
// Operators have the form of opset graph.Opset. Readers upgrade older forms, so a
// definition never looks at a version.
package op

import (
	"fmt"
	"strings"
	"sync"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// Def defines an operator.
//
// In and Out list the names of inputs and outputs separated by spaces; a trailing "?"
// marks an optional one, a trailing "*" a last one that repeats any number of times
// (also none), "+" at least once. Attrs lists "name:kind" with kind one of int, float,
// string, ints, floats, strings, tensor, graph, graphs, type; a trailing "!" marks a
// required one. Defaults are given where the attribute is read.
type Def struct {
	Name   string
	Domain string
	In     string
	Out    string
	Attrs  string

	// Infer sets the types of the outputs from those of the inputs as far as they
	// are known, and reports what can never be valid. Partial knowledge is no error.
	Infer func(*Infer) error

	// Eval computes the outputs: plainly, for any valid input, with errors for
	// everything that a hostile model can get wrong.
	Eval func(*Eval) error

	// Cost returns multiply-accumulates; nil means none. Bytes follow from the types.
	MACs func(*Infer) int64

	// Quant says how the operator can live among integers.
	Quant Quant

	// Elementwise marks an operator that treats every element alike, with broadcasting
	// where it has several inputs: it commutes with any reordering of dimensions.
	Elementwise bool

	// Impure marks an operator that must not be folded or deduplicated even when all
	// its inputs are constant (random generators).
	Impure bool

	once *sync.Once // guards sig, see signature
	sig  signature
}

// signature is what In, Out and Attrs say.
type signature struct {
	ins, outs []param
	attrs     map[string]attrSpec
}

// Key identifies an operator.
type Key struct{ Domain, Name string }

func (k Key) String() string {
	if k.Domain == "" {
		return k.Name
	}
	return k.Domain + "." + k.Name
}

// QuantKind classifies an operator for quantization.
type QuantKind uint8

const (
	// QuantNone: the operator stays in floating point.
	QuantNone QuantKind = iota
	// QuantWeighted: a linear operator with weights and an integer kernel: inputs 0
	// and 1 are quantized, input 2 (bias) becomes int32 (Conv, Gemm, MatMul).
	QuantWeighted
	// QuantElementwise: an integer kernel with scales of its own for every input and
	// for the output (Add, Mul, AveragePool, Concat, Sigmoid by table ...).
	QuantElementwise
	// QuantSame: values of the first input only move or are selected, so the output
	// has that input's scale and zero point (Reshape, Transpose, MaxPool, Slice ...).
	QuantSame
)

// Quant says how an operator can live among integers.
type Quant struct {
	Kind QuantKind

	// Lo and Hi, when Lo < Hi, are the output range known without calibration (0..1
	// for Sigmoid and Softmax, -1..1 for Tanh).
	Lo, Hi float32

	// Axis is the axis of the weight input that holds output channels, for
	// per-channel scales; attributes (transB, group) are the quantizer's concern.
	Axis int

	// Form, where it is not nil, says whether a node of kind QuantSame has a form of
	// which that is true (Pad with zeros, Resize to the nearest ...).
	Form func(*Infer) bool
}

// Moves reports whether n only moves or selects elements of its first input, or fills with
// zeros, so that it commutes with a dequantization by one scale and zero point.
func (f *Facts) Moves(n *graph.Node) bool {
	d := Of(n)
	return d != nil && d.Quant.Kind == QuantSame && (d.Quant.Form == nil || d.Quant.Form(&Infer{Node: n, facts: f}))
}

type param struct {
	name               string
	optional, variadic bool
	min                int
}

type attrSpec struct {
	kind     string
	required bool
}

func parseParams(s string) []param {
	var out []param
	for _, f := range strings.Fields(s) {
		p := param{name: strings.TrimRight(f, "?*+")}
		switch f[len(f)-1] {
		case '?':
			p.optional = true
		case '*':
			p.variadic = true
		case '+':
			p.variadic = true
			p.min = 1
		}
		out = append(out, p)
	}
	return out
}

// signature parses the lists at first use.
func (d *Def) signature() *signature {
	d.once.Do(d.parse)
	return &d.sig
}

func (d *Def) parse() {
	d.sig = signature{ins: parseParams(d.In), outs: parseParams(d.Out), attrs: map[string]attrSpec{}}
	for _, f := range strings.Fields(d.Attrs) {
		name, kind, ok := strings.Cut(f, ":")
		if !ok {
			panic(fmt.Sprintf("op: %s: attribute %q has no kind", d.Name, f))
		}
		kind, required := strings.CutSuffix(kind, "!")
		d.sig.attrs[name] = attrSpec{kind, required}
	}
}

// InputName returns the formal name of input i.
func (d *Def) InputName(i int) string { return paramName(d.signature().ins, i) }

// OutputName returns the formal name of output i.
func (d *Def) OutputName(i int) string { return paramName(d.signature().outs, i) }

func paramName(ps []param, i int) string {
	if i < len(ps) && !ps[i].variadic {
		return ps[i].name
	}
	if len(ps) > 0 && ps[len(ps)-1].variadic {
		return fmt.Sprintf("%s[%d]", ps[len(ps)-1].name, i-len(ps)+1)
	}
	return fmt.Sprintf("#%d", i)
}

// Lookup returns the definition of an operator, or nil.
func Lookup(domain, name string) *Def { return definitions()[Key{domain, name}] }

// Of returns the definition of n's operator, or nil.
func Of(n *graph.Node) *Def { return Lookup(n.Domain, n.Op) }

// Check reports what is wrong with the node's signature: number of inputs and outputs,
// absent required inputs, attributes that are unknown or of the wrong kind.
func Check(n *graph.Node) error {
	d := Of(n)
	if d == nil {
		return fmt.Errorf("operator %v is not known", Key{n.Domain, n.Op})
	}
	sig := d.signature()
	if err := checkParams(sig.ins, n.Inputs, "input"); err != nil {
		return err
	}
	if err := checkParams(sig.outs, n.Outputs, "output"); err != nil {
		return err
	}
	for name, a := range n.Attrs {
		spec, ok := sig.attrs[name]
		if !ok {
			return fmt.Errorf("attribute %s is not one of %s's", name, d.Name)
		}
		if got := attrKind(a); got != spec.kind {
			return fmt.Errorf("attribute %s is %s, want %s", name, got, spec.kind)
		}
	}
	for name, spec := range sig.attrs {
		if spec.required && !n.Attrs.Has(name) {
			return fmt.Errorf("required attribute %s is missing", name)
		}
	}
	return nil
}

func checkParams(ps []param, vs []*graph.Value, what string) error {
	limit := len(ps)
	variadic := limit > 0 && ps[limit-1].variadic
	if len(vs) > limit && !variadic {
		return fmt.Errorf("has %d %ss, at most %d are allowed", len(vs), what, limit)
	}
	for i, p := range ps {
		switch {
		case p.variadic:
			if len(vs) < i+p.min {
				return fmt.Errorf("%s %s is missing", what, p.name)
			}
			for _, v := range vs[min(i, len(vs)):] {
				if v == nil && what == "input" {
					return fmt.Errorf("one of the %ss %s is absent", what, p.name)
				}
			}
		case !p.optional && (i >= len(vs) || vs[i] == nil && what == "input"):
			return fmt.Errorf("%s %s is missing", what, p.name)
		}
	}
	return nil
}

func attrKind(a any) string {
	switch a.(type) {
	case int64:
		return "int"
	case float32:
		return "float"
	case string:
		return "string"
	case []int64:
		return "ints"
	case []float32:
		return "floats"
	case []string:
		return "strings"
	case *tensor.Tensor:
		return "tensor"
	case []*tensor.Tensor:
		return "tensors"
	case *graph.Graph:
		return "graph"
	case []*graph.Graph:
		return "graphs"
	case graph.Type:
		return "type"
	}
	return fmt.Sprintf("%T", a)
}
