package onnx

import (
	"path/filepath"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/witness"
)

// TestONNXRuntimeTakesWrittenFiles holds every model that ONNX Runtime loads to be loaded
// by it again after Edgewise has read and written it.
func TestONNXRuntimeTakesWrittenFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("opens every model of the suite")
	}
	client := witness.Find(t)
	path := filepath.Join(t.TempDir(), "written.onnx")
	taken := 0
	for _, original := range models(t) {
		g, err := Read(original, ReadOptions{})
		if err != nil {
			continue // TestRoundTrip has said why
		}
		if err := Write(path, g, Options{}); err != nil {
			t.Errorf("%s: %v", original, err)
			continue
		}
		if err := client.Check(witness.ORT, path); err == nil {
			taken++
		} else if client.Check(witness.ORT, original) == nil {
			t.Errorf("%s: written with opset %d: %v", original, LeastOpset(g), err)
		}
	}
	t.Logf("%d written models load", taken)
	if taken == 0 {
		t.Error("none loads")
	}
}
