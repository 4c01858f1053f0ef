package recipe

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/optimize"
	"github.com/edgewise-ml/edgewise/internal/train"
	"github.com/edgewise-ml/edgewise/tensor"
)

// A file learns to tell other classes apart: its last layer is a new one, what is frozen
// stays bit for bit, and the file itself is not touched.
func TestAFileGetsANewLastLayer(t *testing.T) {
	r := folder(t, with(`classes: 2
data: {data: bright.npz, classes: ["ends=0,2", middle=1], preprocess: {divide: 255, mean: [0.4], std: [0.2]}}
train: ["head.*"]
statistics: frozen
optimizer: {kind: sgd, rate: 0.3, momentum: 0.9}
epochs: 6`))
	before, err := os.ReadFile(r.at(r.Model))
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, r, Options{})
	if got.Test == nil || *got.Test.Accuracy < 0.9 || got.Test.Samples != 60 || len(got.Test.Confusion) != 2 || got.Classes[1] != "middle" {
		t.Errorf("%+v, want 90 %% of 60", got)
	}
	if after, err := os.ReadFile(r.at(r.Model)); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the file has changed, or %v", err)
	}
	weights := func(g *graph.Graph) []byte {
		for _, c := range g.Constants() {
			if c.Const.Rank() == 4 {
				return c.Const.Bytes()
			}
		}
		t.Fatal("there is no convolution")
		return nil
	}
	old, err := train.Folded(small())
	if err != nil {
		t.Fatal(err)
	}
	m, err := edgewise.Open(filepath.Join(r.Folder(), modelFile))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(weights(m.Graph()), weights(old)) {
		t.Error("the frozen convolution has changed")
	}
	if s, _ := m.Graph().Outputs[0].Type.Static(); !slices.Equal(s, []int{1, 2}) {
		t.Errorf("the output has shape %v", s)
	}
}

func TestPatternsCrossSlashes(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"model/dense/*", "model/dense/BiasAdd/ReadVariableOp", true}, {"*/dense/*", "model/dense/x", true}, {"stem*", "stem.weight", true},
		{"model/dense", "model/dense/x", false}, {"a[b", "a[b", true}, {"*dense?x", "model/dense/x", true},
	} {
		if train.Fits(c.pattern, c.name) != c.want {
			t.Errorf("%q and %q: %v", c.pattern, c.name, !c.want)
		}
	}
}

// How a file takes its input is not found by a last layer that decides by chance: by the file
// as it is, or not at all.
func TestPreprocessingOfANewLastLayer(t *testing.T) {
	pictures := func(r *Recipe) {
		x, y := bright(1, 90)
		for i := range 90 {
			img := image.NewGray(image.Rect(0, 0, 8, 8))
			copy(img.Pix, x.Bytes()[i*64:])
			dir := r.at(fmt.Sprintf("pictures/class%d", y.Int(i)))
			var b bytes.Buffer
			err := errors.Join(png.Encode(&b, img), os.MkdirAll(dir, 0o777))
			if err = errors.Join(err, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.png", i)), b.Bytes(), 0o666)); err != nil {
				t.Fatal(err)
			}
		}
	}
	r := folder(t, with("classes: 2\ndata: {data: pictures, classes: [class0, class1]}"))
	pictures(r)
	for seed := range uint64(3) {
		r.Seed = seed + 1
		p, err := r.openData()
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		g, err := r.network(p.train, 2)
		if err != nil {
			t.Fatal(err)
		}
		way, err := r.preprocess(t.Context(), g, p, notes{&job{}})
		if err != nil {
			t.Fatal(err)
		}
		old, err := r.given()
		if err != nil {
			t.Fatal(err)
		}
		want, err := optimize.Preprocess(t.Context(), old, p.whole, r.Seed, notes{&job{}})
		if err != nil || !way.SameInput(want) {
			t.Errorf("seed %d: %s; the file takes %s, %v", seed, way, want, err)
		}
	}
	r = folder(t, with("classes: 4\ndata: {data: pictures}"))
	pictures(r)
	p, err := r.openData()
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	g := graph.New("other")
	x := g.Add("Flatten", "flat", nil, g.Input("x", graph.TensorType(tensor.Float32, 1, 1, 8, 8)))
	w := tensor.New(tensor.Float32, 64, 7)
	g.Output(g.Add("Gemm", "head", nil, x, g.Constant("w", w), g.Constant("b", tensor.New(tensor.Float32, 7))))
	if err := onnx.Write(r.at(r.Model), g, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	if g, err = r.network(p.train, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := r.preprocess(t.Context(), g, p, notes{&job{}}); err == nil || !strings.Contains(err.Error(), "hint: say it by `preprocess`") {
		t.Errorf("seven scores for three classes: %v", err)
	}
}
