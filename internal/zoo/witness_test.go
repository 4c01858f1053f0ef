package zoo

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/internal/witness"
	"github.com/edgewise-ml/edgewise/tensor"
)

// ONNX Runtime hears what the engine hears: the front end is made of operators that it has.
func TestKeywordNetworkInONNXRuntime(t *testing.T) {
	w := witness.Find(t)
	g, err := Build("kws-8k")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kws.onnx")
	if err := onnx.Write(path, g, onnx.Options{}); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 1))
	x := tensor.New(tensor.Float32, 1, 8000)
	for i := range 6000 {
		x.F32()[i] = float32(0.3*math.Sin(float64(i)/5) + 0.02*rng.NormFloat64())
	}
	plan, err := engine.Compile(g, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := plan.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	out, err := session.Run(t.Context(), []op.Value{x})
	if err != nil {
		t.Fatal(err)
	}
	want, err := w.Run(witness.ORT, path, map[string]*tensor.Tensor{"sound": x})
	if err != nil {
		t.Fatal(err)
	}
	for name, y := range want {
		for i, v := range y.F32() {
			if got := out[0].(*tensor.Tensor).F32()[i]; math.Abs(float64(got-v)) > 1e-3*(1+math.Abs(float64(v))) {
				t.Errorf("%s %d: %v, ONNX Runtime has %v", name, i, got, v)
			}
		}
	}
}
