package recipe

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestFreshKeepsWhatItCannotReplace: a training anew that cannot begin leaves the old one, and
// one that is ended leaves its model.
func TestFreshKeepsWhatItCannotReplace(t *testing.T) {
	r := folder(t, text)
	run(t, r, Options{})
	kept := map[string][]byte{}
	for _, name := range []string{modelFile, checkpointFile, journalFile, reportFile, pageFile} {
		kept[name] = read(t, r, name)
	}
	data := filepath.Join(r.dir, "bright.npz")
	if err := os.Rename(data, data+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), r, Options{Fresh: true}); err == nil || !strings.Contains(err.Error(), "bright.npz") {
		t.Errorf("error %v does not name the data", err)
	}
	for name, want := range kept {
		if !bytes.Equal(read(t, r, name), want) {
			t.Errorf("%s is another", name)
		}
	}
	if err := os.Rename(data+".away", data); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := Run(ctx, r, Options{Fresh: true, Progress: func(e Event) {
		if e.Step == 3 {
			cancel()
		}
	}})
	if err == nil || !bytes.Equal(read(t, r, modelFile), kept[modelFile]) {
		t.Errorf("%v; the model of before is another", err)
	}
	if got := run(t, r, Options{}); got.Already || !got.Resumed || !bytes.Equal(read(t, r, modelFile), kept[modelFile]) {
		t.Errorf("after an interrupted training anew: %+v", got)
	}
}

func TestFolderInUse(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("folders are not locked there")
	}
	r := folder(t, text)
	tried := false
	run(t, r, Options{Progress: func(e Event) {
		if e.Step != 3 || tried {
			return
		}
		tried = true
		for _, o := range []Options{{}, {Fresh: true}} {
			if _, err := Run(t.Context(), r, o); err == nil || !strings.Contains(err.Error(), "another process is writing there") {
				t.Errorf("two trainings in one folder: %v", err)
			}
		}
	}})
	if !tried {
		t.Error("there was no third step")
	}
}

func TestForeignFilesStay(t *testing.T) {
	for _, name := range []string{modelFile, checkpointFile, journalFile, reportFile, pageFile} {
		r := folder(t, text)
		if err := os.Mkdir(r.Folder(), 0o777); err != nil {
			t.Fatal(err)
		}
		const own = `{"mine": 1}`
		if err := os.WriteFile(filepath.Join(r.Folder(), name), []byte(own), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Options{{}, {Fresh: true}} {
			if _, err := Run(t.Context(), r, o); err == nil || !strings.Contains(err.Error(), name+" was not written by a training") {
				t.Errorf("%s of another: %v", name, err)
			}
		}
		if string(read(t, r, name)) != own {
			t.Errorf("%s of another is replaced", name)
		}
	}
}
