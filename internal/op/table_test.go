package op

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// drawTensor makes a small tensor of any type, empty ones included.
func drawTensor(r *rapid.T) *tensor.Tensor {
	d := rapid.SampledFrom([]tensor.DType{tensor.Float32, tensor.Float32, tensor.Float32, tensor.Int64, tensor.Int64,
		tensor.Int32, tensor.Uint8, tensor.Int8, tensor.Bool, tensor.Float16, tensor.Float64, tensor.String, tensor.Int4, tensor.Complex64}).Draw(r, "dtype")
	shape := rapid.SliceOfN(rapid.IntRange(0, 4), 0, 5).Draw(r, "shape")
	t := tensor.New(d, shape...)
	v := rapid.SliceOfN(rapid.IntRange(-4, 9), t.Len(), t.Len()).Draw(r, "values")
	for i, x := range v {
		switch {
		case d == tensor.String:
			t.Strings()[i] = strings.Repeat("a", max(x, 0))
		case d.IsFloat():
			t.SetFloat(i, float64(x)/4)
		case !d.IsComplex():
			t.SetInt(i, int64(x))
		}
	}
	return t
}

// drawAttrs makes attributes of the kinds that d asks for; bodies cannot be drawn.
func drawAttrs(r *rapid.T, d *Def, words []string) (graph.Attrs, bool) {
	a := graph.Attrs{}
	names := make([]string, 0, len(d.signature().attrs))
	for name := range d.signature().attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		spec := d.signature().attrs[name]
		if !spec.required && rapid.Bool().Draw(r, "without "+name) {
			continue
		}
		small := rapid.Int64Range(-3, 6)
		switch spec.kind {
		case "int":
			a[name] = small.Draw(r, name)
		case "ints":
			a[name] = rapid.SliceOfN(small, 0, 5).Draw(r, name)
		case "float":
			a[name] = rapid.Float32Range(-2, 2).Draw(r, name)
		case "floats":
			a[name] = rapid.SliceOfN(rapid.Float32Range(-2, 2), 0, 5).Draw(r, name)
		case "string":
			a[name] = rapid.SampledFrom(words).Draw(r, name)
		case "strings":
			a[name] = rapid.SliceOfN(rapid.SampledFrom(words), 0, 3).Draw(r, name)
		case "tensor":
			a[name] = drawTensor(r)
		case "type":
			a[name] = graph.TensorType(tensor.Float32, 1)
		default:
			if spec.required {
				return nil, false
			}
		}
	}
	return a, true
}

// Any node made of valid kinds, however senseless, must be refused or evaluated, and
// where it is evaluated the result must be what inference said.
func TestAnyNode(t *testing.T) {
	words := []string{"constant", "reflect", "edge", "wrap", "linear", "cubic", "nearest", "zeros", "border", "add", "mul", "max", "none",
		"TF", "LOWER", "forward", "reverse", "bidirectional", "Tanh", "Relu", "VALID", "SAME_UPPER", "NOTSET", "mean", "sum", "ij,jk->ik",
		"half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize", "floor", "RGB", "DCR", "CRD", "LEFT", "RIGHT", "tanh", "a", ""}
	for _, d := range All() {
		t.Run(Key{d.Domain, d.Name}.String(), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(r *rapid.T) { checkAnyNode(r, d, words) })
		})
	}
}

func checkAnyNode(r *rapid.T, d *Def, words []string) {
	attrs, ok := drawAttrs(r, d, words)
	if !ok {
		return
	}
	g := graph.New("any")
	n := &graph.Node{Op: d.Name, Domain: d.Domain, Name: "n", Attrs: attrs}
	var in []Value
	add := func() {
		x := drawTensor(r)
		in = append(in, x)
		if rapid.Bool().Draw(r, "constant") {
			n.Inputs = append(n.Inputs, g.Constant("", x))
		} else {
			n.Inputs = append(n.Inputs, g.Input("", graph.TypeOf(x)))
		}
	}
	for _, p := range d.signature().ins {
		switch {
		case p.variadic:
			for range rapid.IntRange(p.min, 3).Draw(r, "repeat") {
				add()
			}
		case p.optional && rapid.Bool().Draw(r, "absent"):
			n.Inputs, in = append(n.Inputs, nil), append(in, nil)
		default:
			add()
		}
	}
	for range d.signature().outs {
		v := g.NewValue("", graph.Type{})
		v.Def = n
		n.Outputs = append(n.Outputs, v)
	}
	g.Nodes = append(g.Nodes, n)
	if err := Check(n); err != nil {
		r.Fatalf("the test drew a node that is not valid: %v", err)
	}
	_, inferErr := InferTypes(g)
	e := &Eval{Node: n, In: in, Out: make([]Value, len(n.Outputs)), Ctx: context.Background()}
	if err := Evaluate(e); err != nil {
		return
	}
	if inferErr != nil {
		r.Fatalf("inference refuses what evaluates: %v (attributes %v, inputs %s)", inferErr, attrs, describe(in))
	}
	for i, o := range n.Outputs {
		if got, ok := e.Out[i].(*tensor.Tensor); ok {
			if _, err := graph.Merge(o.Type, graph.TypeOf(got)); err != nil {
				r.Fatalf("output %s: inference says %v, evaluation gives %v (attributes %v, inputs %s)", d.OutputName(i), o.Type, got, attrs, describe(in))
			}
		}
	}
}
