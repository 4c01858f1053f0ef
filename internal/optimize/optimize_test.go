package optimize

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// log shows findings in the test's output.
type log struct{ t *testing.T }

func (l log) Update(e Event) {
	if e.Note != "" {
		l.t.Log(e.Note)
	}
}

func run(t *testing.T, cfg Config) *Result {
	t.Helper()
	cfg.Progress = log{t}
	if cfg.Out == "" {
		cfg.Out = filepath.Join(t.TempDir(), "out")
	}
	r, err := Run(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() {
		_ = r.Table(os.Stderr, 100, false)
	}
	return r
}

func TestExample(t *testing.T) {
	r := run(t, Config{MaxDrop: 0.5, Limit: 600})
	p := r.Report.Point(r.Report.Picked)
	if !r.Report.Met || p == nil || *p.Drop > 0.5 {
		t.Errorf("picked %+v", p)
	}
}
