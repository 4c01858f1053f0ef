package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"testing"
)

// The rate of a step belongs to the time that is shown with it.
func TestStepRates(t *testing.T) {
	var out, errs bytes.Buffer
	if code := Run(context.Background(), []string{"bench", "zoo:heartbeat", "--ops", "--json", "--runs", "20"}, &out, &errs); code != ExitOK {
		t.Fatalf("exit code %d\n%s", code, &errs)
	}
	var r struct {
		Steps []stepReport `json:"steps"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	rated := 0
	for _, s := range r.Steps {
		if s.MACs == 0 {
			continue
		}
		rated++
		if want := float64(s.MACs) / s.Mean / 1e6; math.Abs(s.GMACs-want) > 1e-6*want {
			t.Errorf("%s: %v GMAC/s, but %d MACs in %v ms are %v", s.Name, s.GMACs, s.MACs, s.Mean, want)
		}
	}
	if rated == 0 {
		t.Error("no step has multiply-accumulates")
	}
}
