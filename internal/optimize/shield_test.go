package optimize

import (
	"testing"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/quant"
	"github.com/edgewise-ml/edgewise/internal/zoo"
	"github.com/edgewise-ml/edgewise/tensor"
)

// The shield stands before every kept layer's QuantizeLinear, and costs no step.
func TestShield(t *testing.T) {
	g, err := quant.Prepare(zoo.Heartbeat())
	if err != nil {
		t.Fatal(err)
	}
	x, _, _ := zoo.HeartbeatCalibration(1)
	cal, err := quant.Calibrate(t.Context(), g, quant.Slice(map[string]*tensor.Tensor{"ecg": x}), quant.CalibrationConfig{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := quant.Quantize(g, cal, quant.Config{Keep: map[string]string{"block2_depthwise_conv": "", "block4_pointwise_conv": ""}})
	if err != nil {
		t.Fatal(err)
	}
	s := shielded(r.Graph)
	if err := s.Verify(); err != nil {
		t.Fatal(err)
	}
	count := func(op string) (n int) {
		for _, m := range s.Nodes {
			if m.Op == op {
				n++
			}
		}
		return n
	}
	if n := count("Max"); n != 2 {
		t.Errorf("%d shields, want 2", n)
	}
	a, err := engine.Compile(r.Graph, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := engine.Compile(s, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(a.Steps()) != len(b.Steps()) {
		t.Errorf("%d steps without shields, %d with", len(a.Steps()), len(b.Steps()))
	}
}
