package engine

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/internal/tflite"
	"github.com/edgewise-ml/edgewise/tensor"
)

// modelSizes fixes what the files leave open, by dimension.
var modelSizes = map[string][]int{
	"ch_ppocr_mobile_v2.0_cls_infer.onnx": {1, 3, 48, 192},
	"ch_ppocr_mobile_v2.0_det_infer.onnx": {1, 3, 96, 128},
	"mnist_cnn_training_export.onnx":      {2, 784},
	"silero_vad_16k_op15.onnx/input":      {1, 512},
	"silero_vad_16k_op15.onnx/state":      {2, 1, 128},
}

// modelInputs returns shapes for Compile and values that a network can work with.
func modelInputs(t *testing.T, file string, g *graph.Graph) (map[string][]int, []op.Value) {
	t.Helper()
	shapes := map[string][]int{}
	var values []op.Value
	for i, v := range g.Inputs {
		s, ok := v.Type.Static()
		if !ok {
			if s = modelSizes[file+"/"+v.Name]; s == nil {
				s = modelSizes[file]
			}
			if s == nil {
				s = make([]int, len(v.Type.Shape))
				for k, d := range v.Type.Shape {
					s[k] = max(d.Size, 1)
				}
			}
		}
		x := tensor.New(v.Type.DType, s...)
		if v.Type.DType == tensor.Int64 {
			x.SetInt(0, 16000) // a sampling rate
		} else {
			fill(x, uint32(i+1))
		}
		shapes[v.Name] = s
		values = append(values, x)
	}
	return shapes, values
}

// TestRealModels runs every model at hand on the engine and on the reference executor:
// the graph as it was lowered, so that integer networks must agree exactly, and for
// float ones also the graph as it was read.
func TestRealModels(t *testing.T) {
	if testing.Short() {
		t.Skip("the reference executor takes seconds for a large network")
	}
	files, err := os.ReadDir(testdata.Path(t, "models"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		path := filepath.Join(testdata.Path(t, "models"), f.Name())
		t.Run(f.Name(), func(t *testing.T) {
			var g *graph.Graph
			var err error
			switch {
			case strings.HasSuffix(path, ".onnx"):
				g, err = onnx.Read(path, onnx.ReadOptions{})
			case strings.HasSuffix(path, ".tflite"):
				g, err = tflite.Read(path)
			default:
				return
			}
			if err != nil {
				if strings.Contains(err.Error(), "unsupported") {
					t.Skip(err)
				}
				t.Fatal(err)
			}
			shapes, in := modelInputs(t, f.Name(), g)
			p, err := Compile(g, Options{Shapes: shapes, Threads: 2})
			if err != nil {
				t.Fatal(err)
			}
			s, err := p.NewSession()
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := s.Run(context.Background(), in)
			if err != nil {
				t.Fatal(err)
			}
			want, err := interp.Run(context.Background(), p.Graph(), in)
			if err != nil {
				t.Fatal(err)
			}
			for _, st := range p.Steps() {
				if st.Fallback {
					t.Logf("by reference: %s (%s): %s", st.Name, st.Op, st.Reason)
				}
			}
			for i := range want {
				a, b := got[i].(*tensor.Tensor), want[i].(*tensor.Tensor)
				// Relative to the largest value: where terms cancel, the order of a sum
				// shows in small ones.
				top := 0.0
				for _, v := range b.Floats() {
					top = math.Max(top, math.Abs(v))
				}
				tol := 1e-4 * math.Max(top, 1e-3)
				if floatInside(p) {
					// Another order of a float sum may round to the next quantized step.
					tol = 0.01 * top
				}
				ok, abs, _ := tensor.CloseTo(a, b, tol, 1e-4)
				if !ok {
					t.Errorf("output %s: %v differs from %v by %g; the largest value is %g", g.Outputs[i].Name, a, b, abs, top)
				}
			}
		})
	}
}
