package dataset

import "testing"

func TestBuiltin(t *testing.T) {
	d, err := Open("builtin:heartbeat-100", Options{})
	if err != nil {
		t.Fatal(err)
	}
	train := d.Calibration()
	if d.Len() != heartbeatTest || train == nil || train.Len() != 100 || d.NumClasses() != 5 || !train.ScaleGiven() {
		t.Errorf("%s: %d samples, to train on %v", d.Describe(), d.Len(), train)
	}
	for _, name := range []string{"builtin:heartbeat-0", "builtin:heartbeat-x", "builtin:heartbeats", "builtin:"} {
		if _, err := Open(name, Options{}); err == nil {
			t.Errorf("%s is data", name)
		}
	}
}
