package conformance_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/internal/witness"
)

// TestTFLiteToONNX writes what was read as ONNX: ONNX Runtime must take it as it is.
func TestTFLiteToONNX(t *testing.T) {
	w := witness.Find(t)
	files, _ := filepath.Glob(testdata.Path(t, "models") + "/*.tflite")
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".tflite"), func(t *testing.T) {
			g, err := tflite.Read(f)
			if err != nil {
				t.Skip(err)
			}
			out := filepath.Join(t.TempDir(), "m.onnx")
			if err := onnx.Write(out, g, onnx.Options{}); err != nil {
				t.Fatal(err)
			}
			if err := w.Check(witness.ORT, out); err != nil {
				t.Error(err)
			}
		})
	}
}
