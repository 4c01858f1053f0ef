package engine

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"sync"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

// sketch draws a small random network over [N,C,H,W] (or [N,C,L]) tensors.
type sketch struct {
	t    *rapid.T
	g    *graph.Graph
	seed uint32
	rank int
	pool []*graph.Value // values to build on
}

func (s *sketch) int(lo, hi int, what string) int { return rapid.IntRange(lo, hi).Draw(s.t, what) }

func (s *sketch) constant(scale float32, shape ...int) *graph.Value {
	s.seed++
	t := random(s.seed, shape...)
	for i := range t.F32() {
		t.F32()[i] *= scale
	}
	return s.g.Constant("", t)
}

// shape infers the graph and returns the shape of v.
func (s *sketch) shape(v *graph.Value) []int {
	if _, err := op.InferTypes(s.g); err != nil {
		s.t.Fatal(err)
	}
	n, ok := v.Type.Static()
	if !ok {
		s.t.Fatalf("%v has no static shape", v)
	}
	return n
}

func (s *sketch) pick(what string) *graph.Value {
	return s.pool[s.int(0, len(s.pool)-1, what)]
}

func (s *sketch) repeat(v int64, n int) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = v
	}
	return out
}

func (s *sketch) conv() *graph.Value {
	x := s.pick("conv input")
	xs := s.shape(x)
	n := s.rank - 2
	c := xs[1]
	group, out := 1, s.int(1, 40, "channels")
	switch s.int(0, 3, "groups") {
	case 0:
		group, out = c, c
	case 1:
		if c%2 == 0 {
			group, out = 2, 2*s.int(1, 10, "half channels")
		}
	}
	k := s.int(1, 3, "kernel")
	for _, d := range xs[2:] {
		if d < k {
			k = 1
		}
	}
	stride, pad := s.int(1, 2, "stride"), s.int(0, k/2, "pad")
	shape := []int{out, c / group}
	for range n {
		shape = append(shape, k)
	}
	in := []*graph.Value{x, s.constant(float32(2/math.Sqrt(float64(k*k*c/group))), shape...)}
	if rapid.Bool().Draw(s.t, "bias") {
		in = append(in, s.constant(0.5, out))
	}
	return s.g.Add("Conv", "", graph.Attrs{"group": int64(group), "strides": s.repeat(int64(stride), n), "pads": s.repeat(int64(pad), 2*n)}, in...)
}

func (s *sketch) activation(x *graph.Value) *graph.Value {
	switch s.int(0, 6, "activation") {
	case 6:
		slope := []int{s.shape(x)[1]}
		for range s.rank - 2 {
			slope = append(slope, 1)
		}
		return s.g.Add("PRelu", "", nil, x, s.constant(float32(s.int(1, 3, "slope")), slope...))
	case 0:
		return s.g.Add("Relu", "", nil, x)
	case 1:
		return s.g.Add("Clip", "", nil, x, s.g.Constant("", tensor.Scalar(float32(-0.5))), s.g.Constant("", tensor.Scalar(float32(0.75))))
	case 2:
		return s.g.Add("Sigmoid", "", nil, x)
	case 3:
		return s.g.Add("LeakyRelu", "", graph.Attrs{"alpha": float32(0.125)}, x)
	}
	return x
}

// peer returns a value of the shape of x: another of the pool, or x through a convolution.
func (s *sketch) peer(x *graph.Value) *graph.Value {
	xs := s.shape(x)
	for range 3 {
		y := s.pick("peer")
		if fmt.Sprint(s.shape(y)) == fmt.Sprint(xs) {
			return y
		}
	}
	shape := []int{xs[1], xs[1]}
	for range s.rank - 2 {
		shape = append(shape, 1)
	}
	return s.g.Add("Conv", "", nil, x, s.constant(0.5, shape...))
}

func (s *sketch) grow() {
	var y *graph.Value
	n := s.rank - 2
	switch s.int(0, 11, "operator") {
	case 0, 1, 2:
		y = s.activation(s.conv())
	case 3:
		x := s.conv()
		y = s.activation(s.g.Add("Add", "", nil, x, s.peer(x)))
	case 4:
		x := s.pick("pool input")
		y = s.g.Add([]string{"MaxPool", "AveragePool"}[s.int(0, 1, "pool")], "",
			graph.Attrs{"kernel_shape": s.repeat(2, n), "strides": s.repeat(int64(s.int(1, 2, "stride")), n), "pads": s.repeat(1, 2*n)}, x)
	case 5:
		x := s.pick("concat input")
		y = s.g.Add("Concat", "", graph.Attrs{"axis": int64(s.int(1, s.rank-1, "axis"))}, x, s.peer(x))
	case 6:
		x := s.pick("binary input")
		xs := s.shape(x)
		other := s.peer(x)
		if rapid.Bool().Draw(s.t, "broadcast") {
			c := make([]int, s.rank)
			for i, d := range xs {
				c[i] = []int{1, d}[s.int(0, 1, "stretch")]
			}
			other = s.constant(1, c...)
		}
		y = s.g.Add([]string{"Add", "Mul", "Sub"}[s.int(0, 2, "binary")], "", nil, x, other)
	case 7:
		x := s.pick("slice input")
		d := s.shape(x)[1]
		from := s.int(0, d-1, "from")
		y = s.g.Add("Slice", "", nil, x, s.g.Ints("", int64(from)), s.g.Ints("", int64(s.int(from+1, d, "to"))), s.g.Ints("", 1))
	case 8:
		// There and back through another layout, with work in between.
		x := s.pick("transposed input")
		to, back := []int64{0, 2, 3, 1}, []int64{0, 3, 1, 2}
		if s.rank == 3 {
			to, back = []int64{0, 2, 1}, []int64{0, 2, 1}
		}
		y = s.activation(s.g.Add("Transpose", "", graph.Attrs{"perm": to}, x))
		if rapid.Bool().Draw(s.t, "back") {
			y = s.g.Add("Transpose", "", graph.Attrs{"perm": back}, y)
		}
	case 9:
		x := s.pick("gated input")
		gate := s.g.Add("GlobalAveragePool", "", nil, x)
		c := s.shape(x)[1]
		shape := append([]int{c, c}, make([]int, n)...)
		for i := range n {
			shape[2+i] = 1
		}
		gate = s.g.Add("Sigmoid", "", nil, s.g.Add("Conv", "", nil, gate, s.constant(1, shape...)))
		y = s.g.Add("Mul", "", nil, x, gate)
	case 11:
		x := s.pick("reduced input")
		var axes []int64
		for i := range s.rank {
			if rapid.Bool().Draw(s.t, "reduced") {
				axes = append(axes, int64(i))
			}
		}
		if len(axes) == 0 {
			return
		}
		y = s.g.Add([]string{"ReduceMean", "ReduceSum", "ReduceMax"}[s.int(0, 2, "reduction")], "", graph.Attrs{"keepdims": int64(1)}, x, s.g.Ints("", axes...))
		if rapid.Bool().Draw(s.t, "centred") {
			y = s.g.Add("Sub", "", nil, x, y)
		}
	case 10:
		x := s.pick("transposed convolution input")
		c := s.shape(x)[1]
		group := 1
		if c%2 == 0 && rapid.Bool().Draw(s.t, "groups of two") {
			group = 2
		}
		k := s.int(1, 3, "kernel")
		shape := []int{c, s.int(1, 9, "channels per group")}
		for range n {
			shape = append(shape, k)
		}
		attrs := graph.Attrs{"group": int64(group), "strides": s.repeat(int64(s.int(1, 2, "stride")), n), "dilations": s.repeat(int64(s.int(1, 2, "dilation")), n)}
		y = s.g.Add("ConvTranspose", "", attrs, x, s.constant(0.3, shape...), s.constant(1, shape[1]*group))
		y = s.activation(y)
	}
	if len(s.shape(y)) == s.rank {
		s.pool = append(s.pool, y)
	}
}

func drawNetwork(t *rapid.T) (*graph.Graph, *tensor.Tensor) {
	s := &sketch{t: t, g: graph.New("random"), rank: rapid.SampledFrom([]int{3, 4, 4, 4}).Draw(t, "rank")}
	shape := []int{s.int(1, 2, "batch"), s.int(1, 20, "channels")}
	for range s.rank - 2 {
		shape = append(shape, s.int(3, 14, "size"))
	}
	s.pool = append(s.pool, s.g.Input("x", graph.TensorType(tensor.Float32, shape...)))
	for range s.int(1, 9, "operators") {
		s.grow()
	}
	out := s.pool[len(s.pool)-1]
	s.shape(out)
	switch s.int(0, 2, "head") {
	case 0:
		flat := s.g.Add("Flatten", "", nil, s.g.Add("GlobalAveragePool", "", nil, out))
		out = s.g.Add("Gemm", "", nil, flat, s.constant(1, s.shape(flat)[1], 7), s.constant(1, 7))
	case 1:
		s.g.Output(s.pick("second output"))
	}
	s.g.Output(out)
	if err := s.g.Verify(); err != nil {
		t.Fatal(err)
	}
	return s.g, random(99, shape...)
}

// runOnce compiles, runs twice in one session and returns the second outcome: the first
// leaves an arena full of old values behind.
func runOnce(t *rapid.T, g *graph.Graph, o Options, in op.Value) ([]op.Value, *Plan) {
	p, err := Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out []op.Value
	for range 2 {
		if out, err = s.Run(context.Background(), []op.Value{in}); err != nil {
			t.Fatal(err)
		}
	}
	return out, p
}

func compare(t *rapid.T, what string, p *Plan, got, want []op.Value, tol float64) {
	for i := range want {
		a, b := got[i].(*tensor.Tensor), want[i].(*tensor.Tensor)
		if ok, abs, rel := tensor.CloseTo(a, b, tol, tol); !ok {
			p.Dump(dumper{t})
			t.Fatalf("%s: output %d: %v differs from %v by %g absolute, %g relative", what, i, a, b, abs, rel)
		}
	}
}

type dumper struct{ t *rapid.T }

func (d dumper) Write(b []byte) (int, error) { d.t.Log(string(b)); return len(b), nil }

func drawOptions(t *rapid.T) Options {
	o := Options{Portable: true, Level: rapid.SampledFrom(cpu.Levels()).Draw(t, "level"), Threads: rapid.IntRange(1, 2).Draw(t, "threads")}
	for _, r := range Rules() {
		if rapid.IntRange(0, 5).Draw(t, r) == 0 {
			o.Disable = append(o.Disable, r)
		}
	}
	return o
}

func TestRandomNetworks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g, in := drawNetwork(t)
		want, err := interp.Run(context.Background(), g, []op.Value{in})
		if err != nil {
			t.Fatal(err)
		}
		got, p := runOnce(t, g, drawOptions(t), in)
		compare(t, "float", p, got, want, 2e-4)
	})
}

func TestRandomQuantizedNetworksExact(t *testing.T) {
	exact := 0
	rapid.Check(t, func(rt *rapid.T) {
		g, in := drawNetwork(rt)
		q := withQDQ(t, g, rapid.SampledFrom([]tensor.DType{tensor.Uint8, tensor.Int8}).Draw(rt, "type"), in)
		got, p := runOnce(rt, q, drawOptions(rt), in)
		want, err := interp.Run(context.Background(), p.Graph(), []op.Value{in})
		if err != nil {
			rt.Fatal(err)
		}
		// What stayed float before a quantization may fall on the other side of a step.
		tol := 0.0
		if floatInside(p) {
			tol = 0.1
		} else {
			exact++
		}
		compare(rt, "quantized", p, got, want, tol)
	})
	if exact == 0 {
		t.Error("no network was integer throughout")
	}
	t.Logf("%d networks were integer throughout", exact)
}

// floatInside reports whether a quantization of more than the network's input is left.
func floatInside(p *Plan) bool {
	n := 0
	for _, st := range p.steps {
		if st.kernel == "quantize u8" || st.fallback {
			n++
		}
	}
	return n > 1
}

func TestSessionsShareAPlan(t *testing.T) {
	before := goleak.IgnoreCurrent()
	p, err := Compile(bottleneck(), Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		in := random(uint32(i), 1, 3, 33, 31)
		want, err := interp.Run(context.Background(), bottleneck(), []op.Value{in})
		if err != nil {
			t.Fatal(err)
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := p.NewSession()
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for range 5 {
				got, err := s.Run(context.Background(), []op.Value{in})
				if err != nil {
					t.Error(err)
					return
				}
				if ok, abs, _ := tensor.CloseTo(got[0].(*tensor.Tensor), want[0].(*tensor.Tensor), 1e-4, 1e-4); !ok {
					t.Errorf("session %d: off by %g", i, abs)
				}
				runtime.Gosched()
			}
		}()
	}
	wg.Wait()
	goleak.VerifyNone(t, before)
}
