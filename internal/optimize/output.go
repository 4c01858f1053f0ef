package optimize

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
)

// Everything is written into a folder of its own inside the output folder, made durable,
// and only then moved to its name, file by file: whatever ends the process, each file
// under its own name is whole. A folder that a lost process left behind is removed by the
// next run.
const stagePrefix = ".edgewise-partial-"

// probeLimit bounds what the check for room writes.
const probeLimit = 64 << 20

// prepareOutput makes the output folder and proves, before the long work starts, that
// files of about the expected size can be written there.
func prepareOutput(dir string, expect int64) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return outputError(dir, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return outputError(dir, err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), stagePrefix) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return outputError(dir, err)
			}
		}
	}
	stage, err := newStage(dir)
	if err != nil {
		return err
	}
	defer stage.discard()
	probe := bytes.Repeat([]byte{0xa5}, int(min(max(expect, 1<<16), probeLimit)))
	return stage.write("probe", probe)
}

// stage collects the files of a run until they are complete.
type stage struct {
	out, dir string
	names    []string // in the order in which they get their names
	stale    []string // models of an earlier run, removed before the last name is given
}

func newStage(out string) (*stage, error) {
	dir, err := os.MkdirTemp(out, stagePrefix)
	if err != nil {
		return nil, outputError(out, err)
	}
	return &stage{out: out, dir: dir}, nil
}

func (s *stage) discard() { _ = os.RemoveAll(s.dir) }

// place returns where a file named relative to the output is put for now, and makes the
// folders above it.
func (s *stage) place(name string) (string, error) {
	p := filepath.Join(s.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(p), 0o777); err != nil {
		return "", outputError(s.out, err)
	}
	return p, nil
}

// write stages a file and makes its contents durable.
func (s *stage) write(name string, data []byte) error {
	p, err := s.place(name)
	if err != nil {
		return err
	}
	f, err := os.Create(p)
	if err != nil {
		return outputError(s.out, err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return outputError(s.out, err)
	}
	s.names = append(s.names, name)
	return nil
}

// beside returns a staged model and, before it, the files of weights that a large one
// has: those whose names begin with its own.
func (s *stage) beside(name string) ([]string, error) {
	files, err := besideIn(s.dir, name)
	if err != nil {
		return nil, outputError(s.out, err)
	}
	return files, nil
}

// besideIn is beside in any folder.
func besideIn(root, name string) ([]string, error) {
	dir, base := path.Split(name)
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if n := e.Name(); n != base && strings.HasPrefix(n, base) {
			out = append(out, dir+n)
		}
	}
	return append(out, name), nil
}

// staged notes a model that another writer has put at place(name).
func (s *stage) staged(name string) error {
	files, err := s.beside(name)
	s.names = append(s.names, files...)
	return err
}

// size returns the bytes of a staged model with its files of weights.
func (s *stage) size(name string) (int64, error) {
	files, err := s.beside(name)
	if err != nil {
		return 0, err
	}
	var n int64
	for _, f := range files {
		info, err := os.Stat(filepath.Join(s.dir, filepath.FromSlash(f)))
		if err != nil {
			return 0, outputError(s.out, err)
		}
		n += info.Size()
	}
	return n, nil
}

// commit gives every file its name, in the order in which they were staged.
func (s *stage) commit() error {
	dirs := map[string]bool{s.out: true}
	for i, name := range s.names {
		if i == len(s.names)-1 {
			s.removeStale()
		}
		to := filepath.Join(s.out, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
			return outputError(s.out, err)
		}
		if err := os.Rename(filepath.Join(s.dir, filepath.FromSlash(name)), to); err != nil {
			return outputError(s.out, err)
		}
		dirs[filepath.Dir(to)] = true
	}
	for d := range dirs {
		if f, err := os.Open(d); err == nil {
			_ = f.Sync() // not every system can; the files are whole either way
			f.Close()
		}
	}
	s.discard()
	return nil
}

// removeStale removes what an earlier run wrote and this one did not. What resists stays:
// it does no harm to the result.
func (s *stage) removeStale() {
	for _, name := range s.stale {
		files, err := besideIn(s.out, name)
		if err != nil {
			continue
		}
		for _, f := range files {
			_ = os.Remove(filepath.Join(s.out, filepath.FromSlash(f)))
		}
	}
}

// outputError says that the output folder cannot be written to. The errno stays in the
// chain, so that the command line can say what to do.
func outputError(dir string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	more := ""
	switch {
	case errors.Is(err, syscall.ENOSPC):
		more = "; nothing was changed"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		more = ", since a file stands where a folder should be"
	}
	return fmt.Errorf("cannot write to the output folder %s: %w%s", dir, err, more)
}
