package kernel

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgewise-ml/edgewise/internal/cpu"
)

func TestRegistryNames(t *testing.T) {
	all := Registry()
	if len(all) == 0 {
		t.Fatal("no micro-kernels")
	}
	seen := map[string]bool{}
	for _, e := range all {
		if seen[e.Name] {
			t.Errorf("%s is registered twice", e.Name)
		}
		seen[e.Name] = true
		level := e.Level.String()
		if e.Level == cpu.Generic {
			level = "go"
		}
		if !strings.HasPrefix(e.Name, e.DType+"_"+e.Op) || !strings.HasSuffix(e.Name, "_"+level) {
			t.Errorf("%s: dtype %s, op %s, level %v", e.Name, e.DType, e.Op, e.Level)
		}
		if !cpu.Runs(e.Level) {
			continue
		}
		run, work := e.Trial()
		if run(); work <= 0 {
			t.Errorf("%s: a trial of %g operations", e.Name, work)
		}
	}
}

// The checked-in assembly is what the generator writes.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the generator")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	if _, err := os.Stat("_gen"); err != nil {
		t.Skip("no source tree")
	}
	dir := t.TempDir()
	cmd := exec.Command(tool, "run", "-C", "_gen", ".", "-o", dir)
	cmd.Env = append(os.Environ(), "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("generator: %v\n%s", err, out)
	}
	made, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(made) == 0 {
		t.Fatalf("the generator wrote %d files, %v", len(made), err)
	}
	for _, name := range made {
		want, err1 := os.ReadFile(name)
		got, err2 := os.ReadFile(filepath.Base(name))
		if err1 != nil || err2 != nil || !bytes.Equal(want, got) {
			t.Errorf("%s is not what the generator writes now", filepath.Base(name))
		}
	}
	checkedIn, err := filepath.Glob("*_gen_*.s")
	if err != nil || len(checkedIn) != len(made) {
		t.Errorf("%d generated files are checked in, the generator writes %d", len(checkedIn), len(made))
	}
}

// The generator encodes what the assembler does not know; its own module pins
// every encoding.
func TestGeneratedWordsArePinned(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the tests of the generator")
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	if _, err := os.Stat("_gen"); err != nil {
		t.Skip("no source tree")
	}
	cmd := exec.Command(tool, "test", "-C", "_gen", ".")
	cmd.Env = append(os.Environ(), "GOOS=", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tests of the generator: %v\n%s", err, out)
	}
}
