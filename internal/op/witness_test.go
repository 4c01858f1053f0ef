package op_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A witnessed case is one node that ONNX Runtime must compute alike: floats closely,
// quantized outputs within one step. Tensors in the list become graph inputs where
// they are random data, constants where they are given by value.
type witnessed struct {
	domain, op string
	attrs      graph.Attrs
	in         []any // *tensor.Tensor: constant; random: data; nil: absent
	outputs    int   // 0 means 1
}

// random asks for random data of a type and shape.
type random struct {
	dtype tensor.DType
	shape []int
}

func f32(shape ...int) random { return random{tensor.Float32, shape} }
func u8(shape ...int) random  { return random{tensor.Uint8, shape} }
func s8(shape ...int) random  { return random{tensor.Int8, shape} }

func one[T tensor.Element](v ...T) *tensor.Tensor {
	if len(v) == 1 {
		return tensor.Scalar(v[0])
	}
	return tensor.Of(v, len(v))
}

func (r random) make(g *rand.Rand) *tensor.Tensor {
	t := tensor.New(r.dtype, r.shape...)
	for i := range t.Len() {
		if r.dtype.IsInt() {
			t.SetInt(i, g.Int64())
		} else {
			t.SetFloat(i, g.NormFloat64())
		}
	}
	return t
}

func ints(v ...int64) []int64 { return v }

const ms = graph.DomainMicrosoft

func witnessCases() []witnessed {
	sx, zx := one[float32](0.05), one[uint8](120)
	sy, zy := one[float32](0.11), one[uint8](90)
	sw := one[float32](0.02)
	wc := one[float32](0.02, 0.05, 0.01, 0.03)
	z4 := one[int8](0, 0, 0, 0)
	nbits := func(bits int64) graph.Attrs {
		return graph.Attrs{"K": int64(40), "N": int64(6), "bits": bits, "block_size": int64(16)}
	}
	pool := func(more graph.Attrs) graph.Attrs {
		a := graph.Attrs{"kernel_shape": ints(3, 2), "strides": ints(2, 2), "pads": ints(1, 0, 1, 1)}
		for k, v := range more {
			a[k] = v
		}
		return a
	}
	return []witnessed{
		{"", "QLinearConv", graph.Attrs{"pads": ints(1, 1, 1, 1)}, []any{u8(1, 3, 9, 9), sx, zx, s8(4, 3, 3, 3), wc, z4, one[float32](0.4), zy, one[int32](100, -2000, 3, 40)}, 1},
		{"", "QLinearConv", graph.Attrs{"group": int64(4), "strides": ints(2, 2)}, []any{u8(2, 4, 9, 9), sx, zx, u8(4, 1, 3, 3), sw, one[uint8](110), sy, zy}, 1},
		{"", "QLinearMatMul", nil, []any{u8(5, 16), sx, zx, s8(16, 4), wc, z4, sy, zy}, 1},
		{"", "ConvInteger", graph.Attrs{"pads": ints(1, 1, 1, 1)}, []any{u8(1, 2, 6, 6), u8(3, 2, 3, 3), zx, zy}, 1},
		{"", "MatMulInteger", nil, []any{u8(5, 16), s8(16, 4), zx, one[int8](3)}, 1},
		{"", "DynamicQuantizeLinear", nil, []any{f32(30)}, 3},
		{ms, "QGemm", graph.Attrs{"transB": int64(1), "alpha": float32(0.5)}, []any{u8(3, 8), sx, zx, s8(4, 8), wc, z4, one[int32](10, 20, 30, -500), sy, zy}, 1},
		{ms, "QGemm", nil, []any{u8(3, 8), sx, zx, s8(8, 4), sw, one[int8](2)}, 1},
		{ms, "QLinearAdd", nil, []any{u8(2, 3, 4), sx, zx, u8(3, 1), sw, zy, sy, zy}, 1},
		{ms, "QLinearMul", nil, []any{s8(2, 3, 4), sx, one[int8](5), s8(2, 3, 4), sw, one[int8](-7), sy, one[int8](1)}, 1},
		{ms, "QLinearSigmoid", nil, []any{u8(200), sx, zx, one[float32](1.0 / 256), one[uint8](0)}, 1},
		{ms, "QLinearLeakyRelu", graph.Attrs{"alpha": float32(0.1)}, []any{s8(200), sx, one[int8](3), sy, one[int8](-20)}, 1},
		{ms, "QLinearSoftmax", graph.Attrs{"axis": int64(-1), "opset": int64(13)}, []any{u8(2, 3, 10), sx, zx, one[float32](1.0 / 256), one[uint8](0)}, 1},
		{ms, "QLinearSoftmax", graph.Attrs{"axis": int64(1), "opset": int64(11)}, []any{u8(2, 3, 10), sx, zx, one[float32](1.0 / 256), one[uint8](0)}, 1},
		{ms, "QLinearGlobalAveragePool", nil, []any{u8(2, 3, 7, 7), sx, zx, one[float32](0.02), zy}, 1},
		{ms, "QLinearAveragePool", pool(nil), []any{u8(2, 3, 7, 7), sx, zx, sy, zy}, 1},
		{ms, "QLinearAveragePool", pool(graph.Attrs{"count_include_pad": int64(1)}), []any{u8(2, 3, 7, 7), sx, zx, sy, zy}, 1},
		{ms, "QLinearConcat", graph.Attrs{"axis": int64(1)}, []any{sy, zy, u8(2, 3), sx, zx, u8(2, 2), sy, zy}, 1},
		{ms, "DynamicQuantizeMatMul", nil, []any{f32(3, 8), s8(8, 4), wc, z4, f32(4)}, 1},
		{ms, "MatMulIntegerToFloat", nil, []any{u8(3, 8), s8(8, 4), sx, sw, zx, one[int8](4), f32(4)}, 1},
		{ms, "MatMulNBits", nbits(4), []any{f32(3, 40), u8(6, 3, 8), f32(18)}, 1},
		{ms, "MatMulNBits", nbits(4), []any{f32(3, 40), u8(6, 3, 8), f32(18), u8(12), nil, f32(6)}, 1},
		{ms, "MatMulNBits", nbits(4), []any{f32(3, 40), u8(6, 3, 8), f32(18), f32(18)}, 1},
		{ms, "MatMulNBits", nbits(8), []any{f32(3, 40), u8(6, 3, 16), f32(18), u8(18)}, 1},
		{ms, "QuantizeLinear", graph.Attrs{"axis": int64(0)}, []any{f32(4, 5), wc, one[int8](0, 1, 2, 3)}, 1},
		{ms, "DequantizeLinear", graph.Attrs{"axis": int64(0)}, []any{s8(4, 5), wc, one[int8](0, 1, 2, 3)}, 1},
		{ms, "FusedConv", graph.Attrs{"activation": "Relu", "pads": ints(1, 1, 1, 1)}, []any{f32(1, 3, 6, 6), f32(4, 3, 3, 3), f32(4), f32(1, 4, 6, 6)}, 1},
		{ms, "FusedConv", graph.Attrs{"activation": "Clip", "activation_params": []float32{-0.5, 0.5}}, []any{f32(1, 3, 6, 6), f32(4, 3, 3, 3), f32(4)}, 1},
		{ms, "FusedConv", graph.Attrs{"activation": "HardSigmoid", "activation_params": []float32{0.3, 0.4}}, []any{f32(1, 3, 6, 6), f32(4, 3, 3, 3)}, 1},
		{ms, "FusedMatMul", graph.Attrs{"transA": int64(1), "transB": int64(1), "alpha": float32(0.3)}, []any{f32(2, 5, 3), f32(2, 4, 5)}, 1},
		{ms, "FusedMatMul", graph.Attrs{"transBatchA": int64(1), "transBatchB": int64(1)}, []any{f32(3, 2, 5), f32(5, 2, 4)}, 1},
		{ms, "FusedMatMul", graph.Attrs{"transBatchA": int64(1), "transA": int64(1)}, []any{f32(5, 2, 3), f32(2, 5, 4)}, 1},
		{ms, "Gelu", nil, []any{f32(50)}, 1},
		{ms, "FastGelu", nil, []any{f32(3, 8), f32(8)}, 1},
		{ms, "BiasGelu", nil, []any{f32(3, 8), f32(8)}, 1},
		{ms, "QuickGelu", graph.Attrs{"alpha": float32(1.5)}, []any{f32(50)}, 1},
		{ms, "SkipLayerNormalization", graph.Attrs{"epsilon": float32(1e-5)}, []any{f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8), f32(8)}, 1},
		{ms, "SkipSimplifiedLayerNormalization", nil, []any{f32(2, 3, 8), f32(2, 3, 8), f32(8)}, 1},
		{"", "SimplifiedLayerNormalization", graph.Attrs{"axis": int64(-1), "epsilon": float32(1e-5)}, []any{f32(2, 3, 8), f32(8)}, 1},
		{"", "MaxPool", pool(graph.Attrs{"storage_order": int64(1)}), []any{f32(2, 3, 7, 6)}, 2},
		{"", "MaxPool", pool(graph.Attrs{"ceil_mode": int64(1), "dilations": ints(2, 2)}), []any{u8(2, 3, 7, 6)}, 1},
		{"", "AveragePool", pool(graph.Attrs{"ceil_mode": int64(1)}), []any{f32(2, 3, 7, 6)}, 1},
		{"", "AveragePool", pool(graph.Attrs{"ceil_mode": int64(1), "count_include_pad": int64(1)}), []any{f32(2, 3, 7, 6)}, 1},
		{"", "LpPool", pool(graph.Attrs{"p": int64(3)}), []any{f32(2, 3, 7, 6)}, 1},
		{"", "GlobalLpPool", graph.Attrs{"p": int64(1)}, []any{f32(2, 3, 7, 6)}, 1},
		{"", "MaxRoiPool", graph.Attrs{"pooled_shape": ints(2, 3), "spatial_scale": float32(0.5)}, []any{f32(1, 2, 9, 9), tensor.Of([]float32{0, 1, 2, 11, 14, 0, 4, 4, 5, 6}, 2, 5)}, 1},
		{"", "RoiAlign", graph.Attrs{"output_height": int64(2), "output_width": int64(3), "sampling_ratio": int64(2), "mode": "max"},
			[]any{f32(1, 2, 9, 9), tensor.Of([]float32{1, 2, 6, 7}, 1, 4), tensor.Of([]int64{0}, 1)}, 1},
		{"", "ConvTranspose", graph.Attrs{"strides": ints(2, 3), "output_padding": ints(1, 1), "pads": ints(1, 0, 0, 1), "group": int64(2)}, []any{f32(1, 4, 5, 6), f32(4, 3, 3, 3), f32(6)}, 1},
		{"", "ConvTranspose", graph.Attrs{"strides": ints(2, 2), "auto_pad": "SAME_LOWER"}, []any{f32(1, 2, 5, 6), f32(2, 3, 3, 3)}, 1},
		{"", "Conv", graph.Attrs{"strides": ints(2, 2, 1), "auto_pad": "SAME_LOWER"}, []any{f32(1, 2, 5, 6, 4), f32(3, 2, 3, 2, 2), f32(3)}, 1},
		{"", "LRN", graph.Attrs{"size": int64(5), "alpha": float32(0.1), "bias": float32(2)}, []any{f32(2, 7, 3, 3)}, 1},
		{"", "Gemm", graph.Attrs{"transA": int64(1), "alpha": float32(0.5), "beta": float32(2)}, []any{f32(5, 3), f32(5, 4), f32(3, 1)}, 1},
		{"", "Einsum", graph.Attrs{"equation": "bhid,bhjd->bhij"}, []any{f32(2, 3, 4, 5), f32(2, 3, 6, 5)}, 1},
		{"", "Softmax", graph.Attrs{"axis": int64(1)}, []any{f32(2, 5, 3)}, 1},
		{"", "LpNormalization", graph.Attrs{"axis": int64(1), "p": int64(1)}, []any{f32(2, 5, 3)}, 1},
	}
}

func TestONNXRuntimeAgrees(t *testing.T) {
	ort := witness.Find(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for i, c := range witnessCases() {
		t.Run(fmt.Sprintf("%s%d", c.op, i), func(t *testing.T) {
			g := graph.New("case")
			inputs := map[string]*tensor.Tensor{}
			var values []op.Value
			var args []*graph.Value
			for k, in := range c.in {
				switch in := in.(type) {
				case nil:
					args = append(args, nil)
				case *tensor.Tensor:
					args = append(args, g.Constant(fmt.Sprintf("c%d", k), in))
				case random:
					x := in.make(rng)
					v := g.Input(fmt.Sprintf("x%d", k), graph.TypeOf(x))
					if k > 0 && c.domain == ms || x.DType() != tensor.Float32 && k == 3 {
						// Contributed operators often want constant weights.
						g.Inputs = g.Inputs[:len(g.Inputs)-1]
						v = g.Constant(fmt.Sprintf("w%d", k), x)
					} else {
						inputs[v.Name] = x
						values = append(values, x)
					}
					args = append(args, v)
				}
			}
			var names []string
			for k := range max(c.outputs, 1) {
				names = append(names, fmt.Sprintf("y%d", k))
			}
			n := g.NewNode(c.op, c.domain, "node", c.attrs, args, names...)
			g.Nodes = append(g.Nodes, n)
			g.Output(n.Outputs...)
			if err := op.Check(n); err != nil {
				t.Fatal(err)
			}
			if _, err := op.InferTypes(g); err != nil {
				t.Fatal(err)
			}
			got, err := interp.Run(context.Background(), g, values)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "case.onnx")
			if err := onnx.Write(path, g, onnx.Options{Opset: 21}); err != nil {
				t.Fatal(err)
			}
			want, err := ort.Run(witness.ORT, path, inputs, witness.Optimize("none"))
			if err != nil {
				t.Fatal(err)
			}
			for k, name := range names {
				y, w := got[k].(*tensor.Tensor), want[name]
				atol := 2e-5
				if y.DType().IsInt() && y.DType().Bits() == 8 {
					atol = 1
				}
				if ok, maxAbs, _ := tensor.CloseTo(y, w, atol, 1e-5); !ok {
					t.Errorf("output %d: %v differs from %v by %v\n%v\n%v", k, y, w, maxAbs, y.Floats()[:min(12, y.Len())], w.Floats()[:min(12, w.Len())])
				}
			}
		})
	}
}
