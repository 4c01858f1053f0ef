package recipe

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise"
	"github.com/edgewise-ml/edgewise/internal/dataset"
	"github.com/edgewise-ml/edgewise/tensor"
)

// carriedOut runs a recipe over files in a folder of its own.
func carriedOut(t *testing.T, files map[string]string) (*Result, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Read(filepath.Join(dir, "r.yaml"))
	if err != nil {
		return nil, "", err
	}
	r.Output, r.Threads = "out", 1
	result, err := Run(t.Context(), r, Options{})
	return result, filepath.Join(dir, "out", "model.onnx"), err
}

// wave is a synthetic sensor: two waves and noise, with a fault from row 300 to 319.
func wave() string {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(7, 7))
	b.WriteString("row,a,b\n")
	for i := range 400 {
		a, c := math.Sin(float64(i)/3), 20+5*math.Cos(float64(i)/3)
		if i >= 300 && i < 320 {
			a = 3
		}
		fmt.Fprintf(&b, "%d,%.4f,%.4f\n", i, a+0.05*rng.NormFloat64(), c+0.2*rng.NormFloat64())
	}
	return b.String()
}

const watched = `
model: zoo:autoencoder
data:
  data: sensor.csv
  time: row
  window: 16
  target: input
  normalize: standard
  hold_out: 50%%
  anomalies: faults.csv
epochs: 12
batch: 16
loss: {kind: mse}
optimizer: {kind: adam, rate: 0.003}
schedule: {kind: one-cycle}
alarm: %v
`

func TestAnomaliesAreFound(t *testing.T) {
	files := map[string]string{"sensor.csv": wave(), "faults.csv": "start,end\n295,325\n350,355\n", "r.yaml": fmt.Sprintf(watched, 2)}
	result, model, err := carriedOut(t, files)
	if err != nil {
		t.Fatal(err)
	}
	a := result.Alarms
	if a == nil || a.Labelled != 2 || a.Found != 1 || a.False != 0 || !a.Stretches[0].Found || a.Stretches[0].First < "300" || a.Stretches[0].First > "310" || a.Stretches[1].Found {
		t.Fatalf("alarms %+v; want the fault from row 300 on and no other", a)
	}
	m, err := edgewise.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	if m.Graph().Meta[AlarmKey] != fmt.Sprint(a.Threshold) || !strings.Contains(m.Graph().Meta[dataset.MetaKey], `"layout":"NWC"`) {
		t.Errorf("metadata %v", m.Graph().Meta)
	}
	files["r.yaml"] = fmt.Sprintf(watched, -1)
	if _, _, err := carriedOut(t, files); err == nil || !strings.Contains(err.Error(), "alarm: -1 is negative") {
		t.Error(err)
	}
	files["r.yaml"] = strings.Replace(fmt.Sprintf(watched, 2), "target: input", "target: b", 1)
	if _, _, err := carriedOut(t, files); err == nil || !strings.Contains(err.Error(), "restore their input") {
		t.Error(err)
	}
}

// Alarms by hand: a threshold of 1 over windows of two rows.
func TestAlarmsAreCountedByRuns(t *testing.T) {
	dir := t.TempDir()
	rows := "t,v\n"
	for i := range 16 {
		rows += fmt.Sprintf("%d,%d\n", i, i)
	}
	for name, text := range map[string]string{"d.csv": rows, "f.csv": "start,end\n5,6\n14,14\n",
		"d.yaml": "data: d.csv\ntime: t\nwindow: 2\ntarget: input\nanomalies: f.csv\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := dataset.Open(filepath.Join(dir, "d.yaml"), dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	// Sample i ends at row i+1: rows 3..5 are one alarm that touches the first stretch, 9
	// and 11 another one, 15 a third.
	errors := []float64{0, 0, 2, 0, 4, 0, 0, 0, 1.5, 0, 9, 0, 0, 1, 1.01}
	want := &Alarms{Threshold: 1, Labelled: 2, Found: 1, False: 2, FalseSamples: 4, Samples: 15,
		Stretches: []Stretch{{"d.csv", "5", "6", true, "5", 4}, {"d.csv", "14", "14", false, "", 1}}}
	want.Stretches[1].Peak = errors[13]
	if diff := cmp.Diff(want, judgeAlarms(d, errors, 1)); diff != "" {
		t.Error(diff)
	}
}

// A network that is trained on values gives them in their unit, however far from 0 they
// lie, and takes the columns as they are recorded.
func TestRegressionIsInUnits(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 5))
	var b strings.Builder
	b.WriteString("unit,x,y,load\n")
	for unit := range 60 {
		x, y := 50+10*rng.NormFloat64(), rng.NormFloat64()
		for range 24 {
			fmt.Fprintf(&b, "%d,%.4f,%.4f,%.4f\n", unit, x+rng.NormFloat64(), y+0.1*rng.NormFloat64(), 1000+2*(x-50)+20*y)
		}
	}
	result, model, err := carriedOut(t, map[string]string{"m.csv": b.String(), "r.yaml": `
model: zoo:mobilenet1d
data: {data: m.csv, group: unit, target: load, window: 16, normalize: standard, hold_out: "5?"}
epochs: 10
batch: 16
loss: {kind: mse}
optimizer: {kind: adam, rate: 0.003}
schedule: {kind: one-cycle}
`})
	if err != nil {
		t.Fatal(err)
	}
	if r := *result.Test.RMSE; r > 12 || r < 0.1 {
		t.Errorf("RMSE %v; the targets have a deviation of 28", r)
	}
	m, err := edgewise.Open(model)
	if err != nil {
		t.Fatal(err)
	}
	s, err := m.NewSession(edgewise.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	x := tensor.New(tensor.Float32, 1, 2, 16)
	out, err := s.Run(t.Context(), map[string]*tensor.Tensor{m.Inputs()[0].Name: x})
	if err != nil {
		t.Fatal(err)
	}
	for _, y := range out {
		if v := y.Float(0); math.Abs(v-1000) > 100 {
			t.Errorf("for average inputs the model gives %v, want about 1000", v)
		}
	}
}
