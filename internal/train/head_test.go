package train

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

// headed ends features [1,6,1,1] of an image with a head of 4 classes, in one of several ways.
func headed(way string) *graph.Graph {
	g := graph.New(way)
	r := rand.New(rand.NewPCG(1, 2))
	weight := func(name string, shape ...int) *graph.Value { return g.Constant(name, random(r, 1, shape...)) }
	x := g.Add("GlobalAveragePool", "pool", nil, g.Input("x", graph.TensorType(tensor.Float32, 1, 6, 5, 5)))
	flat := func() *graph.Value { return g.Add("Flatten", "flat", nil, x) }
	switch way {
	case "Gemm":
		x = g.Add("Gemm", "head", graph.Attrs{"transB": int64(1)}, flat(), weight("w", 4, 6), weight("b", 4))
	case "MatMul":
		x = g.Add("Add", "plus", nil, weight("b", 4), g.Add("MatMul", "head", nil, flat(), weight("w", 6, 4)))
		x = g.Add("Softmax", "p", nil, x)
	case "Conv":
		x = g.Add("Conv", "head", nil, x, weight("w", 4, 6, 1, 1), weight("b", 4))
		x = g.Add("Softmax", "p", nil, g.Add("Reshape", "rows", nil, x, g.Ints("shape", 1, 4)))
	case "none":
		x = g.Add("Tanh", "act", nil, flat())
	}
	g.Output(x)
	return g
}

func TestNewHead(t *testing.T) {
	for _, way := range []string{"Gemm", "MatMul", "Conv"} {
		old := headed(way)
		g, err := NewHead(old, 9, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Verify(); err != nil {
			t.Fatal(err)
		}
		if s, _ := g.Outputs[0].Type.Static(); !slices.Equal(s, []int{1, 9}) {
			t.Errorf("%s: the output has shape %v", way, s)
		}
		named := map[string]*tensor.Tensor{}
		for _, c := range g.Constants() {
			named[c.Name] = c.Const
		}
		spread := 0.
		for i := range named["w"].Len() {
			spread = max(spread, named["w"].Float(i))
		}
		if named["w"].Len() != 54 || named["b"].Len() != 9 || spread > 0.41 || spread < 0.3 || named["b"].Float(3) != 0 {
			t.Errorf("%s: weights %v reach %g, biases %v", way, named["w"], spread, named["b"])
		}
		for _, c := range old.Constants() {
			if c.Name == "w" && c.Const.Len() != 24 {
				t.Errorf("%s: the network itself has changed", way)
			}
		}
		sameForEachSample(t, g)
	}
	if _, err := NewHead(headed("none"), 3, 1); err == nil || !strings.Contains(err.Error(), "act (Tanh)") {
		t.Errorf("error %v does not name the node", err)
	}
}

func TestRealModelsTakeANewHead(t *testing.T) {
	for _, name := range []string{"resnet8_cifar10_float.tflite", "mobilenet_v1_0.25_224_float.tflite", "mnist_cnn.onnx", "ch_ppocr_mobile_v2.0_cls_infer.onnx"} {
		g, err := readModel(testdata.Path(t, "models", name))
		if err != nil {
			t.Fatal(err)
		}
		fix(g, 48)
		if g, err = NewHead(g, 5, 1); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := fmt.Sprint(g.Outputs[0].Type); !strings.HasSuffix(s, "x5]") {
			t.Errorf("%s: the output is %s", name, s)
		}
	}
}
