package edgewise

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/edgewise-ml/edgewise/internal/engine"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/op"
	"github.com/edgewise-ml/edgewise/tensor"
)

var tuningShape = map[string][]int{"x": {1, 32, 8, 8}}

// tunable writes a model of one convolution, and returns a choice for it that differs from
// what is taken without one.
func tunable(t testing.TB) (path string, choices map[string]string) {
	t.Helper()
	g := graph.New("tunable")
	w := tensor.New(tensor.Float32, 32, 32, 3, 3)
	for i := range w.F32() {
		w.F32()[i] = float32(i%7-3) / 16
	}
	x := g.Input("x", graph.TensorType(tensor.Float32, 1, 32, 8, 8))
	g.Output(g.Add("Conv", "conv", graph.Attrs{"pads": []int64{1, 1, 1, 1}}, x, g.Constant("w", w)))
	data, err := onnx.Encode(g, onnx.Options{})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "model.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan(Options{Threads: 1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range p.Steps() {
		if len(st.Candidates) > 1 {
			return path, map[string]string{st.Name: st.Candidates[1]}
		}
	}
	t.Skip("every step has one kernel at this level")
	return
}

// opened plans the model at path and returns how many steps are tuned, and the note.
func opened(t testing.TB, path string, o Options) (tuned int, note string) {
	t.Helper()
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := m.Plan(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range p.Steps() {
		if st.Why == engine.WhyTuned {
			tuned++
		}
	}
	return tuned, m.Note()
}

func TestTuningIsHeeded(t *testing.T) {
	path, choices := tunable(t)
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	file := path + TuningSuffix
	one, two := Options{Threads: 1}, Options{Threads: 2}
	if written, err := m.WriteTuning(file, one, nil, &engine.Tuning{}); written || err != nil {
		t.Errorf("a tuning without gain was written: %v", err)
	}
	write := func(o Options, c map[string]string) {
		t.Helper()
		if written, err := m.WriteTuning(file, o, tuningShape, &engine.Tuning{Choices: c, Before: time.Second, After: time.Second / 2}); !written || err != nil {
			t.Fatal(written, err)
		}
	}
	write(one, choices)
	if n, note := opened(t, path, one); n != 1 || note != "" {
		t.Errorf("%d steps tuned, note %q", n, note)
	}
	if n, note := opened(t, path, Options{Threads: 1, Tuning: NoTuning}); n != 0 || note != "" {
		t.Errorf("without tuning: %d steps tuned, note %q", n, note)
	}
	if n, note := opened(t, path, two); n != 0 || !strings.Contains(note, "2 threads") {
		t.Errorf("other threads: %d steps tuned, note %q", n, note)
	}
	write(two, choices)
	write(one, nil) // measured again, nothing gained
	if n, note := opened(t, path, one); n != 0 || note != "" {
		t.Errorf("nothing gained: %d steps tuned, note %q", n, note)
	}
	if n, note := opened(t, path, two); n != 1 || note != "" {
		t.Errorf("two threads: %d steps tuned, note %q", n, note)
	}
	elsewhere := filepath.Join(t.TempDir(), "t.json")
	if err := os.Rename(file, elsewhere); err != nil {
		t.Fatal(err)
	}
	if n, note := opened(t, path, Options{Threads: 2, Tuning: elsewhere}); n != 1 || note != "" {
		t.Errorf("by name: %d steps tuned, note %q", n, note)
	}
	if n, note := opened(t, path, Options{Threads: 2, Tuning: "absent.json"}); n != 0 || !strings.Contains(note, "absent.json") {
		t.Errorf("an absent file: %d steps tuned, note %q", n, note)
	}
}

// A file for another model, machine or version, or one that is damaged, changes nothing but
// the note.
func TestTuningThatDoesNotFit(t *testing.T) {
	path, choices := tunable(t)
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	file := path + TuningSuffix
	if _, err := m.WriteTuning(file, Options{Threads: 1}, tuningShape, &engine.Tuning{Choices: choices}); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var step string
	for step = range choices {
	}
	for note, change := range map[string]func(f *tuningFile){
		"another model":                func(f *tuningFile) { f.Model = strings.Repeat("0", 64) },
		"another processor":            func(f *tuningFile) { f.Processor = "\x1b[2J 6502" },
		"another version":              func(f *tuningFile) { f.Version = "v9.9.9" },
		"form 99":                      func(f *tuningFile) { f.Form = 99 },
		"more than 64":                 func(f *tuningFile) { f.Tunings = make([]tuning, 65) },
		"it has nothing for":           func(f *tuningFile) { f.Tunings[0].Inputs["x"][1] = 31 },
		"no such kernel":               func(f *tuningFile) { f.Tunings[0].Choices[step] = "f32_gemm_1x1_abacus" },
		`no step "\x1b[2J" has`:        func(f *tuningFile) { f.Tunings[0].Choices["\x1b[2J"] = "x" },
		"step " + step + ": no such k": func(f *tuningFile) { f.Tunings[0].Choices[step] = "u8s8_gemm_4x8_go" },
	} {
		var f tuningFile
		if err := json.Unmarshal(good, &f); err != nil {
			t.Fatal(err)
		}
		change(&f)
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, got := opened(t, path, Options{Threads: 1}); n != 0 || !strings.Contains(got, note) || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %d steps tuned, note %q", note, n, got)
		}
	}
	for _, data := range []string{"", "{", "[]", "null", `{"form":1,"tunings":{}}`, strings.Repeat(" ", tuningBytes+1)} {
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, note := opened(t, path, Options{Threads: 1}); n != 0 || note == "" {
			t.Errorf("%.20q: %d steps tuned, note %q", data, n, note)
		}
	}
}

// FuzzTuning: whatever lies beside a model, the model opens and runs.
func FuzzTuning(f *testing.F) {
	path, choices := tunable(f)
	m, err := Open(path)
	if err != nil {
		f.Fatal(err)
	}
	file := path + TuningSuffix
	if _, err := m.WriteTuning(file, Options{Threads: 1}, tuningShape, &engine.Tuning{Choices: choices}); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(`{"form":1,"tunings":[null,{"choices":null,"inputs":{"":null}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if n, note := opened(t, path, Options{Threads: 1}); n > 1 || note != "" && !strings.Contains(note, "is not used") {
			t.Errorf("%d steps tuned, note %q", n, note)
		}
	})
}

// TestTuneMeasures runs a real search for a moment: it ends, and what it writes is heeded.
func TestTuneMeasures(t *testing.T) {
	path, _ := tunable(t)
	m, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Threads: 1}
	found, err := m.Tune(context.Background(), o, tuningShape, []op.Value{tensor.New(tensor.Float32, tuningShape["x"]...)},
		engine.TuneOptions{Budget: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	written, err := m.WriteTuning(path+TuningSuffix, o, tuningShape, found)
	if err != nil || written != (len(found.Choices) > 0) {
		t.Fatal(written, err)
	}
	if n, note := opened(t, path, o); n != len(found.Choices) || note != "" {
		t.Errorf("%d steps tuned, note %q, found %v", n, note, found.Choices)
	}
}
