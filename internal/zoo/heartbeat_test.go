package zoo

import (
	"slices"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/ecg"
	"github.com/edgewise-ml/edgewise/internal/interp"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestHeartbeatIsSmall(t *testing.T) {
	g := Heartbeat()
	parameters, macs := cost(t, g)
	if parameters < 20_000 || parameters > 60_000 || len(heartbeatWeights) > 200_000 {
		t.Errorf("%d parameters in %d bytes", parameters, len(heartbeatWeights))
	}
	if macs < 1_000_000 || macs > 10_000_000 {
		t.Errorf("%d multiply-accumulates", macs)
	}
	in, _ := g.Inputs[0].Type.Static()
	out, _ := g.Outputs[0].Type.Static()
	if !slices.Equal(in, []int{1, 1, ecg.Window}) || !slices.Equal(out, []int{1, len(ecg.Names())}) {
		t.Errorf("from %v to %v", in, out)
	}
}

func TestHeartbeatDataIsOfOneKind(t *testing.T) {
	x, labels, names := HeartbeatData(300)
	if !slices.Equal(x.Shape(), []int{300, 1, ecg.Window}) || x.DType() != tensor.Float32 || len(labels) != 300 {
		t.Fatalf("%s with %d labels", x, len(labels))
	}
	for _, l := range labels {
		if l < 0 || l >= len(names) {
			t.Fatalf("label %d of %d classes", l, len(names))
		}
	}
	fewer, _, _ := HeartbeatData(7)
	if !slices.Equal(fewer.F32(), x.F32()[:fewer.Len()]) {
		t.Error("a smaller set is not a prefix of a larger one")
	}
	calibration, _, _ := HeartbeatCalibration(7)
	if slices.Equal(fewer.F32(), calibration.F32()) {
		t.Error("calibration and evaluation share windows")
	}
}

// The shipped weights classify subjects that they were not trained on, computed by the
// reference executor.
func TestHeartbeatAccuracy(t *testing.T) {
	g := Heartbeat()
	const n = 240
	x, labels, _ := HeartbeatData(n)
	right := 0
	for i, label := range labels {
		window := tensor.Of(x.F32()[i*ecg.Window:(i+1)*ecg.Window], 1, 1, ecg.Window)
		out, err := interp.Run(t.Context(), g, []op.Value{window})
		if err != nil {
			t.Fatal(err)
		}
		if argmax(out[0].(*tensor.Tensor).F32()) == label {
			right++
		}
	}
	// Four standard deviations of the sample below the figure in test/heartbeat.
	if right < n*93/100 {
		t.Errorf("%d of %d are right", right, n)
	}
}
