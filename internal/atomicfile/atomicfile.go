// Package atomicfile writes files that appear complete or not at all.
//
// The bytes go to a temporary file in the same folder, which is on the disk before it
// takes the name. Neither a full disk nor a lost process leaves half a file, and whoever
// has the old file open or mapped keeps it whole.
package atomicfile

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	bufferBytes = 256 << 10
	temporary   = ".edgewise-" // starts the names of temporary files
)

// Write makes the file at path from what write writes. A file that is there is replaced
// and its permissions are kept; a link stays, and what it leads to is replaced. Anything
// but a regular file, as a device or a folder, is refused and left alone. Where write or
// the system fails, path is as it was and no other file is left.
func Write(path string, write func(io.Writer) error) error {
	target, old, err := destination(path)
	if err == nil {
		err = named(replace(target, old, write), path)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// named leaves the name of the temporary file, which is gone by then, out of an error.
func named(err error, path string) error {
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &link):
		return link.Err
	case !errors.As(err, &file) || !strings.HasPrefix(filepath.Base(file.Path), temporary):
		return err
	case file.Op == "open":
		return fmt.Errorf("folder %s: %w", filepath.Dir(path), file.Err)
	}
	return file.Err
}

// destination follows links from path to the file that is to be replaced; old is nil
// where there is none.
func destination(path string) (target string, old fs.FileInfo, err error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return path, nil, nil
	}
	old, err = os.Stat(path)
	switch {
	case err != nil:
		return "", nil, err
	case old.IsDir():
		return "", nil, errors.New("it is a folder")
	case !old.Mode().IsRegular():
		return "", nil, fmt.Errorf("it is no regular file but %v", old.Mode())
	}
	target, err = filepath.EvalSymlinks(path)
	return target, old, err
}

func replace(target string, old fs.FileInfo, write func(io.Writer) error) error {
	dir := filepath.Dir(target)
	mode := fs.FileMode(0o666) // less the umask
	if old != nil {
		// The temporary file is never more open than the one whose place it takes.
		mode = old.Mode().Perm()
	}
	name := filepath.Join(dir, temporary+rand.Text()+".tmp")
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	placed := false
	defer func() { // after a panic of write too
		if !placed {
			f.Close()
			os.Remove(name)
		}
	}()
	w := bufio.NewWriterSize(f, bufferBytes)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if old != nil {
		if err := keep(f, mode); err != nil {
			return err
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(name, target); err != nil {
		return err
	}
	placed = true
	syncDir(dir)
	return nil
}

// keep gives f the permissions perm where the umask took some of them.
func keep(f *os.File, perm fs.FileMode) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() == perm {
		return err
	}
	return os.Chmod(f.Name(), perm)
}

// syncDir makes a rename durable where folders can be synced; elsewhere there is nothing
// to be done about it.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		d.Close()
	}
}

// ErrLocked says that somebody else has locked a folder.
var ErrLocked = errors.New("another process is writing there")

// Sweep removes what writers that lost their process left in a folder. Nobody may be
// writing there, which Lock makes sure of.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		middle, ours := strings.CutPrefix(e.Name(), temporary)
		middle, ends := strings.CutSuffix(middle, ".tmp")
		if ours && ends && len(middle) == len(rand.Text()) && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return err
}
