package recipe

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestQuantizedRun trains the small network for integers of every width. It begins with the
// best form without training, never ends below that, and the file that is written decides
// as the evaluation did.
func TestQuantizedRun(t *testing.T) {
	float := folder(t, text)
	run(t, float, Options{})
	for keys, bits := range map[string]int{"{}": 8, "{weights: 4, scales: fixed}": 4, "{weights: 2, layers: {'con*': {weights: 3}, head: {weights: 32}}}": 2} {
		r := folder(t, strings.Replace(with("quantize: "+keys+"\nepochs: 2\noptimizer: {kind: adam, rate: 1e-3}\n"),
			"bright.npz,", "bright.npz, validation: 0.2,", 1))
		r.Model = filepath.Join(float.Folder(), modelFile)
		got := run(t, r, Options{})
		q := got.Quantization
		if q == nil || q.Bits != bits || q.Float.Test == nil || q.PostTraining.Validation == nil || len(got.History) != 3 || got.History[0].Epoch != 0 {
			t.Fatalf("%s: %+v with %+v", keys, got, q)
		}
		if *got.Validation.Accuracy < *q.PostTraining.Validation.Accuracy {
			t.Errorf("%s: %v after training, %v before", keys, *got.Validation.Accuracy, *q.PostTraining.Validation.Accuracy)
		}
		if q.Trained != (got.Epoch > 0) || (q.Packed > 0) != (bits <= 4) {
			t.Errorf("%s: %+v with the weights of epoch %d", keys, q, got.Epoch)
		}
		m, err := edgewise.Open(filepath.Join(r.Folder(), modelFile))
		if err != nil {
			t.Fatal(err)
		}
		checkStored(t, keys, m.Graph(), bits)
		parts, err := r.openData()
		if err != nil {
			t.Fatal(err)
		}
		defer parts.close()
		pre, err := r.preprocess(context.Background(), m.Graph(), parts, notes{&job{}})
		if err != nil {
			t.Fatal(err)
		}
		score, err := evaluate(context.Background(), m.Graph(), newSamples(parts.test, pre), 1, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(score, got.Test) {
			t.Errorf("%s: the file scores %+v, the training had %+v", keys, score, got.Test)
		}
		if again := run(t, r, Options{}); !again.Already {
			t.Errorf("%s: the finished training was done again", keys)
		}
	}
}

// checkStored holds that the weights of a written model are integers of the bits asked for.
func checkStored(t *testing.T, keys string, g *graph.Graph, bits int) {
	t.Helper()
	for _, n := range g.Nodes {
		if n.Domain != "" {
			t.Errorf("%s: %v has no place in a file", keys, n)
		}
		if !n.Is("Conv") && !n.Is("Gemm") {
			continue
		}
		if n.Is("Gemm") && bits == 2 {
			if n.In(1).Const == nil {
				t.Errorf("%s: %v does not have weights of floating point", keys, n)
			}
			continue
		}
		if d := n.In(1).Def; d == nil || !d.Is("DequantizeLinear") || (d.In(0).Const.DType() == tensor.Int4) != (bits <= 4) {
			t.Errorf("%s: %v does not have weights of %d bits", keys, n, bits)
		}
	}
}

func TestQuantizeIsChecked(t *testing.T) {
	for keys, want := range map[string]string{
		"quantize: {weights: 9}":                   "only 2 to 8",
		"quantize: {activations: 4}":               "no integer kernels",
		"quantize: {scales: learned}":              "not lsq or fixed",
		"quantize: {layers: {conv: {weights: 1}}}": "layers: conv",
		"quantize: {layers: {cnv: {weights: 4}}}":  `no layer is named "cnv"`,
		"quantize: {}\nmodel: zoo:resnet8":         "random weights have no ranges",
		"quantize: {}\nfreeze: [nothing]":          "no weight is named",
		"quantize: {weigths: 4}":                   "weights",
	} {
		r := folder(t, text)
		file := filepath.Join(r.dir, "small.yaml")
		if err := os.WriteFile(file, []byte(with(keys)), 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := Read(file)
		if err == nil {
			_, err = Run(context.Background(), r, Options{})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", keys, err, want)
		}
	}
}
