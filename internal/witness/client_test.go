package witness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/edgewise-ml/edgewise/internal/testdata"
	"github.com/edgewise-ml/edgewise/tensor"
)

func TestRestartAfterDeath(t *testing.T) {
	exe, err := Locate()
	if err != nil {
		testdata.Missing(t, err.Error())
	}
	model := testdata.Path(t, "models", "mnist_cnn.onnx")
	c := New(exe)
	if err := c.Check(ORT, model); err != nil {
		t.Fatal(err)
	}
	c.process.cmd.Process.Kill()
	if err := c.Check(ORT, model); err == nil || !strings.Contains(err.Error(), "witness died") {
		t.Errorf("after a kill: %v", err)
	}
	if err := c.Check(ORT, model); err != nil {
		t.Errorf("not restarted: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("EDGEWISE_WITNESS", "")
	t.Setenv("EDGEWISE_REFERENCE", dir)
	if exe, err := Locate(); err == nil {
		t.Errorf("found %s in an empty folder", exe)
	}
	want := filepath.Join(dir, "bin", "witness")
	if err := os.MkdirAll(filepath.Dir(want), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(want, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if exe, err := Locate(); err != nil || exe != want {
		t.Errorf("got %q, %v", exe, err)
	}
}

func TestArraysRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.npz")
	want, dtypes := map[string]*tensor.Tensor{}, map[string]string{}
	for _, d := range tensor.DTypes() {
		if d.Bits() == 0 || d.Bits()%8 != 0 || d == tensor.Float8E8M0 {
			continue
		}
		x := tensor.New(d, 2, 3)
		for i := range x.Bytes() {
			x.Bytes()[i] = byte(i) & 1 // bits of any type, and a valid bool
		}
		want[d.String()], dtypes[d.String()] = x, d.String()
	}
	if err := writeArrays(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := readArrays(path, dtypes)
	if err != nil {
		t.Fatal(err)
	}
	for name, w := range want {
		g := got[name]
		if g == nil || g.DType() != w.DType() || !cmp.Equal(g.Shape(), w.Shape()) || !cmp.Equal(g.Bytes(), w.Bytes()) {
			t.Errorf("%s came back as %v", name, g)
		}
	}
	if err := writeArrays(path, map[string]*tensor.Tensor{"x": tensor.New(tensor.Int4, 2)}); err == nil {
		t.Error("int4 was written as another type")
	}
}
