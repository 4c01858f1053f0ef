package zoo

import (
	"math"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

const encoderSeed = 2017

// encoder returns one layer of a transformer encoder, A. Vaswani et al., "Attention Is
// All You Need", NIPS 2017, normalized after each sublayer: model width 512, 8 heads,
// ReLU between 512 and 2048, no mask. Input "tokens" float32 [1,128,512] and output
// "encoded" of the same shape.
//
// The operators are those to which PyTorch exports torch.nn.TransformerEncoderLayer: one
// product for query, key and value, a copy of each by Gather, and the root of the scale
// on both sides of the product of query and key.
func encoder(f form) *graph.Graph {
	const tokens, width, heads, inner = 128, 512, 8, 2048
	const head = width / heads
	b := newSeeded(f, "encoder", encoderSeed)
	g := b.g
	at := func(v *graph.Value, shape ...int) *graph.Value {
		v.Type = graph.TensorType(tensor.Float32, shape...)
		return v
	}
	transpose := func(name string, x *graph.Value, perm []int64, shape ...int) *graph.Value {
		return at(g.Add("Transpose", name, graph.Attrs{"perm": perm}, x), shape...)
	}
	// reshape leaves the axis that holds the batch open.
	reshape := func(name string, x *graph.Value, batch int, shape ...int) *graph.Value {
		sizes := make([]int64, len(shape))
		for i, d := range shape {
			sizes[i] = int64(d)
		}
		sizes[batch] = -1
		return at(g.Add("Reshape", name, nil, x, g.Ints(name+".shape", sizes...)), shape...)
	}
	// linear multiplies the last axis, as MatMul and Add.
	linear := func(name string, x *graph.Value, inputs, outputs int, shape ...int) *graph.Value {
		product := at(g.Add("MatMul", name+"_matmul", nil, x, b.matrix(name+".weight", inputs, outputs)), shape...)
		return at(g.Add("Add", name, nil, b.vector(name+".bias", outputs, 0, 0.05), product), shape...)
	}
	// normalize adds a residual and normalizes the sum.
	normalize := func(name string, x, y *graph.Value) *graph.Value {
		y = b.drop(name+"_dropout", y, 0.1)
		sum := at(g.Add("Add", name+"_add", nil, x, y), 1, tokens, width)
		return at(g.Add("LayerNormalization", name, graph.Attrs{"axis": int64(-1), "epsilon": float32(1e-5)}, sum,
			b.vector(name+".weight", width, 1, 0.1), b.vector(name+".bias", width, 0, 0.1)), 1, tokens, width)
	}

	x := g.Input("tokens", graph.TensorType(tensor.Float32, 1, tokens, width))
	y := transpose("tokens_first", x, []int64{1, 0, 2}, tokens, 1, width)
	y = linear("attention_in", y, width, 3*width, tokens, 1, 3*width)
	y = reshape("attention_parts", y, 1, tokens, 1, 3, width)
	y = at(g.Add("Unsqueeze", "attention_unsqueeze", nil, y, g.Ints("front", 0)), 1, tokens, 1, 3, width)
	y = transpose("attention_parts_first", y, []int64{3, 1, 2, 0, 4}, 3, tokens, 1, 1, width)
	y = at(g.Add("Squeeze", "attention_squeeze", nil, y, g.Ints("third", 3)), 3, tokens, 1, width)
	var parts [3]*graph.Value // query, key, value as [1, heads, tokens, head]
	for i, name := range []string{"query", "key", "value"} {
		index := g.Constant(name+".index", tensor.Scalar(int64(i)))
		p := at(g.Add("Gather", name, graph.Attrs{"axis": int64(0)}, y, index), tokens, 1, width)
		p = reshape(name+"_heads", p, 1, tokens, heads, head)
		p = transpose(name+"_heads_first", p, []int64{1, 0, 2}, heads, tokens, head)
		parts[i] = reshape(name+"_batch", p, 0, 1, heads, tokens, head)
	}
	root := g.Constant("scale_root", tensor.Scalar(float32(math.Sqrt(1/math.Sqrt(head)))))
	query := at(g.Add("Mul", "query_scaled", nil, parts[0], root), 1, heads, tokens, head)
	key := transpose("key_transposed", parts[1], []int64{0, 1, 3, 2}, 1, heads, head, tokens)
	key = at(g.Add("Mul", "key_scaled", nil, key, root), 1, heads, head, tokens)
	y = at(g.Add("MatMul", "attention_scores", nil, query, key), 1, heads, tokens, tokens)
	y = at(g.Add("Softmax", "attention_softmax", graph.Attrs{"axis": int64(-1)}, y), 1, heads, tokens, tokens)
	y = at(g.Add("MatMul", "attention_mix", nil, y, parts[2]), 1, heads, tokens, head)
	y = transpose("attention_tokens_first", y, []int64{2, 0, 1, 3}, tokens, 1, heads, head)
	y = reshape("attention_joined", y, 0, tokens, width)
	y = at(g.Add("Gemm", "attention_out", graph.Attrs{"transB": int64(1)}, y,
		b.matrix("attention_out.weight", width, width), b.vector("attention_out.bias", width, 0, 0.05)), tokens, width)
	y = reshape("attention_out_batch", y, 1, tokens, 1, width)
	y = transpose("attention_batch_first", y, []int64{1, 0, 2}, 1, tokens, width)
	x = normalize("attended", x, y)
	y = linear("feedforward_in", x, width, inner, 1, tokens, inner)
	y = at(g.Add("Relu", "feedforward_relu", nil, y), 1, tokens, inner)
	y = linear("feedforward_out", y, inner, width, 1, tokens, width)
	x = normalize("encoded", x, y)
	if f.Classes > 0 {
		mean := at(g.Add("ReduceMean", "pool", graph.Attrs{"keepdims": int64(0)}, x, g.Ints("pool.axes", 1)), 1, width)
		b.classify("scores", feature{mean, emptyProbe(0, width, 1, 1)}, f.Classes)
		return g
	}
	g.Output(x)
	return g
}

// matrix draws weights of variance 1/rows, which keep the spread of what they multiply.
func (b *seeded) matrix(name string, rows, columns int) *graph.Value {
	w := make([]float32, rows*columns)
	scale := 1 / math.Sqrt(float64(rows))
	for i := range w {
		w[i] = float32(b.normal() * scale)
	}
	return b.g.Constant(name, tensor.Of(w, rows, columns))
}

// vector draws n normal values; for training they are the mean itself.
func (b *seeded) vector(name string, n int, mean, deviation float64) *graph.Value {
	v := make([]float32, n)
	if b.form.training {
		deviation = 0
	}
	for i := range v {
		v[i] = float32(mean + float64(deviation*b.normal()))
	}
	return b.g.Constant(name, tensor.Of(v, n))
}
