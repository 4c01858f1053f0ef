package testdata

import (
	"os"
	"path/filepath"
	"testing"
)

func TestLocate(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(root, "shared", "data")
	deep := filepath.Join(root, "checkout", "internal", "x")
	for _, dir := range []string{data, deep} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(deep)
	t.Setenv("EDGEWISE_TESTDATA", "") // restored to its absence or value afterwards
	os.Unsetenv("EDGEWISE_TESTDATA")
	if got := locate(); got == data {
		t.Error("a folder without the README was taken")
	}
	if err := os.WriteFile(filepath.Join(data, "README.md"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := locate(); got != data {
		t.Errorf("walking up found %q, want %q", got, data)
	}
	t.Setenv("EDGEWISE_TESTDATA", "../../../shared/data")
	if got := locate(); got != data {
		t.Errorf("the environment gave %q, want %q", got, data)
	}
	t.Setenv("EDGEWISE_TESTDATA", "none")
	if got := locate(); got != "" {
		t.Errorf("a wrong EDGEWISE_TESTDATA fell back to %q", got)
	}
}

// recorder stands for a test that is skipped or failed.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skip(...any)           { r.skipped = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

func TestMissing(t *testing.T) {
	for _, require := range []bool{false, true} {
		t.Setenv("EDGEWISE_REQUIRE_WITNESSES", map[bool]string{false: "", true: "1"}[require])
		r := &recorder{}
		// Fatalf of a real test ends it; the recorder's returns, and so Skip follows.
		Missing(r, "something")
		if r.failed != require {
			t.Errorf("required %v: failed %v", require, r.failed)
		}
		if !require && !r.skipped {
			t.Error("not required: not skipped")
		}
	}
}
