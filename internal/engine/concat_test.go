package engine

import (
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
	"pgregory.net/rapid"
)

// TestHeadsAreMadeWhereTheyEnd compiles the two usual ends of a detector: convolutions
// write straight into the output, without a step that only moves.
func TestHeadsAreMadeWhereTheyEnd(t *testing.T) {
	const channels = 5
	conv := func(g *graph.Graph, x *graph.Value, name string, out int) *graph.Value {
		return g.Add("Conv", name, nil, x, g.Constant(name+"_w", random(3, out, channels, 1, 1)))
	}
	heads := map[string]func(g *graph.Graph, maps []*graph.Value) *graph.Value{
		// [N, C, H, W] → [N, C, H·W], joined along the positions and turned at the end.
		"flat": func(g *graph.Graph, maps []*graph.Value) *graph.Value {
			var parts []*graph.Value
			for i, x := range maps {
				name := string(rune('a' + i))
				both := g.Add("Concat", name+"_both", graph.Attrs{"axis": int64(1)}, conv(g, x, name+"_boxes", 4), g.Add("Sigmoid", name+"_score", nil, conv(g, x, name, 3)))
				parts = append(parts, g.Add("Reshape", name+"_flat", nil, both, g.Ints(name+"_shape", 1, 7, -1)))
			}
			all := g.Add("Concat", "all", graph.Attrs{"axis": int64(2)}, parts...)
			return g.Add("Transpose", "out", graph.Attrs{"perm": []int64{0, 2, 1}}, all)
		},
		// Each turned to [N, H, W, C] first.
		"turned": func(g *graph.Graph, maps []*graph.Value) *graph.Value {
			var parts []*graph.Value
			for i, x := range maps {
				name := string(rune('a' + i))
				turned := g.Add("Transpose", name+"_turned", graph.Attrs{"perm": []int64{0, 2, 3, 1}}, conv(g, x, name, 6))
				parts = append(parts, g.Add("Reshape", name+"_flat", nil, turned, g.Ints(name+"_shape", 1, -1, 2)))
			}
			return g.Add("Concat", "out", graph.Attrs{"axis": int64(1)}, parts...)
		},
	}
	for name, head := range heads {
		t.Run(name, func(t *testing.T) {
			g := graph.New(name)
			x := g.Input("x", graph.TensorType(tensor.Float32, 1, channels, 8, 12))
			small := g.Add("MaxPool", "small", graph.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, x)
			g.Output(head(g, []*graph.Value{x, small}))
			s := compile(t, g, Options{})
			moves := 0
			for _, st := range s.Plan().Steps() {
				if st.Op == "layout" {
					moves++
				}
			}
			if moves != 1 {
				var dump strings.Builder
				if err := s.Plan().Dump(&dump); err != nil {
					t.Fatal(err)
				}
				t.Errorf("%d steps move elements, want only that of the input:\n%s", moves, dump.String())
			}
			against(t, s, g, 1e-5, 1e-5, random(7, 1, channels, 8, 12))
			without := compile(t, g, Options{Disable: []string{ruleConcat, ruleView}})
			against(t, without, g, 1e-5, 1e-5, random(7, 1, channels, 8, 12))
		})
	}
}

// TestReshapedStrides holds strides against the positions of the elements.
func TestReshapedStrides(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		factors := rapid.SliceOfN(rapid.IntRange(1, 4), 1, 5).Draw(t, "factors")
		group := func(name string) []int {
			var s []int
			n := 1
			for i, f := range factors {
				n *= f
				if i == len(factors)-1 || rapid.Bool().Draw(t, name) {
					s, n = append(s, n), 1
				}
			}
			return s
		}
		from, to := group("from"), group("to")
		strides, n := make([]int, len(from)), 1
		for _, i := range rapid.Permutation(indices(len(from))).Draw(t, "order") {
			strides[i] = n
			n *= from[i] + rapid.IntRange(0, 1).Draw(t, "gap")
		}
		got := reshapedStrides(from, strides, to)
		if got == nil {
			return
		}
		found++
		a, b := positions(from, strides), positions(to, got)
		for i := range a {
			if a[i] != b[i] {
				t.Fatalf("%v by %v seen as %v by %v: element %d at %d, not %d", from, strides, to, got, i, b[i], a[i])
			}
		}
	})
	if found == 0 {
		t.Error("no shape could be seen otherwise")
	}
	if s := reshapedStrides([]int{1, 85, 52, 52}, []int{85 * 52 * 52, 1, 85 * 52, 85}, []int{1, 85, 2704}); s == nil {
		t.Error("positions of a channels-last tensor are not joined")
	}
	if s := reshapedStrides([]int{2, 3}, []int{1, 2}, []int{6}); s != nil {
		t.Errorf("columns are joined by strides %v", s)
	}
}

func indices(n int) []int {
	v := make([]int, n)
	for i := range v {
		v[i] = i
	}
	return v
}

// positions lists where the elements lie, in row-major order of their indices.
func positions(shape, strides []int) []int {
	all := []int{0}
	for i, d := range shape {
		var next []int
		for _, p := range all {
			for k := range d {
				next = append(next, p+k*strides[i])
			}
		}
		all = next
	}
	return all
}
