package atomicfile

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// holds fails unless the folder of path has that file alone, with these contents.
func holds(t *testing.T, path, want string) {
	t.Helper()
	if b, err := os.ReadFile(path); err != nil || string(b) != want {
		t.Errorf("the file holds %q, %v; want %q", b, err, want)
	}
	alone(t, filepath.Dir(path), 1)
}

func alone(t *testing.T, dir string, n int) {
	t.Helper()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != n {
		t.Errorf("the folder has %v, %v; want %d files", entries, err, n)
	}
}

func TestWriteAndReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("n", 200))
	large := strings.Repeat("0123456789", bufferBytes/5)
	for _, s := range []string{"first", large, "", "last"} {
		if err := Write(path, text(s)); err != nil {
			t.Fatal(err)
		}
		holds(t, path, s)
	}
}

func TestFailureLeavesTheOldFile(t *testing.T) {
	boom := errors.New("no space left on device")
	for _, old := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "f")
		if old {
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		check := func() {
			if old {
				holds(t, path, "old")
			} else {
				alone(t, filepath.Dir(path), 0)
			}
		}
		err := Write(path, func(w io.Writer) error {
			_, _ = w.Write(make([]byte, 2*bufferBytes))
			return boom
		})
		if !errors.Is(err, boom) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v", err)
		}
		check()
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = Write(path, func(io.Writer) error { panic("boom") })
		}()
		check()
	}
}

func TestWhereNothingCanBeMade(t *testing.T) {
	dir := t.TempDir()
	if err := Write(filepath.Join(dir, "missing", "f"), text("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755)
	if f, err := os.Create(filepath.Join(dir, "probe")); err == nil {
		f.Close()
		t.Skip("this user may write into read-only folders")
	}
	if err := Write(filepath.Join(dir, "f"), text("x")); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a read-only folder: %v", err)
	}
	alone(t, dir, 0)
}

func TestNoDeviceIsReplaced(t *testing.T) {
	dir := t.TempDir()
	called := false
	write := func(io.Writer) error { called = true; return nil }
	if err := Write(dir, write); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("a folder: %v", err)
	}
	if runtime.GOOS != "windows" {
		before, err := os.Stat(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if err := Write(os.DevNull, write); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("a device: %v", err)
		}
		if after, err := os.Stat(os.DevNull); err != nil || !os.SameFile(before, after) {
			t.Fatalf("the device was replaced: %v", err)
		}
		link := filepath.Join(dir, "link")
		if err := os.Symlink(os.DevNull, link); err != nil {
			t.Fatal(err)
		}
		if err := Write(link, write); err == nil || !strings.Contains(err.Error(), "regular") {
			t.Errorf("a link to a device: %v", err)
		}
	}
	if called {
		t.Error("something was written before the refusal")
	}
}

func TestLinksStay(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	file, link := filepath.Join(elsewhere, "file"), filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Skip(err)
	}
	if err := Write(link, text("x")); err == nil {
		t.Error("a link to nothing was replaced")
	}
	if err := os.WriteFile(file, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, text("new")); err != nil {
		t.Fatal(err)
	}
	holds(t, file, "new")
	holds(t, link, "new")
	if to, err := os.Readlink(link); err != nil || to != file {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

func TestPermissionsAreKept(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("files have no such permissions here")
	}
	for _, perm := range []os.FileMode{0o600, 0o640, 0o666, 0o755, 0o444, 0} {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, perm); err != nil {
			t.Fatal(err)
		}
		if err := Write(path, text("new")); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != perm {
			t.Errorf("permissions %v became %v, %v", perm, info.Mode(), err)
		}
		if err := os.Chmod(path, 0o600); err != nil {
			t.Fatal(err)
		}
		holds(t, path, "new")
	}
}

// TestOpenFileStaysWhole: readers map model files and rely on it.
func TestOpenFileStaysWhole(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("an open file cannot be replaced here")
	}
	path := filepath.Join(t.TempDir(), "f")
	if err := Write(path, text("old")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := Write(path, text("a new one")); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); err != nil || !bytes.Equal(b, []byte("old")) {
		t.Errorf("the open file now holds %q, %v", b, err)
	}
}

func TestSweep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*c")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{temporary + rand.Text() + ".tmp", "mine.tmp", temporary + "mine.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("%v are left, %v; want those of others", left, err)
	}
}
