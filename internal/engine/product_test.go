package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

// attention builds the core of multi-head attention as exporters write it, from one
// projection that holds query, key and value.
func attention(tokens, heads, head int, mask []int) *graph.Graph {
	g := graph.New("attention")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, tokens, 3*heads*head))
	split := g.Add("Reshape", "split", nil, x, g.Ints("split_shape", 1, int64(tokens), 3, int64(heads), int64(head)))
	part := func(name string, i int64, perm ...int64) *graph.Value {
		p := g.Add("Gather", name, graph.Attrs{"axis": int64(2)}, split, g.Constant(name+"_index", tensor.Scalar(i)))
		return g.Add("Transpose", name+"_heads", graph.Attrs{"perm": perm}, p)
	}
	q, k, v := part("q", 0, 0, 2, 1, 3), part("k", 1, 0, 2, 3, 1), part("v", 2, 0, 2, 1, 3)
	q = g.Add("Mul", "q_scaled", nil, q, g.Constant("root", tensor.Scalar(float32(0.5))))
	s := g.Add("MatMul", "scores", nil, q, k)
	s = g.Add("Div", "scaled", nil, s, g.Constant("eight", tensor.Scalar(float32(2))))
	if mask != nil {
		s = g.Add("Add", "masked", nil, s, g.Input("mask", graph.TensorType(tensor.Float32, mask...)))
	}
	p := g.Add("Softmax", "weights", graph.Attrs{"axis": int64(-1)}, s)
	o := g.Add("Transpose", "tokens", graph.Attrs{"perm": []int64{0, 2, 1, 3}}, g.Add("MatMul", "mixed", nil, p, v))
	o = g.Add("Reshape", "joined", nil, o, g.Ints("joined_shape", 1, int64(tokens), int64(heads*head)))
	g.Output(g.Add("Relu", "y", nil, o))
	return g
}

// TestAttentionMovesNothing holds that heads are read and written where they lie, and
// that scale and mask are part of the product.
func TestAttentionMovesNothing(t *testing.T) {
	const tokens, heads, head = 37, 3, 20
	for _, mask := range [][]int{nil, {1, 1, 1, tokens}, {1, 1, tokens, tokens}, {1, heads, tokens, tokens}, {heads, 1, tokens}, {tokens}} {
		t.Run(fmt.Sprint(mask), func(t *testing.T) {
			g := attention(tokens, heads, head, mask)
			in := []op.Value{random(3, 1, tokens, 3*heads*head)}
			if mask != nil {
				in = append(in, random(4, mask...))
			}
			s := compile(t, g, Options{})
			var ops []string
			for _, st := range s.Plan().Steps() {
				ops = append(ops, st.Op)
			}
			want := []string{"MatMul+Mul+Div", "Softmax", "MatMul", "Relu"}
			if mask != nil {
				want[0] = "MatMul+Mul+Div+Add"
			}
			if !slices.Equal(ops, want) {
				t.Errorf("steps are %v, want %v", ops, want)
			}
			against(t, s, g, 1e-5, 1e-4, in...)
			against(t, compile(t, g, Options{Threads: 3}), g, 1e-5, 1e-4, in...)
			without := compile(t, g, Options{Disable: []string{ruleScale, ruleResidual, ruleView}})
			against(t, without, g, 1e-5, 1e-4, in...)
		})
	}
}

// TestGemmTakesAnyOperands covers the layers of training, whose weights are no constants.
func TestGemmTakesAnyOperands(t *testing.T) {
	for i, c := range []struct{ m, k, n int }{{5, 7, 3}, {64, 40, 33}, {1, 9, 4}, {6, 1, 5}, {3, 17, 1}, {1, 1, 1}} {
		for flags := range 8 {
			transA, transB, constant := flags&1, flags>>1&1, flags&4 != 0
			as, bs := []int{c.m, c.k}, []int{c.k, c.n}
			if transA != 0 {
				slices.Reverse(as)
			}
			if transB != 0 {
				slices.Reverse(bs)
			}
			g := graph.New("gemm")
			in := []op.Value{random(1, as...)}
			v := []*graph.Value{g.Input("a", graph.TensorType(tensor.Float32, as...)), nil}
			if constant {
				v[1] = g.Constant("b", random(2, bs...))
			} else {
				v[1], in = g.Input("b", graph.TensorType(tensor.Float32, bs...)), append(in, random(2, bs...))
			}
			if i%3 != 2 {
				addend := [][]int{{c.n}, {c.m, c.n}, nil, {1, c.n}}[i%4]
				v, in = append(v, g.Input("c", graph.TensorType(tensor.Float32, addend...))), append(in, random(3, addend...))
			}
			g.Output(g.Add("Gemm", "y", graph.Attrs{"transA": int64(transA), "transB": int64(transB), "alpha": float32(0.5)}, v...))
			s := compile(t, g, Options{})
			for _, st := range s.Plan().Steps() {
				if st.Fallback {
					t.Errorf("%v, flags %d: %+v", c, flags, st)
				}
			}
			against(t, s, g, 1e-5, 1e-4, in...)
		}
	}
}

func TestProductsBroadcast(t *testing.T) {
	for _, c := range [][2][]int{
		{{2, 3, 5, 7}, {7, 4}}, {{5, 7}, {2, 3, 7, 4}}, {{2, 1, 5, 7}, {3, 7, 4}}, {{3, 5, 7}, {1, 7, 4}}, {{1, 7}, {7, 1}},
		{{2, 1, 1, 7}, {2, 3, 7, 33}}, {{4, 1}, {1, 5}},
	} {
		g := graph.New("product")
		a, b := g.Input("a", graph.TensorType(tensor.Float32, c[0]...)), g.Input("b", graph.TensorType(tensor.Float32, c[1]...))
		g.Output(g.Add("MatMul", "y", nil, a, b))
		s := compile(t, g, Options{})
		if st := s.Plan().Steps(); len(st) != 1 || st[0].Fallback {
			t.Errorf("%v by %v: %+v", c[0], c[1], st)
		}
		against(t, s, g, 1e-5, 1e-5, random(1, c[0]...), random(2, c[1]...))
	}
}

func TestGatherOfRows(t *testing.T) {
	build := func(d tensor.DType, constant bool) *graph.Graph {
		g := graph.New("embedding")
		index := tensor.Of([]int64{4, -1, 0, 4, 2, 1}, 2, 3)
		var i *graph.Value
		if constant {
			i = g.Constant("i", index)
		} else {
			i = g.Input("i", graph.TensorType(tensor.Int64, 2, 3))
		}
		x := g.Input("x", graph.TensorType(d, 2, 5, 3))
		g.Output(g.Add("Gather", "y", graph.Attrs{"axis": int64(1)}, x, i))
		return g
	}
	index := tensor.Of([]int64{4, -1, 0, 4, 2, 1}, 2, 3)
	for _, d := range []tensor.DType{tensor.Float32, tensor.Int64, tensor.Int8} {
		x, err := tensor.FromBytes(d, []int{2, 5, 3}, random(9, d.Bits()/8*30/4+1).Bytes()[:d.Bits()/8*30])
		if err != nil {
			t.Fatal(err)
		}
		g := build(d, true)
		against(t, compile(t, g, Options{}), g, 0, 0, x)
		g = build(d, false)
		s := compile(t, g, Options{})
		against(t, s, g, 0, 0, index, x)
		bad := tensor.Of([]int64{4, -1, 0, 5, 2, 1}, 2, 3)
		if _, err := s.Run(context.Background(), []op.Value{bad, x}); err == nil || !strings.Contains(err.Error(), "index 5 is out of range for 5") {
			t.Errorf("%v: an index beyond the end gives %v", d, err)
		}
	}
}
