package op

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

func scalars(scale float32, zero uint8) (s, z *tensor.Tensor) {
	return tensor.Scalar(scale), tensor.Scalar(zero)
}

func TestQuantizeRounds(t *testing.T) {
	s, z := scalars(2, 128)
	nan := float32(math.NaN())
	expect(t, single(t, "", "QuantizeLinear", nil, vec(1, 3, -1e9, 1e9, nan), s, z), vec[uint8](128, 130, 0, 255, 128))
	expect(t, single(t, "", "DequantizeLinear", nil, vec[uint8](0, 129), s, z), vec[float32](-256, 2))
	// Per channel, and per block along the last axis.
	x := tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
	expect(t, single(t, "", "QuantizeLinear", graph.Attrs{"axis": int64(0), "output_dtype": int64(tensor.Int8)}, x, vec[float32](1, 2)),
		tensor.Of([]int8{1, 2, 3, 2, 2, 3}, 2, 3))
	expect(t, single(t, "", "QuantizeLinear", graph.Attrs{"axis": int64(1), "block_size": int64(2), "output_dtype": int64(tensor.Int16)}, x,
		tensor.Of([]float32{1, 0.5, 0.25, 2}, 2, 2)), tensor.Of([]int16{1, 2, 6, 16, 20, 3}, 2, 3))
	if _, err := run(t, "", "QuantizeLinear", nil, 1, x, vec[float32](1, 2)); err == nil || !strings.Contains(err.Error(), "does not fit axis 1 of [2 3]") {
		t.Errorf("two scales for three channels: %v", err)
	}
}

// TestQuantizeInverts: every representable value survives dequantizing and quantizing.
func TestQuantizeInverts(t *testing.T) {
	for _, d := range []tensor.DType{tensor.Uint8, tensor.Int8, tensor.Int4, tensor.Uint4, tensor.Int2, tensor.Uint2, tensor.Int16} {
		lo, hi := d.IntRange()
		q := tensor.New(d, int(hi-lo+1))
		for i := range q.Len() {
			q.SetInt(i, lo+int64(i))
		}
		zero := tensor.New(d)
		zero.SetInt(0, (lo+hi)/2)
		s := tensor.Scalar[float32](0.37)
		expect(t, single(t, "", "QuantizeLinear", nil, single(t, "", "DequantizeLinear", nil, q, s, zero), s, zero), q)
	}
}

func TestDynamicQuantize(t *testing.T) {
	out, err := run(t, "", "DynamicQuantizeLinear", nil, 3, vec[float32](-1, 0, 1.55))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, out[0].(*tensor.Tensor), vec[uint8](0, 100, 255))
	expect(t, out[1].(*tensor.Tensor), tensor.Scalar[float32](0.01))
	expect(t, out[2].(*tensor.Tensor), tensor.Scalar[uint8](100))
}

// TestQLinearConvIsFloatConv: with steps of a power of two, an integer convolution is
// the real one, rounded.
func TestQLinearConvIsFloatConv(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := drawConv(r)
		x, w := tensor.New(tensor.Uint8, c.x.Shape()...), tensor.New(tensor.Int8, c.w.Shape()...)
		for i := range x.Len() {
			x.SetInt(i, c.x.Int(i)+100)
		}
		for i := range w.Len() {
			w.SetInt(i, c.w.Int(i))
		}
		bias := tensor.New(tensor.Int32, w.Dim(0))
		biasF := tensor.New(tensor.Float32, w.Dim(0))
		for i := range bias.Len() {
			bias.SetInt(i, int64(i*3))
			biasF.SetFloat(i, float64(i*3))
		}
		sx, zx := scalars(0.5, 100)
		sy, zy := scalars(4, 17)
		got := single(t, "", "QLinearConv", c.attrs, x, sx, zx, w, tensor.Scalar[float32](0.25), tensor.Scalar[int8](0), sy, zy, bias)
		real := single(t, "", "Conv", c.attrs, c.x, c.w, biasF)
		for i := range real.Len() {
			want := math.RoundToEven(real.Float(i)*0.5*0.25/4) + 17
			if got.Float(i) != min(max(want, 0), 255) {
				r.Fatalf("element %d is %v, want %v", i, got.Float(i), want)
			}
		}
	})
}

func TestQLinearElementwise(t *testing.T) {
	const ms = graph.DomainMicrosoft
	s, z := scalars(0.5, 10)
	s2, z2 := scalars(0.25, 0)
	sy, zy := scalars(1, 100)
	a, b := vec[uint8](10, 20, 255), vec[uint8](0, 4, 255)
	// a is 0, 5, 122.5 and b is 0, 1, 63.75.
	expect(t, single(t, ms, "QLinearAdd", nil, a, s, z, b, s2, z2, sy, zy), vec[uint8](100, 106, 255))
	expect(t, single(t, ms, "QLinearMul", nil, a, s, z, b, s2, z2, sy, zy), vec[uint8](100, 105, 255))
	expect(t, single(t, ms, "QLinearLeakyRelu", graph.Attrs{"alpha": float32(0.5)}, vec[uint8](0, 10, 20), s, z, sy, zy), vec[uint8](98, 100, 105))
	half, none := scalars(1.0/256, 0)
	expect(t, single(t, ms, "QLinearSigmoid", nil, vec[uint8](10, 255), s, z, half, none), vec[uint8](128, 255))
	expect(t, single(t, ms, "QLinearSoftmax", nil, vec[uint8](7, 7), s, z, half, none), vec[uint8](128, 128))
	x := tensor.Of([]uint8{11, 12, 13, 14}, 1, 1, 2, 2)
	expect(t, single(t, ms, "QLinearGlobalAveragePool", nil, x, s, z, tensor.Scalar[float32](0.25), z), tensor.Of([]uint8{15}, 1, 1, 1, 1))
	pool := graph.Attrs{"kernel_shape": []int64{1, 2}}
	expect(t, single(t, ms, "QLinearAveragePool", pool, x, s, z, tensor.Scalar[float32](0.25), z), tensor.Of([]uint8{13, 17}, 1, 1, 2, 1))
	expect(t, single(t, ms, "QLinearConcat", graph.Attrs{"axis": int64(0)}, s, z, a, s, z, b, s2, z2), vec[uint8](10, 20, 255, 10, 12, 138))
}

func TestQGemm(t *testing.T) {
	a := tensor.Of([]uint8{11, 12, 13, 14}, 2, 2) // 1 2; 3 4 after the zero point
	b := tensor.Of([]int8{1, 3, 2, 4}, 2, 2)      // transposed: 1 2; 3 4
	c := vec[int32](1, -1)
	attrs := graph.Attrs{"transB": int64(1)}
	s, z := scalars(0.5, 10)
	in := []*tensor.Tensor{a, s, z, b, vec[float32](1, 2), vec[int8](0, 0), c}
	// A·B' = [7 10; 15 22], plus C = [8 9; 16 21]; steps 0.5 and 1.
	expect(t, single(t, graph.DomainMicrosoft, "QGemm", attrs, in...), tensor.Of([]float32{4, 9, 8, 21}, 2, 2))
	sy, zy := scalars(2, 1)
	expect(t, single(t, graph.DomainMicrosoft, "QGemm", attrs, append(in, sy, zy)...), tensor.Of([]uint8{3, 5, 5, 11}, 2, 2))
}

func TestMatMulNBits(t *testing.T) {
	const ms = graph.DomainMicrosoft
	// One column of 16 values in a block: nibbles 0..15, scale 2, zero point 8.
	q := tensor.New(tensor.Uint8, 1, 1, 8)
	for i := range 8 {
		q.Bytes()[i] = byte(2*i | (2*i+1)<<4)
	}
	attrs := graph.Attrs{"K": int64(16), "N": int64(1), "bits": int64(4), "block_size": int64(16)}
	a := tensor.New(tensor.Float32, 1, 16)
	want := float32(0)
	for i := range 16 {
		a.F32()[i] = float32(i + 1)
		want += float32(i+1) * float32(i-8) * 2
	}
	scale := vec[float32](2)
	expect(t, single(t, ms, "MatMulNBits", attrs, a, q, scale), tensor.Of([]float32{want}, 1, 1))
	expect(t, single(t, ms, "MatMulNBits", attrs, a, q, scale, vec[uint8](8)), tensor.Of([]float32{want}, 1, 1))
	expect(t, single(t, ms, "MatMulNBits", attrs, a, q, scale, vec[float32](8.5), nil, vec[float32](3)), tensor.Of([]float32{want - 136 + 3}, 1, 1))
	if _, err := run(t, ms, "MatMulNBits", attrs, 1, a, q, scale, nil, vec[int32](0)); err == nil || !strings.Contains(err.Error(), "g_idx") {
		t.Errorf("g_idx: %v", err)
	}
}

func TestNormalizations(t *testing.T) {
	x := tensor.Of([]float32{1, 3, 5, 7}, 1, 2, 2)
	two := vec[float32](2, 2)
	zero := vec[float32](0, 1)
	eps := graph.Attrs{"epsilon": float32(0)}
	expect(t, single(t, "", "InstanceNormalization", eps, x, two, zero), tensor.Of([]float32{-2, 2, -1, 3}, 1, 2, 2))
	expect(t, single(t, "", "BatchNormalization", eps, x, two, zero, vec[float32](1, 5), vec[float32](1, 4)), tensor.Of([]float32{0, 4, 1, 3}, 1, 2, 2))
	expect(t, single(t, "", "LayerNormalization", eps, vec[float32](1, 3), two, zero), vec[float32](-2, 3))
	expect(t, single(t, "", "RMSNormalization", eps, vec[float32](3, 3), two), vec[float32](2, 2))
	expect(t, single(t, "", "LpNormalization", nil, vec[float32](3, 4)), vec[float32](0.6, 0.8))
	out, err := run(t, graph.DomainMicrosoft, "SkipSimplifiedLayerNormalization", eps, 4, vec[float32](1, 2), vec[float32](2, 1), two)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, out[0].(*tensor.Tensor), vec[float32](2, 2))
	expect(t, out[3].(*tensor.Tensor), vec[float32](3, 3))
}
