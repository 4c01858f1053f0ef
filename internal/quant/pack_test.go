package quant

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/onnx"
)

// TestPackedWeights: weights of 4 bits and fewer take half the bytes of a file, and the file
// computes the same integers on the same kernels; wider ones stay as they are.
func TestPackedWeights(t *testing.T) {
	g, cal, eval, _ := heartbeat(t, 30, 50)
	c := calibrate(t, g, cal)
	for bits := 2; bits <= 8; bits++ {
		r := quantize(t, g, c, Config{Bits: bits})
		weights := 0
		for _, y := range r.Layers {
			if y.Weights != nil {
				n := 1
				for _, d := range y.Weights.Shape {
					n *= d
				}
				weights += n
			}
		}
		packed, saved := Pack(r.Graph)
		if bits > 4 {
			if saved > weights/100 {
				t.Errorf("%d bits: %d bytes were saved", bits, saved)
			}
			continue
		}
		if saved < weights/2-len(r.Layers) {
			t.Errorf("%d bits: %d bytes of %d were saved", bits, saved, weights)
		}
		file := filepath.Join(t.TempDir(), "packed.onnx")
		if err := onnx.Write(file, packed, onnx.Options{}); err != nil {
			t.Fatal(err)
		}
		read, err := onnx.Read(file, onnx.ReadOptions{})
		if err != nil {
			t.Fatal(err)
		}
		plan, err := engine.Compile(read, engine.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range plan.Notes() {
			t.Errorf("%d bits: %s (%s) %s", bits, n.Node, n.Op, n.Reason)
		}
		want := run(t, Engine(1), r.Graph, eval)
		for i, out := range run(t, Engine(1), read, eval) {
			if !slices.Equal(out[0].Bytes(), want[i][0].Bytes()) {
				t.Fatalf("%d bits: sample %d: the packed file differs", bits, i)
			}
		}
	}
}
