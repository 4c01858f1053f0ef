package optimize

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// childVariable makes the test binary run an optimization into the folder it names.
const childVariable = "EDGEWISE_TEST_OPTIMIZE_OUT"

func TestMain(m *testing.M) {
	if out := os.Getenv(childVariable); out != "" {
		if _, err := Run(context.Background(), Config{Out: out, Limit: 100, Calibration: 24, Progress: printer{}, turn: time.Millisecond}); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// printer tells the parent what stage the child is in.
type printer struct{}

func (printer) Update(e Event) {
	if e.Stage != "" {
		os.Stdout.WriteString(e.Stage + "\n")
	}
}

// A killed run leaves whole files or none, and the next run removes what it left.
func TestKilled(t *testing.T) {
	if runtime.GOOS == "js" || runtime.GOOS == "wasip1" {
		t.Skip("no processes")
	}
	out := filepath.Join(t.TempDir(), "out")
	for _, at := range []struct {
		stage string
		wait  time.Duration
	}{{"calibrate", 0}, {"write models", 0}, {"write models", 5 * time.Millisecond}, {"measure latency", 0}, {"measure layers", 0}, {"measure layers", 20 * time.Millisecond}} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"="+out)
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s := bufio.NewScanner(pipe)
		for s.Scan() {
			if s.Text() == at.stage {
				time.Sleep(at.wait)
				break
			}
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for _, name := range []string{"model.onnx", "report.json", "report.html"} {
			p := filepath.Join(out, name)
			data, err := os.ReadFile(p)
			if err != nil {
				continue
			}
			if name == "model.onnx" {
				if _, err := openModel(p); err != nil {
					t.Errorf("killed in %s: %v", at.stage, err)
				}
			} else if s := strings.TrimSpace(string(data)); !strings.HasSuffix(s, "}") && !strings.HasSuffix(s, "</html>") {
				t.Errorf("killed in %s: %s is cut short", at.stage, name)
			}
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	checkNoLeftovers(t, out)
	if _, err := openModel(filepath.Join(out, "model.onnx")); err != nil {
		t.Error(err)
	}
}

// An output that cannot be written is refused before the work, in words that tell the folder.
func TestUnwritableOutput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	outs := []string{file, filepath.Join(file, "below")}
	if os.Geteuid() != 0 && runtime.GOOS != "windows" {
		locked := filepath.Join(t.TempDir(), "locked")
		if err := os.Mkdir(locked, 0o555); err != nil {
			t.Fatal(err)
		}
		outs = append(outs, locked, filepath.Join(locked, "below"))
	}
	if runtime.GOOS == "linux" {
		outs = append(outs, "/proc/edgewise", "/sys/edgewise") // refuse new entries even to root
	}
	for _, out := range outs {
		var seen stages
		_, err := Run(context.Background(), Config{Out: out, Progress: &seen})
		if err == nil || !strings.Contains(err.Error(), "output folder "+out) {
			t.Errorf("%s: %v", out, err)
		}
		if len(seen) > 1 {
			t.Errorf("%s: the work began before the output was tried: %v", out, seen)
		}
	}
}

type stages []string

func (s *stages) Update(e Event) {
	if e.Stage != "" {
		*s = append(*s, e.Stage)
	}
}

// A model of two files is counted and moved as a whole, whatever the folder is called.
func TestStageOfTwoFiles(t *testing.T) {
	out := filepath.Join(t.TempDir(), "runs[1]*")
	if err := os.MkdirAll(out, 0o777); err != nil {
		t.Fatal(err)
	}
	st, err := newStage(out)
	if err != nil {
		t.Fatal(err)
	}
	defer st.discard()
	p, err := st.place("points/a.onnx")
	if err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{p: 10, p + ".1f.data": 100} {
		if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.staged("points/a.onnx"); err != nil {
		t.Fatal(err)
	}
	if n, err := st.size("points/a.onnx"); n != 110 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	if err := st.commit(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.onnx", "a.onnx.1f.data"} {
		if _, err := os.Stat(filepath.Join(out, "points", name)); err != nil {
			t.Error(err)
		}
	}
}
