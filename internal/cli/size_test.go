package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// mostBytes bounds the stripped binary for linux/amd64.
const mostBytes = 12_000_000

func TestBinarySize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	out := filepath.Join(t.TempDir(), "edgewise")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "github.com/edgewise-ml/edgewise/cmd/edgewise")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOFLAGS=")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	info, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", info.Size())
	if info.Size() > mostBytes {
		t.Errorf("the binary has %d bytes, at most %d are allowed", info.Size(), mostBytes)
	}
}
