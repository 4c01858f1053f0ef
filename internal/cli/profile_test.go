package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
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

func TestShortName(t *testing.T) {
	whole := strings.Repeat("é", nameWidth)
	if got := shortName(whole); got != whole {
		t.Errorf("a name that fits becomes %q", got)
	}
	if got, want := shortName("ab"+whole), "…"+strings.Repeat("é", nameWidth-1); got != want {
		t.Errorf("a longer one becomes %q", got)
	}
}

func TestMemoryBound(t *testing.T) {
	peak := peakReport{Copy: 10}
	for _, c := range []struct {
		step stepReport
		want bool
	}{
		{stepReport{Min: 1, Bytes: 9_000_000, PeakShare: 0.04}, true},
		{stepReport{Min: 1, Bytes: 9_000_000, PeakShare: 0.9}, false},
		{stepReport{Min: 1, Bytes: 1_000_000, PeakShare: 0.04}, false},
		{stepReport{Bytes: 9_000_000}, false},
	} {
		if got := c.step.memoryBound(peak); got != c.want {
			t.Errorf("%+v: %v", c.step, got)
		}
	}
}

func TestInspectChecksTheModelInAPlan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.plan")
	var out, err bytes.Buffer
	if code := Run(t.Context(), []string{"seal", "zoo:heartbeat", "-o", path}, &out, &err); code != ExitOK {
		t.Fatal(err.String())
	}
	data, e := os.ReadFile(path)
	if e != nil {
		t.Fatal(e)
	}
	data[len(data)-1] ^= 1
	if e := os.WriteFile(path, data, 0o644); e != nil {
		t.Fatal(e)
	}
	if code := Run(t.Context(), []string{"inspect", path}, &out, &err); code != ExitFailed || !strings.Contains(err.String(), "the model in it is damaged") {
		t.Errorf("exit code %d, stderr %q", code, &err)
	}
}
