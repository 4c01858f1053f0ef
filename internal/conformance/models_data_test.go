package conformance

import (
	"context"
	"math"
	"runtime"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A classifier is a model with labelled data of its kind.
type classifier struct {
	file, data string
	samples    int // spread evenly over the data; 0 = all
	lib        string
	prepare    dataset.Preprocess // shape and type are the model's

	// grid is the scale and zero point on which samples are stored, where the model takes
	// real numbers instead.
	grid []float32

	agree  float64 // least share of samples with the witness's class
	points float64 // most difference of accuracy to the witness, in points; 0 = not held
	least  float64 // per cent that must be right: well below the model's own accuracy, far above a wrong preprocessing's
}

var classifiers = []classifier{
	{file: "mobilenetv2_1.0_224_qoperator.onnx", data: "imagenet", lib: witness.ORT, agree: .99, points: .3,
		prepare: dataset.Preprocess{Divide: 255, Mean: []float32{.485, .456, .406}, Std: []float32{.229, .224, .225}, Resize: 256},
		least:   75},
	{file: "mnist_cnn.onnx", data: "mnist", samples: 1000, lib: witness.ORT, agree: 1, prepare: dataset.Preprocess{Divide: 1}, least: 97},
	{file: "mobilenet_v1_0.25_224_quant.tflite", data: "imagenet", samples: 125, lib: witness.TFLite, agree: .96,
		prepare: dataset.Preprocess{Divide: 1, QScale: 1, LabelOffset: 1, Resize: 256}, least: 43},
	{file: "mobilenet_v1_0.25_224_float.tflite", data: "imagenet", samples: 125, lib: witness.TFLite, agree: .995,
		prepare: dataset.Preprocess{Divide: 127.5, Mean: []float32{1}, LabelOffset: 1, Resize: 256}, least: 46},
	{file: "mobilenet_v2_1.0_224_quant.tflite", data: "imagenet", samples: 50, lib: witness.TFLite, agree: .97,
		prepare: dataset.Preprocess{Divide: 1, QScale: 1, LabelOffset: 1, Resize: 256}, least: 75},
	{file: "resnet8_cifar10_float.tflite", data: "cifar10", samples: 500, lib: witness.TFLite, agree: 1,
		prepare: dataset.Preprocess{Divide: 1}, least: 69},
	// The built-in kernels of TensorFlow Lite round twice and stray from XNNPACK's as far
	// as from ours, so XNNPACK is asked where it takes the model.
	{file: "resnet8_cifar10_int8.tflite", data: "cifar10", samples: 500, lib: witness.XNNPACK, agree: .99,
		prepare: dataset.Preprocess{Divide: 1, QScale: 1, QZero: -128}, least: 69},
	{file: "kws_dscnn_int8.tflite", data: "kws", lib: witness.XNNPACK, agree: .99,
		prepare: dataset.Preprocess{Divide: 1, Stored: true}, least: 85},
	{file: "kws_dscnn_float.tflite", data: "kws", lib: witness.TFLite, agree: .98,
		prepare: dataset.Preprocess{Divide: 1, Stored: true}, grid: []float32{.584703, 83}, least: 85},
}

// TestClassifiers runs the classifiers over real data. Their classes must be those that
// the witness decides, and right about as often.
func TestClassifiers(t *testing.T) {
	client := witness.Find(t)
	for _, c := range classifiers {
		t.Run(c.file, func(t *testing.T) { c.run(t, client) })
	}
}

func (c classifier) run(t *testing.T, client *witness.Client) {
	path := testdata.Path(t, "models", c.file)
	g := readModel(t, path)
	data := c.open(t)
	defer data.Close()
	p := c.shaped(g.Inputs[0])
	order := c.order(data)

	// The witness takes all samples at once, stacked along a new first axis.
	var stacked []byte
	var ours, labels []int
	session := compiled(t, g, p.Shape)
	for item := range data.Prepared(context.Background(), order, p, min(runtime.GOMAXPROCS(0), 2)) {
		if item.Err != nil {
			t.Fatal(item.Err)
		}
		x := c.onGrid(item.Input)
		out, err := session.Run(context.Background(), []op.Value{x})
		if err != nil {
			t.Fatal(err)
		}
		ours = append(ours, best(out[0].(*tensor.Tensor), 0, out[0].(*tensor.Tensor).Len()))
		labels = append(labels, item.Label+p.LabelOffset)
		stacked = append(stacked, x.Bytes()...)
	}
	all, err := tensor.FromBytes(g.Inputs[0].Type.DType, append([]int{len(ours)}, p.Shape...), stacked)
	if err != nil {
		t.Fatal(err)
	}
	key := "0"
	if c.lib == witness.ORT {
		key = g.Inputs[0].Name
	}
	outputs, err := client.RunSamples(c.lib, path, map[string]*tensor.Tensor{key: all})
	if err != nil {
		t.Fatal(err)
	}
	if len(outputs) != 1 {
		t.Fatalf("the witness gives %d outputs, want 1", len(outputs))
	}
	equal, right, theirs := 0, 0, 0
	for _, y := range outputs {
		n := y.Len() / len(ours)
		for i, class := range ours {
			w := best(y, i*n, n)
			equal += count(w == class)
			right += count(class == labels[i])
			theirs += count(w == labels[i])
		}
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(len(ours)) }
	t.Logf("%d samples: accuracy %.2f %%, %s %.2f %%; equal class on %.2f %%", len(ours), share(right), c.lib, share(theirs), share(equal))
	least := c.least
	if testing.Short() { // so few samples scatter: two standard errors
		least -= 2 * math.Sqrt(least*(100-least)/float64(len(ours)))
	}
	if share(right) < least {
		t.Errorf("accuracy %.2f %%, at least %.2f %% are wanted", share(right), least)
	}
	if share(equal) < 100*c.agree {
		t.Errorf("equal class on %.2f %%, want %.2f %%", share(equal), 100*c.agree)
	}
	if d := math.Abs(share(right) - share(theirs)); c.points > 0 && len(ours) >= 300 && d > c.points+1e-9 {
		t.Errorf("accuracy differs by %.2f points, at most %.2f are allowed", d, c.points)
	}
}

// onGrid returns the real numbers that stored integers stand for.
func (c classifier) onGrid(x *tensor.Tensor) *tensor.Tensor {
	if c.grid == nil {
		return x
	}
	y := tensor.New(tensor.Float32, x.Shape()...)
	for i := range x.Len() {
		y.F32()[i] = (float32(x.Int(i)) - c.grid[1]) * c.grid[0]
	}
	return y
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

// best returns the class with the largest of the n scores from start.
func best(scores *tensor.Tensor, start, n int) int {
	at := 0
	for i := range n {
		if scores.Float(start+i) > scores.Float(start+at) {
			at = i
		}
	}
	return at
}

func (c classifier) open(t *testing.T) *dataset.Dataset {
	d, err := dataset.Open(testdata.Path(t, c.data), dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !d.HasLabels() {
		t.Fatalf("%s: %s has no labels", c.data, d.Describe())
	}
	return d
}

// order returns the samples to run; a short test takes a fifth of them.
func (c classifier) order(d *dataset.Dataset) []int {
	n := c.samples
	if n == 0 {
		n = d.Len()
	}
	if testing.Short() {
		n /= 5
	}
	return d.Spread(n, 1)
}

// shaped completes the preprocessing with the shape and type of the model's input.
func (c classifier) shaped(in *graph.Value) dataset.Preprocess {
	p := c.prepare
	p.DType = in.Type.DType.String()
	if c.grid != nil {
		p.DType = tensor.Int8.String()
	}
	for _, d := range in.Type.Shape {
		p.Shape = append(p.Shape, max(d.Size, 1))
	}
	if c.data == "kws" {
		return p
	}
	p.Fit = dataset.Crop
	if s := p.Shape; s[1] <= 3 {
		p.Layout, p.Channels, p.Height, p.Width = "NCHW", s[1], s[2], s[3]
	} else {
		p.Layout, p.Channels, p.Height, p.Width = "NHWC", s[3], s[1], s[2]
	}
	return p
}

func compiled(t *testing.T, g *graph.Graph, shape []int) *engine.Session {
	p, err := engine.Compile(g, engine.Options{Shapes: map[string][]int{g.Inputs[0].Name: shape}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
