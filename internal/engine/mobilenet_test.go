package engine

import (
	"context"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// fill gives a tensor values that look random and stay in -1..1.
func fill(t *tensor.Tensor, seed uint32) *tensor.Tensor {
	x := seed*2654435761 + 12345
	for i := range t.Len() {
		x = x*1664525 + 1013904223
		switch {
		case t.DType().IsFloat():
			t.SetFloat(i, float64(int32(x))/(1<<31))
		case t.DType() == tensor.Bool:
			t.SetInt(i, int64(x>>31))
		default:
			lo, hi := t.DType().IntRange()
			t.SetInt(i, lo+int64(x>>8)%(hi-lo+1))
		}
	}
	return t
}

// random returns a float32 tensor of such values.
func random(seed uint32, shape ...int) *tensor.Tensor {
	return fill(tensor.New(tensor.Float32, shape...), seed)
}

// bottleneck builds a small network of the MobileNet kind.
func bottleneck() *graph.Graph {
	g := graph.New("bottleneck")
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 3, 33, 31))
	conv := func(name string, x *graph.Value, in, out, k, stride, groups int) *graph.Value {
		w := g.Constant(name+"_w", random(uint32(len(name)+in+out), out, in/groups, k, k))
		for i, v := range w.Const.F32() {
			w.Const.F32()[i] = v / float32(k*k*in/groups) * 2
		}
		b := g.Constant(name+"_b", random(uint32(out), out))
		p := int64(k / 2)
		return g.Add("Conv", name, graph.Attrs{"pads": []int64{p, p, p, p}, "strides": []int64{int64(stride), int64(stride)}, "group": int64(groups)}, x, w, b)
	}
	six := func(x *graph.Value) *graph.Value {
		return g.Add("Clip", "", nil, x, g.Constant("", tensor.Scalar(float32(0))), g.Constant("", tensor.Scalar(float32(6))))
	}
	x = six(conv("stem", x, 3, 16, 3, 2, 1))
	y := six(conv("expand", x, 16, 48, 1, 1, 1))
	y = six(conv("depthwise", y, 48, 48, 3, 1, 48))
	y = conv("project", y, 48, 16, 1, 1, 1)
	x = g.Add("Add", "residual", nil, x, y)
	z := g.Add("Concat", "cat", graph.Attrs{"axis": int64(1)}, six(conv("left", x, 16, 24, 1, 1, 1)), conv("right", x, 16, 8, 3, 1, 1))
	z = g.Add("GlobalAveragePool", "gap", nil, z)
	z = g.Add("Flatten", "flat", graph.Attrs{"axis": int64(1)}, z)
	z = g.Add("Gemm", "fc", graph.Attrs{"transB": int64(1)}, z, g.Constant("fc_w", random(7, 10, 32)), g.Constant("fc_b", random(8, 10)))
	g.Output(z)
	return g
}

func TestBottleneckEveryLevel(t *testing.T) {
	for _, level := range cpu.Levels() {
		for _, threads := range []int{1, 2} {
			s := compile(t, bottleneck(), Options{Level: level, Portable: true, Threads: threads})
			for _, st := range s.Plan().Steps() {
				if st.Fallback {
					t.Errorf("%v: step %s (%s) is a fallback: %s", level, st.Name, st.Op, st.Reason)
				}
			}
			against(t, s, bottleneck(), 1e-4, 1e-4, random(1, 1, 3, 33, 31))
		}
	}
}

func TestRunIntoAllocatesNothing(t *testing.T) {
	for _, threads := range []int{1, 2} {
		s := compile(t, bottleneck(), Options{Threads: threads})
		in, out := []*tensor.Tensor{random(1, 1, 3, 33, 31)}, []*tensor.Tensor{tensor.New(tensor.Float32, 1, 10)}
		ctx := context.Background()
		if n := testing.AllocsPerRun(20, func() {
			if err := s.RunInto(ctx, in, out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%d threads: %v allocations in a run", threads, n)
		}
	}
}

func TestQuantizedBottleneckExact(t *testing.T) {
	in := random(1, 1, 3, 33, 31)
	for _, d := range []tensor.DType{tensor.Uint8, tensor.Int8} {
		g := withQDQ(t, bottleneck(), d, in)
		for _, level := range cpu.Levels() {
			for _, threads := range []int{1, 2} {
				s := compile(t, g, Options{Level: level, Portable: true, Threads: threads})
				for _, st := range s.Plan().Steps() {
					if st.Fallback {
						t.Errorf("%v %v: step %s (%s) is a fallback: %s", d, level, st.Name, st.Op, st.Reason)
					}
				}
				if n := s.Plan().Fused()["fuse-quant-add"]; n != 1 {
					t.Errorf("%v: %d quantized sums were fused, want 1", d, n)
				}
				against(t, s, s.Plan().Graph(), 0, 0, in)
			}
		}
	}
}

func TestQuantizedRunAllocatesNothing(t *testing.T) {
	in := random(1, 1, 3, 33, 31)
	g := withQDQ(t, bottleneck(), tensor.Int8, in)
	for _, threads := range []int{1, 2} {
		s := compile(t, g, Options{Threads: threads})
		ins, out := []*tensor.Tensor{in}, []*tensor.Tensor{tensor.New(tensor.Float32, 1, 10)}
		if n := testing.AllocsPerRun(20, func() {
			if err := s.RunInto(context.Background(), ins, out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%d threads: %v allocations in a run", threads, n)
		}
	}
}
