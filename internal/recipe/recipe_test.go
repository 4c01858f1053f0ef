package recipe

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/tensor"
)

// small is a convolutional classifier of 8×8 grey images in three classes.
func small() *graph.Graph {
	r := rand.New(rand.NewPCG(1, 2))
	g := graph.New("small")
	random := func(name string, scale float64, shape ...int) *graph.Value {
		x := tensor.New(tensor.Float32, shape...)
		for i := range x.Len() {
			x.SetFloat(i, r.NormFloat64()*scale)
		}
		return g.Constant(name, x)
	}
	full := func(name string, v float32) *graph.Value {
		return g.Constant(name, tensor.Of([]float32{v, v, v, v, v, v, v, v}, 8))
	}
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 1, 8, 8))
	c := g.Add("Conv", "conv", graph.Attrs{"pads": []int64{1, 1, 1, 1}}, x, random("conv.weight", 0.4, 8, 1, 3, 3))
	c = g.Add("BatchNormalization", "bn", nil, c, full("bn.scale", 1), full("bn.shift", 0), full("bn.mean", 0), full("bn.var", 1))
	c = g.Add("Relu", "relu", nil, c)
	c = g.Add("MaxPool", "pool", graph.Attrs{"kernel_shape": []int64{2, 2}, "strides": []int64{2, 2}}, c)
	c = g.Add("Flatten", "flat", nil, c)
	g.Output(g.Add("Gemm", "head", nil, c, random("head.weight", 0.05, 128, 3), g.Constant("head.bias", tensor.New(tensor.Float32, 3))))
	return g
}

// bright makes pictures of bytes whose class is where they are bright.
func bright(seed uint64, n int) (x, y *tensor.Tensor) {
	r := rand.New(rand.NewPCG(seed, 3))
	x, y = tensor.New(tensor.Uint8, n, 1, 8, 8), tensor.New(tensor.Int64, n)
	for i := range n {
		c := r.IntN(3)
		y.SetInt(i, int64(c))
		for k := range 64 {
			v := r.IntN(120)
			if k/16 == c {
				v += 90
			}
			x.SetInt(i*64+k, int64(v))
		}
	}
	return x, y
}

const text = `
model: small.onnx
data: {data: bright.npz, preprocess: {divide: 255, mean: [0.4], std: [0.2]}}
epochs: 4
batch: 16
optimizer: {kind: sgd, rate: 0.05, momentum: 0.9, weight_decay: 1e-4}
schedule: {kind: cosine, warmup: 3}
augment: {noise: 0.05}
threads: 1
output: out
`

// folder makes a folder with a network, data and a recipe, and reads that.
func folder(t *testing.T, text string) *Recipe {
	t.Helper()
	dir := t.TempDir()
	if err := onnx.Write(filepath.Join(dir, "small.onnx"), small(), onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	var npz bytes.Buffer
	arrays := map[string]*tensor.Tensor{}
	arrays["x_train"], arrays["y_train"] = bright(1, 200)
	arrays["x_test"], arrays["y_test"] = bright(2, 60)
	if err := tensor.WriteNPZ(&npz, arrays); err != nil {
		t.Fatal(err)
	}
	x, _ := bright(4, 200)
	sums := tensor.New(tensor.Float32, 200)
	for i := range 200 {
		for k := range 16 { // the first class is bright there
			sums.SetFloat(i, sums.Float(i)+x.Float(i*64+k)/16/64)
		}
	}
	var values bytes.Buffer
	if err := tensor.WriteNPZ(&values, map[string]*tensor.Tensor{"x": x, "sum": sums}); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"bright.npz": npz.Bytes(), "sums.npz": values.Bytes(), "small.yaml": []byte(text)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Read(filepath.Join(dir, "small.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// with returns the recipe with other keys, in place of its own where it has them.
func with(keys string) string {
	out := ""
	for line := range strings.Lines(text) {
		if key, _, _ := strings.Cut(line, ":"); key == "\n" || !strings.Contains("\n"+keys, "\n"+key+":") {
			out += line
		}
	}
	return out + keys + "\n"
}

func run(t *testing.T, r *Recipe, o Options) *Result {
	t.Helper()
	result, err := Run(context.Background(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func read(t *testing.T, r *Recipe, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Folder(), name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRun(t *testing.T) {
	r := folder(t, text)
	got := run(t, r, Options{})
	if got.Epoch != 4 || got.Test == nil || *got.Test.Accuracy < 0.95 || got.Test.Samples != 60 || got.Trained != 200 {
		t.Errorf("%+v, want 95 %% of 60 after 4 epochs", got)
	}
	if n := bytes.Count(read(t, r, journalFile), []byte("\n")); n != 4 {
		t.Errorf("the journal has %d lines for 4 epochs", n)
	}
	m, err := edgewise.Open(filepath.Join(r.Folder(), modelFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range m.Graph().Nodes {
		if n.Is("BatchNormalization") {
			t.Error("the normalization is not folded")
		}
	}
	if m.Graph().Meta[dataset.MetaKey] == "" || m.Graph().Meta[DigestKey] != r.Digest() {
		t.Errorf("metadata %v", m.Graph().Meta)
	}
	html := string(read(t, r, pageFile))
	for _, want := range []string{"on 60 test samples", "prefers-color-scheme", `name="viewport"`, `class="curve a"`, `class="curve b"`, `class="curve c"`, "Decisions by class", "model: small.onnx", r.Digest(), "4 epochs"} {
		if !strings.Contains(html, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, bad := range []string{"%!", "http://", "https://", "src="} {
		if strings.Contains(html, bad) {
			t.Errorf("the page holds %q", bad)
		}
	}
	model := read(t, r, modelFile)
	if again := run(t, r, Options{}); !again.Already || *again.Test.Accuracy != *got.Test.Accuracy {
		t.Errorf("again: %+v", again)
	}
	if anew := run(t, r, Options{Fresh: true}); anew.Already || anew.Resumed || !bytes.Equal(read(t, r, modelFile), model) {
		t.Errorf("anew: %+v", anew)
	}
	r.Epochs = 5
	if _, err := Run(context.Background(), r, Options{}); err == nil || !strings.Contains(err.Error(), "another training") {
		t.Errorf("another recipe in the folder: %v", err)
	}
}

func TestInterruptedRun(t *testing.T) {
	want := folder(t, text)
	run(t, want, Options{})
	r := folder(t, text)
	for _, stop := range []int{1, 7, 20} {
		ctx, cancel := context.WithCancel(context.Background())
		steps := 0
		_, err := Run(ctx, r, Options{Progress: func(e Event) {
			if e.Epoch > 0 {
				if steps++; steps == stop {
					cancel()
				}
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at step %d: %v", stop, err)
		}
	}
	// What a loss of power may leave of a line.
	journal := filepath.Join(r.Folder(), journalFile)
	if b := read(t, r, journalFile); len(b) > 9 {
		if err := os.WriteFile(journal, b[:len(b)-9], 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := run(t, r, Options{}); !got.Resumed || !bytes.Equal(read(t, r, modelFile), read(t, want, modelFile)) {
		t.Error("the model differs from that of a training that was not interrupted")
	}
	if n := bytes.Count(read(t, r, journalFile), []byte("\n")); n != 4 {
		t.Errorf("the journal has %d lines for 4 epochs", n)
	}
}

func TestValidationChooses(t *testing.T) {
	r := folder(t, strings.Replace(text, "bright.npz,", "bright.npz, validation: 0.2, classes: ['2', '0'],", 1))
	got := run(t, r, Options{})
	best := 0
	for i, h := range got.History {
		if _, tested := h.Metrics["test_accuracy"]; tested {
			t.Error("the test part is looked at while the validation part chooses")
		}
		if h.Metrics["validation_accuracy"] > got.History[best].Metrics["validation_accuracy"] {
			best = i
		}
	}
	if got.Epoch != best+1 || got.Validation == nil || *got.Validation.Accuracy != got.History[best].Metrics["validation_accuracy"] {
		t.Errorf("epoch %d was kept, %d is the best of %+v", got.Epoch, best+1, got.History)
	}
	if got.Test.Samples >= 60 || got.Test.Confusion[2][2] != 0 {
		t.Errorf("two of three classes: %+v", got.Test)
	}
}

func TestFreeze(t *testing.T) {
	for key, trained := range map[string]bool{"freeze: [conv*, bn.*]\nstatistics: frozen": false, "train: head.*\nstatistics: frozen": false, "freeze: head.*": true} {
		r := folder(t, with(key))
		run(t, r, Options{})
		m, err := edgewise.Open(filepath.Join(r.Folder(), modelFile))
		if err != nil {
			t.Fatal(err)
		}
		head := m.Graph().Nodes[len(m.Graph().Nodes)-1].Inputs[1].Const
		var was *tensor.Tensor
		for _, v := range small().Constants() {
			if v.Name == "head.weight" {
				was = v.Const
			}
		}
		if same := bytes.Equal(head.Bytes(), was.Bytes()); same != trained {
			t.Errorf("%s: the head stayed is %v", key, same)
		}
	}
}

func TestAnotherNumberOfClasses(t *testing.T) {
	r := folder(t, with("classes: 2\nfreeze: [conv*]\ndata: {data: bright.npz, classes: ['0', '2']}"))
	got := run(t, r, Options{})
	m, err := edgewise.Open(filepath.Join(r.Folder(), modelFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := dataset.Scores(m.Graph().Outputs[0]); n != 2 || *got.Test.Accuracy < 0.95 {
		t.Errorf("%d scores, accuracy %v", n, *got.Test.Accuracy)
	}
}

func TestRegression(t *testing.T) {
	r := folder(t, with("loss: {kind: mse}\noptimizer: {kind: adam, rate: 0.01}\nepochs: 30\ndata: {data: sums.npz, target: sum, hold_out: 20%, validation: 0.2, preprocess: {divide: 255, mean: [0.4], std: [0.2]}}\nclasses: 1"))
	got := run(t, r, Options{})
	if got.Test == nil || got.Test.RMSE == nil || *got.Test.RMSE > 0.3 || *got.Test.MAE > *got.Test.RMSE || got.Test.Accuracy != nil {
		t.Errorf("RMSE %v, MAE %v", *got.Test.RMSE, *got.Test.MAE)
	}
	for _, h := range got.History {
		if h.Metrics["validation_rmse"] < got.History[got.Epoch-1].Metrics["validation_rmse"] {
			t.Errorf("epoch %d was kept, %d has less error", got.Epoch, h.Epoch)
		}
	}
}

func TestRefusals(t *testing.T) {
	for add, want := range map[string]string{
		"epoch: 3":                               "is epochs meant?",
		"momentum: 3":                            "momentum belongs under optimizer",
		"seed: -1":                               `seed: "-1" is not a whole number that is not negative`,
		"batch: 0":                               "batch: 0 is not within",
		"clip: .inf":                             "is not a number",
		"loss: {kind: hinge}":                    `loss "hinge" is not one of`,
		"loss: {smoothing: 1}":                   "smoothing",
		"weights: random":                        "a file has its own",
		"weights: none":                          "is not random or given",
		"statistics: frosen":                     "is not train or frozen",
		"freeze: ['[']":                          "is no pattern",
		"freeze: [a]\ntrain: [b]":                "only one of them",
		"output: {a: 1}":                         "is not a text",
		"augment: {crop: -1}":                    "no amount may be negative",
		"schedule: {kind: linear}":               "is not one of constant",
		"average: 1":                             "is no share",
		"ram: much":                              "is no size such as 512MB",
		"update: some":                           `update "some" is not one of all, bias, lora`,
		"update: {kind: bias, rank: 2}":          "belong to kind lora",
		"optimizer: {kind: adam, momentum: 0.9}": "adam has no momentum",
		"loss: {kind: mse, delta: 2}":            "delta belongs to kind huber",
		"schedule: {milestones: [2]}":            "belongs to kind: step",
		"schedule: {kind: step}":                 "needs milestones",
		"update: bias\nquantize: {weights: 8}":   "update: bias does not go with quantize",
		"distill: {teacher: t.onnx}\ndata: {data: bright.npz, classes: [a=0-1, b=2]}": "groups as NAME=FROM-TO do not go with distill",
		"model: zoo:heartbeat\nweights: given\nresolution: 64":                        "resolution: that of a trained network",
		"model: zoo:resnet20\nweights: given":                                         "none but random ones",
		"distill: {teacher: 'zoo:resnet20'}":                                          "has random weights and teaches nothing",
		"distill: {teacher: a.onnx, preprocess: {divide: 0}}":                         "distill: divide",
		"accumulate: -1":                   "accumulate: -1 is not within",
		"classes: 100000":                  "classes:",
		"clip: &a [*a]":                    "line",
		strings.Repeat("# long\n", 200000): "is larger than",
	} {
		file := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(file, []byte(with(add)), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", add, err, want)
		}
	}
	for change, want := range map[string]string{
		"freeze: [nothing*]": `no weight is named "nothing*"; there are conv.weight`,
		"classes: 2":         "classes: sample",
		"loss: {kind: bce}":  "the data gives labels; hint:",
		"data: {data: sums.npz, target: sum}\nclasses: 1": "the data gives target values; hint:",
		"accumulate: 1000":             "are never the 1000 of an update",
		"batch: 2000":                  "do not fill a batch",
		"ram: 1 MB":                    "does not fit its memory",
		"model: absent.onnx":           "absent.onnx",
		"model: out/../bright.npz":     "no known format",
		"output: .\nmodel: model.onnx": "model.onnx",
	} {
		if _, err := Run(context.Background(), folder(t, with(change)), Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", change, err, want)
		}
	}
}

// TestOptimizerDefaults holds that no kind inherits what another one takes.
func TestOptimizerDefaults(t *testing.T) {
	for text, want := range map[string]float64{"": 0.9, "{rate: 1}": 0.9, "{kind: lars}": 0.9, "{kind: lars, momentum: 0}": 0,
		"{kind: rmsprop}": 0, "{kind: adam}": 0, "{momentum: 0}": 0} {
		file := filepath.Join(t.TempDir(), "r.yaml")
		if err := os.WriteFile(file, []byte(with("optimizer: "+text)), 0o666); err != nil {
			t.Fatal(err)
		}
		if r, err := Read(file); err != nil || r.Optimizer.Momentum != want || r.Optimizer.Rate == 0 {
			t.Errorf("%s: %v, %v; want momentum %v", text, r, err, want)
		}
	}
}

// TestInfiniteFlags gives what no file can say, as flags do.
func TestInfiniteFlags(t *testing.T) {
	for _, change := range []func(*Recipe){
		func(r *Recipe) { r.Optimizer.Rate = math.Inf(1) },
		func(r *Recipe) { r.Clip = math.Inf(1) },
		func(r *Recipe) { r.Augment.Mixup = math.NaN() },
	} {
		r := folder(t, text)
		change(r)
		if _, err := Run(context.Background(), r, Options{}); err == nil || !strings.Contains(err.Error(), "is not a number") {
			t.Errorf("error %v", err)
		}
		if r.Digest() == "" {
			t.Error("no digest")
		}
	}
}

// TestOtherLabelsAreJudgedAnew changes what the finished network is judged by.
func TestOtherLabelsAreJudgedAnew(t *testing.T) {
	r := folder(t, text)
	was := run(t, r, Options{Version: "1"})
	if got := run(t, r, Options{Version: "2"}); got.Already {
		t.Error("the result of another version is taken")
	}
	arrays := map[string]*tensor.Tensor{}
	arrays["x_train"], arrays["y_train"] = bright(1, 200)
	arrays["x_test"], arrays["y_test"] = bright(2, 60)
	for i := range 60 {
		arrays["y_test"].SetInt(i, (arrays["y_test"].Int(i)+1)%3)
	}
	var npz bytes.Buffer
	if err := tensor.WriteNPZ(&npz, arrays); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "bright.npz"), npz.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	if got := run(t, r, Options{Version: "2"}); got.Already || !got.Resumed || *got.Test.Accuracy >= *was.Test.Accuracy {
		t.Errorf("already %v, resumed %v, accuracy %v", got.Already, got.Resumed, *got.Test.Accuracy)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "1500": 1500, "512MB": 512e6, "1.5 GiB": 3 << 29, "2KiB": 2048} {
		var s Size
		if err := s.SetText(text); err != nil || s != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
	}
}

func TestALongWarmUpIsTold(t *testing.T) {
	var notes []string
	run(t, folder(t, with("epochs: 1\nschedule: {warmup: 50}")), Options{Progress: func(e Event) { notes = append(notes, e.Note) }})
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "the warm-up of 50 updates is longer than the training, which has 12") {
		t.Errorf("notes %s", all)
	}
}

// TestUpdates trains what a recipe leaves to move, several batches to an update.
func TestUpdates(t *testing.T) {
	for _, update := range []string{"bias", "{kind: lora, rank: 2, alpha: 8}"} {
		r := folder(t, with("update: "+update+"\naccumulate: 2\nepochs: 12\nram: 1GB"))
		var notes []string
		got := run(t, r, Options{Progress: func(e Event) { notes = append(notes, e.Note) }})
		if h := got.History; h[11].Loss >= h[0].Loss {
			t.Errorf("%s: the loss went from %g to %g", update, h[0].Loss, h[11].Loss)
		}
		if got.Parameters == 0 {
			t.Errorf("%s: no values are trained", update)
		}
		if all := strings.Join(notes, "\n"); !strings.Contains(all, "memory: ") || !strings.Contains(all, "updating all weights would hold") {
			t.Errorf("%s: notes %s", update, all)
		}
	}
}
