package optimize

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestOccupied(t *testing.T) {
	model, data := writeNet(t, []int{1, 6}, false)
	dir := filepath.Dir(model)
	own := filepath.Join(dir, "model.onnx")
	if err := os.Rename(model, own); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(own)
	if err != nil {
		t.Fatal(err)
	}
	run := func(model, out string, force bool) error {
		_, err := Run(context.Background(), Config{Model: model, Data: data, Out: out, Force: force, MaxDrop: 20, turn: time.Millisecond})
		return err
	}
	refused := func(err error, input bool) {
		t.Helper()
		var o *OccupiedError
		if !errors.As(err, &o) || o.Input != input {
			t.Errorf("error %v, want an OccupiedError with Input %v", err, input)
		}
	}
	// The model itself, by its name, by a link, and against force.
	refused(run(own, dir, false), true)
	refused(run(own, dir, true), true)
	link := filepath.Join(t.TempDir(), "link.onnx")
	if err := os.Symlink(own, link); err == nil {
		refused(run(link, dir, true), true)
	}
	// Another's result, and a report of another form.
	out := t.TempDir()
	report := filepath.Join(out, "report.json")
	for _, text := range []string{"mine", "{}", `{"format":1,"tool":{"name":"other"}}`} {
		if err := os.WriteFile(report, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		refused(run(own, out, false), false)
		if got, _ := os.ReadFile(report); string(got) != text {
			t.Errorf("%q was changed to %q", text, got)
		}
	}
	if err := run(own, out, true); err != nil {
		t.Error(err)
	}
	// A result of an earlier run may be replaced, but not while it is the input.
	if err := run(own, out, false); err != nil {
		t.Error(err)
	}
	refused(run(filepath.Join(out, "points", "int8.onnx"), out, true), true)
	if after, _ := os.ReadFile(own); string(after) != string(before) {
		t.Error("the model was changed")
	}
}

// Only points that the earlier report names go, and nothing outside points/.
func TestStalePoints(t *testing.T) {
	out := t.TempDir()
	write := func(name string) string {
		p := filepath.Join(out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
		return p
	}
	gone := []string{write("points/old.onnx"), write("points/old.onnx.data")}
	kept := []string{write("points/int8.onnx"), write("points/mine.onnx"), write("mine.onnx"), write("points/deep/x.onnx")}
	r := &Report{Points: []Point{{File: "points/old.onnx"}, {File: "points/int8.onnx"}, {File: "mine.onnx"}, {File: "points/../mine.onnx"}, {File: "../x.onnx"}, {File: "points/deep/x.onnx"}, {File: `points/deep\x.onnx`}}}
	st, err := newStage(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.write("points/int8.onnx", []byte("new")); err != nil {
		t.Fatal(err)
	}
	st.stale = r.stale(st.names)
	if err := st.write("report.json", nil); err != nil {
		t.Fatal(err)
	}
	if err := st.commit(); err != nil {
		t.Fatal(err)
	}
	for _, p := range gone {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s is still there", p)
		}
	}
	for _, p := range kept {
		if _, err := os.Stat(p); err != nil {
			t.Error(err)
		}
	}
	if (*Report)(nil).stale(nil) != nil {
		t.Error("no report names stale points")
	}
}
