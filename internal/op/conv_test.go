package op

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// smallInts fills a tensor with small integers, so that sums are exact.
func smallInts(r *rapid.T, shape ...int) *tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.Len() {
		x.F32()[i] = float32(rapid.IntRange(-4, 4).Draw(r, "v"))
	}
	return x
}

// convAt is the definition of one output of a two-dimensional convolution.
func convAt(x, w *tensor.Tensor, group, stride, dilation, pad, n, m, oy, ox int) float32 {
	per, sum := w.Dim(1), float32(0)
	for i := range per {
		ch := m/(w.Dim(0)/group)*per + i
		for ky := range w.Dim(2) {
			for kx := range w.Dim(3) {
				y, c := oy*stride-pad+ky*dilation, ox*stride-pad+kx*dilation
				if y >= 0 && y < x.Dim(2) && c >= 0 && c < x.Dim(3) {
					sum += x.F32()[((n*x.Dim(1)+ch)*x.Dim(2)+y)*x.Dim(3)+c] * w.F32()[((m*per+i)*w.Dim(2)+ky)*w.Dim(3)+kx]
				}
			}
		}
	}
	return sum
}

type convCase struct {
	x, w                                 *tensor.Tensor
	group, stride, dilation, pad, oh, ow int
	attrs                                graph.Attrs
}

func drawConv(r *rapid.T) convCase {
	in := func(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(r, name) }
	c := convCase{group: in("group", 1, 3), stride: in("stride", 1, 3), dilation: in("dilation", 1, 2), pad: in("pad", 0, 2)}
	kh, kw := in("kh", 1, 3), in("kw", 1, 3)
	h, w := in("h", 5, 9), in("w", 5, 9)
	perIn, perOut := in("perIn", 1, 2), in("perOut", 1, 2)
	c.x, c.w = smallInts(r, in("n", 1, 2), perIn*c.group, h, w), smallInts(r, perOut*c.group, perIn, kh, kw)
	two := func(v int) []int64 { return []int64{int64(v), int64(v)} }
	c.attrs = graph.Attrs{"group": int64(c.group), "strides": two(c.stride), "dilations": two(c.dilation), "pads": append(two(c.pad), two(c.pad)...)}
	c.oh = (h+2*c.pad-(kh-1)*c.dilation-1)/c.stride + 1
	c.ow = (w+2*c.pad-(kw-1)*c.dilation-1)/c.stride + 1
	return c
}

func TestConvIsItsDefinition(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := drawConv(r)
		y := single(t, "", "Conv", c.attrs, c.x, c.w)
		want := tensor.New(tensor.Float32, c.x.Dim(0), c.w.Dim(0), c.oh, c.ow)
		for i := range want.Len() {
			plane := i / (c.oh * c.ow)
			want.F32()[i] = convAt(c.x, c.w, c.group, c.stride, c.dilation, c.pad, plane/c.w.Dim(0), plane%c.w.Dim(0), i/c.ow%c.oh, i%c.ow)
		}
		if ok, _, _ := tensor.CloseTo(y, want, 0, 0); !ok {
			r.Fatalf("got %v %v, want %v %v", y, y.F32(), want, want.F32())
		}
	})
}

// TestConvTransposeIsAdjoint: <conv(x), y> = <x, convT(y)> for all x and y.
func TestConvTransposeIsAdjoint(t *testing.T) {
	dot := func(a, b *tensor.Tensor) (s float64) {
		for i := range a.Len() {
			s += a.Float(i) * b.Float(i)
		}
		return s
	}
	rapid.Check(t, func(r *rapid.T) {
		c := drawConv(r)
		conv := single(t, "", "Conv", c.attrs, c.x, c.w)
		y := smallInts(r, conv.Shape()...)
		back := c.attrs.Clone()
		for d := range 2 { // what the stride left over at the end
			k := (c.w.Dim(2+d)-1)*c.dilation + 1
			over := c.x.Dim(2+d) + 2*c.pad - k - (conv.Dim(2+d)-1)*c.stride
			p, _ := back["output_padding"].([]int64)
			back["output_padding"] = append(p, int64(over))
		}
		x2 := single(t, "", "ConvTranspose", back, y, c.w)
		if x2.String() != c.x.String() {
			r.Fatalf("convT gives %v, want %v", x2, c.x)
		}
		if a, b := dot(conv, y), dot(c.x, x2); a != b {
			r.Fatalf("<conv(x), y> = %v, <x, convT(y)> = %v", a, b)
		}
	})
}

func TestConvAutoPad(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4}, 1, 1, 4)
	w := tensor.Of([]float32{1, 10}, 1, 1, 2)
	for pad, want := range map[string][]float32{
		"SAME_UPPER": {21, 32, 43, 4},
		"SAME_LOWER": {10, 21, 32, 43},
		"VALID":      {21, 32, 43},
	} {
		expect(t, single(t, "", "Conv", graph.Attrs{"auto_pad": pad}, x, w), tensor.Of(want, 1, 1, len(want)))
	}
}

func TestConvRefuses(t *testing.T) {
	f := func(shape ...int) *tensor.Tensor { return tensor.New(tensor.Float32, shape...) }
	for want, c := range map[string]struct {
		attrs graph.Attrs
		in    []*tensor.Tensor
	}{
		"want 4 input channels":              {nil, []*tensor.Tensor{f(1, 3, 8, 8), f(2, 4, 3, 3)}},
		"group=3 does not divide 4 channels": {graph.Attrs{"group": int64(3)}, []*tensor.Tensor{f(1, 3, 8, 8), f(4, 1, 3, 3)}},
		"does not fit size 2":                {nil, []*tensor.Tensor{f(1, 1, 2, 2), f(1, 1, 3, 3)}},
		"attribute strides":                  {graph.Attrs{"strides": []int64{0, 1}}, []*tensor.Tensor{f(1, 1, 8, 8), f(1, 1, 3, 3)}},
		"kernel_shape [5 5] contradicts":     {graph.Attrs{"kernel_shape": []int64{5, 5}}, []*tensor.Tensor{f(1, 1, 8, 8), f(1, 1, 3, 3)}},
		"auto_pad":                           {graph.Attrs{"auto_pad": "SAME"}, []*tensor.Tensor{f(1, 1, 8, 8), f(1, 1, 3, 3)}},
		"group=-1 is not positive":           {graph.Attrs{"group": int64(-1)}, []*tensor.Tensor{f(1, 1, 8, 8), f(1, 1, 3, 3)}},
		"too large":                          {graph.Attrs{"pads": []int64{1 << 30, 1 << 30, 1 << 30, 1 << 30}}, []*tensor.Tensor{f(1, 1, 8, 8), f(1, 1, 3, 3)}},
		"one number for each of 1 channels":  {nil, []*tensor.Tensor{f(1, 1, 8, 8), f(1, 1, 3, 3), f(2)}},
		"three spatial dimensions":           {nil, []*tensor.Tensor{f(1, 1, 2, 2, 2, 2), f(1, 1, 1, 1, 1, 1)}},
	} {
		if _, err := run(t, "", "Conv", c.attrs, 1, c.in...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}

// TestConvInfersPartly: unknown sizes stay unknown, known ones are computed.
func TestConvInfersPartly(t *testing.T) {
	g := graph.New("g")
	x := g.Input("x", graph.Type{DType: tensor.Float32, Shape: graph.Shape{graph.Sym("N"), {Size: 3}, graph.Sym("H"), {Size: 32}}})
	w := g.Constant("w", tensor.New(tensor.Float32, 8, 3, 3, 3))
	y := g.Add("Conv", "y", graph.Attrs{"strides": []int64{2, 2}, "pads": []int64{1, 1, 1, 1}}, x, w)
	z := g.Add("GlobalAveragePool", "z", nil, y)
	g.Output(z)
	if _, err := InferTypes(g); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(y.Type, z.Type); got != "float32[Nx8x?x16] float32[Nx8x1x1]" {
		t.Error(got)
	}
}

func TestPools(t *testing.T) {
	x := tensor.Of([]float32{1, 2, 3, 4, 5}, 1, 1, 5)
	at := func(k, s int64, more ...any) graph.Attrs {
		a := graph.Attrs{"kernel_shape": []int64{k}, "strides": []int64{s}}
		for i := 0; i < len(more); i += 2 {
			a[more[i].(string)] = more[i+1]
		}
		return a
	}
	of := func(v ...float32) *tensor.Tensor { return tensor.Of(v, 1, 1, len(v)) }
	expect(t, single(t, "", "MaxPool", at(2, 2), x), of(2, 4))
	expect(t, single(t, "", "MaxPool", at(2, 2, "ceil_mode", int64(1)), x), of(2, 4, 5))
	expect(t, single(t, "", "AveragePool", at(2, 2, "ceil_mode", int64(1)), x), of(1.5, 3.5, 5))
	expect(t, single(t, "", "AveragePool", at(3, 2, "pads", []int64{1, 1}), x), of(1.5, 3, 4.5))
	expect(t, single(t, "", "AveragePool", at(3, 2, "pads", []int64{1, 1}, "count_include_pad", int64(1)), x), of(1, 3, 3))
	expect(t, single(t, "", "AveragePool", at(2, 1, "dilations", []int64{3}), x), of(2.5, 3.5))
	expect(t, single(t, "", "LpPool", at(2, 3), x), of(float32(math.Sqrt(5)), float32(math.Sqrt(41))))
	expect(t, single(t, "", "MaxPool", at(2, 1, "pads", []int64{1, 0}), tensor.Of([]int8{-3, -2}, 1, 1, 2)), tensor.Of([]int8{-3, -2}, 1, 1, 2))

	out, err := run(t, "", "MaxPool", graph.Attrs{"kernel_shape": []int64{2, 2}, "storage_order": int64(1)}, 2,
		tensor.Of([]float32{1, 2, 3, 4, 9, 5}, 1, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	// The maximum stands in row 1, column 1: number 1*2+1 counting columns first.
	expect(t, out[1].(*tensor.Tensor), tensor.Of([]int64{3, 3}, 1, 1, 1, 2))
}
