package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/edgewise-ml/edgewise/internal/autodiff"
	"github.com/edgewise-ml/edgewise/internal/graph"
	"github.com/edgewise-ml/edgewise/internal/onnx"
	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestInterrupt(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"bench", "zoo:heartbeat", "--runs", "10000000"},
		{"quantize", "zoo:heartbeat", "--samples", "100000", "--random", "-o", filepath.Join(dir, "q.onnx")},
		{"optimize", "-o", filepath.Join(dir, "out")},
		{"compare", "zoo:heartbeat", "zoo:heartbeat", "--samples", "10000000"},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		var out, err bytes.Buffer
		if code := Run(ctx, args, &out, &err); code != ExitInterrupted {
			t.Errorf("%v: exit code %d, want %d; stderr:\n%s", args, code, ExitInterrupted, &err)
		}
		cancel()
	}
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, _ error) error {
		if !e.IsDir() {
			t.Errorf("%s was left behind", path)
		}
		return nil
	})
}

// patience is a context that is cancelled after it was asked some times.
type patience struct {
	context.Context
	left int
}

func (p *patience) Err() error {
	if p.left--; p.left < 0 {
		return context.Canceled
	}
	return nil
}

// TestInterruptBetweenStages stops verbs that take no loop to where they look up.
func TestInterruptBetweenStages(t *testing.T) {
	for _, verb := range [][]string{
		{"seal", "zoo:heartbeat", "-o", "out"},
		{"convert", "zoo:heartbeat", "--simplify", "-o", "out"},
		{"inspect", "zoo:heartbeat", "--svg", "out"},
	} {
		dir := t.TempDir()
		args := append(verb[:len(verb)-1:len(verb)-1], filepath.Join(dir, "out"))
		stops := 0
		for ; ; stops++ {
			var out, err bytes.Buffer
			code := Run(&patience{context.Background(), stops}, args, &out, &err)
			left, _ := os.ReadDir(dir)
			if code == ExitOK {
				if len(left) != 1 {
					t.Errorf("%v writes nothing", args)
				}
				break
			}
			// A drawing that is complete may stay; what comes after it is text.
			if code != ExitInterrupted || len(left) > 0 && verb[0] != "inspect" || out.Len() > 0 {
				t.Fatalf("%v after %d stages: exit code %d, %d files, output %q, stderr %q", args, stops, code, len(left), &out, &err)
			}
		}
		if stops < 2 {
			t.Errorf("%v looks up %d times", verb, stops)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{errors.New("plain"), ExitFailed, ""},
		{usagef("bad flag"), ExitUsage, ""},
		{hinted(usagef("bad flag"), "good flag"), ExitUsage, "good flag"},
		{fmt.Errorf("around: %w", boundf("too far")), ExitBound, ""},
		{fmt.Errorf("model: %w", autodiff.ErrUnsupported), ExitUnsupported, ""},
		{fmt.Errorf("model: %w", &onnx.UnsupportedError{}), ExitUnsupported, "inspect"},
		{fmt.Errorf("write: %w", syscall.ENOSPC), ExitFailed, "the disk is full"},
		{&fs.PathError{Op: "open", Path: "mobilenetv2", Err: fs.ErrNotExist}, ExitFailed, "zoo:mobilenetv2"},
		{errors.New("bytes are missing; hint: copy the file again"), ExitFailed, "edgewise: hint: copy the file again\n"},
	} {
		if got := exitCode(c.err); got != c.code {
			t.Errorf("%v: code %d, want %d", c.err, got, c.code)
		}
		var b bytes.Buffer
		report(&b, c.err)
		if !strings.HasPrefix(b.String(), "edgewise: error: ") || !strings.Contains(b.String(), c.hint) || (c.hint == "") == strings.Contains(b.String(), "hint:") {
			t.Errorf("%v is reported as %q, want hint %q", c.err, b.String(), c.hint)
		}
	}
}

func TestNearest(t *testing.T) {
	verbs := []string{"optimize", "quantize", "inspect", "run", "bench", "compare"}
	for word, want := range map[string]string{"optimise": "optimize", "benhc": "bench", "quant": "quantize", "rnu": "run", "xyzzy": "", "comparre": "compare"} {
		if got := nearest(word, verbs); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestParseShape(t *testing.T) {
	for s, want := range map[string]string{"1x3x224x224": "[1 3 224 224]", "1,3": "[1 3]", "7": "[7]", "0x4": "[0 4]"} {
		got, err := parseShape(s)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("parseShape(%q) = %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "x", "1xax3", "-1x2", "99999999999999999999", "1000000x1000000"} {
		if got, err := parseShape(s); err == nil {
			t.Errorf("parseShape(%q) = %v, want an error", s, got)
		}
	}
}

// TestSqueezed holds that only axes of size 1 come and go.
func TestSqueezed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		core := rapid.SliceOfN(rapid.IntRange(2, 5), 0, 4).Draw(t, "core")
		ones := func(label string) []int {
			var out []int
			for _, n := range core {
				for range rapid.IntRange(0, 2).Draw(t, label) {
					out = append(out, 1)
				}
				out = append(out, n)
			}
			for range rapid.IntRange(0, 2).Draw(t, label) {
				out = append(out, 1)
			}
			return out
		}
		want, have := ones("want"), ones("have")
		got, ok := squeezed(graph.Dims(want...), have)
		if !ok || fmt.Sprint(got) != fmt.Sprint(want) && len(want) > 0 {
			t.Fatalf("squeezed(%v, %v) = %v, %v", want, have, got, ok)
		}
		more := append(append([]int{}, have...), 3)
		if got, ok := squeezed(graph.Dims(want...), more); ok && len(core) > 0 {
			t.Fatalf("squeezed(%v, %v) = %v", want, more, got)
		}
	})
	batch := graph.Shape{graph.Sym("n"), {Size: 3}, {Size: 8}}
	if got, ok := squeezed(batch, []int{3, 8}); !ok || fmt.Sprint(got) != "[1 3 8]" {
		t.Errorf("a batch of one is not added: %v, %v", got, ok)
	}
}

func TestDifference(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		name           string
		a, b           []float32
		maxAbs, maxRel float64
		exceeding      int
		agreement      float64
	}{
		{"equal", []float32{1, 2, inf, nan}, []float32{1, 2, inf, nan}, 0, 0, 0, 1},
		{"relative", []float32{1, 2.5}, []float32{1, 2}, 0.5, 0.25, 1, 1},
		{"another class", []float32{3, 2}, []float32{1, 2}, 2, 2, 1, 0},
		{"nan", []float32{nan, 2}, []float32{1, 2}, math.MaxFloat64, math.MaxFloat64, 1, 1},
		{"zero reference", []float32{0.5, 4}, []float32{0, 4}, 0.5, 0.125, 1, 1},
	} {
		d := &differenceReport{Name: c.name}
		if err := d.add(tensor.Of(c.a, 1, len(c.a)), tensor.Of(c.b, 1, len(c.b)), 0.1, 0); err != nil {
			t.Fatal(err)
		}
		d.finish()
		if d.MaxAbs != c.maxAbs || d.MaxRel != c.maxRel || d.Exceeding != c.exceeding || d.Agreement != c.agreement && c.name != "nan" {
			t.Errorf("%s: %+v", c.name, d)
		}
		if (c.maxAbs == 0) != (d.SQNR == equalSQNR) {
			t.Errorf("%s: SQNR %v", c.name, d.SQNR)
		}
	}
	d := &differenceReport{}
	if err := d.add(tensor.New(tensor.Float32, 2), tensor.New(tensor.Float32, 3), 0, 0); err == nil {
		t.Error("outputs of different size were compared")
	}
}

func TestTop(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	got := top(tensor.Of([]float32{1, nan, 3, -inf, 3, inf}, 1, 6), 4, []string{"a", "b", "c"})
	want := []ranked{{Index: 5, Value: math.MaxFloat64}, {Index: 2, Label: "c", Value: 3}, {Index: 4, Value: 3}, {Index: 0, Label: "a", Value: 1}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("top = %v, want %v", got, want)
	}
	if _, err := json.Marshal(got); err != nil {
		t.Error(err)
	}
	if got := argmax(tensor.Of([]float32{1, 2, 5, 4}, 2, 2)); fmt.Sprint(got) != "[1 0]" {
		t.Errorf("argmax = %v", got)
	}
}

func TestUnsound(t *testing.T) {
	steady := make([]time.Duration, 100)
	drifting := make([]time.Duration, 100)
	for i := range steady {
		steady[i] = time.Millisecond + time.Duration(i%7)*time.Microsecond
		drifting[i] = time.Millisecond + time.Duration(i)*5*time.Microsecond
	}
	has := func(list []string, word string) bool { return strings.Contains(strings.Join(list, "\n"), word) }
	if w := unsound(steady, 0, 1); len(w) > 0 && !has(w, "governed") {
		t.Errorf("a steady measurement is doubted: %q", w)
	}
	for word, list := range map[string][]string{
		"drift":         unsound(drifting, 0, 1),
		"vary":          unsound(append(append([]time.Duration{}, steady[:50]...), drifting[50:]...), 0, 1),
		"runs":          unsound(steady[:5], 0, 1),
		"other program": unsound(steady, 1.5, 1),
		"usable cores":  unsound(steady, 0, 10_000),
	} {
		if !has(list, word) {
			t.Errorf("no warning with %q in %q", word, list)
		}
	}
}

func TestPercentile(t *testing.T) {
	var times []time.Duration
	for i := 1; i <= 100; i++ {
		times = append(times, time.Duration(i)*time.Millisecond)
	}
	for p, want := range map[int]float64{50: 50, 90: 90, 99: 99, 100: 100} {
		if got := percentile(times, p); got != want {
			t.Errorf("p%d = %v, want %v", p, got, want)
		}
	}
	if got := percentile(times[:1], 99); got != 1 {
		t.Errorf("p99 of one = %v", got)
	}
}

func TestWriteFileIsAtomic(t *testing.T) {
	path := filepath.Join(t.TempDir(), "result")
	if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	boom := errors.New("boom")
	err := writeFile(path, func(w io.Writer) error {
		_, _ = w.Write(make([]byte, 1<<20))
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "before" {
		t.Errorf("the file was touched: %d bytes", len(b))
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("%d files are left", len(entries))
	}
	if err := writeFile(path, func(w io.Writer) error { _, err := io.WriteString(w, "after"); return err }); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "after" {
		t.Errorf("the file holds %q", b)
	}
}

// TestQuietStreams holds that nothing but text leaves the program where no person looks.
func TestQuietStreams(t *testing.T) {
	var out, errs bytes.Buffer
	if code := Run(context.Background(), []string{"bench", "zoo:heartbeat", "--runs", "30", "--ops", "-q"}, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	if strings.ContainsAny(out.String()+errs.String(), "\x1b\r") {
		t.Error("control characters were written")
	}
	if strings.Contains(errs.String(), "note:") {
		t.Errorf("notes in spite of --quiet: %s", &errs)
	}
}

// Preprocessing that the model does not tell is found by the labels: here the most
// customary way is not the right one.
func TestQuantizeFindsPreprocessing(t *testing.T) {
	model, data := testdata.Path(t, "models", "mnist_cnn.onnx"), testdata.Path(t, "mnist")
	var out, notes bytes.Buffer
	args := []string{"quantize", model, "--data", data, "--samples", "16", "-o", filepath.Join(t.TempDir(), "q.onnx"), "--json"}
	if code := Run(context.Background(), args, &out, &notes); code != ExitOK {
		t.Fatalf("exit code %d: %s", code, &notes)
	}
	var r quantizeReport
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(r.Preprocess, "x/255") || !strings.Contains(notes.String(), "labelled samples") {
		t.Errorf("preprocessing %q; notes:\n%s", r.Preprocess, &notes)
	}
}
