package recipe

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/train"
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
