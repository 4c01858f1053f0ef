package op

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// evaluateAlone evaluates a node of d on the required inputs.
func evaluateAlone(d *Def, attrs graph.Attrs, in ...*tensor.Tensor) *tensor.Tensor {
	e := &Eval{Node: &graph.Node{Op: d.Name, Domain: d.Domain, Attrs: attrs, Outputs: []*graph.Value{{Name: "y"}}}, Out: make([]Value, 1), Ctx: context.Background()}
	for _, t := range in {
		e.Node.Inputs = append(e.Node.Inputs, &graph.Value{Name: "x"})
		e.In = append(e.In, t)
	}
	if Evaluate(e) != nil {
		return nil
	}
	t, _ := e.Out[0].(*tensor.Tensor)
	return t
}

func reversed(t *tensor.Tensor) *tensor.Tensor {
	out := tensor.New(t.DType(), t.Shape()...)
	for i := range t.Len() {
		if t.DType().IsFloat() {
			out.SetFloat(t.Len()-1-i, t.Float(i))
		} else {
			out.SetInt(t.Len()-1-i, t.Int(i))
		}
	}
	return out
}

// What the table calls elementwise must give the reversed result for reversed inputs.
func TestElementwiseOperatorsCommuteWithReversal(t *testing.T) {
	words := []string{"none", "tanh", "LEFT", "RIGHT"}
	for _, d := range All() {
		if !d.Elementwise {
			continue
		}
		evaluated := false
		check := func(t *testing.T, dtype tensor.DType) {
			rapid.Check(t, func(r *rapid.T) {
				attrs, _ := drawAttrs(r, d, words)
				var in, back []*tensor.Tensor
				for _, p := range d.signature().ins {
					if p.optional {
						continue
					}
					x := tensor.New(dtype, 5)
					for i, v := range rapid.SliceOfN(rapid.IntRange(-4, 9), 5, 5).Draw(r, "values") {
						x.SetInt(i, int64(v))
					}
					in, back = append(in, x), append(back, reversed(x))
				}
				y := evaluateAlone(d, attrs, in...)
				if y == nil || y.DType().IsComplex() || y.DType() == tensor.String {
					return
				}
				evaluated = true
				z := evaluateAlone(d, attrs, back...)
				if z == nil || !slices.Equal(y.Shape(), []int{5}) {
					r.Fatalf("%v gave %v, its reversal %v", in, y, z)
				}
				if ok, _, _ := tensor.CloseTo(reversed(y), z, 0, 0); !ok {
					r.Fatalf("%v gave %v, reversed %v", in[0].Floats(), y.Floats(), z.Floats())
				}
			})
		}
		for _, dtype := range []tensor.DType{tensor.Float32, tensor.Int64, tensor.Uint8, tensor.Bool} {
			t.Run(fmt.Sprintf("%v/%v", Key{d.Domain, d.Name}, dtype), func(t *testing.T) { check(t, dtype) })
		}
		if !evaluated {
			t.Errorf("%s was never evaluated", d.Name)
		}
	}
}

// TestGatheredScalars holds that one element of a vector has no dimensions, rather than
// unknown ones: exported networks compute shapes from such.
func TestGatheredScalars(t *testing.T) {
	g := graph.New("shape")
	x := g.Input("x", graph.TensorType(tensor.Float32, 2, 3))
	one := g.Constant("one", tensor.Of([]int64{1}, []int{}...))
	size := g.Add("Gather", "size", nil, g.Add("Shape", "shape", nil, x), one)
	at := g.Add("GatherND", "at", nil, x, g.Constant("where", tensor.Of([]int64{1, 2}, 2)))
	f, err := InferTypes(g)
	if err != nil {
		t.Fatal(err)
	}
	if s, ok := size.Type.Static(); !ok || len(s) != 0 || f.Known(size) == nil || f.Known(size).Int(0) != 3 {
		t.Errorf("Gather gives %v, known as %v; want the scalar 3", size, f.Known(size))
	}
	if s, ok := at.Type.Static(); !ok || len(s) != 0 {
		t.Errorf("GatherND gives %v, want a scalar", at)
	}
}
