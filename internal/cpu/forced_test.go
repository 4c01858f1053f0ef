package cpu

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

// A process that EDGEWISE_ISA names a level to runs at that level, or at the
// best one below it. Without the variable the test starts itself with each.
func TestForcedLevel(t *testing.T) {
	if name := os.Getenv(ISAVariable); name != "" {
		want, err := ParseLevel(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Best(); !want.Includes(got) || slices.Contains(machineLevels(), want) && got != want {
			t.Errorf("%s=%s: Best() = %v", ISAVariable, name, got)
		}
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	for _, l := range Levels() {
		cmd := exec.Command(exe, "-test.run=^TestForcedLevel$", "-test.v")
		cmd.Env = append(os.Environ(), ISAVariable+"="+l.String())
		out, err := cmd.CombinedOutput()
		if errors.Is(err, syscall.ENOEXEC) {
			t.Skip("an emulated process cannot start itself")
		}
		if err != nil || !bytes.Contains(out, []byte("--- PASS: TestForcedLevel")) {
			t.Errorf("%v forced: %v\n%s", l, err, out)
		}
	}
}
