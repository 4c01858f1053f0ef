package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// TestONNXRuntimeOnWrittenFiles runs the backend suite on ONNX Runtime with every model
// read and written by Edgewise in between. What ONNX Runtime gets right from the original
// it must get right from the copy.
func TestONNXRuntimeOnWrittenFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("runs every case of the suite")
	}
	client := witness.Find(t)
	root := testdata.Path(t, "onnx-backend")
	written := filepath.Join(t.TempDir(), "written.onnx")
	agree := 0
	for _, suite := range []string{"node", "simple", "pytorch-operator", "pytorch-converted"} {
		cases, err := onnxCases(filepath.Join(root, suite))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range cases {
			g, err := onnx.Read(c.model, onnx.ReadOptions{})
			if err != nil || random(g) {
				continue
			}
			if err := onnx.Write(written, g, onnx.Options{}); err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			copied := runWitness(client, written, g, c)
			if copied == nil {
				agree++
				continue
			}
			if runWitness(client, c.model, g, c) == nil {
				t.Errorf("%s: right from the original, but from the copy: %v", c.name, copied)
			}
		}
	}
	t.Logf("%d written models give the expected outputs", agree)
	if agree == 0 {
		t.Error("none does")
	}
}

var errNotPlain = errors.New("not a case of plain tensors")

func runWitness(client *witness.Client, model string, g *graph.Graph, c onnxCase) error {
	for _, set := range c.sets {
		in := map[string]*tensor.Tensor{}
		for i, path := range set.inputs {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			v, err := onnx.DecodeValue(data, g.Inputs[i].Type)
			x, ok := v.(*tensor.Tensor)
			if err != nil || !ok || x.DType().Bits() < 8 {
				return errNotPlain
			}
			in[g.Inputs[i].Name] = x
		}
		out, err := client.Run(witness.ORT, model, in)
		if err != nil {
			return err
		}
		for i, path := range set.outputs {
			got := out[g.Outputs[i].Name]
			if got == nil {
				return fmt.Errorf("output %s is missing", g.Outputs[i].Name)
			}
			want, err := readValue(path, graph.Type{})
			if err != nil {
				return err
			}
			if err := sameValue(op.Value(got), want, onnxATol); err != nil {
				return err
			}
		}
	}
	return nil
}
